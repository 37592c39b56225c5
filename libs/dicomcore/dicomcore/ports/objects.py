"""Objects under keys, durable when `put` returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """An object without its bytes."""

    key: str
    size_bytes: int
    modified_at: datetime
    """UTC."""


class ObjectStore(Protocol):
    """Objects under keys, durable when `put` returns, never changed afterwards.

    Every method may raise `ObjectStoreUnavailable`. All may be called from any thread.
    """

    def put(self, key: str, parts: Sequence[bytes | memoryview], *, sha256: str = "") -> bool:
        """Store the concatenation of `parts` if `key` is absent; return whether it was.

        When it returns, the object is durable (fsync, or the server's acknowledgement). Existing
        bytes are left as they are. A crash in between leaves nothing under `key`.

        Parameters
        ----------
        sha256
            Of the concatenation, hexadecimal, where it is known: a server can then refuse what was
            damaged on the way, and nothing has to be computed again.

        Raises
        ------
        ObjectStoreFull
            No room, or above the high-water mark that was configured.
        """
        ...

    def get(self, key: str) -> bytes:
        """Return a whole object; `NotFound` if there is none."""
        ...

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """Return at most `length` bytes from `offset` (0-based); fewer, or none, past the end."""
        ...

    def stat(self, key: str) -> ObjectStat:
        """Return size and time of an object; `NotFound` if there is none."""
        ...

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectStat]:
        """Yield the objects below `prefix`, lazily, in the store's own order, which does not change.

        It is the byte order of the keys on a folder and on AWS; SeaweedFS goes folder by folder. Keys
        without a slash after `prefix` are in byte order everywhere.

        Parameters
        ----------
        start_after
            A key that this list yielded before: go on behind it.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object; no error if there is none. Used for the outbox, not for instances."""
        ...

    def presign(self, key: str, *, expires_s: int) -> str | None:
        """Return an address from which anyone may GET the object, or None if there is no such."""
        ...

    def fill_ratio(self) -> float | None:
        """Return used / capacity (0 to 1), or None where nobody knows."""
        ...

    def close(self) -> None:
        """Release connections; the store is not used afterwards."""
        ...
