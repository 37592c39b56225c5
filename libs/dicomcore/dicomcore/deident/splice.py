"""The output of a walk: runs of the original that stay, and what is written between them."""

from __future__ import annotations

import struct

from dicomcore.errors import Unreadable
from dicomcore.walk import Encoding

LARGE = 1 << 16
"""Runs of so many bytes are handed on as views of the original; smaller ones are copied together."""
_SMALL = 1 << 12
_MAX_SHORT = 0xFFFE

Part = bytes | memoryview
Slot = tuple[int, int]
"""Where the length of an open sequence or item goes, and how much had been written by then."""


class Splice:
    """Collects parts; a run of the original is pending until something else is written."""

    __slots__ = ("_data", "_run", "_size", "_view", "parts")

    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self._view = memoryview(data)
        self._run = start
        self._size = 0
        self.parts: list[Part] = []

    def keep_until(self, position: int) -> None:
        """Keep what is pending up to a position."""
        run = self._run
        if run < position:
            small = position - run < _SMALL
            self.parts.append(self._data[run:position] if small else self._view[run:position])
            self._size += position - run
            self._run = position

    def skip_to(self, position: int) -> None:
        """Leave out what is pending; the next run begins at a position."""
        self._run = position

    def write(self, part: bytes) -> None:
        """Write something new, after what was kept."""
        self.parts.append(part)
        self._size += len(part)

    def reserve(self) -> int:
        """Return the index of a part that may be filled later."""
        self.parts.append(b"")
        return len(self.parts) - 1

    def fill(self, index: int, part: bytes) -> None:
        """Write what was reserved."""
        self.parts[index] = part
        self._size += len(part)

    def open(self, start: int) -> Slot:
        """Begin a sequence or item of defined length whose content starts at `start`."""
        self.keep_until(start - 4)
        index = self.reserve()
        self._size += 4
        self._run = start
        return index, self._size

    def close(self, slot: Slot, stop: int, pack: struct.Struct) -> None:
        """End it: its length is what was written since."""
        self.keep_until(stop)
        index, before = slot
        self.parts[index] = pack.pack(self._size - before)
        self._run = stop

    def mark(self) -> tuple[int, int, int]:
        """Return where to go back to."""
        return len(self.parts), self._size, self._run

    def go_back(self, mark: tuple[int, int, int]) -> None:
        """Undo everything since `mark`."""
        count, self._size, self._run = mark
        del self.parts[count:]

    def value(self, start: int, stop: int, value: bytes, *, packs: Packs, short: bool) -> None:
        """Replace a value and the length before it.

        Raises
        ------
        Unreadable
            The value is longer than its VR can say.
        """
        if short and len(value) > _MAX_SHORT:
            raise Unreadable("value is too long for its value representation", offset=start)
        self.keep_until(start - (2 if short else 4))
        self.write((packs.u16 if short else packs.u32).pack(len(value)) + value)
        self._run = stop


class Packs:
    """Lengths in one byte order."""

    __slots__ = ("u16", "u32")

    def __init__(self, encoding: Encoding) -> None:
        order = "<" if encoding.little_endian else ">"
        self.u16 = struct.Struct(order + "H")
        self.u32 = struct.Struct(order + "L")


def joined(parts: list[Part]) -> tuple[Part, ...]:
    """Return the parts with small neighbours copied together."""
    result: list[Part] = []
    small: list[Part] = []
    for part in parts:
        if len(part) < LARGE:
            small.append(part)
            continue
        result += [b"".join(small), part]
        small = []
    result.append(b"".join(small))
    return tuple(part for part in result if part)
