"""What a received data set is called and how it is kept: its bytes, with a Part 10 header before them."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, field

from dicomcore.errors import InvalidInstance, InvalidUid, SopClassMismatch, Unreadable
from dicomcore.keys import ObjectKey, object_key
from dicomcore.part10 import part10_header
from dicomcore.readers.charsets import decode
from dicomcore.received import Received
from dicomcore.uids import parse_ref, parse_uid
from dicomcore.walk import UNDEFINED_LENGTH, Buffer, Encoding, top_level

MAX_INFLATED_BYTES = 1 << 29
"""What a deflated data set may become in memory; a larger one is taken for an attack."""

_IDENTITY = {
    0x00080016: "SOPClassUID",
    0x00080018: "SOPInstanceUID",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
}
_WANTED = {**_IDENTITY, 0x00080005: "SpecificCharacterSet", 0x00100020: "PatientID"}
_EXPLICIT_LITTLE = Encoding(implicit_vr=False, little_endian=True)
_ENCODINGS = {
    "1.2.840.10008.1.2": Encoding(implicit_vr=True, little_endian=True),
    "1.2.840.10008.1.2.2": Encoding(implicit_vr=False, little_endian=False),
    # GE's private one: big endian in the pixels only
    "1.2.840.113619.5.2": Encoding(implicit_vr=True, little_endian=True),
}
_LONGEST_TEXT = 1024
_DEFLATED = frozenset(
    (
        "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    )
)


@dataclass(frozen=True, slots=True)
class Landing:
    """An object that is ready to be put."""

    key: ObjectKey
    sop_class_uid: str
    transfer_syntax_uid: str
    sha256: str
    """Of the concatenated parts; hexadecimal."""
    size_bytes: int
    parts: tuple[bytes, memoryview] = field(repr=False)
    """The Part 10 header, and the data set as it was received."""
    patient_id: str = field(default="", repr=False)
    """Patient ID (0010,0020), for the audit trail; empty if there is none."""


def prepare(received: Received) -> Landing:
    """Return the object to keep; the data set is neither decoded nor changed.

    Deterministic: the same data set in the same transfer syntax is the same object, whoever sent it.

    Raises
    ------
    Unreadable
        The data set is cut off, or its elements cannot be told apart.
    InvalidInstance
        It lacks one of the four UIDs that identify it, or one is not a UID, or is there twice with
        different values; or the request's own UIDs are not UIDs.
    SopClassMismatch
        It is of another SOP class, or instance, than the request says.

    Notes
    -----
    PS3.4 B.2.3, PS3.10 7.1.
    """
    found = _identity(received)
    try:
        ref = parse_ref(
            found["StudyInstanceUID"], found["SeriesInstanceUID"], found["SOPInstanceUID"]
        )
        sop_class_uid = parse_uid(found["SOPClassUID"], keyword="SOPClassUID")
        affected_class = parse_uid(received.sop_class_uid, keyword="AffectedSOPClassUID")
        affected_instance = parse_uid(received.sop_instance_uid, keyword="AffectedSOPInstanceUID")
        syntax = parse_uid(received.transfer_syntax_uid, keyword="TransferSyntaxUID")
    except InvalidUid as exc:
        raise InvalidInstance("identifying attribute is not a UID", **exc.facts) from exc
    if sop_class_uid != affected_class:
        raise SopClassMismatch("data set is of another SOP class", sop_class_uid=sop_class_uid)
    if ref.sop_instance_uid != affected_instance:
        raise SopClassMismatch("data set is another SOP instance")
    header = part10_header(sop_class_uid, ref.sop_instance_uid, syntax)
    data = memoryview(received.data)
    # the request's UIDs are the data set's here, so that the digest begun with them is the object's
    sha256 = received.sha256 or _sha256(header, data)
    return Landing(
        key=object_key(ref, sha256),
        sop_class_uid=sop_class_uid,
        transfer_syntax_uid=syntax,
        sha256=sha256,
        size_bytes=len(header) + len(data),
        parts=(header, data),
        patient_id=found.get("PatientID", ""),
    )


@dataclass(frozen=True, slots=True)
class Begun:
    """An object whose data set has yet to come."""

    header_bytes: int
    """How long its Part 10 header is."""
    digest: hashlib._Hash
    """Its SHA-256, to which the data set has yet to be added."""


def begun(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> Begun | None:
    """Return the beginning of an object, before its data set has come.

    It is what the C-STORE request and its presentation context say: `prepare` refuses a data set that
    says otherwise. None if they are not UIDs; `prepare` refuses that as well.
    """
    try:
        header = part10_header(
            parse_uid(sop_class_uid, keyword="AffectedSOPClassUID"),
            parse_uid(sop_instance_uid, keyword="AffectedSOPInstanceUID"),
            parse_uid(transfer_syntax_uid, keyword="TransferSyntaxUID"),
        )
    except InvalidUid:
        return None
    return Begun(len(header), hashlib.sha256(header))


def _sha256(header: bytes, data: memoryview) -> str:
    whole = hashlib.sha256(header)
    whole.update(data)
    return whole.hexdigest()


def _identity(received: Received) -> dict[str, str]:
    """Return the four identifying UIDs by keyword, as they are written."""
    syntax = received.transfer_syntax_uid.rstrip("\0 ")
    data = _inflate(received.data) if syntax in _DEFLATED else received.data
    encoding = _ENCODINGS.get(syntax, _EXPLICIT_LITTLE)
    try:
        found = _walk(data, encoding)
    except Unreadable as unreadable:
        # some senders announce explicit VRs and send implicit ones, or the other way round
        other = Encoding(not encoding.implicit_vr, encoding.little_endian)
        try:
            found = _walk(data, other)
        except Unreadable:
            raise unreadable from None
    for keyword in _IDENTITY.values():
        if not found.get(keyword, "").strip("\0 "):
            raise InvalidInstance("identifying attribute is missing", keyword=keyword)
    return found


def _walk(data: Buffer, encoding: Encoding) -> dict[str, str]:
    """Return the identifying UIDs that are there; the walk goes to the end, so that a cut shows."""
    found: dict[str, str] = {}
    texts: dict[str, bytes] = {}
    view = memoryview(data)
    for element in top_level(view, encoding, _WANTED):
        if element.length == UNDEFINED_LENGTH:
            continue
        keyword = _WANTED[element.tag]
        raw = view[element.start : element.start + element.length].tobytes()
        if element.tag not in _IDENTITY:
            texts[keyword] = raw[:_LONGEST_TEXT]
            continue
        # latin-1 takes every byte: what is not a UID is found by its parser
        value = raw.decode("latin-1")
        if found.setdefault(keyword, value) != value:
            raise InvalidInstance("identifying attribute is there twice", keyword=keyword)
    charset = texts.get("SpecificCharacterSet", b"")
    found["PatientID"] = decode(texts.get("PatientID", b""), charset).strip(" \0")
    return found


def _inflate(data: Buffer) -> bytes:
    """Return an inflated data set (PS3.5 A.5)."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as exc:
        raise Unreadable("deflated data set cannot be inflated") from exc
    if inflater.unconsumed_tail:
        raise Unreadable("deflated data set is too large", limit_bytes=MAX_INFLATED_BYTES)
    if not inflater.eof:
        raise Unreadable("deflated data set is cut off")
    return inflated
