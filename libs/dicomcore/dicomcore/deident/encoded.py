"""An encoded object, opened: its data set inflated, its encoding as the bytes have it."""

from __future__ import annotations

from dataclasses import dataclass

from dicomcore.errors import Unreadable
from dicomcore.readers.collect import Truncated
from dicomcore.readers.part10 import encoding_at, inflated, open_object
from dicomcore.uids import uid_or_none
from dicomcore.walk import Encoding

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
_GE_BIG_ENDIAN_PIXELS = "1.2.840.113619.5.2"
UNCOMPRESSED = {
    Encoding(implicit_vr=True, little_endian=True): IMPLICIT_LITTLE,
    Encoding(implicit_vr=False, little_endian=True): EXPLICIT_LITTLE,
    Encoding(implicit_vr=False, little_endian=False): EXPLICIT_BIG,
}
"""Transfer Syntax UID by encoding."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Where the data set is, and how it is encoded."""

    data: bytes
    start: int
    """0-based offset of the data set; 0 if it was deflated."""
    encoding: Encoding
    transfer_syntax_uid: str
    """The one that is true of the bytes."""
    deflated: bool = False


def open_encoded(data: bytes) -> Encoded:
    """Return the opened object; a bare data set is one, too.

    Raises
    ------
    Unreadable
        Not DICOM, cut off, or a deflated data set that is damaged or too large.
    """
    try:
        opened = open_object(data)
        if opened.deflated:
            body = b""
            for body, _ in inflated(opened):  # noqa: B007 - the last one is all of it
                pass
            encoding = encoding_at(body, 0)
            return Encoded(body, 0, encoding, opened.transfer_syntax_uid, deflated=True)
        encoding = encoding_at(data, opened.start)
    except Truncated as exc:
        raise Unreadable("the data set is cut off", size_bytes=len(data)) from exc
    return Encoded(data, opened.start, encoding, _true_syntax(opened.transfer_syntax_uid, encoding))


def _true_syntax(announced: str, encoding: Encoding) -> str:
    """Return the transfer syntax announced, or the one that the bytes are in if it cannot be that.

    Raises
    ------
    Unreadable
        The bytes are in no transfer syntax (big endian with implicit VRs), or what is announced is no
        UID.
    """
    plain = UNCOMPRESSED.get(encoding)
    if plain is None:
        raise Unreadable("implicit VRs in big endian are no transfer syntax")
    if announced == _GE_BIG_ENDIAN_PIXELS and plain == IMPLICIT_LITTLE:
        return announced
    if not announced or announced in UNCOMPRESSED.values() or plain != EXPLICIT_LITTLE:
        return plain
    if uid_or_none(announced) is None:
        raise Unreadable("transfer syntax is no UID", length=len(announced))
    return announced
