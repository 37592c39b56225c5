"""From an encoded data set, or a part of one, to the attributes that are wanted.

A walk by lengths: what is not wanted is stepped over, so that a structure set of 13 MB costs the
headers of its elements and not their values.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dicomcore.errors import Unreadable
from dicomcore.readers.access import Item, Key, Stored
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
CHARSET = "SpecificCharacterSet"
CHARSET_TAG = 0x00080005
_DELIMITERS = 0xFFFE0000
_BEFORE_DELIMITERS = _DELIMITERS - 1
_IMPLICIT = Encoding(implicit_vr=True, little_endian=True)

Values = dict[Key, Stored]
Header = tuple[int, bytes, int, int]
"""Tag, VR (empty if implicit), length, offset of the value."""


class Truncated(Exception):
    """The data end before what is wanted does."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a data set, or of the items of one sequence."""

    values: Mapping[int, Key] = field(default_factory=dict)
    """Tag → key under which the value is kept."""
    sequences: Mapping[int, tuple[Key, Wanted]] = field(default_factory=dict)
    """Tag → key, and what is wanted of the items."""
    private_groups: Collection[int] = ()
    """Groups of which all is kept under its tag, values and sequences alike as bytes."""
    with_vr: bool = False
    """Whether values are kept with their VR."""


def _of_headers() -> Wanted:
    """What `dicomcore.readers.wanted` lists is wanted at every depth."""
    below: dict[int, tuple[Key, Wanted]] = {}
    wanted = Wanted({**TEXTS}, below)
    below.update((tag, (keyword, wanted)) for tag, keyword in SEQUENCES.items())
    return wanted


HEADER = _of_headers()
_NOTHING = Wanted()


def collect(data: bytes, start: int, encoding: Encoding) -> tuple[Item, bool]:
    """Return the attributes of a header, and whether all of them were passed.

    The second value is False if the data ended, between two elements, before an element that comes
    after all wanted ones: there may be more if `data` is the beginning of an object.

    Raises
    ------
    Truncated
        The data end within an element.
    Unreadable
        Lengths contradict each other, or sequences are nested too deep.
    """
    walk = Walk(encoding, HEADER, LAST)
    if walk.feed(data, start) != len(data) and not walk.passed:
        raise Truncated
    return walk.item, walk.passed


def collect_items(
    data: bytes, encoding: Encoding, charset: bytes, wanted: Wanted = HEADER
) -> Sequence[Item]:
    """Return the items of an encoded sequence; empty if the bytes are no sequence."""
    try:
        return _Collector(data, encoding).items(0, len(data), wanted, charset, 0)[0]
    except (struct.error, Truncated, Unreadable):
        return ()


class Walk:
    """A walk over the top level of a data set, which can go on with further bytes of it.

    Parameters
    ----------
    last
        Nothing that is wanted has a greater tag, at the top level.
    """

    __slots__ = ("_encoding", "_last", "_values", "_wanted", "passed")

    def __init__(self, encoding: Encoding, wanted: Wanted, last: int) -> None:
        self._encoding = encoding
        self._wanted = wanted
        self._last = last
        self._values: Values = {CHARSET: b""}
        self.passed = False
        """Whether `last`, or an element after it, was seen: there is nothing more to find."""

    @property
    def item(self) -> Item:
        """What was found so far."""
        return Item(self._values)

    def feed(self, data: bytes, start: int) -> int:
        """Walk from an element that begins at `start`; return the position to go on from.

        That is the length of the data if they end between two elements or in zeros; more, if they
        end in a value that is not wanted; less, if they end in an element that is needed whole.

        Raises
        ------
        Unreadable
            Lengths contradict each other, or sequences are nested too deep.
        """
        collector = _Collector(data, self._encoding, self._last)
        try:
            position = collector.elements(start, len(data), self._wanted, self._values, 0)
        except (struct.error, Truncated):
            position = collector.position
            if len(data) - position < 8 and not any(data[position:]):
                position = len(data)
        self.passed = collector.passed
        return position


