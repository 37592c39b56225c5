"""Where the data set of an object begins and how it is encoded, with Part 10 header or without one."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from dicomcore.errors import Unreadable
from dicomcore.readers.collect import Truncated
from dicomcore.walk import LONG_VRS, SHORT_VRS, Encoding

_PREAMBLE = 128
_ELEMENT = struct.Struct("<2xH2sH")
"""Element number, VR and, where the VR is a short one, length."""
_MEDIA_STORAGE_SOP_CLASS_UID, _TRANSFER_SYNTAX_UID = 0x0002, 0x0010
_MAGIC = b"DICM"
_FIRST_INFLATED = 1 << 16
MAX_INFLATED = 1 << 28
"""A deflated data set that is larger before it ends is refused, in bytes."""
_DEFLATED = frozenset(
    f"1.2.840.10008.1.2.{suffix}" for suffix in ("1.99", "4.95", "4.205")
)  # deflated explicit VR, and JPIP with deflate


@dataclass(frozen=True, slots=True)
class Opened:
    """An object whose beginning was understood."""

    data: bytes
    start: int
    """0-based offset of the data set."""
    transfer_syntax_uid: str = ""
    sop_class_uid: str = ""
    """Media Storage SOP Class UID (0002,0002)."""

    @property
    def deflated(self) -> bool:
        """Whether the data set is deflated (PS3.5 A.5)."""
        return self.transfer_syntax_uid in _DEFLATED


def open_object(data: bytes) -> Opened:
    """Return where the data set of an object, or of the beginning of one, starts.

    Raises
    ------
    Truncated
        The data end before the data set begins.
    Unreadable
        Not DICOM.

    Notes
    -----
    PS3.10 7.1. The preamble may be missing, and the file meta information as well: Pinnacle and
    Monaco write data sets without either. Its group length is not trusted: it is absent or wrong in
    many files, while the group itself ends where its group number does.
    """
    if data[_PREAMBLE : _PREAMBLE + 4] == _MAGIC:
        return _meta(data, _PREAMBLE + 4)
    if data[:2] == b"\2\0":
        return _meta(data, 0)
    if len(data) < _PREAMBLE + 4 and not (data and _plausible(data[:2])):
        raise Truncated  # zeros, or what else applications put into the preamble
    return Opened(data, 0)


def _meta(data: bytes, start: int) -> Opened:
    """Read file meta information: explicit VR, little endian, group 0002."""
    syntax = sop_class = ""
    position, end = start, len(data)
    while data[position : position + 2] == b"\2\0":
        if position + 8 > end:
            raise Truncated
        element, vr, length = _ELEMENT.unpack_from(data, position)
        value = position + 8
        if vr in LONG_VRS:
            value += 4
            length = int.from_bytes(data[position + 8 : value], "little")
        elif vr not in SHORT_VRS:  # without a VR, implicit: against the standard, but written
            length = int.from_bytes(data[position + 4 : value], "little")
        position = value + length
        if value > end or position > end:
            raise Truncated
        if element == _TRANSFER_SYNTAX_UID:
            syntax = _text(data, value, length)
        elif element == _MEDIA_STORAGE_SOP_CLASS_UID:
            sop_class = _text(data, value, length)
    if position >= end:
        raise Truncated
    return Opened(data, position, syntax, sop_class)


def _text(data: bytes, start: int, length: int) -> str:
    return data[start : start + min(length, 64)].strip(b" \0").decode("latin-1")


def encoding_at(data: bytes, start: int) -> Encoding:
    """Return how the data set at `start` is encoded, by its first element.

    The bytes are believed rather than the Transfer Syntax UID: writers that announce one and write
    another are in clinical archives.

    Raises
    ------
    Truncated
        Fewer bytes than an element has.
    Unreadable
        Not the beginning of a data set: the group is none of 0002 to 0008.
    """
    head = data[start : start + 8]
    if len(head) < 8:
        raise Truncated
    if not _plausible(head[:2]):
        raise Unreadable("not a DICOM data set", offset=start)
    explicit = head[4:6] in SHORT_VRS or head[4:6] in LONG_VRS
    return Encoding(implicit_vr=not explicit, little_endian=head[0] != 0)


def _plausible(group: bytes) -> bool:
    """Return whether a data set can begin with this group, in either byte order."""
    return sorted(group)[0] == 0 and 2 <= max(group) <= 8 and len(group) == 2


def inflated(opened: Opened, *, limit_bytes: int = MAX_INFLATED) -> Iterator[tuple[bytes, bool]]:
    """Yield ever longer beginnings of a deflated data set, and whether the last one is all of it.

    Nothing is inflated beyond what the reader needs: a small object may inflate to gigabytes.

    Raises
    ------
    Truncated
        The deflated bytes end before the data set does.
    Unreadable
        Not deflate, or more than about `limit_bytes` are needed.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest, out, wanted = opened.data[opened.start :], b"", _FIRST_INFLATED
    while not inflater.eof:
        if wanted > limit_bytes:
            raise Unreadable("deflated data set is too large", limit_bytes=limit_bytes)
        try:
            more = inflater.decompress(rest, wanted - len(out))
        except zlib.error as exc:
            raise Unreadable("deflated data set is damaged", offset=opened.start) from exc
        rest = inflater.unconsumed_tail
        if not more and not inflater.eof:
            raise Truncated
        out += more
        wanted *= 4
        yield out, inflater.eof
