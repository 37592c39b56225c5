"""What a PACS says exists, from its C-FIND replies, filtered again on our side.

Replies are not trusted: some peers ignore matching keys and return everything, some omit optional
attributes, some answer no query at IMAGE level. An attribute that was not returned is None here;
one that came back empty is the empty value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pydicom import Dataset
from pydicom.valuerep import PersonName

from dicomcore.errors import InvalidRequest, InvalidUid
from dicomcore.uids import (
    InstanceRef,
    InstanceUID,
    SeriesUID,
    StudyUID,
    parse_instance_uid,
    parse_series_uid,
    parse_study_uid,
    uid_or_none,
)

STUDY_KEYS: Mapping[str, str] = {
    "PatientID": "",
    "StudyInstanceUID": "",
    "NumberOfStudyRelatedInstances": "",
}
SERIES_KEYS: Mapping[str, str] = {
    "StudyInstanceUID": "",
    "SeriesInstanceUID": "",
    "Modality": "",
    "NumberOfSeriesRelatedInstances": "",
}
INSTANCE_KEYS: Mapping[str, str] = {
    "StudyInstanceUID": "",
    "SeriesInstanceUID": "",
    "SOPInstanceUID": "",
    "SOPClassUID": "",
}
PLAN_KEYS: Mapping[str, str] = {"RTPlanLabel": "", "ApprovalStatus": ""}
FRAME_KEYS: Mapping[str, str] = {"FrameOfReferenceUID": ""}
REFERENCED_PLAN_KEYS: Mapping[str, str] = {"ReferencedRTPlanSequence/ReferencedSOPInstanceUID": ""}


@dataclass(frozen=True, slots=True)
class SeriesEntry:
    """One series the PACS listed."""

    study_instance_uid: StudyUID
    series_instance_uid: SeriesUID
    modality: str = ""
    number_of_instances: int | None = None
    """Number of Series Related Instances (0020,1209), where the peer gives it."""


@dataclass(frozen=True, slots=True)
class InstanceEntry:
    """One instance the PACS listed, with what it told beyond the unique keys."""

    ref: InstanceRef
    sop_class_uid: str = ""
    label: str | None = field(default=None, repr=False)
    """RT Plan Label (300A,0002)."""
    approval_status: str | None = None
    frame_of_reference_uid: str | None = None
    referenced_plan_uids: tuple[str, ...] | None = None

    @property
    def uid(self) -> InstanceUID:
        """The SOP Instance UID."""
        return self.ref.sop_instance_uid


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The series of one patient, and the instances of those series that were listed.

    Notes
    -----
    Immutable: `with_series` and `with_instances` return a new one, so that a planner's step can
    never see half an update.
    """

    series: Mapping[SeriesUID, SeriesEntry] = field(default_factory=dict)
    instances: Mapping[SeriesUID, tuple[InstanceEntry, ...]] = field(default_factory=dict)
    """Only series that were listed at IMAGE level; an empty tuple says listed, and empty."""
    replies: Mapping[SeriesUID, int] = field(default_factory=dict)
    """How many instances the peer listed, before the same UID was folded into one: an archive that
    holds two versions of an instance lists, and counts, both."""
    unlistable: frozenset[SeriesUID] = frozenset()
    """Series whose instances the peer refuses to list."""

    def with_series(self, entries: Iterable[SeriesEntry]) -> Catalogue:
        """Return a catalogue that knows these series too; the first entry of a UID stays."""
        series = dict(self.series)
        for entry in entries:
            series.setdefault(entry.series_instance_uid, entry)
        return replace(self, series=series)

    def with_instances(self, series: SeriesUID, entries: Iterable[InstanceEntry]) -> Catalogue:
        """Return a catalogue in which `series` is listed; entries are ordered and made unique."""
        entries = list(entries)
        unique = {e.uid: e for e in sorted(entries, key=lambda e: e.ref, reverse=True)}
        ordered = tuple(sorted(unique.values(), key=lambda e: e.ref))
        return replace(
            self,
            instances={**self.instances, series: ordered},
            replies={**self.replies, series: len(entries)},
        )

    def with_unlistable(self, series: SeriesUID) -> Catalogue:
        """Return a catalogue that knows the peer will not list `series`."""
        return replace(self, unlistable=self.unlistable | {series})

    def known_instances(self) -> int | None:
        """Number of instances the PACS says the patient has; None if it did not say for all."""
        total = 0
        for uid, entry in self.series.items():
            listed = self.instances.get(uid)
            number = len(listed) if listed is not None else entry.number_of_instances
            if number is None:
                return None
            total += number
        return total


