"""The layout of one object: every byte that decides where a walk over it goes, and where lengths are.

The scan follows `dicomcore.readers.part10` and `dicomcore.readers.collect` where they do what is usual, and
gives up where they have a rule of its own for what they find.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dicomcore.extract import Declined, Plan, vr_of
from dicomcore.readers.collect import CHARSET_TAG, Truncated
from dicomcore.readers.part10 import Opened, encoding_at
from dicomcore.walk import (
    ITEM,
    ITEM_DELIMITER,
    LONG_VRS,
    SEQUENCE_DELIMITER,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    Encoding,
)

MOST_PARTS = 2000
"""An object with more of them is walked: fragments of pixel data, perhaps."""
_MOST_DEPTH = 8
_PREAMBLE = 128
_MAGIC = b"DICM"
_TRANSFER_SYNTAX = 0x00020010
_DELIMITERS = 0xFFFE0000


class Unusual(Exception):
    """The object is one that has to be walked."""


class Part(NamedTuple):
    """A header or the beginning of one, and what follows it."""

    head: bytes
    """What has to be there: tag and VR; with the length where that is undefined."""
    length_format: str = ""
    """How the length of the value is written, for `struct`; empty if it is not written."""
    wanted: bool = False
    """Whether the value is kept."""
    fixed_value: bytes | None = None
    """A value that decides how the rest is read."""


Slot = tuple[int, int, bytes, bool]
"""Which of the plan's attributes, which of the kept values, VR, whether in file meta information."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A layout without its lengths."""

    parts: tuple[Part, ...]
    """To the tag that is greater than the last one."""
    slots: tuple[Slot, ...]
    charset: int | None
    """Which of the kept values is Specific Character Set (0008,0005)."""
    little_endian: bool


def scan(opened: Opened, plan: Plan, last: int) -> tuple[Skeleton, Sequence[int]]:
    """Return the layout of an object up to the first tag greater than `last`, and the lengths of values.

    Raises
    ------
    Unusual
        A walk has a rule of its own for something in it.
    Truncated
        The data end before that tag.
    Unreadable
        No data set.
    """
    data = opened.data
    encoding = encoding_at(data, opened.start)
    if opened.deflated or data[_PREAMBLE : _PREAMBLE + len(_MAGIC)] != _MAGIC:
        raise Unusual
    scanner = _Scanner(data, plan, last)
    scanner.file_meta(_PREAMBLE + len(_MAGIC), opened.start)
    scanner.data_set(opened.start, encoding)
    skeleton = Skeleton(
        tuple(scanner.parts), tuple(scanner.slots), scanner.charset, encoding.little_endian
    )
    return skeleton, scanner.lengths


class _Header(NamedTuple):
    tag: int
    vr: bytes
    head: bytes
    length_format: str
    length: int
    start: int


class _Forms:
    """How headers are read in one encoding."""

    def __init__(self, encoding: Encoding) -> None:
        order = "<" if encoding.little_endian else ">"
        self.implicit_vr = encoding.implicit_vr
        self.form16, self.form32 = f"{order}H", f"{order}L"
        self.explicit = struct.Struct(f"{order}HH2sH").unpack_from
        self.long = struct.Struct(self.form32).unpack_from


_META = _Forms(Encoding(implicit_vr=False, little_endian=True))


