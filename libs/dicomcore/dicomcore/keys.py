"""Object keys: `instances/<study>/<series>/<instance>/<sha256[:16]>.dcm`, and back."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dicomcore.errors import InvalidRequest, InvalidUid
from dicomcore.uids import InstanceRef, SeriesUID, StudyUID, parse_ref

INSTANCES = "instances/"
OUTBOX = "outbox/"
DIGEST_LENGTH = 16
_DIGEST = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """One version of one instance: different bytes under one SOP Instance UID differ in digest."""

    ref: InstanceRef
    digest: str
    """The first 16 hexadecimal digits of the object's SHA-256."""

    def __str__(self) -> str:
        return f"{instance_prefix(self.ref)}{self.digest}.dcm"


def object_key(ref: InstanceRef, sha256: str) -> ObjectKey:
    """Return the key under which an object with this SHA-256 (hexadecimal) is kept."""
    return ObjectKey(ref, sha256[:DIGEST_LENGTH])


def parse_object_key(text: str) -> ObjectKey:
    """Return the parts of a key.

    Raises
    ------
    InvalidRequest
        Not a key of an instance.
    """
    parts = text.split("/")
    digest, dot, suffix = parts[-1].partition(".")
    if len(parts) != 5 or f"{parts[0]}/" != INSTANCES or (dot, suffix) != (".", "dcm"):
        raise InvalidRequest("not an object key")
    if _DIGEST.fullmatch(digest) is None:
        raise InvalidRequest("not an object key: no digest")
    try:
        return ObjectKey(parse_ref(*parts[1:4]), digest)
    except InvalidUid as exc:
        raise InvalidRequest("not an object key: not a UID") from exc


def study_prefix(study: StudyUID) -> str:
    """Return the prefix of every object of a study."""
    return f"{INSTANCES}{study}/"


def series_prefix(study: StudyUID, series: SeriesUID) -> str:
    """Return the prefix of every object of a series."""
    return f"{INSTANCES}{study}/{series}/"


def instance_prefix(ref: InstanceRef) -> str:
    """Return the prefix of every version of an instance."""
    return f"{INSTANCES}{ref.study_instance_uid}/{ref.series_instance_uid}/{ref.sop_instance_uid}/"