def exact(value: str) -> str:
    """Return a value that C-FIND will match as it stands.

    Raises
    ------
    InvalidRequest
        It holds `*`, `?` or a backslash, which a peer would read as a pattern or as two values
        (PS3.4 C.2.2.2.4, PS3.5 6.2); or a control character.
    """
    if any(c in "*?\\" or ord(c) < 32 for c in value):
        raise InvalidRequest("identifier holds a wildcard, a backslash or a control character")
    return value


def studies_of(replies: Iterable[Dataset], patient_id: str) -> tuple[StudyUID, ...]:
    """Return the studies that are this patient's: the replied Patient ID must be the same."""
    found: set[StudyUID] = set()
    for reply in replies:
        if _text(reply, "PatientID") != patient_id.strip(" "):
            continue
        uid = uid_or_none(_text(reply, "StudyInstanceUID"))
        if uid is not None:
            found.add(StudyUID(uid))
    return tuple(sorted(found))


def series_of(replies: Iterable[Dataset], study: StudyUID) -> tuple[SeriesEntry, ...]:
    """Return the series of one study; replies that name another study are dropped."""
    found: list[SeriesEntry] = []
    for reply in replies:
        if _text(reply, "StudyInstanceUID") not in (study, ""):
            continue
        uid = uid_or_none(_text(reply, "SeriesInstanceUID"))
        if uid is None:
            continue
        found.append(
            SeriesEntry(
                study,
                SeriesUID(uid),
                _text(reply, "Modality"),
                _number(reply, "NumberOfSeriesRelatedInstances"),
            )
        )
    return tuple(found)


def instances_of(replies: Iterable[Dataset], series: SeriesEntry) -> tuple[InstanceEntry, ...]:
    """Return the instances of one series; replies that name another series are dropped."""
    found: list[InstanceEntry] = []
    for reply in replies:
        if _text(reply, "StudyInstanceUID") not in (series.study_instance_uid, ""):
            continue
        if _text(reply, "SeriesInstanceUID") not in (series.series_instance_uid, ""):
            continue
        try:
            ref = InstanceRef(
                parse_study_uid(series.study_instance_uid),
                parse_series_uid(series.series_instance_uid),
                parse_instance_uid(_text(reply, "SOPInstanceUID")),
            )
        except InvalidUid:
            continue
        found.append(
            InstanceEntry(
                ref,
                sop_class_uid=_text(reply, "SOPClassUID"),
                label=_optional(reply, "RTPlanLabel"),
                approval_status=_optional(reply, "ApprovalStatus"),
                frame_of_reference_uid=_optional(reply, "FrameOfReferenceUID"),
                referenced_plan_uids=_referenced_plans(reply),
            )
        )
    return tuple(found)


def _optional(reply: Dataset, keyword: str) -> str | None:
    return _text(reply, keyword) if keyword in reply else None


def _text(reply: Dataset, keyword: str) -> str:
    """The value as one text, without padding; several values keep their backslashes."""
    value = reply.get(keyword)
    if value is None:
        return ""
    if isinstance(value, str | PersonName | int):
        return str(value).strip(" \0")
    try:
        return "\\".join(str(v) for v in value).strip(" \0")
    except TypeError:
        return str(value).strip(" \0")


def _number(reply: Dataset, keyword: str) -> int | None:
    text = _text(reply, keyword)
    return int(text) if text.isascii() and text.isdigit() else None


def _referenced_plans(reply: Dataset) -> tuple[str, ...] | None:
    if "ReferencedRTPlanSequence" not in reply:
        return None
    items = reply.get("ReferencedRTPlanSequence") or ()
    if not isinstance(items, Iterable):
        return ()
    uids = (_text(i, "ReferencedSOPInstanceUID") for i in items if isinstance(i, Dataset))
    return tuple(sorted({u for u in uids if u}))
