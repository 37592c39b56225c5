"""Memory that begins where a disk takes it from: at a multiple of the largest common block."""

from __future__ import annotations

import ctypes
import mmap
import sys

ALIGNED = 4096
"""Offsets, lengths and addresses of direct writes are multiples of it: of every common block size."""


def aligned(size: int) -> memoryview:
    """Return `size` bytes of memory that begin at such a multiple."""
    # a mapping begins at a page
    if sys.platform == "win32":
        return memoryview(mmap.mmap(-1, size))
    # not shared, as the default is, with what this process may become
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def misalignment(buffer: bytearray | memoryview) -> int | None:
    """Return how many bytes behind such a multiple a buffer begins; None for one that is read-only."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(buffer)) % ALIGNED
    except (TypeError, ValueError):  # read-only; empty
        return None
