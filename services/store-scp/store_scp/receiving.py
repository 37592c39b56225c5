"""Where a data set goes while it comes: into memory that is used again, a large one into a file."""

from __future__ import annotations

import hashlib
import mmap
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO

import structlog

from dicomcore.errors import ObjectStoreFull
from dicomcore.landing import begun
from dicomcore.received import Received
from dicomcore.walk import Buffer
from dicomio.aligned import aligned
from dicomio.pacs import commands
from dicomio.pacs.commands import Command
from dicomio.pacs.negotiation import AcceptedContext
from dicomio.pacs.reassembly import MalformedMessage, Source
from store_scp.options import ScpOptions

log = structlog.get_logger()

_FIRST_BYTES = 1 << 20
"""What an association begins with; two image slices."""
_HASHED_BYTES = 256 * 1024
"""So much is hashed at once: the interpreter's lock is given away each time."""


class DataSetIntake:
    """The `Sink` of one association; its memory grows to the largest data set below the limit.

    The digest is computed as the bytes come. In memory the data set lies behind room for the Part 10
    header that its object will begin with, so that both can go to a disk as they are. A file has no name:
    whatever becomes of this process, nothing is left of it.
    """

    def __init__(self, options: ScpOptions, contexts: Mapping[int, AcceptedContext]) -> None:
        self._options = options
        self._contexts = contexts
        self._memory = memoryview(b"")
        self._file: IO[bytes] | None = None
        self._release: Callable[[], None] = _nothing
        self._problem: ObjectStoreFull | None = None
        self._digest: hashlib._Hash | None = None
        self._spooling = False
        self._size = self._start = self._used = self._hashed = 0

    def begin(self, context_id: int, command: Command) -> None:
        self.release()
        self._spooling, self._problem = False, None
        context = self._contexts.get(context_id)
        beginning = begun(
            command.text(commands.AFFECTED_SOP_CLASS_UID),
            command.text(commands.AFFECTED_SOP_INSTANCE_UID),
            "" if context is None else context.transfer_syntax,
        )
        self._digest = None if beginning is None else beginning.digest
        self._size = 0
        self._start = 0 if beginning is None else beginning.header_bytes
        self._used = self._hashed = self._start

    def take(self, source: Source, length: int) -> None:
        self._size += length
        if self._size > self._options.max_instance_bytes:
            log.error("instance_was_too_large", limit_bytes=self._options.max_instance_bytes)
            raise MalformedMessage("a data set above the limit")
        while length:
            room = self._room(length)
            source.take_into(self._memory[self._used : self._used + room])
            self._used += room
            length -= room
            if self._used - self._hashed >= _HASHED_BYTES:
                self._hash()

    def end(self) -> Buffer:
        """Return the data set, in memory or mapped; `release` gives it up."""
        if not self._spooling:
            self._hash()
            return self._memory[self._start : self._used]
        self._spool()
        if self._file is None or self._problem is not None:
            return b""
        try:
            mapped = mmap.mmap(self._file.fileno(), self._size, access=mmap.ACCESS_READ)
        except OSError as exc:
            self._problem = _no_room(exc)
            return b""
        view = memoryview(mapped)
        self._release = lambda: _unmap(view, mapped)
        return view

    @property
    def sha256(self) -> str:
        """The digest of what `end` returned; empty: there is none."""
        return "" if self._digest is None or not self._size else self._digest.hexdigest()

    def received(
        self, command: Command, context: AcceptedContext, data: Buffer, calling_ae_title: str
    ) -> Received:
        """Return the request that has come, before `release`.

        Raises
        ------
        ObjectStoreFull
            It was too large for memory, and there was no room for the file.
        """
        if self._problem is not None:
            raise self._problem
        return Received(
            sop_class_uid=command.text(commands.AFFECTED_SOP_CLASS_UID),
            sop_instance_uid=command.text(commands.AFFECTED_SOP_INSTANCE_UID),
            transfer_syntax_uid=context.transfer_syntax,
            data=data,
            calling_ae_title=calling_ae_title,
            sha256=self.sha256,
        )

    def release(self) -> None:
        """Give up what `end` returned, and the file behind it."""
        release, self._release = self._release, _nothing
        release()
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what was not written yet cannot be, and need not be
                file.close()

    def _room(self, wanted: int) -> int:
        """Return how many of the bytes that are wanted have room now; at least one."""
        if not self._spooling:
            if self._used + wanted <= len(self._memory):
                return wanted
            if self._used - self._start + wanted <= self._options.memory_bytes:
                self._grow(self._used + wanted)
                return wanted
            self._spooling = True
            self._open_file()
            if self._used >= len(self._memory):
                self._grow(self._used + 1)
        if self._used == len(self._memory):
            self._spool()
        return min(wanted, len(self._memory) - self._used)

    def _grow(self, least: int) -> None:
        size = max(2 * len(self._memory), _FIRST_BYTES)
        roomy = aligned(max(min(size, self._options.memory_bytes), least))
        kept = min(self._used, len(self._memory))
        roomy[:kept] = self._memory[:kept]
        self._memory = roomy

    def _open_file(self) -> None:
        try:
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 - closed by `release`
                buffering=0, dir=self._options.spool_folder
            )
        except OSError as exc:
            self._problem = _no_room(exc)

    def _spool(self) -> None:
        """Empty the memory into the file; without room there, what comes is dropped to its end."""
        self._hash()
        left = self._memory[self._start : self._used]
        self._start = self._used = self._hashed = 0
        if self._file is None or self._problem is not None:
            return
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as exc:
            self._problem = _no_room(exc)

    def _hash(self) -> None:
        if self._digest is not None:
            self._digest.update(self._memory[self._hashed : self._used])
        self._hashed = self._used


def _nothing() -> None:
    return None


def _unmap(view: memoryview, mapped: mmap.mmap) -> None:
    # whoever still holds a part of it keeps it alive, not us
    with suppress(BufferError):
        view.release()
        mapped.close()


def _no_room(exc: OSError) -> ObjectStoreFull:
    problem = ObjectStoreFull("no room for a large data set while it comes", errno=exc.errno)
    problem.__cause__ = exc
    return problem
