"""The header of an object as rows for people: every attribute, in its place, shortened where it is long."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace

from dicomcore.attribute_names import names_of, vr_of
from dicomcore.errors import Unreadable
from dicomcore.readers.collect import Truncated
from dicomcore.readers.part10 import Opened, encoding_at, inflated, open_object
from dicomcore.values import BULK_VRS, values_of
from dicomcore.walk import (
    ITEM,
    ITEM_DELIMITER,
    LONG_VRS,
    SEQUENCE_DELIMITER,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    ElementReader,
    Encoding,
)

MAX_ROWS = 20_000
MAX_DEPTH = 16
MAX_ITEMS = 200
"""Of one sequence; a plan has some hundred control points in a beam."""
MAX_VALUES = 32
MAX_CHARACTERS = 1024
"""Of one value."""
_MAX_BYTES = 4096
"""Of an encoded value that are decoded."""
_PIXELS = 0x7FE00000
_CHARSET = 0x00080005
_SIGNED = 0x00280103
_META = Encoding(implicit_vr=False, little_endian=True)


@dataclass(frozen=True, slots=True)
class HeaderRow:
    """One attribute of a data set or item."""

    tag: int
    vr: str
    """Two letters; of the dictionary where the encoding has none."""
    keyword: str = ""
    name: str = ""
    """Of the dictionary, also of private attributes that it knows; otherwise empty."""
    values: tuple[str, ...] = field(default=(), repr=False)
    truncated: bool = False
    """Whether values, characters of them, or items are left out."""
    length_bytes: int | None = None
    """As encoded; None where delimiters end the value."""
    bulk: bool = False
    """Whether it has no values that are texts."""
    items: tuple[tuple[HeaderRow, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class HeaderRows:
    """The attributes of an object, in its order, file meta information first."""

    rows: tuple[HeaderRow, ...]
    cut: bool
    """Whether something is left out that no row tells of: damage, or too much."""


def header_rows(data: bytes, *, complete: bool) -> HeaderRows | None:
    """Return the attributes of an object, or None if more of the object is needed.

    Parameters
    ----------
    data
        A whole object or its beginning: a Part 10 file, or a bare data set in any encoding.
    complete
        Whether `data` is the whole object; if so, the answer is never None. Damage then ends the
        reading: what comes before it is returned.

    Raises
    ------
    Unreadable
        Not DICOM.

    Notes
    -----
    Pixel data (7FE0,xxxx) end the reading; the row of it has the length only.
    """
    try:
        opened = open_object(data)
        if opened.deflated:
            return _deflated(opened, complete=complete)
        return _read(opened, data, opened.start, complete=complete)
    except Truncated as exc:
        if complete:
            raise Unreadable("the data set is cut off", size_bytes=len(data)) from exc
        return None


def _deflated(opened: Opened, *, complete: bool) -> HeaderRows | None:
    if not complete:
        return None
    found: HeaderRows | None = None
    for data, whole in inflated(opened):
        found = _read(opened, data, 0, complete=whole)
        if found is not None:
            return found
    return found


def _read(opened: Opened, data: bytes, start: int, *, complete: bool) -> HeaderRows | None:
    rows: list[HeaderRow] = []
    budget = _Budget()
    first = 132 if opened.data[128:132] == b"DICM" else 0
    if first < opened.start:
        _Reader(opened.data[first : opened.start], _META, budget).top_level(0, rows)
    reader = _Reader(data, encoding_at(data, start), budget)
    passed = reader.top_level(start, rows)
    if not (passed or complete):
        return None
    return HeaderRows(tuple(rows), reader.damaged or budget.spent)


@dataclass(slots=True)
class _Budget:
    left: int = MAX_ROWS

    def take(self) -> bool:
        """Return whether there may be one row more."""
        self.left -= 1
        return self.left >= 0

    @property
    def spent(self) -> bool:
        return self.left < 0


@dataclass(slots=True)
class _Scope:
    """What holds in a data set or item: character set, signedness, private creators."""

    charset: bytes = b""
    signed: bool = False
    creators: dict[int, str] = field(default_factory=dict)

    def creator(self, tag: int) -> str:
        return self.creators.get(tag & 0xFFFFFF00, "")


class _Reader:
    """Bytes, how they are encoded, and how many rows there may be."""

    def __init__(self, data: bytes, encoding: Encoding, budget: _Budget) -> None:
        self._data = data
        self._encoding = encoding
        self._budget = budget
        self._elements = ElementReader(data, encoding)
        self.damaged = False

    def top_level(self, start: int, rows: list[HeaderRow]) -> bool:
        """Add the rows of a data set; return whether pixel data, or the end of the budget, was met."""
        scope, position = _Scope(), start
        try:
            while not self._elements.at_end(position):
                header = self._elements.header(position, implicit_vr=self._encoding.implicit_vr)
                if header[0] >= _PIXELS:
                    rows.append(_named(HeaderRow(header[0], "OW", bulk=True), ""))
                    rows[-1] = replace(rows[-1], length_bytes=_length(header[2]))
                    return True
                position = self._element(position, header, rows, scope, 0)
                if self._budget.spent:
                    return True
        except (Unreadable, struct.error):
            self.damaged = True
        return False

    def _element(
        self,
        position: int,
        header: tuple[int, int, int, bool],
        rows: list[HeaderRow],
        scope: _Scope,
        depth: int,
    ) -> int:
        """Add the row of one element; return the position after it."""
        tag, start, length, implicit_vr = header
        vr = self._vr(tag, position, start, scope)
        row = _named(
            HeaderRow(tag, vr.decode("ascii"), length_bytes=_length(length)), scope.creator(tag)
        )
        if length == UNDEFINED_LENGTH and tag >= _PIXELS:  # of an icon: fragments, no items
            end = self._elements.skip_undefined(start, implicit_vr=implicit_vr)
            row = replace(row, bulk=True)
        elif length == UNDEFINED_LENGTH:
            row, end = self._sequence(row, start, None, scope, (depth, implicit_vr))
        else:
            end = self._elements.skip(start, length)
            if vr == b"SQ":
                row, _ = self._sequence(row, start, end, scope, (depth, implicit_vr))
            else:
                row = self._valued(row, vr, self._data[start:end], scope)
        if self._budget.take():
            rows.append(row)
        return end

    def _vr(self, tag: int, position: int, start: int, scope: _Scope) -> bytes:
        written = bytes(self._data[position + 4 : position + 6])
        is_written = written in SHORT_VRS or (written in LONG_VRS and start == position + 12)
        if self._encoding.implicit_vr or not is_written or written == b"UN":
            return vr_of(tag, scope.creator(tag), signed=scope.signed) or b"UN"
        return written

    # ── values ──────────────────────────────────────────────────────────────────────────────

    def _valued(self, row: HeaderRow, vr: bytes, encoded: bytes, scope: _Scope) -> HeaderRow:
        if vr in BULK_VRS:
            return replace(row, bulk=bool(encoded))
        shown = encoded[:_MAX_BYTES]
        texts = [
            value.text
            for value in values_of(
                vr, shown, scope.charset, little_endian=self._encoding.little_endian
            )
        ]
        if encoded and not texts:
            return replace(row, bulk=True)
        is_cut = len(shown) < len(encoded)
        if is_cut and len(texts) > 1:
            texts.pop()  # the last one ends where the bytes were cut
        few = [text[:MAX_CHARACTERS] for text in texts[:MAX_VALUES]]
        self._take_note(row.tag, encoded, texts, scope)
        return replace(
            row,
            values=() if texts == [""] else tuple(few),
            truncated=is_cut or few != texts,
        )

    def _take_note(self, tag: int, encoded: bytes, texts: list[str], scope: _Scope) -> None:
        if tag == _CHARSET:
            scope.charset = encoded
        elif tag == _SIGNED:
            scope.signed = texts[:1] == ["1"]
        elif tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF and texts:
            scope.creators[(tag & 0xFFFF0000) | (tag & 0xFF) << 8] = texts[0]

    # ── sequences ───────────────────────────────────────────────────────────────────────────

    def _sequence(
        self,
        row: HeaderRow,
        start: int,
        end: int | None,
        scope: _Scope,
        how: tuple[int, bool],
    ) -> tuple[HeaderRow, int]:
        """Return the row with its items, and the position after the sequence."""
        depth, implicit_vr = how
        after = end
        if after is None:
            after = self._elements.skip_undefined(start, implicit_vr=implicit_vr)
        if depth >= MAX_DEPTH:
            return replace(row, truncated=True), after
        inner = self
        if implicit_vr != self._encoding.implicit_vr:
            encoding = Encoding(implicit_vr, self._encoding.little_endian)
            inner = _Reader(self._data, encoding, self._budget)
        items: list[tuple[HeaderRow, ...]] = []
        try:
            truncated = inner.items_between(start, after, items, scope, depth + 1)
        except (Unreadable, struct.error):
            self.damaged = truncated = True
        self.damaged |= inner.damaged
        return replace(row, vr="SQ", items=tuple(items), truncated=truncated), after

    def items_between(
        self,
        start: int,
        end: int,
        items: list[tuple[HeaderRow, ...]],
        scope: _Scope,
        depth: int,
    ) -> bool:
        """Add the items of a sequence; return whether there are more than are shown."""
        position = start
        while position < end:
            tag, value, length, _ = self._elements.header(position, implicit_vr=True)
            if tag == SEQUENCE_DELIMITER:
                return False
            if tag != ITEM:
                raise Unreadable("sequence holds something else than items", offset=position)
            if len(items) >= MAX_ITEMS or self._budget.spent:
                return True
            stop = end if length == UNDEFINED_LENGTH else min(value + length, end)
            rows: list[HeaderRow] = []
            items_scope = _Scope(scope.charset, scope.signed)
            try:
                position = self._item(value, stop, rows, items_scope, depth)
            finally:
                items.append(tuple(rows))
            if length != UNDEFINED_LENGTH:
                position = stop
        return False

    def _item(
        self, position: int, stop: int, rows: list[HeaderRow], scope: _Scope, depth: int
    ) -> int:
        while position < stop:
            header = self._elements.header(position, implicit_vr=self._encoding.implicit_vr)
            if header[0] == ITEM_DELIMITER:
                return header[1]
            position = self._element(position, header, rows, scope, depth)
        return position


def _length(length: int) -> int | None:
    return None if length == UNDEFINED_LENGTH else length


def _named(row: HeaderRow, creator: str) -> HeaderRow:
    """Return the row with keyword and name of the dictionary."""
    keyword, name = names_of(row.tag, creator)
    return replace(row, keyword=keyword, name=name)
