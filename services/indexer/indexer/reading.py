"""From an announcement, or a listing, to what the index keeps of an object."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from datetime import datetime

import structlog

from dicomcore.attributes import Attribute
from dicomcore.errors import InvalidRequest, Rejected
from dicomcore.events import CloudEvent, InstanceStored, decode
from dicomcore.keys import DIGEST_LENGTH, parse_object_key
from dicomcore.ports import IndexedInstance, ObjectStat, ObjectStore
from dicomcore.uids import InstanceRef, parse_ref
from dicomio.stored_header import fetch_instance

log = structlog.get_logger(__name__)

# What a decoder raises on data that nobody has foreseen; not what a network does.
_DECODER_FAULTS = (
    ValueError,
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    AssertionError,
    EOFError,
    RecursionError,
    NotImplementedError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class Announced:
    """What is known of an object before it is read."""

    object_key: str
    ref: InstanceRef
    sha256: str
    """Whole, or its first 16 digits."""
    size_bytes: int
    stored_at: datetime
    sop_class_uid: str


def announced_by_event(body: bytes) -> Announced:
    """Return what a `dicom.instance.stored.v1` event announces.

    Raises
    ------
    Unreadable
        Not such an event.
    InvalidRequest, InvalidUid
        The event contradicts itself.
    """
    stored = decode(body, InstanceStored)
    time = CloudEvent.model_validate_json(body).time
    key = parse_object_key(stored.object_key)
    said = parse_ref(stored.study_instance_uid, stored.series_instance_uid, stored.sop_instance_uid)
    if key.ref != said or stored.sha256[:DIGEST_LENGTH] != key.digest or time.tzinfo is None:
        raise InvalidRequest("the event contradicts its object key", object_key=stored.object_key)
    return Announced(
        object_key=stored.object_key,
        ref=key.ref,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        stored_at=time,
        sop_class_uid=stored.sop_class_uid,
    )


def announced_by_listing(stat: ObjectStat) -> Announced:
    """Return what the store says of an object.

    Raises
    ------
    InvalidRequest
        Its key is not that of an instance.
    """
    key = parse_object_key(stat.key)
    return Announced(
        object_key=stat.key,
        ref=key.ref,
        sha256=key.digest,
        size_bytes=stat.size_bytes,
        stored_at=stat.modified_at,
        sop_class_uid="",
    )


def read_version(store: ObjectStore, announced: Announced) -> IndexedInstance:
    """Return what the index keeps of an object: header and attributes, or the problem with it.

    Blocks. An object that cannot be understood is an answer here, not an error: it is kept and
    marked, and nothing waits for it.

    Raises
    ------
    NotFound
        No such object.
    ObjectStoreUnavailable
        The store does not answer.
    """
    key = announced.object_key
    header = None
    attributes: tuple[Attribute, ...] = ()
    problem = ""
    try:
        header, flattened = fetch_instance(store, key, announced.size_bytes)
        attributes = flattened.attributes
        if flattened.cut:
            log.warning("attributes_cut", object_key=key, attributes=len(attributes))
    except Rejected as exc:
        problem = str(exc)
    except _DECODER_FAULTS as exc:
        # It is our fault, and the log says where, but the next attempt would end in the same way.
        log.exception("header_reader_failed", object_key=key)
        problem = f"the reader failed: {type(exc).__name__}"
    if header is not None and header.ref != announced.ref:
        header, attributes = None, ()
        problem = "the identity of the instance differs from the object key"
    return IndexedInstance(
        object_key=key,
        ref=announced.ref,
        sop_class_uid=(header and header.sop_class_uid) or announced.sop_class_uid,
        sha256=announced.sha256,
        size_bytes=announced.size_bytes,
        stored_at=announced.stored_at,
        header=header,
        problem=problem,
        attributes=attributes,
    )
