"""Typed UIDs, parsed once at the edge: inside, a value of the type is valid."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

from dicomcore.errors import InvalidUid

StudyUID = NewType("StudyUID", str)
SeriesUID = NewType("SeriesUID", str)
InstanceUID = NewType("InstanceUID", str)
FrameUID = NewType("FrameUID", str)
"""A Frame of Reference UID (0020,0052)."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)
MAX_LENGTH = 64


def parse_uid(text: str, *, keyword: str = "UID") -> str:
    """Return `text` without its padding, if it can be a UID.

    Raises
    ------
    InvalidUid
        Empty, longer than 64 characters, or anything but digits in components joined by dots.

    Notes
    -----
    PS3.5 9.1, with one leniency: a component may start with a zero. Such UIDs are in clinical
    archives, they are harmless in a key or a path, and an object must not be lost for them.
    """
    uid = text.rstrip("\0 ").lstrip(" ")
    if len(uid) > MAX_LENGTH or _UID.fullmatch(uid) is None:
        raise InvalidUid("not a UID", keyword=keyword, length=len(uid))
    return uid


def parse_study_uid(text: str) -> StudyUID:
    """Return a Study Instance UID (0020,000D)."""
    return StudyUID(parse_uid(text, keyword="StudyInstanceUID"))


def parse_series_uid(text: str) -> SeriesUID:
    """Return a Series Instance UID (0020,000E)."""
    return SeriesUID(parse_uid(text, keyword="SeriesInstanceUID"))


def parse_instance_uid(text: str) -> InstanceUID:
    """Return a SOP Instance UID (0008,0018)."""
    return InstanceUID(parse_uid(text, keyword="SOPInstanceUID"))


def uid_or_none(text: object) -> str | None:
    """Return a valid UID, or None for what real data hold instead: nothing, `UNKNOWN`, garbage."""
    try:
        return parse_uid(str(text))
    except InvalidUid:
        return None


@dataclass(frozen=True, slots=True, order=True)
class InstanceRef:
    """Where an instance is in the patient's hierarchy (PS3.3 7.2)."""

    study_instance_uid: StudyUID
    series_instance_uid: SeriesUID
    sop_instance_uid: InstanceUID


def parse_ref(study: str, series: str, instance: str) -> InstanceRef:
    """Return an `InstanceRef` from three texts.

    Raises
    ------
    InvalidUid
        One of them is not a UID; its keyword is in the facts.
    """
    return InstanceRef(
        parse_study_uid(study), parse_series_uid(series), parse_instance_uid(instance)
    )
