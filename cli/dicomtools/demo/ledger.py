"""What the demo PACS was asked and what it sent: exact numbers, for people and for tests."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as it came."""

    command: str
    """C-ECHO, C-FIND, C-MOVE, C-GET or C-STORE."""
    level: str = ""
    """Query/Retrieve Level (0008,0052) as sent; empty for C-ECHO and C-STORE."""
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Keyword to value, of what has a value; several values are joined with a backslash."""
    calling_ae_title: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """One C-STORE sub-operation."""

    sop_instance_uid: str
    size_bytes: int
    """Of the encoded data set."""
    command: str
    """C-MOVE or C-GET."""
    destination: str
    """AE title."""
    status: int
    """DIMSE status of the answer."""


class Ledger:
    """Written by association threads, read by anyone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: list[Asked] = []
        self._sent: list[Sent] = []
        self._taken: Counter[str] = Counter()

    @property
    def requests(self) -> tuple[Asked, ...]:
        """Return every request, in order of arrival."""
        with self._lock:
            return tuple(self._asked)

    @property
    def sent(self) -> tuple[Sent, ...]:
        """Return every sub-operation that was answered."""
        with self._lock:
            return tuple(self._sent)

    def asked(self, request: Asked) -> None:
        """Record a request."""
        with self._lock:
            self._asked.append(request)

    def has_sent(self, sub_operation: Sent) -> None:
        """Record a sub-operation."""
        with self._lock:
            self._sent.append(sub_operation)

    def take(self, name: str, limit: int) -> bool:
        """Return True the first `limit` times for a name, then False."""
        with self._lock:
            if self._taken[name] >= limit:
                return False
            self._taken[name] += 1
            return True

    def nth(self, name: str) -> int:
        """Return how often a name has been counted, this time included."""
        with self._lock:
            self._taken[name] += 1
            return self._taken[name]
