"""Data sets in memory while they come, and their digests, where C-STORE sub-operations bring instances."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress

from dicomcore.landing import begun
from dicomcore.walk import Buffer
from dicomio.aligned import ALIGNED, misalignment
from dicomio.pacs import commands
from dicomio.pacs.commands import Command
from dicomio.pacs.reassembly import MalformedMessage, Source

AHEAD_BYTES = 4 * 1024 * 1024
"""At most so much more memory than has been needed is taken for a data set that is coming."""
_HASHED_BYTES = 256 * 1024
"""So much is hashed at once, while the peer sends on; the interpreter's lock is given away each time."""


class MemorySink:
    """Data sets in memory, each in its own unless one is given back, so that whoever gets one may keep it.

    The digest of an instance is computed as its bytes come: the peer, which sends the next one only after
    our answer, does not wait for it. An instance lies where a disk can take it from, with the Part 10
    header that its object will begin with before it, unless it turns out larger than the one before.

    Parameters
    ----------
    limit_bytes
        What grows beyond it is no data set.
    transfer_syntax_of
        That of an accepted presentation context; empty if there is none.
    """

    def __init__(self, limit_bytes: int, transfer_syntax_of: Callable[[int], str]) -> None:
        self._limit_bytes = limit_bytes
        self._transfer_syntax_of = transfer_syntax_of
        self._data = bytearray()
        self._given_back: bytearray | None = None
        self._digest: hashlib._Hash | None = None
        self._start = self._used = self._hashed = 0

    @property
    def sha256(self) -> str:
        """The digest of the instance that `end` returned last; empty: it is none."""
        return "" if self._digest is None else self._digest.hexdigest()

    def begin(self, context_id: int, command: Command) -> None:
        # slices of one series have one size
        size = min(self._used - self._start, AHEAD_BYTES)
        self._start = 0
        self._digest = None
        if command.field == commands.C_STORE_RQ:
            beginning = begun(
                command.text(commands.AFFECTED_SOP_CLASS_UID),
                command.text(commands.AFFECTED_SOP_INSTANCE_UID),
                self._transfer_syntax_of(context_id),
            )
            size += ALIGNED
            self._data, self._given_back = self._given_back or bytearray(size), None
            if beginning is not None:
                self._digest = beginning.digest
                self._start = _behind(beginning.header_bytes, self._data)
        else:
            self._data = bytearray(size)
        self._used = self._hashed = self._start

    def take(self, source: Source, length: int) -> None:
        start, end = self._used, self._used + length
        if end - self._start > self._limit_bytes:
            raise MalformedMessage("a data set above the limit")
        if end > len(self._data):
            missing = end - len(self._data)
            self._data += bytes(max(missing, min(len(self._data), AHEAD_BYTES)))
        with memoryview(self._data) as view, view[start:end] as fragment:
            source.take_into(fragment)
        self._used = end
        if end - self._hashed >= _HASHED_BYTES:
            self._hash()

    def end(self) -> memoryview:
        self._hash()
        return memoryview(self._data)[self._start : self._used]

    def give_back(self, data: Buffer) -> None:
        """Take back what `end` returned and nobody uses any more, for the next instance."""
        if not isinstance(data, memoryview):
            return
        owner = data.obj
        data.release()
        if not isinstance(owner, bytearray):  # none of ours
            return
        with suppress(BufferError):  # somebody still looks at it
            owner.append(0)
            owner.pop()
            self._given_back = owner

    def _hash(self) -> None:
        if self._digest is not None:
            with memoryview(self._data) as view, view[self._hashed : self._used] as fragment:
                self._digest.update(fragment)
        self._hashed = self._used


def _behind(header_bytes: int, data: bytearray) -> int:
    """Return where in `data` something begins if a header before it is to begin where a disk likes it."""
    off = misalignment(data) or 0
    return (header_bytes - off) % ALIGNED
