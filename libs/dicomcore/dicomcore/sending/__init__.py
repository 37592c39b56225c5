"""Sending instances to another system: what, in which order, with which treatment machines.

Reads in this order: `values` (what is decided), `machines` (names of treatment machines), `order`
(the whole plan of sends); `rename` and `payload` make the bytes that go out.
"""
