"""Every element of an encoded data set at every level, by its lengths, with its effective VR."""

from __future__ import annotations

import struct
from collections.abc import Iterator
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


def walk(
    data: bytes, start: int, encoding: Encoding, *, before: int | None = None
) -> Iterator[Seen]:
    """Yield the elements of a data set in their order; the items of a sequence follow it.

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
    try:
        yield from _Walker(data, encoding, before).dataset(start, len(data), ())
    except struct.error as exc:
        raise Unreadable("element is cut off", size_bytes=len(data)) from exc


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
        return _after_items(data, start, end, encoding)
    try:
        return _after_items(data, start, end, _IMPLICIT)
    except Unreadable:
        return _after_items(data, start, end, encoding)


def _after_items(data: bytes, start: int, end: int, encoding: Encoding) -> int:
    walker = _Walker(data, encoding)
    for _ in walker.items(start, end, (), 0, delimited=True):
        pass
    return walker.position


class _Walker:
    """The bytes, and how they are encoded from here on."""

    __slots__ = ("_before", "_data", "_encoding", "_tagged", "_u16", "_u32", "position")

    def __init__(self, data: bytes, encoding: Encoding, before: int | None = None) -> None:
        order = "<" if encoding.little_endian else ">"
        self._data = data
        self._encoding = encoding
        self._before = before
        self.position = 0
        self._tagged = struct.Struct(order + "HH").unpack_from
        self._u16 = struct.Struct(order + "H").unpack_from
        self._u32 = struct.Struct(order + "L").unpack_from

    def dataset(self, position: int, end: int, path: Path) -> Iterator[Seen]:
        """Yield what is in one data set; `position` is after it at the end."""
        if len(path) > MAX_DEPTH:
            raise Unreadable("sequences are nested too deep", offset=position)
        data = self._data
        while position < end:
            group, element = self._tagged(data, position)
            tag = group << 16 | element
            if tag == ITEM_DELIMITER and path:
                position += 8
                break
            if not path and self._is_end(position, tag):
                position = end
                break
            written, length, start = self._header(position, group)
            vr = effective_vr(tag, written) if not group & 1 else written
            if length == UNDEFINED_LENGTH and vr in BULK:
                position = self.after_fragments(start, end)
                yield Seen(path, tag, vr, start, position)
                continue
            if vr == b"SQ" or length == UNDEFINED_LENGTH:
                yield Seen(path, tag, vr or b"", start, start)
                yield from self._nested((tag, written, vr), start, length, end, path)
                position = self.position
                continue
            position = start + length
            if position > end:
                raise Unreadable("value runs past the end", offset=start, length=length)
            yield Seen(path, tag, vr or b"", start, position)
        self.position = position

    def _is_end(self, position: int, tag: int) -> bool:
        """Return whether the top level ends here: by what was asked for, or in padding."""
        if self._before is not None and self._before <= tag < _DELIMITERS:
            return True
        return not tag >> 16 and not any(self._data[position:])

    def _header(self, position: int, group: int) -> tuple[bytes, int, int]:
        """Return VR (empty if implicit), length and offset of the value."""
        data = self._data
        if group == 0xFFFE:
            raise Unreadable("delimiter where an element should be", offset=position)
        if self._encoding.implicit_vr:
            return b"", self._u32(data, position + 4)[0], position + 8
        vr = data[position + 4 : position + 6]
        if vr in LONG_VRS:
            return vr, self._u32(data, position + 8)[0], position + 12
        return vr, self._u16(data, position + 6)[0], position + 8

    def _nested(
        self, what: tuple[int, bytes, bytes | None], start: int, length: int, end: int, path: Path
    ) -> Iterator[Seen]:
        tag, written, vr = what
        if length == UNDEFINED_LENGTH and vr not in (b"SQ", b"UN", None, b""):
            raise Unreadable("value of undefined length is no sequence", tag=f"{tag:08X}")
        if length != UNDEFINED_LENGTH and start + length > end:
            raise Unreadable("sequence runs past the end", offset=start, length=length)
        stop = end if length == UNDEFINED_LENGTH else start + length
        delimited = length == UNDEFINED_LENGTH
        if written != b"UN":
            yield from self.items(start, stop, path, tag, delimited=delimited)
            return
        walker = _Walker(self._data, _IMPLICIT)
        try:
            found = list(walker.items(start, stop, path, tag, delimited=delimited))
        except (Unreadable, struct.error):
            # a UN with explicit VRs inside: some toolkits write that
            yield from self.items(start, stop, path, tag, delimited=delimited)
            return
        yield from found
        self.position = walker.position

    def items(
        self, position: int, end: int, path: Path, parent: int, *, delimited: bool
    ) -> Iterator[Seen]:
        """Yield what is in the items of a sequence; `position` is after them at the end."""
        number = -1
        while position < end:
            number += 1
            group, element = self._tagged(self._data, position)
            length = self._u32(self._data, position + 4)[0]
            tag, position = group << 16 | element, position + 8
            if tag == SEQUENCE_DELIMITER and delimited:
                self.position = position
                return
            if tag != ITEM or (length != UNDEFINED_LENGTH and position + length > end):
                raise Unreadable("sequence holds something else than items", offset=position - 8)
            stop = end if length == UNDEFINED_LENGTH else position + length
            yield from self.dataset(position, stop, (*path, (parent, number)))
            position = self.position
        if delimited:
            raise Unreadable("sequence is not delimited", offset=position)
        self.position = position

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
