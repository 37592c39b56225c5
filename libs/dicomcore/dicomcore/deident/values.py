"""Dummy values and items: valid for their VR, the same for everyone."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from dicomcore.deident.vrs import dictionary_vr
from dicomcore.walk import LONG_VRS, Encoding

DUMMY_TEXT = "ANONYMIZED"
_BY_VR: Mapping[bytes, bytes] = {
    b"AE": b"ANONYMIZED",
    b"AS": b"000Y",
    b"CS": b"ANONYMIZED",
    b"DA": b"19000101",
    b"DS": b"0 ",
    b"DT": b"19000101000000",
    b"IS": b"0 ",
    b"TM": b"000000",
    b"UI": b"2.25.0",
    b"UR": b"urn:anonymized:0",
}
_ZERO_BYTES = {b"AT": 4, b"FL": 4, b"OF": 4, b"OL": 4, b"SL": 4, b"UL": 4} | dict.fromkeys(
    (b"FD", b"OD", b"OV", b"SV", b"UV"), 8
)

Item = Sequence[tuple[int, "str | Sequence[Item]"]]
"""Tags in ascending order with their values; a list of items for a sequence."""


def _code(value: str, meaning: str, scheme: str = "DCM") -> Item:
    return ((0x00080100, value), (0x00080102, scheme), (0x00080104, meaning))


_PERSON_CODE = _code("ANONYMIZED", "ANONYMIZED", "99ANON")
_DUMMY_ITEMS: Mapping[int, Item] = {
    # Institution Code Sequence
    0x00080082: _PERSON_CODE,
    # Operator Identification Sequence
    0x00081072: ((0x00080080, DUMMY_TEXT), (0x00401101, (_PERSON_CODE,))),
    # Referenced Performed Procedure Step Sequence: of nothing
    0x00081111: ((0x00081150, "1.2.840.10008.3.1.2.3.3"), (0x00081155, "2.25.0")),
    # Flow Identifier Sequence
    0x00340001: ((0x00340002, "\0\0"),),
    # Verifying Observer Sequence
    0x0040A073: (
        (0x0040A027, DUMMY_TEXT),
        (0x0040A030, "19000101000000"),
        (0x0040A075, DUMMY_TEXT),
        (0x0040A088, ()),
    ),
    # Content Sequence: a comment
    0x0040A730: (
        (0x0040A010, "CONTAINS"),
        (0x0040A040, "TEXT"),
        (0x0040A043, (_code("121106", "Comment"),)),
        (0x0040A160, DUMMY_TEXT),
    ),
    # Waveform Annotation Sequence
    0x0040B020: ((0x00700006, DUMMY_TEXT), (0x0040A0B0, "")),
    # Person Identification Code Sequence
    0x00401101: _PERSON_CODE,
    # Graphic Annotation Sequence: a text outside the image
    0x00700001: (
        (0x00700002, "ANONYMIZED"),
        (0x00700008, (((0x00700006, DUMMY_TEXT),),)),
    ),
}

DUMMY_SEQUENCES = frozenset(_DUMMY_ITEMS)
"""Sequences whose items may have been replaced by one that says nothing."""


def dummy_value(vr: bytes) -> bytes:
    """Return a value of even length that is valid for a VR and says nothing."""
    if vr in _ZERO_BYTES:
        return bytes(_ZERO_BYTES[vr])
    if vr in (b"OB", b"OW", b"UN", b"US", b"SS"):
        return b"\0\0"
    return _BY_VR.get(vr, DUMMY_TEXT.encode("ascii"))


def dummy_items(tag: int, encoding: Encoding) -> bytes:
    """Return the content of a sequence with one item: what its IOD asks for, or nothing."""
    return _item(_DUMMY_ITEMS.get(tag, ()), encoding)


def encode_item(item: Item, encoding: Encoding) -> bytes:
    """Return an encoded item with its header."""
    return _item(item, encoding)


def item_of(content: bytes, encoding: Encoding) -> bytes:
    """Return an item that holds encoded elements."""
    order = "<" if encoding.little_endian else ">"
    return struct.pack(order + "HHL", 0xFFFE, 0xE000, len(content)) + content


def encode_element(tag: int, vr: bytes, value: bytes, encoding: Encoding) -> bytes:
    """Return an encoded element with a defined length; the value is padded already."""
    order = "<" if encoding.little_endian else ">"
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if encoding.implicit_vr:
        return head + struct.pack(order + "L", len(value)) + value
    if vr in LONG_VRS:
        return head + vr + struct.pack(order + "HL", 0, len(value)) + value
    return head + vr + struct.pack(order + "H", len(value)) + value


def padded(text: str, vr: bytes) -> bytes:
    """Return text in ASCII, padded as its VR is."""
    value = text.encode("ascii")
    return value + (b"\0" if vr in (b"UI", b"OB") else b" ") * (len(value) % 2)


def _item(item: Item, encoding: Encoding) -> bytes:
    return item_of(b"".join(_attribute(tag, value, encoding) for tag, value in item), encoding)


def _attribute(tag: int, value: str | Sequence[Item], encoding: Encoding) -> bytes:
    vr = dictionary_vr(tag) or b"LO"
    if not isinstance(value, str):
        items = b"".join(_item(nested, encoding) for nested in value)
        return encode_element(tag, b"SQ", items, encoding)
    return encode_element(tag, vr, padded(value, vr), encoding)
