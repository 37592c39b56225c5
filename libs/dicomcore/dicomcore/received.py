"""What comes in over an association, and what it is once it has landed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from dicomcore.keys import ObjectKey


@dataclass(frozen=True, slots=True)
class Received:
    """One C-STORE request, as it came: the data set encoded, untouched."""

    sop_class_uid: str
    """Affected SOP Class UID (0000,0002)."""
    sop_instance_uid: str
    """Affected SOP Instance UID (0000,1000); not yet parsed, it comes from the network."""
    transfer_syntax_uid: str
    """Of the presentation context."""
    data: bytes | bytearray | memoryview = field(repr=False)
    """The encoded data set, without Part 10 header. Whoever receives it may use the buffer again when
    the call that it was handed to has returned."""
    calling_ae_title: str = ""
    sha256: str = ""
    """What `dicomcore.landing.begun` gave after the data set, hexadecimal, where it was computed while
    the bytes came; empty: not yet."""


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """One object that is durable in the object store."""

    key: ObjectKey
    sop_class_uid: str
    transfer_syntax_uid: str
    sha256: str
    """Of the whole object, Part 10 header included; hexadecimal."""
    size_bytes: int
    stored_at: datetime
    """UTC."""
    created: bool
    """False: the same bytes were there already."""
    patient_id: str = field(default="", repr=False)
    """Patient ID (0010,0020), for the audit trail only."""