class _Collector:
    """The bytes of a data set, and how they are encoded."""

    __slots__ = (
        *("_data", "_delimited", "_encoding", "_explicit", "_implicit_vr", "_last", "_long"),
        *("_tagged", "passed", "position"),
    )

    def __init__(self, data: bytes, encoding: Encoding, last: int = _BEFORE_DELIMITERS) -> None:
        order = "<" if encoding.little_endian else ">"
        self._data = data
        self._encoding = encoding
        self._implicit_vr = encoding.implicit_vr
        self._tagged = struct.Struct(order + "HHL").unpack_from
        self._explicit = struct.Struct(order + "HH2sH").unpack_from
        self._long = struct.Struct(order + "L").unpack_from
        self._last = last
        self._delimited = False
        self.position = 0
        """Of the element at the top level that was looked at last."""
        self.passed = False

    def elements(self, position: int, end: int, wanted: Wanted, values: Values, depth: int) -> int:
        """Keep what is wanted of a data set or item; return the position after its last element.

        This is where the time goes: of most elements only the header is looked at, here.
        """
        data, explicit, tagged, implicit_vr = (
            *(self._data, self._explicit, self._tagged, self._implicit_vr),
        )
        last = _BEFORE_DELIMITERS if depth else self._last
        sequences, wanted_values, groups = wanted.sequences, wanted.values, wanted.private_groups
        vr, tag = b"", 0
        while position < end:
            if not depth:
                self.position = position
            if implicit_vr:
                group, element, length = tagged(data, position)
                start = position + 8
            else:
                group, element, vr, length = explicit(data, position)
                start = position + 8
                if vr not in SHORT_VRS:
                    vr, length, start = self._long_header(position, vr, length)
            tag = group << 16 | element
            if tag > last and self._ends(tag, depth):
                return start if tag == ITEM_DELIMITER else position
            stop = start + length
            if stop > end or tag in sequences or not tag:
                stop = self._special((tag, vr, length, start), end, wanted, values, depth)
            elif tag in wanted_values or group in groups:
                self._keep(tag, vr, data[start:stop], wanted, values)
            position = stop
        self._delimited = False
        self.passed = not depth and last <= tag < _DELIMITERS
        return position

    def _ends(self, tag: int, depth: int) -> bool:
        """Return whether the data set or item ends before a tag that is greater than the last."""
        if tag >= _DELIMITERS:  # at the top, stray ones are passed
            self._delimited = depth > 0 and tag == ITEM_DELIMITER
            return self._delimited
        self.passed = True
        return True

    def _long_header(self, position: int, vr: bytes, length: int) -> tuple[bytes, int, int]:
        """Return VR, length and offset of the value where the length is not 16 bits after a VR."""
        if vr in LONG_VRS:
            return vr, self._long(self._data, position + 8)[0], position + 12
        if not (vr.isalpha() and vr.isupper()):
            # a delimiter, or an element without VR among explicit ones: some writers mix them
            return b"", self._long(self._data, position + 4)[0], position + 8
        if length == 0:  # a VR that the standard adds later has 32 bits of length (PS3.5 6.2)
            return vr, self._long(self._data, position + 8)[0], position + 12
        return vr, length, position + 8

    def _keep(self, tag: int, vr: bytes, encoded: bytes, wanted: Wanted, values: Values) -> None:
        if not wanted.with_vr:
            values[wanted.values[tag]] = encoded
            return
        values[wanted.values.get(tag, tag)] = (vr, encoded)
        if tag == CHARSET_TAG:
            values[CHARSET] = encoded

    def _special(self, header: Header, end: int, wanted: Wanted, values: Values, depth: int) -> int:
        """Take a wanted sequence, a value of undefined length, one that is cut off, or padding."""
        tag, vr, length, start = header
        if not (tag or depth) and self._data.count(0, start - 8) == end - start + 8:
            return end
        key, below = wanted.sequences.get(tag, ("", _NOTHING))
        kept = tag in wanted.values or tag >> 16 in wanted.private_groups
        if length == UNDEFINED_LENGTH:
            reader = self if vr != b"UN" else _Collector(self._data, _IMPLICIT)
            charset = _charset(values)
            items, stop = reader.items(start, end, below, charset, depth, delimited=True)
        elif start + length > end:
            if depth or kept or key:
                raise self._overrun(start, end)
            return start + length
        else:
            stop = start + length
            items = self._sequence(header, below, _charset(values), depth) if key else []
        if key:
            values[key] = items
        elif kept:
            self._keep(tag, vr, self._data[start:stop], wanted, values)
        return stop

    def _sequence(self, header: Header, wanted: Wanted, inherited: bytes, depth: int) -> list[Item]:
        """Return the items of a sequence of defined length; none if its VR and bytes are no sequence's."""
        _, vr, length, start = header
        stop = start + length
        if vr in (b"SQ", b""):
            return self.items(start, stop, wanted, inherited, depth)[0]
        for encoding in (_IMPLICIT, self._encoding):
            reader = _Collector(self._data, encoding)
            try:
                return reader.items(start, stop, wanted, inherited, depth)[0]
            except (struct.error, Truncated, Unreadable):
                continue
        return []

    def items(
        self,
        start: int,
        end: int,
        wanted: Wanted,
        inherited: bytes,
        depth: int,
        *,
        delimited: bool = False,
    ) -> tuple[list[Item], int]:
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
            values: Values = {CHARSET: inherited}
            position = self._item((position, length, end), wanted, values, depth + 1)
            found.append(Item(values))
        if delimited:
            raise self._overrun(start, end)
        return found, position

    def _item(self, place: tuple[int, int, int], wanted: Wanted, values: Values, depth: int) -> int:
        """Keep what is wanted of one item; return the position after it."""
        start, length, end = place
        if length == UNDEFINED_LENGTH:
            position = self.elements(start, end, wanted, values, depth)
            if not self._delimited:
                raise self._overrun(start, end)
            return position
        stop = start + length
        if stop > end:
            raise self._overrun(start, end)
        if wanted is not _NOTHING:  # otherwise they may be fragments of pixel data as well
            self.elements(start, stop, wanted, values, depth)
        return stop

    def _overrun(self, start: int, end: int) -> Exception:
        """Return the error for a value that starts at `start` and does not end before `end`."""
        if end == len(self._data):
            return Truncated()
        return Unreadable("an element is longer than what holds it", offset=start)


def _charset(values: Values) -> bytes:
    """Return the Specific Character Set that holds so far, for the items below."""
    charset = values[CHARSET]
    return charset if isinstance(charset, bytes) else b""
