"""Every element of an encoded data set at every level, by its lengths, with its effective VR."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from dicomcore.deident.vrs import BULK, effective_vr
from dicomcore.errors import Unreadable
from dicomcore.walk import (
    ITEM,
    ITEM_DELIMITER,
    LONG_VRS,
    SEQUENCE_DELIMITER,
    UNDEFINED_LENGTH,
    Encoding,
)

MAX_DEPTH = 32
"""Levels of sequences; a deeper one is taken for damage or an attack."""
MAX_HEADS = 1 << 14
"""Beginnings of elements that are remembered; they come from the network."""
_DELIMITERS = 0xFFFE0000
_IMPLICIT = Encoding(implicit_vr=True, little_endian=True)


Path = tuple[tuple[int, int], ...]
"""Tag and 0-based item of each sequence around a data set, outermost first; empty at the top level."""


class Seen(NamedTuple):
    """One element."""

    path: Path
    tag: int
    vr: bytes
    """Effective; empty if nothing is known of a standard attribute, or of a private one."""
    start: int
    stop: int
    """Offset after the value; of a sequence, the same as `start`, and its items follow."""

    @property
    def parent(self) -> int:
        """Tag of the sequence that holds the item, 0 at the top level."""
        return self.path[-1][0] if self.path else 0


def walk(data: bytes, start: int, encoding: Encoding, *, before: int | None = None) -> list[Seen]:
    """Return the elements of a data set in their order; the items of a sequence follow it.

    Parameters
    ----------
    before
        End at the first top-level element whose tag is not less; what follows need not be there.

    Raises
    ------
    Unreadable
        Lengths contradict each other, a VR is unknown or contradicts its attribute, or sequences are
        nested too deep.
    """
    walker = _Walker(data, encoding, before)
    try:
        walker.dataset(start, len(data), ())
    except struct.error as exc:
        raise Unreadable("element is cut off", size_bytes=len(data)) from exc
    return walker.seen


def after_undefined(data: bytes, start: int, end: int, encoding: Encoding, vr: bytes) -> int:
    """Return the offset after a value of undefined length and its delimiter.

    Parameters
    ----------
    vr
        Effective, or as written; empty where nothing is known: items are expected then.

    Raises
    ------
    Unreadable
        Neither items nor fragments, or not delimited.
    """
    if vr in BULK:
        return _Walker(data, encoding).after_fragments(start, end)
    if vr != b"UN":
        return _Walker(data, encoding).items(start, end, (), 0, delimited=True)
    try:
        return _Walker(data, _IMPLICIT).items(start, end, (), 0, delimited=True)
    except Unreadable:
        return _Walker(data, encoding).items(start, end, (), 0, delimited=True)


Unpack = Callable[[bytes, int], "tuple[int, ...]"]
_Known = tuple[Unpack, int, int, int, bytes, bytes | None]
"""How the length is read, its offset and that of the value; tag, VR as written, effective VR."""
_Head = _Known | tuple[None, int, int, int, bytes, None]
"""The second where it depends on the place: groups 0000 and FFFE."""


class _Heads(dict[bytes, _Head]):
    """What begins with these bytes: tag, and VR where it is explicit; made when it is first met."""

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self._order = order = "<" if encoding.little_endian else ">"
        self._implicit = encoding.implicit_vr
        self.width = 4 if encoding.implicit_vr else 6
        self._u16 = struct.Struct(order + "H").unpack_from
        self.u32 = struct.Struct(order + "L").unpack_from
        self.tagged = struct.Struct(order + "HH").unpack_from

    def __missing__(self, key: bytes) -> _Head:
        group, element = self.tagged(key.ljust(4, b"\0") if not any(key) else key, 0)
        tag = group << 16 | element
        if group in (0x0000, 0xFFFE):
            return None, 0, 0, tag, b"", None
        if len(self) >= MAX_HEADS:
            self.clear()
        head = self[key] = self.head(key, tag)
        return head

    def head(self, key: bytes, tag: int) -> _Known:
        """Return what an element is.

        Raises
        ------
        Unreadable
            It is cut off, or its VR is unknown or contradicts its attribute.
        """
        if len(key) < self.width:
            raise Unreadable("element is cut off", size_bytes=len(key))
        written = key[4:]
        vr = written if tag >> 16 & 1 else effective_vr(tag, written)
        if self._implicit:
            return self.u32, 4, 8, tag, written, vr
        if written in LONG_VRS:
            return self.u32, 8, 12, tag, written, vr
        return self._u16, 6, 8, tag, written, vr


@lru_cache(maxsize=4)
def _heads(encoding: Encoding) -> _Heads:
    return _Heads(encoding)


class _Walker:
    """The bytes, how they are encoded from here on, and what has been seen."""

    __slots__ = ("_before", "_data", "_encoding", "_heads", "_tagged", "_u32", "seen")

    def __init__(
        self,
        data: bytes,
        encoding: Encoding,
        before: int | None = None,
        seen: list[Seen] | None = None,
    ) -> None:
        self._data = data
        self._encoding = encoding
        self._before = before
        self._heads = _heads(encoding)
        self._tagged, self._u32 = self._heads.tagged, self._heads.u32
        self.seen: list[Seen] = [] if seen is None else seen

    def dataset(self, position: int, end: int, path: Path) -> int:
        """Add what is in one data set; return the position after it."""
        if len(path) > MAX_DEPTH:
            raise Unreadable("sequences are nested too deep", offset=position)
        data, heads, width, add = self._data, self._heads, self._heads.width, self.seen.append
        before = _DELIMITERS if path or self._before is None else self._before
        while position < end:
            unpack, offset, size, tag, written, vr = heads[data[position : position + width]]
            if unpack is None:
                if tag == ITEM_DELIMITER and path:
                    return position + 8
                if not tag >> 16 and not path and not any(data[position:]):
                    return end
                unpack, offset, size, tag, written, vr = self._unusual(position, tag)
            if before <= tag < _DELIMITERS:
                return end
            length = unpack(data, position + offset)[0]
            start = position + size
            if vr == b"SQ" or length == UNDEFINED_LENGTH:
                position = self._nested((tag, written, vr), start, length, end, path)
                continue
            position = start + length
            if position > end:
                raise Unreadable("value runs past the end", offset=start, length=length)
            add(tuple.__new__(Seen, (path, tag, vr or b"", start, position)))
        return position

    def _unusual(self, position: int, tag: int) -> _Known:
        """Return what an element of group 0000 is."""
        if tag >> 16:
            raise Unreadable("delimiter where an element should be", offset=position)
        key = self._data[position : position + self._heads.width]
        return self._heads.head(key, tag)

    def _nested(
        self, what: tuple[int, bytes, bytes | None], start: int, length: int, end: int, path: Path
    ) -> int:
        """Add a sequence with its items, or fragments; return the position after it."""
        tag, written, vr = what
        delimited = length == UNDEFINED_LENGTH
        if delimited and vr in BULK:
            stop = self.after_fragments(start, end)
            self.seen.append(Seen(path, tag, vr or b"", start, stop))
            return stop
        self.seen.append(Seen(path, tag, vr or b"", start, start))
        if delimited and vr not in (b"SQ", b"UN", None, b""):
            raise Unreadable("value of undefined length is no sequence", tag=f"{tag:08X}")
        if not delimited and start + length > end:
            raise Unreadable("sequence runs past the end", offset=start, length=length)
        stop = end if delimited else start + length
        if written != b"UN":
            return self.items(start, stop, path, tag, delimited=delimited)
        mark = len(self.seen)
        try:
            implicit = _Walker(self._data, _IMPLICIT, seen=self.seen)
            return implicit.items(start, stop, path, tag, delimited=delimited)
        except (Unreadable, struct.error):
            # a UN with explicit VRs inside: some toolkits write that
            del self.seen[mark:]
            return self.items(start, stop, path, tag, delimited=delimited)

    def items(self, position: int, end: int, path: Path, parent: int, *, delimited: bool) -> int:
        """Add what is in the items of a sequence; return the position after them."""
        number = -1
        while position < end:
            number += 1
            group, element = self._tagged(self._data, position)
            length = self._u32(self._data, position + 4)[0]
            tag, position = group << 16 | element, position + 8
            if tag == SEQUENCE_DELIMITER and delimited:
                return position
            if tag != ITEM or (length != UNDEFINED_LENGTH and position + length > end):
                raise Unreadable("sequence holds something else than items", offset=position - 8)
            stop = end if length == UNDEFINED_LENGTH else position + length
            position = self.dataset(position, stop, (*path, (parent, number)))
        if delimited:
            raise Unreadable("sequence is not delimited", offset=position)
        return position

    def after_fragments(self, position: int, end: int) -> int:
        """Return the position after encapsulated pixel data (PS3.5 A.4)."""
        while position < end:
            group, element = self._tagged(self._data, position)
            length = self._u32(self._data, position + 4)[0]
            tag, position = group << 16 | element, position + 8
            if tag == SEQUENCE_DELIMITER:
                return position
            if tag != ITEM or length > end - position:
                break
            position += length
        raise Unreadable("fragments are not delimited", offset=position)
