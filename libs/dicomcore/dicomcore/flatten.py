"""From an encoded object, or the beginning of one, to its indexable attributes: any tag, any level."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

from pydicom.datadict import dictionary_VR, private_dictionary_VR

from dicomcore.attributes import (
    LAST,
    MAX_ATTRIBUTES,
    MAX_BYTES,
    MAX_CHARACTERS,
    MAX_VALUES,
    NUMERIC,
    Attribute,
    is_bulk,
    step_text,
)
from dicomcore.errors import Unreadable
from dicomcore.readers.collect import MAX_DEPTH, Truncated
from dicomcore.readers.part10 import Opened, encoding_at, inflated, open_object
from dicomcore.values import BULK_VRS, values_of
from dicomcore.walk import (
    ITEM,
    ITEM_DELIMITER,
    LONG_VRS,
    SEQUENCE_DELIMITER,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    Encoding,
)

_META = Encoding(implicit_vr=False, little_endian=True)
_IMPLICIT = Encoding(implicit_vr=True, little_endian=True)
_CHARSET = 0x00080005
_PIXEL_REPRESENTATION = 0x00280103
_NUMERIC_VRS = frozenset((b"DS", b"IS", b"US", b"SS", b"UL", b"SL", b"UV", b"SV", b"FL", b"FD"))
_SIGNED_OR_NOT = b"XS"
"""US or SS: Pixel Representation (0028,0103) says which."""


@dataclass(frozen=True, slots=True)
class Flattened:
    """The attributes of an instance, in the order of the data set."""

    attributes: tuple[Attribute, ...]
    cut: bool = False
    """Whether something is left out that is not bulk: damaged, or too much."""


def flatten(data: bytes, *, complete: bool) -> Flattened | None:
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
        Not DICOM, at its very beginning.
    Truncated
        Complete, and ends before the data set begins.

    Notes
    -----
    File meta information is part of it. Pixel data and what `dicomcore.attributes` calls bulk are not.
    """
    try:
        opened = open_object(data)
        if opened.deflated:
            return _deflated(opened, complete=complete)
        walk = _Flattener(data, encoding_at(data, opened.start))
    except Truncated:
        if complete:
            raise
        return None
    _meta(opened, walk)
    return _walked(walk, opened.start, complete=complete)


def _walked(walk: _Flattener, start: int, *, complete: bool) -> Flattened | None:
    cut = False
    try:
        passed = walk.top_level(start)
    except (Truncated, struct.error, Unreadable) as exc:
        if not complete and not isinstance(exc, Unreadable):
            return None
        passed = cut = True
    except _Enough:
        passed = cut = True
    if not (passed or complete):
        return None
    return Flattened(tuple(walk.found), cut or walk.damaged)


def _deflated(opened: Opened, *, complete: bool) -> Flattened | None:
    if not complete:
        return None
    flattened = Flattened((), cut=True)
    try:
        for data, whole in inflated(opened):
            walk = _Flattener(data, encoding_at(data, 0))
            _meta(opened, walk)
            found = _walked(walk, 0, complete=whole)
            if found is not None:
                return found
            flattened = Flattened(tuple(walk.found), cut=True)
    except (Truncated, Unreadable):
        return flattened
    return flattened


def _meta(opened: Opened, walk: _Flattener) -> None:
    """Add file meta information, which is always explicit VR, little endian (PS3.10 7.1)."""
    start = 132 if opened.data[128:132] == b"DICM" else 0
    if start >= opened.start:
        return
    meta = _Flattener(opened.data[start : opened.start], _META)
    try:
        meta.top_level(0)
    except (Truncated, struct.error, Unreadable):
        walk.damaged = True
    walk.found += meta.found


class _Enough(Exception):
    """There are as many attributes as are kept."""


class _Scope:
    """What holds in a data set or item: character set, private creators, signedness."""

    __slots__ = ("_creators", "charset", "signed")

    def __init__(self, charset: bytes, *, signed: bool) -> None:
        self.charset = charset
        self.signed = signed
        self._creators: dict[int, str] = {}

    def reserve(self, tag: int, creator: str) -> None:
        """Take note of who reserved a block of private tags (PS3.5 7.8.1)."""
        self._creators[(tag & 0xFFFF0000) | (tag & 0xFF) << 8] = creator

    def creator(self, tag: int) -> str:
        """Return the creator of a private tag; empty if there is none."""
        return self._creators.get(tag & 0xFFFFFF00, "") if self._creators else ""


