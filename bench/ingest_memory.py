"""What memory a receiver finds: the same for each, whoever was before it.

On a virtual machine whose host takes free memory back (free page reporting), a page that was not used a
moment ago has to be brought by the host first. That costs more than everything else that is done with its
bytes, and whether it is paid depends on what the receiver before has left behind: a few hundred megabytes,
or nothing. So each finds memory `READY`, or each finds it `FRESH`. Elsewhere both are the same.
"""

from __future__ import annotations

import mmap
import time

import psutil

READY, FRESH = "ready", "fresh"
_OWN = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_READY_BYTES = 2 << 30
_STEP_BYTES = 4 << 20
_BROUGHT_S_PER_PAGE = 4e-6
"""A page that takes longer was brought by the host; the system's own takes a tenth of it."""
_IN_A_ROW = 24
_REPORTED_AFTER_S = 3.0
"""The system tells its host of free memory every two seconds."""


class Memory:
    """Prepares memory before each run; what it holds is held to the end."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._held: list[mmap.mmap] = []

    def prepare(self) -> None:
        """Use memory and free it; or wait until the host has what is free, and take what it leaves."""
        if self._state == READY:
            block = mmap.mmap(
                -1, min(_READY_BYTES, psutil.virtual_memory().available // 2), flags=_OWN
            )
            _touched_s(block)
            block.close()
            return
        time.sleep(_REPORTED_AFTER_S)
        brought, most = 0, psutil.virtual_memory().available // 4
        while brought < _IN_A_ROW and sum(map(len, self._held)) < most:
            block = mmap.mmap(-1, _STEP_BYTES, flags=_OWN)
            block.madvise(
                mmap.MADV_NOHUGEPAGE
            )  # the small pieces first, which the host never takes
            seconds = _touched_s(block) / (_STEP_BYTES / mmap.PAGESIZE)
            brought = brought + 1 if seconds > _BROUGHT_S_PER_PAGE else 0
            self._held.append(block)


def _touched_s(block: mmap.mmap) -> float:
    """Write to each page; return the seconds it took."""
    started = time.perf_counter()
    for start in range(0, len(block), mmap.PAGESIZE):
        block[start] = 1
    return time.perf_counter() - started
