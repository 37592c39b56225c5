"""Files read by this process and by forks of it, which know what it has learned about them; Linux only.

The numbers of the chunks lie in a pipe, and whoever is free takes the next one. A fork writes what came of
a chunk into a pipe of its own. What a fork took and did not deliver, because somebody killed it, this
process reads itself.
"""

from __future__ import annotations

import gc
import marshal
import os
import select
import signal
import struct
import warnings
from collections.abc import Generator, Sequence
from contextlib import suppress
from typing import NoReturn

from dicomtools.folder.performing import Performer
from dicomtools.folder.tasks import Outcome

CHUNK = 32
"""Files that are taken together: few enough for a bar that moves."""
_MOST_CHUNKS = 1000
"""Their numbers fit into a pipe of one page."""
_NUMBER = struct.Struct("=I")
_FRAME = struct.Struct("=II")
"""Number of the chunk, and length of what follows."""
_READ_BYTES = 1 << 18

Chunks = Sequence[Sequence[str]]


def read_forked(
    performer: Performer, paths: Sequence[str], *, helpers: int
) -> Generator[Outcome, None, None]:
    """Yield the outcome of each file, in order.

    Parameters
    ----------
    helpers
        So many forks; this process works as well.
    """
    size = max(CHUNK, len(paths) // _MOST_CHUNKS + 1)
    chunks = [paths[start : start + size] for start in range(0, len(paths), size)]
    readable, writable = os.pipe()
    os.write(writable, b"".join(map(_NUMBER.pack, range(len(chunks)))))
    os.close(writable)  # whoever finds the pipe empty sees its end
    team = _Team(performer, chunks, readable)
    gc.freeze()  # a collection would write to every object, and so copy all memory that forks share
    try:
        for _ in range(min(helpers, len(chunks) - 1)):
            team.fork()
        for number in range(len(chunks)):
            yield from team.outcomes(number)
    finally:
        gc.unfreeze()
        team.dismiss()
        os.close(readable)


class _Team:
    """One process and its forks, all of which read."""

    def __init__(self, performer: Performer, chunks: Chunks, numbers: int) -> None:
        self._performer = performer
        self._chunks = chunks
        self._numbers = numbers
        self._forks: list[int] = []
        self._arriving: dict[int, bytearray] = {}
        """By pipe: what has come and is not complete."""
        self._poll = select.poll()
        self._done: dict[int, list[Outcome]] = {}

    def fork(self) -> None:
        """Start one more process; nothing is lost if there can be none."""
        readable, writable = os.pipe()
        try:
            with warnings.catch_warnings():
                # Python 3.12 warns of threads that libraries started; a fork uses none of those
                warnings.simplefilter("ignore", DeprecationWarning)
                process = os.fork()
        except OSError:  # too many processes, or too little memory
            os.close(readable)
            os.close(writable)
            return
        if not process:
            self._work(writable, readable)
        os.close(writable)
        self._forks.append(process)
        self._arriving[readable] = bytearray()
        self._poll.register(readable, select.POLLIN)

    def outcomes(self, number: int) -> list[Outcome]:
        """Return what came of one chunk; others are read meanwhile."""
        while number not in self._done:
            self._receive(wait=False)
            if number in self._done:
                break
            taken = os.read(self._numbers, _NUMBER.size)
            if taken:
                [own] = _NUMBER.unpack(taken)
                self._done[own] = self._read(own)
            elif self._arriving:
                self._receive(wait=True)
            else:
                self._done[number] = self._read(number)
        return self._done.pop(number)

    def dismiss(self) -> None:
        """End the forks, which hold nothing that could be lost."""
        for readable in self._arriving:
            os.close(readable)
        for process in self._forks:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)

    def _read(self, number: int) -> list[Outcome]:
        return [self._performer.outcome(path) for path in self._chunks[number]]

    def _receive(self, *, wait: bool) -> None:
        for readable, _ in self._poll.poll(None if wait else 0):
            more = os.read(readable, _READ_BYTES)
            if more:
                self._arriving[readable] += more
                self._unpack(self._arriving[readable])
            else:
                self._poll.unregister(readable)
                del self._arriving[readable]
                os.close(readable)

    def _unpack(self, arrived: bytearray) -> None:
        while len(arrived) >= _FRAME.size:
            number, length = _FRAME.unpack_from(arrived)
            end = _FRAME.size + length
            if len(arrived) < end:
                return
            packed = marshal.loads(arrived[_FRAME.size : end])  # noqa: S302 # of a fork of our own
            self._done[number] = [Outcome._make(facts) for facts in packed]
            del arrived[:end]

    def _work(self, writable: int, own_end: int) -> NoReturn:
        """Be a fork: read chunks until there is none, and end without tidying up the other's things."""
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that forked deals with Ctrl-C
            for readable in (own_end, *self._arriving):
                os.close(readable)
            while taken := os.read(self._numbers, _NUMBER.size):
                [number] = _NUMBER.unpack(taken)
                packed = marshal.dumps([tuple(outcome) for outcome in self._read(number)])
                rest = memoryview(_FRAME.pack(number, len(packed)) + packed)
                while rest:
                    rest = rest[os.write(writable, rest) :]
        finally:
            os._exit(0)
