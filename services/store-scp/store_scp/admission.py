"""How many associations there are at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge


class Admission:
    """Counts associations up to a limit; shared by threads."""

    def __init__(self, limit: int, gauge: Gauge) -> None:
        self._limit = limit
        self._gauge = gauge
        self._count = 0
        self._lock = threading.Lock()

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Tell whether there is a place, and hold it inside the block if there is."""
        with self._lock:
            admitted = self._count < self._limit
            self._count += admitted
            self._gauge.set(self._count)
        try:
            yield admitted
        finally:
            with self._lock:
                self._count -= admitted
                self._gauge.set(self._count)
