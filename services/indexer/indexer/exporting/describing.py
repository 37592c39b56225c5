"""The manifest of an export job, and its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version

from dicomcore.export import (
    Manifest,
    ManifestAnonymization,
    ManifestCounts,
    ManifestDangling,
    ManifestInstance,
    ManifestMissing,
    ManifestPlan,
    ManifestQuarantined,
    ManifestRequest,
)
from dicomio.exporting.publishing import NotTaken
from dicomio.jobs.states import Progress, State
from indexer.exporting.model import ExportReport, ExportRequest, Held, NotThere
from indexer.exporting.resolving import Resolved

SHOWN = 1000
"""Missing and held back objects of a report; all are in the manifest."""
NOTHING = "Nothing of what was asked for is there."
_LONGEST_MODALITY = 8
"""Longer than any defined term; a name may be in an attribute that does not hold what it should."""
_APPROVALS = ("APPROVED", "UNAPPROVED", "REJECTED")


@dataclass(frozen=True, slots=True)
class Anonymised:
    """What takes the place of what originals say."""

    anonymization: ManifestAnonymization
    new_uid: Callable[[str], str]
    labels: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of exported plans, by new UID, as the profile left them."""


@dataclass(frozen=True, slots=True)
class Course:
    """How an export went, before it is described."""

    request: ExportRequest
    resolved: Resolved
    missing: tuple[ManifestMissing, ...]
    quarantined: tuple[ManifestQuarantined, ...] = ()
    anonymised: Anonymised | None = None
    failed: bool = False
    """Something was held back, and nothing leaves for that."""


def describe(
    course: Course, entries: Sequence[ManifestInstance], not_taken: Sequence[NotTaken]
) -> Manifest:
    """Return the manifest; of an anonymised export, without anything of the originals."""
    missing = [*course.missing, *(_missing_of(one, entries) for one in not_taken)]
    gone = {one.sop_instance_uid for one in not_taken}
    arrived = tuple(entry for entry in entries if entry.sop_instance_uid not in gone)
    plain = Manifest(
        software=f"dicomtools {version('dicomtools')}",
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        state=_state(course, arrived, missing).value,
        request=ManifestRequest(method="export", selection=_kind(course.request)),
        counts=ManifestCounts(
            instances=sum(entry.newest for entry in arrived),
            files=len(arrived),
            size_bytes=sum(entry.size_bytes for entry in arrived),
            missing=len(missing),
            dangling=len(course.resolved.dangling),
            bytes_moved=sum(entry.size_bytes for entry in arrived),
        ),
        plans=course.resolved.plans,
        instances=arrived,
        missing=tuple(missing),
        dangling=course.resolved.dangling,
        quarantined=course.quarantined,
        messages=() if arrived or course.quarantined else (NOTHING,),
    )
    return plain if course.anonymised is None else _redacted(plain, course.anonymised, gone)


def report_of(manifest: Manifest, prefix: str) -> ExportReport:
    """Return how an export ended, by its manifest."""
    counts = manifest.counts
    not_there = [
        *(
            NotThere(uid=one.uid, level=one.level, why=one.why, reason=one.reason)
            for one in manifest.missing
        ),
        *(
            NotThere(uid=one.uid, level=one.level, why=one.relation, reason="referenced, not there")
            for one in manifest.dangling
        ),
    ]
    return ExportReport(
        progress=Progress(
            state=State(manifest.state),
            expected=counts.files + counts.missing + len(manifest.quarantined),
            landed=counts.files,
            bytes_moved=counts.size_bytes,
            instances_moved=counts.instances,
        ),
        prefix=prefix,
        instances=counts.instances,
        files=counts.files,
        size_bytes=counts.size_bytes,
        not_there=len(not_there),
        held_back=len(manifest.quarantined),
        missing=tuple(not_there[:SHOWN]),
        quarantined=tuple(
            Held(sop_instance_uid=one.sop_instance_uid, faults=one.faults)
            for one in manifest.quarantined[:SHOWN]
        ),
        pseudonym_map=(
            manifest.anonymization.pseudonym_map if manifest.anonymization is not None else ""
        ),
        messages=manifest.messages,
    )


def _state(
    course: Course, arrived: Sequence[ManifestInstance], missing: Sequence[ManifestMissing]
) -> State:
    if not arrived or course.failed:
        return State.FAILED
    if missing or course.resolved.dangling or course.quarantined:
        return State.PARTIAL
    return State.COMPLETE


def _redacted(plain: Manifest, anonymised: Anonymised, new: set[str]) -> Manifest:
    """Return the manifest under new UIDs; what is in `new` has one already."""
    new_uid = anonymised.new_uid
    return plain.model_copy(
        update={
            "anonymization": anonymised.anonymization,
            "plans": tuple(_plan(plan, anonymised) for plan in plain.plans),
            "missing": tuple(
                _lacking(one, one.uid if one.uid in new else new_uid(one.uid))
                for one in plain.missing
            ),
            "dangling": tuple(_dangling(one, new_uid) for one in plain.dangling),
        }
    )


def _lacking(one: ManifestMissing, uid: str) -> ManifestMissing:
    known = one.modality.isalpha() and len(one.modality) <= _LONGEST_MODALITY
    return one.model_copy(update={"uid": uid, "modality": one.modality if known else ""})


def _plan(plan: ManifestPlan, anonymised: Anonymised) -> ManifestPlan:
    uid = anonymised.new_uid(plan.sop_instance_uid)
    approval = plan.approval_status
    return plan.model_copy(
        update={
            "sop_instance_uid": uid,
            "label": anonymised.labels.get(uid, ""),
            "approval_status": approval if approval in _APPROVALS else "",
        }
    )


def _dangling(one: ManifestDangling, new_uid: Callable[[str], str]) -> ManifestDangling:
    return one.model_copy(
        update={"uid": new_uid(one.uid), "referenced_by": new_uid(one.referenced_by)}
    )


def _missing_of(one: NotTaken, entries: Sequence[ManifestInstance]) -> ManifestMissing:
    entry = next(e for e in entries if e.sop_instance_uid == one.sop_instance_uid)
    return ManifestMissing(
        uid=one.sop_instance_uid,
        level="instance",
        modality=entry.modality,
        why=entry.why,
        reason=one.reason,
    )


def _kind(request: ExportRequest) -> str:
    return next(iter(type(request.selection).model_fields))
