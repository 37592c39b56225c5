"""New files that are on the medium when they are written, large ones past the page cache."""

# Paths are strings on the way of each object: as `Path` they cost as much as the system calls.
# ruff: noqa: PTH108

from __future__ import annotations

import errno
import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dicomio.aligned import ALIGNED, aligned, misalignment
from dicomio.durable import StrPath, sync_file
from dicomio.parts import CHUNK_BYTES, Parts

BUFFER_BYTES = 1 << 20
KEPT_BUFFERS = 8
SMALLEST_DIRECT_BYTES = 128 * 1024
"""Below it the copy into the page cache costs less than what comes with direct writing."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class NewFiles:
    """Writes files that are not there yet; may be shared by threads.

    Whole blocks of large files go from a buffer that is used again straight to the disk. Through the page
    cache each would take memory that the system has to find first, for bytes of which hardly any is read
    soon; and where a hypervisor has to bring that memory back, it costs more than everything else that an
    instance needs (ADR 9). Where system or file system do not offer it, files are written as usual.

    Parameters
    ----------
    direct
        False: always through the page cache.
    """

    def __init__(self, *, direct: bool = True) -> None:
        self._direct_flag: int = getattr(os, "O_DIRECT", 0) if direct else 0
        if sys.platform == "win32":  # no such flag; said for the type checker
            self._direct_flag = 0
        self._buffers: deque[memoryview] = deque(maxlen=KEPT_BUFFERS)

    def write(self, path: StrPath, body: Parts) -> None:
        """Write a file, for its owner only; it is on the medium when this returns.

        Raises
        ------
        OSError
            FileExistsError among them; what has been written of the file is left.
        """
        descriptor = None
        if body.size_bytes >= SMALLEST_DIRECT_BYTES:
            descriptor = self._open_direct(path)
        is_direct = descriptor is not None
        if descriptor is None:
            descriptor = os.open(path, _NEW, 0o600)
        try:
            if is_direct:
                self._write_directly(descriptor, body)
            else:
                _write(descriptor, body)
            sync_file(descriptor)
        finally:
            os.close(descriptor)

    def _open_direct(self, path: StrPath) -> int | None:
        if not self._direct_flag:
            return None
        try:
            return os.open(path, _NEW | self._direct_flag, 0o600)
        except OSError as exc:
            if exc.errno != errno.EINVAL:
                raise
        # this file system does not know it, and will not learn it; it may have made the file before
        self._direct_flag = 0
        with suppress(FileNotFoundError):
            os.unlink(path)
        return None

    def _write_directly(self, descriptor: int, body: Parts) -> None:
        is_direct = True
        with self._buffer() as buffer:
            for pieces in _laid_out(body, buffer) or _filled(body, buffer):
                left = pieces
                if is_direct:
                    left = self._write_blocks(descriptor, pieces)
                    if left:  # the end of the file; or what the system did not take so
                        _through_the_cache(descriptor)
                        is_direct = False
                for piece in left:
                    _write_all(descriptor, piece)

    def _write_blocks(self, descriptor: int, pieces: list[memoryview]) -> list[memoryview]:
        """Write whole blocks directly; return what is left of them."""
        *whole, last = pieces
        blocks = len(last) - len(last) % ALIGNED
        left, rest = [*whole, last[:blocks]], last[blocks:]
        while left := [piece for piece in left if piece]:
            try:
                written = os.writev(descriptor, left)
            except OSError as exc:
                if exc.errno != errno.EINVAL:
                    raise
                # opened so, but not written so: or only in larger blocks than ours
                self._direct_flag = 0
                break
            left = _left_of(left, written)
            if written % ALIGNED:  # no room, perhaps: the next write says so
                break
        return [piece for piece in (*left, rest) if piece]

    @contextmanager
    def _buffer(self) -> Iterator[memoryview]:
        try:
            buffer = self._buffers.pop()
        except IndexError:
            buffer = aligned(BUFFER_BYTES)
        try:
            yield buffer
        finally:
            self._buffers.append(buffer)


def _laid_out(body: Parts, buffer: memoryview) -> list[list[memoryview]]:
    """Return an object as it can be written, its first block put together in `buffer`; empty if it cannot.

    It can if it is a header and one part that was received where it has to be for this: that many bytes
    behind a multiple of a block (`dicomio.aligned`).
    """
    parts = body.parts
    if len(parts) != 2 or body.size_bytes > CHUNK_BYTES:
        return []
    header, data = parts
    missing = ALIGNED - len(header)
    if not 0 < missing <= len(data) or misalignment(data) != len(header):
        return []
    buffer[: len(header)] = header
    buffer[len(header) : ALIGNED] = data[:missing]
    return [[buffer[:ALIGNED], data[missing:]]]


def _filled(body: Parts, buffer: memoryview) -> Iterator[list[memoryview]]:
    """Yield the bytes of `body` as they lie in `buffer`, which is full each time but the last."""
    used = 0
    for chunk in body:
        left = chunk
        while left:
            taken = min(len(left), len(buffer) - used)
            buffer[used : used + taken] = left[:taken]
            used, left = used + taken, left[taken:]
            if used == len(buffer):
                yield [buffer]
                used = 0
    if used:
        yield [buffer[:used]]


def _left_of(pieces: list[memoryview], count: int) -> list[memoryview]:
    """Return what is left of the pieces when so many bytes of them are done."""
    left = list(pieces)
    while left and count >= len(left[0]):
        count -= len(left.pop(0))
    if left:
        left[0] = left[0][count:]
    return left


def _through_the_cache(descriptor: int) -> None:
    """Make an open file take bytes of any number again."""
    if sys.platform != "win32":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETFL, 0)  # of what this call may change, no more was set


def _write(descriptor: int, body: Parts) -> None:
    if not _written_at_once(descriptor, body):
        for chunk in body:
            _write_all(descriptor, chunk)


def _write_all(descriptor: int, data: memoryview) -> None:
    left = data
    while left:
        left = left[os.write(descriptor, left) :]


def _written_at_once(descriptor: int, body: Parts) -> bool:
    """Write a small object in one system call, if the system has one for that; tell whether it was done."""
    if body.size_bytes > CHUNK_BYTES or not hasattr(os, "writev"):
        return False
    if os.writev(descriptor, list(body)) == body.size_bytes:
        return True
    os.lseek(descriptor, 0, os.SEEK_SET)  # no room, perhaps: the next write says so
    return False
