"""One reader per kind of object: from the elements that are wanted to details and references.

Reads in this order: `wanted` (which elements), `collect` and `dataset` (from bytes, from pydicom),
`access` (tolerant accessors), `kinds` and `refs`, then a module per kind.
"""
