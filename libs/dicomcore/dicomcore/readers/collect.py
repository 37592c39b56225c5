"""From an encoded data set, or the beginning of one, to the attributes that are wanted.

A walk by lengths: what is not wanted is stepped over, so that a structure set of 13 MB costs the
headers of its elements and not their values.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from dicomcore.errors import Unreadable
from dicomcore.readers.access import Item
from dicomcore.readers.wanted import LAST, SEQUENCES, TEXTS
from dicomcore.walk import (
    ITEM,
    ITEM_DELIMITER,
    LONG_VRS,
    SEQUENCE_DELIMITER,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    Encoding,
)

MAX_DEPTH = 64
"""Levels of sequences; radiotherapy objects have fewer than ten."""
_CHARSET = "SpecificCharacterSet"
_DELIMITERS = 0xFFFE0000
_IMPLICIT = Encoding(implicit_vr=True, little_endian=True)

Values = dict[str, bytes | Sequence[Item]]


class Truncated(Exception):
    """The data end before what is wanted does."""


def collect(data: bytes, start: int, encoding: Encoding) -> tuple[Item, bool]:
    """Return the wanted attributes of the data set at `start`, and whether all were passed.

    The second value is False if the data ended, between two elements, before an element that comes
    after all wanted ones: there may be more if `data` is the beginning of an object.

    Raises
    ------
    Truncated
        The data end within an element.
    Unreadable
        Lengths contradict each other, or sequences are nested too deep.
    """
    try:
        return _Collector(data, encoding).top_level(start)
    except struct.error as exc:
        raise Truncated from exc


def collect_items(data: bytes, encoding: Encoding, charset: bytes) -> Sequence[Item]:
    """Return the items of an encoded sequence; empty if the bytes are no sequence."""
    try:
        return _Collector(data, encoding).items(0, len(data), charset, 0)[0]
    except (struct.error, Truncated, Unreadable):
        return ()


class _Collector:
    """The bytes of a data set, how they are encoded, and what is wanted of them."""

    __slots__ = (
        *("_data", "_encoding", "_explicit", "_implicit_vr"),
        *("_long", "_sequences", "_tagged", "_texts"),
    )

    def __init__(
        self,
        data: bytes,
        encoding: Encoding,
        texts: Mapping[int, str] = TEXTS,
        sequences: Mapping[int, str] = SEQUENCES,
    ) -> None:
        order = "<" if encoding.little_endian else ">"
        self._data = data
        self._encoding = encoding
        self._implicit_vr = encoding.implicit_vr
        self._tagged = struct.Struct(order + "HHL").unpack_from
        self._explicit = struct.Struct(order + "HH2sH").unpack_from
        self._long = struct.Struct(order + "L").unpack_from
        self._texts = texts
        self._sequences = sequences

    def top_level(self, start: int) -> tuple[Item, bool]:
        """Return the wanted attributes, and whether the last of them, or one after it, was seen."""
        values: Values = {_CHARSET: b""}
        position, tag = start, 0
        while not self._only_padding_follows(position):
            header = self._header(position)
            tag = header[0]
            if LAST < tag < _DELIMITERS:
                break
            position = self._element(header, len(self._data), values, 0)
        return Item(values), LAST <= tag < _DELIMITERS

    def _only_padding_follows(self, position: int) -> bool:
        """Return whether the data set ends here; zeros after it are let through."""
        rest = len(self._data) - position
        if rest > 0 and not any(self._data[position : position + 8]):
            return self._data.count(0, position) == rest
        return rest <= 0

    def _header(self, position: int) -> tuple[int, bytes, int, int]:
        """Return tag, VR (empty if implicit), length and offset of the value."""
        if self._implicit_vr:
            group, element, length = self._tagged(self._data, position)
            return group << 16 | element, b"", length, position + 8
        group, element, vr, length = self._explicit(self._data, position)
        if vr in SHORT_VRS:
            return group << 16 | element, vr, length, position + 8
        if vr in LONG_VRS:
            return group << 16 | element, vr, self._long(self._data, position + 8)[0], position + 12
        if not (vr.isalpha() and vr.isupper()):
            # a delimiter, or an element without VR among explicit ones: some writers mix them
            return group << 16 | element, b"", self._long(self._data, position + 4)[0], position + 8
        if length == 0:  # a VR that the standard adds later has 32 bits of length (PS3.5 6.2)
            return group << 16 | element, vr, self._long(self._data, position + 8)[0], position + 12
        return group << 16 | element, vr, length, position + 8

    def _element(
        self, header: tuple[int, bytes, int, int], end: int, values: Values, depth: int
    ) -> int:
        """Keep the element if it is wanted; return the position after it."""
        tag, vr, length, start = header
        keyword = self._sequences.get(tag)
        if length == UNDEFINED_LENGTH:
            reader = self._reader(vr, wanted=keyword is not None)
            items, position = reader.items(start, end, _charset(values), depth, delimited=True)
            if keyword is not None:
                values[keyword] = items
            return position
        stop = start + length
        if stop > end:
            raise self._overrun(start, end)
        if keyword is not None:
            values[keyword] = self._sequence(vr, start, stop, _charset(values), depth)
        elif tag in self._texts:
            values[self._texts[tag]] = self._data[start:stop]
        return stop

    def _reader(self, vr: bytes, *, wanted: bool) -> _Collector:
        """Return who walks a value of undefined length; UN holds implicit VRs (PS3.5 6.2.2)."""
        encoding = _IMPLICIT if vr == b"UN" else self._encoding
        if not wanted:
            return _Collector(self._data, encoding, {}, {})
        return self if vr != b"UN" else _Collector(self._data, encoding)

    def _sequence(
        self, vr: bytes, start: int, stop: int, inherited: bytes, depth: int
    ) -> Sequence[Item]:
        """Return the items of a sequence of defined length; none if its VR and bytes are no sequence's."""
        if vr in (b"SQ", b""):
            return self.items(start, stop, inherited, depth)[0]
        for encoding in (_IMPLICIT, self._encoding):
            reader = _Collector(self._data, encoding, self._texts, self._sequences)
            try:
                return reader.items(start, stop, inherited, depth)[0]
            except (struct.error, Truncated, Unreadable):
                continue
        return ()

    def items(
        self, start: int, end: int, inherited: bytes, depth: int, *, delimited: bool = False
    ) -> tuple[Sequence[Item], int]:
        """Return the items from `start`, and the position after them and their delimiter."""
        if depth >= MAX_DEPTH:
            raise Unreadable("sequences are nested too deep", offset=start)
        found: list[Item] = []
        position = start
        while position < end:
            group, element, length = self._tagged(self._data, position)
            tag, position = group << 16 | element, position + 8
            if tag == SEQUENCE_DELIMITER:
                return found, position
            if tag != ITEM:
                raise Unreadable("sequence holds something else than items", offset=position - 8)
            values: Values = {_CHARSET: inherited}
            position = self._item(position, length, end, values, depth + 1)
            found.append(Item(values))
        if delimited:
            raise self._overrun(start, end)
        return found, position

    def _item(self, start: int, length: int, end: int, values: Values, depth: int) -> int:
        """Keep what is wanted of one item; return the position after it."""
        if length == UNDEFINED_LENGTH:
            stop = end
        elif start + length > end:
            raise self._overrun(start, end)
        else:
            stop = start + length
            if not self._sequences:  # nothing is wanted, or these are fragments of pixel data
                return stop
        position = start
        while position < stop:
            header = self._header(position)
            if header[0] == ITEM_DELIMITER:
                return header[3] if length == UNDEFINED_LENGTH else stop
            position = self._element(header, stop, values, depth)
        if length == UNDEFINED_LENGTH:
            raise self._overrun(start, end)
        return stop

    def _overrun(self, start: int, end: int) -> Exception:
        """Return the error for a value that starts at `start` and does not end before `end`."""
        if end == len(self._data):
            return Truncated()
        return Unreadable("an element is longer than what holds it", offset=start)


def _charset(values: Values) -> bytes:
    """Return the Specific Character Set that holds so far, for the items below."""
    charset = values[_CHARSET]
    return charset if isinstance(charset, bytes) else b""
