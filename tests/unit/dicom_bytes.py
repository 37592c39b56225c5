"""Encoded data sets for tests: whole ones by pydicom, odd ones element by element."""

from __future__ import annotations

import copy
import zlib

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

UNDEFINED = 0xFFFFFFFF
SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def encode(ds: Dataset, syntax: str, *, undefined_lengths: bool = False) -> bytes:
    """The data set alone, without Part 10 header."""
    if undefined_lengths:
        ds = copy.deepcopy(ds)
        _undefine(ds)
    fp = DicomBytesIO()
    fp.is_implicit_VR = syntax == ImplicitVRLittleEndian
    fp.is_little_endian = syntax != ExplicitVRBigEndian
    write_dataset(fp, ds)
    body = fp.getvalue()
    return deflated(body) if syntax == DeflatedExplicitVRLittleEndian else body


def deflated(body: bytes) -> bytes:
    """A data set as the deflated transfer syntaxes have it."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(body) + deflater.flush()


def part10(body: bytes, syntax: str, *, sop_class: str = "", preamble: bytes = bytes(128)) -> bytes:
    """A Part 10 header before an encoded data set."""
    meta = explicit(0x00020001, b"OB", b"\0\1")
    if sop_class:
        meta += explicit(0x00020002, b"UI", even(sop_class))
    meta += explicit(0x00020010, b"UI", even(syntax))
    length = explicit(0x00020000, b"UL", len(meta).to_bytes(4, "little"))
    return preamble + b"DICM" + length + meta + body


def whole(ds: Dataset, syntax: str, *, undefined_lengths: bool = False) -> bytes:
    """A Part 10 object."""
    return part10(encode(ds, syntax, undefined_lengths=undefined_lengths), syntax)


def even(text: str) -> bytes:
    """A UID or text, padded to an even length."""
    return text.encode("latin-1") + b"\0" * (len(text) % 2)


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    """One element with implicit VR, little endian."""
    return _tag(tag) + (len(value) if length is None else length).to_bytes(4, "little") + value


def explicit(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """One element with explicit VR, little endian."""
    size = len(value) if length is None else length
    if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC"):
        return _tag(tag) + vr + b"\0\0" + size.to_bytes(4, "little") + value
    return _tag(tag) + vr + size.to_bytes(2, "little") + value


def item(value: bytes, *, undefined: bool = False) -> bytes:
    """One item of a sequence, little endian."""
    if undefined:
        return implicit(0xFFFEE000, value, UNDEFINED) + implicit(0xFFFEE00D, b"")
    return implicit(0xFFFEE000, value)


def identity(modality: str = "CT", sop_class: str = "1.2.840.10008.5.1.4.1.1.2") -> bytes:
    """The least that has a header, implicit VR; append elements from group 0028 on."""
    return b"".join(
        implicit(tag, even(text))
        for tag, text in (
            (0x00080016, sop_class),
            (0x00080018, "1.2.3"),
            (0x00080060, modality),
            (0x0020000D, "1.2.1"),
            (0x0020000E, "1.2.2"),
        )
    )


def _tag(tag: int) -> bytes:
    return (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")


def _undefine(ds: Dataset) -> None:
    for element in ds:
        if isinstance(element.value, Sequence):
            element.is_undefined_length = True
            for part in element.value:
                part.is_undefined_length_sequence_item = True
                _undefine(part)
