"""Bytes that have come over a connection and were not taken yet, in one buffer that is used again."""

from __future__ import annotations

from collections.abc import Callable

BUFFER_BYTES = 256 * 1024
_STRAIGHT_BYTES = 64 * 1024
"""From so many bytes on, what is asked for goes from the socket to where it belongs, not copied."""


class Intake:
    """A buffer between a connection and who takes it apart; used by one thread.

    Parameters
    ----------
    receive
        Fills the beginning of a buffer and returns how many bytes it was, at least 1; it waits until
        there are some, and raises when there will be none.
    """

    def __init__(
        self, receive: Callable[[memoryview], int], *, buffer_bytes: int = BUFFER_BYTES
    ) -> None:
        self._receive = receive
        self._view = memoryview(bytearray(buffer_bytes))
        self._start = self._end = 0

    def take(self, length: int) -> memoryview:
        """Return the next `length` bytes; valid until the next call."""
        if self._start == self._end:
            self._start = self._end = 0
        self._make_room(length)
        while self._end - self._start < length:
            self._end += self._receive(self._view[self._end :])
        taken = self._view[self._start : self._start + length]
        self._start += length
        return taken

    def take_into(self, target: memoryview) -> None:
        """Fill `target` with the next bytes."""
        position = 0
        while position < len(target):
            if self._start == self._end:
                left = len(target) - position
                if left >= _STRAIGHT_BYTES:
                    position += self._receive(target[position:])
                    continue
                self._start, self._end = 0, self._receive(self._view)
            count = min(self._end - self._start, len(target) - position)
            target[position : position + count] = self._view[self._start : self._start + count]
            self._start += count
            position += count

    def _make_room(self, length: int) -> None:
        held = self._end - self._start
        if self._start + length <= len(self._view):
            return
        roomy = self._view
        if length > len(self._view):
            roomy = memoryview(bytearray(length))
        roomy[:held] = self._view[self._start : self._end]
        self._view, self._start, self._end = roomy, 0, held
