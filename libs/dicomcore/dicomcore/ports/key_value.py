"""Small values with compare-and-set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and the revision it was written at; revisions of one key only grow."""

    value: bytes
    revision: int


class KeyValue(Protocol):
    """Small values (≤ 512 KiB) with compare-and-set. Keys are `[A-Za-z0-9_.-]+`.

    Every method may raise `KeyValueUnavailable`.
    """

    async def get(self, key: str) -> Entry:
        """Return the latest entry; `NotFound` if there is none."""
        ...

    async def create(self, key: str, value: bytes) -> int:
        """Write a new key and return its revision; `Conflict` if it exists."""
        ...

    async def update(self, key: str, value: bytes, *, revision: int) -> int:
        """Write if the latest revision is `revision`; `Conflict` if it is another."""
        ...

    async def delete(self, key: str) -> None:
        """Remove a key; no error if there is none. It may be created again."""
        ...

    async def keys(self, prefix: str = "") -> Sequence[str]:
        """Return the keys that start with `prefix`, sorted."""
        ...

    async def changed(self, key: str, *, since: int, timeout_s: float) -> Entry | None:
        """Wait until the revision of `key` is above `since`; None when time is up.

        Values in between may be skipped: what is returned is the latest.
        """
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...
