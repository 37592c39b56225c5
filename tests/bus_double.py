"""A bus, seen from a thread: holds what is published, knows repeated IDs, and can be away."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from dicomcore.errors import BusUnavailable


@dataclass
class Bus:
    """What `publish` of a real bus does, without a loop; may be shared by threads."""

    away: bool = False
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    attempts: int = 0
    _seen: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def publish(self, subject: str, body: bytes, message_id: str) -> bool:
        """Hold a message; False if its ID was seen."""
        with self._lock:
            self.attempts += 1
            if self.away:
                raise BusUnavailable("away")
            if message_id in self._seen:
                return False
            self._seen.add(message_id)
            self.messages.append((subject, body))
            return True
