"""Object keys: `instances/<study>/<series>/<instance>/<sha256[:16]>.dcm`, and back; safe keys."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dicomcore.errors import InvalidRequest, InvalidUid
from dicomcore.uids import InstanceRef, SeriesUID, StudyUID, parse_ref

INSTANCES = "instances/"
OUTBOX = "outbox/"
DIGEST_LENGTH = 16
MAX_KEY_BYTES = 1024
"""Of S3."""
MAX_COMPONENT_BYTES = 255
"""Of file systems."""
_DIGEST = re.compile(r"[0-9a-f]{16}")
# printable ASCII without what S3, POSIX or Windows treat specially; no dot first, no dot or space last
_COMPONENT = re.compile(r'(?![. ])[^\x00-\x1f\x7f-\U0010ffff\\/:*?"<>|]+(?<![. ])')
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


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


def check_key(text: str) -> str:
    """Return `text` if every object store can keep an object under it and nothing outside.

    Raises
    ------
    InvalidRequest
        Empty or too long; a component is empty, starts with a dot (`..`, hidden files), or holds what
        some object store or file system cannot: beyond printable ASCII, a backslash, ``: * ? " < > |``.
    """
    if len(text) > MAX_KEY_BYTES or not all(map(_is_component, text.split("/"))):
        raise InvalidRequest("not a safe object key", length=len(text))
    return text


def check_prefix(text: str) -> str:
    """Return `text` if it can be the beginning of a safe key; the empty text can.

    Raises
    ------
    InvalidRequest
        No safe key starts like this.
    """
    complete, slash, last = text.rpartition("/")
    if slash:
        check_key(complete)
    if len(text) > MAX_KEY_BYTES or not _is_component(f"{last}0"):
        raise InvalidRequest("not the beginning of a safe object key", length=len(text))
    return text


def _is_component(text: str) -> bool:
    return (
        len(text) <= MAX_COMPONENT_BYTES
        and _COMPONENT.fullmatch(text) is not None
        and _WINDOWS_DEVICE.fullmatch(text) is None
    )
