"""Between uncompressed transfer syntaxes: headers of elements are written anew, values are spliced in."""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterable, Mapping
from functools import lru_cache

from pydicom.datadict import dictionary_VR

from dicomcore.encoded import EncodedDataSet, Span
from dicomcore.errors import InvalidRequest, Unreadable
from dicomcore.readers.part10 import MAX_INFLATED
from dicomcore.walk import (
    ITEM,
    ITEM_DELIMITER,
    LONG_VRS,
    SEQUENCE_DELIMITER,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    Buffer,
    Encoding,
)

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
UNCOMPRESSED = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG)
"""Between any two of these a data set can be encoded anew; the usual first."""

_EXPLICIT = Encoding(implicit_vr=False, little_endian=True)
_ENCODINGS: Mapping[str, Encoding] = {
    IMPLICIT_LITTLE: Encoding(implicit_vr=True, little_endian=True),
    EXPLICIT_LITTLE: _EXPLICIT,
    DEFLATED: _EXPLICIT,
    EXPLICIT_BIG: Encoding(implicit_vr=False, little_endian=False),
}
_MAX_DEPTH = 64
_LONGEST_SHORT = 0xFFFE
_PIXEL_REPRESENTATION = 0x00280103
_WORD_TYPES: Mapping[int, str] = {2: "H", 4: "I", 8: "Q"}
_WORDS: Mapping[bytes, int] = {
    **dict.fromkeys((b"US", b"SS", b"OW", b"AT"), 2),
    **dict.fromkeys((b"UL", b"SL", b"FL", b"OF", b"OL"), 4),
    **dict.fromkeys((b"FD", b"OD", b"OV", b"SV", b"UV"), 8),
}
"""Bytes of the words that the byte order turns round, by VR (PS3.5 7.3)."""


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """Return how elements are encoded in an uncompressed transfer syntax (deflated: once inflated).

    Raises
    ------
    InvalidRequest
        It is not one of `UNCOMPRESSED`.
    """
    try:
        return _ENCODINGS[transfer_syntax_uid]
    except KeyError:
        raise InvalidRequest(
            "not an uncompressed transfer syntax", uid=transfer_syntax_uid
        ) from None


def transcoded(data: Buffer, source: str, target: str) -> Buffer:
    """Return a data set encoded in another uncompressed transfer syntax.

    Parameters
    ----------
    data
        Without Part 10 header.
    source, target
        Transfer Syntax UIDs, both of `UNCOMPRESSED`.

    Raises
    ------
    InvalidRequest
        One of them is another transfer syntax.
    Unreadable
        The data set is damaged, too deep or inflates to too much.

    Notes
    -----
    PS3.5 7.1, 7.5, Annex A.1 to A.5. Values are kept byte for byte but for their byte order; group
    lengths, which would be wrong, are left out (PS3.5 7.2). From implicit VR an element that is in
    no dictionary becomes UN, and so does a value too long for the length of its VR (6.2.2).
    """
    read, written = encoding_of(source), encoding_of(target)
    plain = inflate(data) if source == DEFLATED else data
    if read != written:
        try:
            plain = b"".join(_Rewriting(EncodedDataSet(plain, read), written).parts())
        except struct.error as exc:
            raise Unreadable("the data set is cut off") from exc
    return deflate(plain) if target == DEFLATED else plain


def inflate(data: Buffer) -> bytes:
    """Return a deflated data set in plain; `Unreadable` if it is none, or above 256 MiB."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(data, MAX_INFLATED)
    except zlib.error as exc:
        raise Unreadable("deflated data set is damaged") from exc
    if not inflater.eof:
        # a complete one of exactly the limit has its end still before it
        raise Unreadable("deflated data set is cut off or too large", limit_bytes=MAX_INFLATED)
    return plain


def deflate(data: Buffer) -> bytes:
    """Return a data set deflated, padded to an even length (PS3.5 A.5)."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    out = deflater.compress(data) + deflater.flush()
    return out + b"\0" * (len(out) % 2)