class _Flattener:
    """The bytes of a data set, how they are encoded, and what was found in them."""

    def __init__(self, data: bytes, encoding: Encoding) -> None:
        self.found: list[Attribute] = []
        self.damaged = False
        self._data = data
        self._set_encoding(encoding)

    def _set_encoding(self, encoding: Encoding) -> None:
        self._encoding = encoding
        order = "<" if encoding.little_endian else ">"
        self._tagged = struct.Struct(order + "HHL").unpack_from
        self._explicit = struct.Struct(order + "HH2sH").unpack_from
        self._long = struct.Struct(order + "L").unpack_from

    def top_level(self, start: int) -> bool:
        """Walk a data set; return whether what follows the last indexable attribute was seen."""
        data, end, scope = self._data, len(self._data), _Scope(b"", signed=False)
        position = start
        while position < end:
            if not any(data[position : position + 8]) and not any(data[position:]):
                break  # zeros after the data set
            header = self._header(position)
            if header[0] > LAST:
                return True
            position = self._element(header, end, ("", ()), scope, 0)
        return False

    def _header(self, position: int) -> tuple[int, bytes, int, int]:
        """Return tag, VR (empty if implicit), length and offset of the value."""
        data = self._data
        if self._encoding.implicit_vr:
            group, element, length = self._tagged(data, position)
            return group << 16 | element, b"", length, position + 8
        group, element, vr, length = self._explicit(data, position)
        if vr in SHORT_VRS:
            return group << 16 | element, vr, length, position + 8
        if vr in LONG_VRS:
            return group << 16 | element, vr, self._long(data, position + 8)[0], position + 12
        if not (vr.isalpha() and vr.isupper()):
            # a delimiter, or an element without VR among explicit ones: some writers mix them
            return group << 16 | element, b"", self._long(data, position + 4)[0], position + 8
        if length == 0:  # a VR that the standard adds later has 32 bits of length (PS3.5 6.2)
            return group << 16 | element, vr, self._long(data, position + 8)[0], position + 12
        return group << 16 | element, vr, length, position + 8

    def _element(
        self,
        header: tuple[int, bytes, int, int],
        end: int,
        place: tuple[str, tuple[int, ...]],
        scope: _Scope,
        depth: int,
    ) -> int:
        """Take one element; return the position after it."""
        tag, vr, length, start = header
        if length == UNDEFINED_LENGTH:
            return self._undefined(tag, vr, (start, end), place, scope, depth)
        stop = start + length
        if stop > end:
            raise self._overrun(start, end)
        if is_bulk(tag):
            return stop
        if vr in (b"", b"UN"):
            vr = _dictionary_vr(tag, scope.creator(tag)) or vr
            if vr == _SIGNED_OR_NOT:
                vr = b"SS" if scope.signed else b"US"
        if vr == b"SQ":
            self._defined(header, self._path(tag, place, scope), place[1], scope, depth)
        elif length <= MAX_BYTES and vr not in BULK_VRS:
            self._value(tag, vr or b"UN", self._data[start:stop], place, scope)
        return stop

    def _value(
        self,
        tag: int,
        vr: bytes,
        encoded: bytes,
        place: tuple[str, tuple[int, ...]],
        scope: _Scope,
    ) -> None:
        read = _few if len(encoded) <= _SHORT else _texts
        texts = read(vr, encoded, scope.charset, self._encoding.little_endian)
        if not texts:
            return
        if tag == _CHARSET:
            scope.charset = encoded
        elif tag == _PIXEL_REPRESENTATION:
            scope.signed = texts[0] == "1"
        elif tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            scope.reserve(tag, texts[0])
        if len(self.found) >= MAX_ATTRIBUTES:
            raise _Enough
        path = self._path(tag, place, scope)
        self.found.append(
            Attribute(path + NUMERIC if vr in _NUMERIC_VRS else path, place[1], texts)
        )

    def _path(self, tag: int, place: tuple[str, tuple[int, ...]], scope: _Scope) -> str:
        if tag >> 16 & 1:
            return place[0] + step_text(tag, scope.creator(tag))
        return place[0] + step_text(tag)

    # ── sequences ───────────────────────────────────────────────────────────────────────────

    def _undefined(
        self,
        tag: int,
        vr: bytes,
        span: tuple[int, int],
        place: tuple[str, tuple[int, ...]],
        scope: _Scope,
        depth: int,
    ) -> int:
        """Take a value that delimiters end; return the position after them."""
        start, end = span
        before, count = self._encoding, len(self.found)
        if vr == b"UN":  # holds implicit VRs (PS3.5 6.2.2, note 2)
            self._set_encoding(_IMPLICIT)
        try:
            path = self._path(tag, place, scope)
            position = self._items(start, end, (path, place[1]), scope, depth, delimited=True)
        finally:
            self._set_encoding(before)
        if is_bulk(tag):
            del self.found[count:]
        return position

    def _defined(
        self,
        header: tuple[int, bytes, int, int],
        path: str,
        items: tuple[int, ...],
        scope: _Scope,
        depth: int,
    ) -> None:
        """Take a sequence whose length is told; damage inside of it ends with it."""
        _, vr, length, start = header
        encodings = (_IMPLICIT, self._encoding) if vr == b"UN" else (self._encoding,)
        before, count = self._encoding, len(self.found)
        for encoding in encodings:
            self._set_encoding(encoding)
            try:
                self._items(start, start + length, (path, items), scope, depth, delimited=False)
                return
            except (Truncated, Unreadable, struct.error):
                del self.found[count:]
            finally:
                self._set_encoding(before)
        self.damaged = True

    def _items(
        self,
        start: int,
        end: int,
        place: tuple[str, tuple[int, ...]],
        scope: _Scope,
        depth: int,
        *,
        delimited: bool,
    ) -> int:
        if depth >= MAX_DEPTH:
            raise Unreadable("sequences are nested too deep", offset=start)
        prefix, items = place[0] + "/", place[1]
        position, number = start, 0
        while position < end:
            group, element, length = self._tagged(self._data, position)
            tag, position = group << 16 | element, position + 8
            if tag == SEQUENCE_DELIMITER:
                return position
            if tag != ITEM:
                raise Unreadable("sequence holds something else than items", offset=position - 8)
            inner = _Scope(scope.charset, signed=scope.signed)
            position = self._item(
                (position, length, end), (prefix, (*items, number)), inner, depth + 1
            )
            number += 1
        if delimited:
            raise self._overrun(start, end)
        return position

    def _item(
        self,
        span: tuple[int, int, int],
        place: tuple[str, tuple[int, ...]],
        scope: _Scope,
        depth: int,
    ) -> int:
        position, length, end = span
        stop = end if length == UNDEFINED_LENGTH else position + length
        if stop > end:
            raise self._overrun(position, end)
        while position < stop:
            header = self._header(position)
            if header[0] == ITEM_DELIMITER:
                return header[3] if length == UNDEFINED_LENGTH else stop
            position = self._element(header, stop, place, scope, depth)
        if length == UNDEFINED_LENGTH:
            raise self._overrun(span[0], end)
        return stop

    def _overrun(self, start: int, end: int) -> Exception:
        """Return the error for a value that starts at `start` and does not end before `end`."""
        if end == len(self._data):
            return Truncated()
        return Unreadable("an element is longer than what holds it", offset=start)


def _texts(vr: bytes, encoded: bytes, charset: bytes, little_endian: bool) -> tuple[str, ...]:  # noqa: FBT001 # cached by position
    """Return the values as texts; none if they are bulk."""
    values = values_of(vr, encoded, charset, little_endian=little_endian)
    if len(values) > MAX_VALUES:
        return ()
    texts = tuple([value.text for value in values])
    return () if any(len(text) > MAX_CHARACTERS for text in texts) else texts


_SHORT = 64
_few = lru_cache(maxsize=16384)(_texts)
"""The instances of a series share most of their values."""


@lru_cache(maxsize=8192)
def _dictionary_vr(tag: int, creator: str) -> bytes:
    """Return the VR of the dictionary, O… where that is possible; empty if it is unknown there."""
    try:
        if not tag >> 16 & 1:
            vr = dictionary_VR(tag)
        elif 0x10 <= tag & 0xFFFF <= 0xFF:
            vr = "LO"
        else:
            vr = private_dictionary_VR(tag, creator)
    except KeyError:
        return b""
    if "OW" in vr or "OB" in vr:
        return b"OW"
    return _SIGNED_OR_NOT if vr == "US or SS" else vr.encode("ascii")
