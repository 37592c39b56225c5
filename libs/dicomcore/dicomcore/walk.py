"""Walk the elements of an encoded data set by their lengths; decode nothing."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from dicomcore.errors import Unreadable

Buffer = bytes | bytearray | memoryview

UNDEFINED_LENGTH = 0xFFFFFFFF
DELIMITING_GROUP = 0xFFFE
ITEM = 0xFFFEE000
ITEM_DELIMITER = 0xFFFEE00D
SEQUENCE_DELIMITER = 0xFFFEE0DD
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC"))
LONG_VRS = _LONG | frozenset((b"UN", b"UR", b"UT", b"UV"))
"""Two reserved bytes and a length of 32 bits follow the VR (PS3.5 table 7.1-1)."""
SHORT_VRS = frozenset(
    (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT")
) | frozenset((b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"))
"""A length of 16 bits follows the VR (PS3.5 table 7.1-2)."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the elements of a data set are encoded (PS3.5 7.1)."""

    implicit_vr: bool
    little_endian: bool


_COMMON = Encoding(implicit_vr=False, little_endian=True)
_SHORT_HEADER = struct.Struct("<HH2sH")


@dataclass(frozen=True, slots=True)
class Element:
    """Where the value of one top-level element is."""

    tag: int
    """Group in the high, element in the low 16 bits."""
    start: int
    """0-based offset of the value."""
    length: int
    """In bytes; `UNDEFINED_LENGTH` where delimiters end the value."""


def top_level(
    data: Buffer, encoding: Encoding, wanted: Collection[int] | None = None
) -> Iterator[Element]:
    """Yield the top-level elements in their order, to the end of the data set.

    Trailing zeros, odd lengths, unknown VRs, groups out of order and stray delimiters are let
    through: real data have them, and an object must not be lost for them.

    Parameters
    ----------
    wanted
        Only elements of these tags are yielded; the others are walked over all the same.

    Raises
    ------
    Unreadable
        An element, item or fragment runs past the end, or a sequence or item of undefined length is
        not delimited. Elements before that point have been yielded.

    Notes
    -----
    PS3.5 7.1 (elements), 7.5 (sequences), A.4 (encapsulated pixel data).
    """
    reader = ElementReader(data, encoding)
    view = memoryview(data)
    # most elements are short and explicit: in the common byte order a header is read in one go then
    at_once = len(view) - _SHORT_HEADER.size if encoding == _COMMON else -1
    position = 0
    while True:
        if position <= at_once and view[position]:  # a zero may be padding
            group, number, vr, length = _SHORT_HEADER.unpack_from(view, position)
            if vr in SHORT_VRS and group != DELIMITING_GROUP:
                start, tag = position + _SHORT_HEADER.size, group << 16 | number
                position = reader.skip(start, length)
                if wanted is None or tag in wanted:
                    yield Element(tag, start, length)
                continue
        if reader.at_end(position):
            return
        tag, start, length, implicit_vr = reader.header(position, implicit_vr=encoding.implicit_vr)
        if length != UNDEFINED_LENGTH:
            position = reader.skip(start, length)
        elif tag in (ITEM, ITEM_DELIMITER, SEQUENCE_DELIMITER):
            raise Unreadable("delimiter of undefined length", offset=position)
        else:
            position = _skip_undefined(reader, start, encoding, implicit_vr=implicit_vr)
        if wanted is None or tag in wanted:
            yield Element(tag, start, length)


def _skip_undefined(
    reader: ElementReader, start: int, encoding: Encoding, *, implicit_vr: bool
) -> int:
    try:
        return reader.skip_undefined(start, implicit_vr=implicit_vr)
    except Unreadable:
        if implicit_vr == encoding.implicit_vr:
            raise
        # a UN of undefined length, written with explicit VRs inside: some toolkits do
        return reader.skip_undefined(start, implicit_vr=encoding.implicit_vr)


def _first_not_zero(data: memoryview, start: int, end: int) -> int | None:
    """Return the offset of the first byte from `start` on that is not zero; None if there is none."""
    if start < end and data[start]:
        return start
    while start < end:
        block = data[start : min(start + 65536, end)].tobytes()
        rest = block.lstrip(b"\0")
        if rest:
            return start + len(block) - len(rest)
        start += len(block)
    return None


