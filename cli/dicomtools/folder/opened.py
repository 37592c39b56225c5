"""A file that is being read: its beginning, any other part of it, and how long it is."""

from __future__ import annotations

import os
from typing import BinaryIO, Self

_AT_ONCE = 1 << 30
"""Bytes; more than 2 GiB are refused by some systems."""
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)


class OpenFile:
    """A file by its number, without the buffers and locks of a file object: many are read of it.

    Parameters
    ----------
    first_bytes
        So much of its beginning is read.

    Raises
    ------
    OSError
        From every method.
    """

    __slots__ = ("_number", "_size_bytes", "first")

    def __init__(self, path: str, first_bytes: int) -> None:
        self._size_bytes: int | None = None
        self._number = os.open(path, _FLAGS)
        try:
            self.first = os.read(self._number, first_bytes)
        except BaseException:
            os.close(self._number)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._number)

    @property
    def size_bytes(self) -> int:
        """Of all of it, when it was asked for first."""
        if self._size_bytes is None:
            self._size_bytes = os.fstat(self._number).st_size
        return self._size_bytes

    def read_ahead(self, first_bytes: int) -> None:
        """Have more of its beginning: so much, if there is."""
        self.first += self.part(len(self.first), first_bytes - len(self.first))

    def part(self, at: int, length: int) -> bytes:
        """Return a part of it, shorter at its end."""
        os.lseek(self._number, at, os.SEEK_SET)
        parts = []
        while length > 0 and (part := os.read(self._number, min(length, _AT_ONCE))):
            parts.append(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def stream(self) -> BinaryIO:
        """Return all of it as a file object, to be closed before this one."""
        os.lseek(self._number, 0, os.SEEK_SET)
        return os.fdopen(os.dup(self._number), "rb")
