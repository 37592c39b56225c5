"""Sending instances to another system: what, in which order, with which treatment machines.

Reads in this order: `values` (what is decided), `machines` (names of treatment machines), `policy`
(what is held back), `order` (the whole plan of sends), `rename` and `payload` (the bytes that go out).
"""