class ElementReader:
    """The bytes, and how their numbers are written: headers of elements, and ends of values."""

    __slots__ = ("_data", "_end", "_length16", "_length32", "_not_zero", "_tag", "_zeros")

    def __init__(self, data: Buffer, encoding: Encoding) -> None:
        """Read `data`, whose elements are encoded so; nothing is copied."""
        order = "<" if encoding.little_endian else ">"
        self._data = memoryview(data)
        self._end = len(self._data)
        self._not_zero, self._zeros = -1, self._end
        self._tag = struct.Struct(order + "HH")
        self._length16 = struct.Struct(order + "H")
        self._length32 = struct.Struct(order + "I")

    def at_end(self, position: int) -> bool:
        """Return whether nothing but zeros, which pad, follows."""
        # Looked for from where the walk is, not from the end: a data set may be a mapped file of a
        # gigabyte, of which the walk reads a few pages. What was seen is kept: each byte is read once.
        if position <= self._not_zero or position >= self._zeros:
            return position >= self._zeros
        found = _first_not_zero(self._data, position, self._zeros)
        if found is None:
            self._zeros = position
            return True
        self._not_zero = found
        return False

    def skip(self, start: int, length: int) -> int:
        """Return the position after a value of defined length."""
        if length > self._end - start:
            raise Unreadable("value runs past the end", offset=start, length=length)
        return start + length

    def header(self, position: int, *, implicit_vr: bool) -> tuple[int, int, int, bool]:
        """Return tag, offset of the value, its length, and whether what is nested has implicit VRs."""
        if self._end - position < 8:
            raise Unreadable("element is cut off", offset=position)
        group, element = self._tag.unpack_from(self._data, position)
        tag = group << 16 | element
        if implicit_vr or group == DELIMITING_GROUP:
            return tag, position + 8, self._length32.unpack_from(self._data, position + 4)[0], True
        vr = bytes(self._data[position + 4 : position + 6])
        if vr in SHORT_VRS:
            return (
                tag,
                position + 8,
                self._length16.unpack_from(self._data, position + 6)[0],
                False,
            )
        if vr in LONG_VRS:
            if self._end - position < 12:
                raise Unreadable("element is cut off", offset=position)
            length = self._length32.unpack_from(self._data, position + 8)[0]
            # UN of undefined length holds items with implicit VRs (PS3.5 6.2.2, note 2)
            return tag, position + 12, length, vr == b"UN"
        start, length, implicit_vr = self._unknown_vr(position)
        return tag, start, length, implicit_vr

    def _unknown_vr(self, position: int) -> tuple[int, int, bool]:
        """Return the reading of an unknown VR after which a next element, or the end, is found.

        A VR that the standard adds later has 32 bits of length (PS3.5 6.2); older private ones had 16;
        some writers put elements with implicit VR, without any VR, among explicit ones.
        """
        data, end = self._data, self._end
        candidates = [(position + 8, self._length16.unpack_from(data, position + 6)[0], False)]
        if end - position >= 12:
            long = (position + 12, self._length32.unpack_from(data, position + 8)[0], False)
            candidates.insert(0, long)
        candidates.append((position + 8, self._length32.unpack_from(data, position + 4)[0], True))
        for start, length, implicit_vr in candidates:
            if self._plausible(start, length):
                return start, length, implicit_vr
        raise Unreadable("VR is unknown and no length fits", offset=position)

    def _plausible(self, start: int, length: int) -> bool:
        """Return whether an element with a known VR, an item or the end follows such a value."""
        follows = start if length == UNDEFINED_LENGTH else start + length
        if follows > self._end:
            return False
        if self.at_end(follows):
            return length != UNDEFINED_LENGTH
        if self._end - follows < 8:
            return False
        group = self._tag.unpack_from(self._data, follows)[0]
        vr = bytes(self._data[follows + 4 : follows + 6])
        return group == DELIMITING_GROUP or (
            length != UNDEFINED_LENGTH and (vr in SHORT_VRS or vr in LONG_VRS)
        )

    def skip_undefined(self, start: int, *, implicit_vr: bool, in_item: bool = False) -> int:
        """Return the position after the delimiter that ends a value of undefined length.

        Parameters
        ----------
        in_item
            Whether `start` is in an item and not in a sequence.

        The value is a sequence of items, or of fragments of encapsulated pixel data, which look the
        same. Depth is kept in a list, not on the call stack: it comes from the network.
        """
        # what is open, outermost first: (in an item, its VRs are implicit)
        open_values = [(in_item, implicit_vr)]
        position = start
        while open_values:
            in_item, implicit_vr = open_values[-1]
            tag, value, length, nested_implicit_vr = self.header(position, implicit_vr=implicit_vr)
            if tag == (ITEM_DELIMITER if in_item else SEQUENCE_DELIMITER):
                open_values.pop()
                position = value
            elif not in_item and tag != ITEM:
                raise Unreadable("sequence holds something else than items", offset=position)
            elif in_item and tag >> 16 == DELIMITING_GROUP:
                raise Unreadable("item holds a delimiter of another level", offset=position)
            elif length != UNDEFINED_LENGTH:
                position = self.skip(value, length)
            else:
                open_values.append((not in_item, nested_implicit_vr if in_item else implicit_vr))
                position = value
        return position
