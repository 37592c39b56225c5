"""One module per kind of made-up object; each function returns one data set, ready to be sent."""
