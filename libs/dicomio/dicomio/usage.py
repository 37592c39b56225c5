"""How full an object store is, estimated at a bounded cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from dicomcore.ports import ObjectStat

OBJECTS_PER_LOOK = 10_000
REFRESH_S = 600.0
PAUSE_S = 1.0
"""Between the looks of one scan."""


class UsageEstimate:
    """The bytes a store holds: a scan that goes on a little at each look, and own writes in between.

    A scan of ten million objects takes minutes and thousands of requests, too much for the path of a
    C-STORE. So each look lists at most `objects_per_look` objects from where the last one stopped; when
    the scan is through it rests for `refresh_s`. Until the first scan is through, the estimate is too
    low by what was not seen yet; between scans it misses what others write.
    """

    def __init__(
        self,
        scan: Callable[[str], Iterator[ObjectStat]],
        *,
        objects_per_look: int = OBJECTS_PER_LOOK,
        refresh_s: float = REFRESH_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scan = scan
        self._objects_per_look = objects_per_look
        self._refresh_s = refresh_s
        self._clock = clock
        self._lock = threading.Lock()
        self._complete_bytes = 0
        """As of the last scan that went through."""
        self._partial_bytes = 0
        """As of the scan that is under way."""
        self._written_bytes = 0
        """Since the last scan went through."""
        self._written_before_scan = 0
        self._start_after = ""
        self._next_look_at: float | None = None

    def written(self, size_bytes: int) -> None:
        """Count an object that was put (or, negative, deleted) through this store."""
        with self._lock:
            self._written_bytes += size_bytes

    def used_bytes(self) -> int:
        """Return the estimate, after one more look; a look that is under way is not waited for."""
        if self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        seen_now = self._partial_bytes - self._written_before_scan
        return max(max(self._complete_bytes, seen_now) + self._written_bytes, 0)

    def _look(self) -> None:
        if self._next_look_at is not None and self._clock() < self._next_look_at:
            return
        if not self._start_after:
            self._written_before_scan = self._written_bytes
        for seen, stat in enumerate(self._scan(self._start_after), start=1):
            self._partial_bytes += stat.size_bytes
            self._start_after = stat.key
            if seen >= self._objects_per_look:
                self._next_look_at = self._clock() + PAUSE_S
                return
        # what was written while the scan ran is counted twice at most until the next scan: too full
        # for a while is safe, too empty is not
        self._complete_bytes = self._partial_bytes
        self._written_bytes -= self._written_before_scan
        self._partial_bytes = self._written_before_scan = 0
        self._start_after = ""
        self._next_look_at = self._clock() + self._refresh_s