class _Scanner:
    """Goes over one object, and writes down what it looks at."""

    def __init__(self, data: bytes, plan: Plan, last: int) -> None:
        self._data = data
        self._plan = plan
        self._last = last
        self._forms = _META
        self._slot_of = {step.tag: number for number, step in enumerate(plan.all_attributes)}
        self._seen: set[int] = set()
        self._number_kept = 0
        self.charset: int | None = None
        self.parts: list[Part] = []
        self.lengths: list[int] = []
        self.slots: list[Slot] = []

    def file_meta(self, start: int, end: int) -> None:
        """Take File Meta Information: the transfer syntax has to be the same, for it may deflate."""
        self._add(Part(b""), _PREAMBLE)
        self._add(Part(_MAGIC), 0)
        position = start
        while position < end:
            header = self._header(position)
            position = self._value(header, end, fixed=header.tag == _TRANSFER_SYNTAX)

    def data_set(self, start: int, encoding: Encoding) -> None:
        """Take the data set, up to the last of what is looked at."""
        self._forms = _Forms(encoding)
        data, position, end, passed = self._data, start, len(self._data), False
        while True:
            header = self._header(position)
            if header.tag > self._last and header.tag < _DELIMITERS:
                self._add(Part(header.head[:4]), 0)
                return
            if (
                not header.tag
                or header.tag >= _DELIMITERS
                or header.tag in self._plan.wanted.sequences
            ):
                raise Unusual
            passed = passed or header.tag > self._plan.last
            if passed and (header.tag in self._slot_of or header.tag == CHARSET_TAG):
                raise Unusual  # out of order: a walk would have ended before
            if header.length == UNDEFINED_LENGTH:
                position = self._undefined(header, 0)
            else:
                if encoding.implicit_vr and position == start:
                    # by these bytes it was seen that VRs are implicit: they have to be the same
                    header = header._replace(head=data[start : start + 8], length_format="")
                position = self._value(header, end)

    def _header(self, position: int) -> _Header:
        data, forms = self._data, self._forms
        if len(data) - position < 12:
            raise Truncated
        group, element, vr, length = forms.explicit(data, position)
        tag = group << 16 | element
        if forms.implicit_vr or tag >= _DELIMITERS:
            [length] = forms.long(data, position + 4)
            return _Header(
                tag, b"", data[position : position + 4], forms.form32, length, position + 8
            )
        if vr in SHORT_VRS:
            return _Header(
                tag, vr, data[position : position + 6], forms.form16, length, position + 8
            )
        if vr not in LONG_VRS:
            raise Unusual
        [length] = forms.long(data, position + 8)
        return _Header(tag, vr, data[position : position + 8], forms.form32, length, position + 12)

    def _value(self, header: _Header, end: int, *, fixed: bool = False) -> int:
        """Take an element of defined length; return the position after it."""
        stop = header.start + header.length
        if stop > end:
            raise Truncated
        slot = self._slot_of.get(header.tag)
        wanted = slot is not None or header.tag == CHARSET_TAG
        if wanted:
            self._keep(header, slot)
        value = self._data[header.start : stop] if fixed else None
        self._add(Part(header.head, header.length_format, wanted, value), header.length)
        return stop

    def _keep(self, header: _Header, slot: int | None) -> None:
        if header.tag in self._seen:
            raise Unusual
        self._seen.add(header.tag)
        if header.tag == CHARSET_TAG:
            self.charset = self._number_kept
        if slot is not None:
            try:
                vr = vr_of(header.tag, header.vr, "")
            except Declined as exc:
                raise Unusual from exc
            self.slots.append((slot, self._number_kept, vr, self._forms is _META))
        self._number_kept += 1

    def _undefined(self, header: _Header, depth: int) -> int:
        """Take a sequence of undefined length that is not wanted; return the position after it."""
        if header.vr == b"UN" or header.tag in self._slot_of or depth >= _MOST_DEPTH:
            raise Unusual
        self._add(Part(self._data[header.start - len(header.head) - 4 : header.start]), 0)
        position = header.start
        while True:
            item = self._header(position)
            if item.tag == SEQUENCE_DELIMITER:
                return self._delimiter(item)
            if item.tag != ITEM:
                raise Unusual
            if item.length != UNDEFINED_LENGTH:
                position = self._inner_value(item)
                continue
            position = self._delimiter(item)
            while (inner := self._header(position)).tag != ITEM_DELIMITER:
                if not inner.tag or inner.tag >= _DELIMITERS:
                    raise Unusual
                nested = inner.length == UNDEFINED_LENGTH
                position = self._undefined(inner, depth + 1) if nested else self._inner_value(inner)
            position = self._delimiter(inner)

    def _inner_value(self, header: _Header) -> int:
        """Take an item of defined length, or an element of one of undefined length."""
        stop = header.start + header.length
        if stop > len(self._data):
            raise Truncated
        self._add(Part(header.head, header.length_format), header.length)
        return stop

    def _delimiter(self, header: _Header) -> int:
        """Take eight bytes that have to be the same."""
        self._add(Part(self._data[header.start - 8 : header.start]), 0)
        return header.start

    def _add(self, part: Part, length: int) -> None:
        if len(self.parts) >= MOST_PARTS:
            raise Unusual
        self.parts.append(part)
        self.lengths.append(length)