class _Rewriting:
    """One data set on its way from one encoding to another."""

    def __init__(self, source: EncodedDataSet, target: Encoding) -> None:
        self._source = source
        self._target = target
        order = "<" if target.little_endian else ">"
        self._tag = struct.Struct(order + "HH")
        self._short = struct.Struct(order + "HH2sH")
        self._long = struct.Struct(order + "HH2sHI")
        self._bare = struct.Struct(order + "HHI")
        self._turned = source.encoding.little_endian != target.little_endian

    def parts(self) -> list[Buffer]:
        """Return the data set in pieces; values that stay are views of the source."""
        return self._content(self._source.elements(), signed=False, depth=0)

    def _content(self, spans: Iterable[Span], *, signed: bool, depth: int) -> list[Buffer]:
        """Return elements; `signed`: Pixel Representation of what is around them."""
        if depth > _MAX_DEPTH:
            raise Unreadable("sequences are nested too deep", depth=depth)
        out: list[Buffer] = []
        for span in spans:
            if span.tag & 0xFFFF == 0:
                continue
            if span.tag == _PIXEL_REPRESENTATION:
                signed = bytes(self._source.view[span.start : span.stop]).strip(b"\0") != b""
            out += self._element(span, signed=signed, depth=depth)
        return out

    def _element(self, span: Span, *, signed: bool, depth: int) -> list[Buffer]:
        vr = self._vr(span, signed=signed)
        if vr == b"SQ":
            return self._sequence(span, signed=signed, depth=depth)
        value: Buffer = self._source.view[span.start : span.stop]
        if self._turned and vr in _WORDS:
            value = _turned(value, _WORDS[vr])
        if span.undefined:  # UN: its items are in Implicit VR Little Endian everywhere (6.2.2)
            tail = struct.pack("<HHI", *_split(SEQUENCE_DELIMITER), 0)
            return [self._header(span.tag, vr, UNDEFINED_LENGTH), value, tail]
        return [self._header(span.tag, vr, len(value)), value]

    def _vr(self, span: Span, *, signed: bool) -> bytes:
        if span.vr in SHORT_VRS or span.vr in LONG_VRS:
            if span.vr == b"UN" and span.undefined and not span.implicit_inside:
                return b"SQ"
            return span.vr
        if span.undefined:
            return b"SQ"
        return b"UN" if span.vr else _known_vr(span.tag, signed=signed)

    def _sequence(self, span: Span, *, signed: bool, depth: int) -> list[Buffer]:
        items: list[Buffer] = []
        for item in self._source.items(span):
            content = self._content(self._source.of_item(item), signed=signed, depth=depth + 1)
            items += self._delimited(ITEM, item, content)
        if span.undefined:
            head = self._header(span.tag, b"SQ", UNDEFINED_LENGTH)
            return [head, *items, self._bare.pack(*_split(SEQUENCE_DELIMITER), 0)]
        return [self._header(span.tag, b"SQ", _size(items)), *items]

    def _delimited(self, tag: int, item: Span, content: list[Buffer]) -> list[Buffer]:
        if item.undefined:
            end = self._bare.pack(*_split(ITEM_DELIMITER), 0)
            return [self._bare.pack(*_split(tag), UNDEFINED_LENGTH), *content, end]
        return [self._bare.pack(*_split(tag), _size(content)), *content]

    def _header(self, tag: int, vr: bytes, length: int) -> bytes:
        group, element = _split(tag)
        if self._target.implicit_vr:
            return self._bare.pack(group, element, length)
        if vr in SHORT_VRS and length <= _LONGEST_SHORT:
            return self._short.pack(group, element, vr, length)
        if vr in SHORT_VRS:
            vr = b"UN"
        return self._long.pack(group, element, vr, 0, length)


@lru_cache(maxsize=8192)
def _known_vr(tag: int, *, signed: bool) -> bytes:
    """Return the VR that the dictionary has for an element (PS3.6); UN if it has none."""
    group, element = _split(tag)
    if group % 2:
        return b"LO" if 0x10 <= element <= 0xFF else b"UN"
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return b"UN"
    if " or " not in vr:
        return vr.encode()
    if "OW" in vr:  # in implicit VR, pixels, overlays and look-up tables are words (A.1)
        return b"OW"
    return b"SS" if signed else b"US"


def _turned(value: Buffer, size: int) -> Buffer:
    """Return the words of a value with their bytes turned round; a rest stays as it is."""
    whole = len(value) - len(value) % size
    words = array(_WORD_TYPES[size], bytes(value[:whole]))
    words.byteswap()
    return words.tobytes() + bytes(value[whole:])


def _split(tag: int) -> tuple[int, int]:
    return tag >> 16, tag & 0xFFFF


def _size(parts: Iterable[Buffer]) -> int:
    return sum(len(part) for part in parts)
