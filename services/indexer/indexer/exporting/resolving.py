"""From a selection to objects of the store: which instances, of which patient, in which versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence

from pydantic import Field

from dicomcore.errors import InvalidRequest
from dicomcore.export import ManifestDangling, ManifestMissing, ManifestPlan
from dicomcore.export_closure import Member, all_of, closure_of
from dicomcore.model import InstanceHeader, Kind, PlanDetails
from dicomcore.ports import FoundInstance, IndexDb, SearchScope
from dicomcore.query import Query, parse_term
from dicomcore.references import ReferenceGraph
from dicomcore.uids import parse_instance_uid
from dicomio.jobs.states import Frozen
from indexer.exporting.model import (
    InstancesSelection,
    PatientSelection,
    PlansSelection,
    QuerySelection,
    Selection,
    Where,
)

WHY_PATIENT = "all of the patient's data"
WHY_FOUND = "found by the search"
WHY_NAMED = "asked for by its UID"
NOT_INDEXED = "it is not in the index"
NO_PLAN = "it is no plan"
MAX_INSTANCES = 500_000
_PAGE = 1000


class Chosen(Frozen):
    """One instance, and the versions of it that are the patient's."""

    sop_instance_uid: str
    sop_class_uid: str = ""
    modality: str = ""
    why: str
    patient: int
    """Place in `Resolved.patients`."""
    object_keys: tuple[str, ...]


class Resolved(Frozen):
    """What is to be exported; kept, so that an attempt after a crash exports the same."""

    patients: tuple[str, ...] = Field(default=(), repr=False)
    """Patient IDs (0010,0020), sorted: their place is the number of their pseudonym."""
    chosen: tuple[Chosen, ...] = ()
    plans: tuple[ManifestPlan, ...] = Field(default=(), repr=False)
    missing: tuple[ManifestMissing, ...] = ()
    dangling: tuple[ManifestDangling, ...] = ()


async def resolve(index: IndexDb, selection: Selection) -> Resolved:
    """Return what a selection means now.

    Raises
    ------
    InvalidRequest
        A term cannot be understood, or there are too many instances for one export.
    IndexUnavailable
    """
    collected = _Collected(index)
    match selection:
        case PlansSelection():
            await collected.plans(selection.plans)
        case PatientSelection():
            await collected.patient(selection.patient)
        case QuerySelection():
            await collected.found(selection.query)
        case InstancesSelection():
            await collected.named(selection.instances)
    return collected.resolved()


class _Collected:
    """What has been found so far."""

    def __init__(self, index: IndexDb) -> None:
        self._index = index
        self._members: dict[str, dict[str, Member | FoundInstance]] = defaultdict(dict)
        """By Patient ID, then by SOP Instance UID."""
        self._keys: dict[tuple[str, str], list[str]] = defaultdict(list)
        """By Patient ID and SOP Instance UID."""
        self._why: dict[str, str] = {}
        self._plans: list[ManifestPlan] = []
        self._missing: list[ManifestMissing] = []
        self._dangling: list[ManifestDangling] = []

    async def plans(self, uids: Sequence[str]) -> None:
        wanted: dict[str, list[str]] = defaultdict(list)
        for uid in dict.fromkeys(uids):
            header = await self._header(uid)
            if header is None:
                self._lacks(uid, "the plan asked for", NOT_INDEXED)
            elif header.kind is not Kind.PLAN:
                self._lacks(uid, "the plan asked for", NO_PLAN)
            else:
                wanted[header.patient_id].append(uid)
                self._plans.append(_plan(header))
        for patient_id, plans in wanted.items():
            graph = await self._graph(patient_id)
            headers = [found for uid in plans if (found := graph.header(uid)) is not None]
            closure = closure_of(headers, graph)
            await self._take(patient_id, closure.members)
            self._dangling += (
                ManifestDangling(
                    uid=one.uid,
                    level=one.level,
                    relation=one.relation,
                    referenced_by=one.referenced_by,
                )
                for one in closure.dangling
            )

    async def patient(self, patient_id: str) -> None:
        await self._take(patient_id, all_of(await self._graph(patient_id), WHY_PATIENT))

    async def found(self, where: Where) -> None:
        query = Query([parse_term(term) for term in where.tag])
        scope = SearchScope(
            patient_id=where.patient_id,
            study_instance_uid=where.study_instance_uid,
            series_instance_uid=where.series_instance_uid,
            modality=where.modality,
        )
        after: tuple[int, int] | None = None
        number = 0
        while True:
            page = await self._index.search(query, scope, after=after, limit=_PAGE)
            for one in page.instances:
                uid = one.ref.sop_instance_uid
                self._members[one.patient_id].setdefault(uid, one)
                self._keys[one.patient_id, uid].append(one.object_key)
                self._why[uid] = WHY_FOUND
            number += len(page.instances)
            _bounded(number)
            if page.next is None:
                return
            after = page.next

    async def named(self, uids: Sequence[str]) -> None:
        for uid in dict.fromkeys(uids):
            versions = await self._index.versions(parse_instance_uid(uid))
            readable = [(one, one.header) for one in versions if one.header is not None]
            if not readable:
                self._lacks(uid, WHY_NAMED, NOT_INDEXED)
                continue
            newest = readable[-1][1]
            of_patient = [o for o, header in readable if header.patient_id == newest.patient_id]
            member = Member(newest.ref, newest.sop_class_uid, newest.modality, WHY_NAMED)
            self._members[newest.patient_id][uid] = member
            self._keys[newest.patient_id, uid] = [one.object_key for one in of_patient]
            self._why[uid] = WHY_NAMED

    def resolved(self) -> Resolved:
        patients = sorted(self._members)
        chosen = [
            Chosen(
                sop_instance_uid=uid,
                sop_class_uid=member.sop_class_uid if isinstance(member, Member) else "",
                modality=member.modality,
                why=self._why[uid],
                patient=place,
                object_keys=tuple(self._keys[patient_id, uid]),
            )
            for place, patient_id in enumerate(patients)
            for uid, member in sorted(self._members[patient_id].items())
        ]
        return Resolved(
            patients=tuple(patients),
            chosen=tuple(chosen),
            plans=tuple(self._plans),
            missing=tuple(self._missing),
            dangling=tuple(self._dangling),
        )

    async def _header(self, uid: str) -> InstanceHeader | None:
        versions = await self._index.versions(parse_instance_uid(uid))
        return next((one.header for one in reversed(versions) if one.header is not None), None)

    async def _graph(self, patient_id: str) -> ReferenceGraph:
        headers, stacks = await self._index.headers_of(patient_id)
        return ReferenceGraph(headers, stacks)

    async def _take(self, patient_id: str, members: Iterable[Member]) -> None:
        taken = {str(member.ref.sop_instance_uid): member for member in members}
        _bounded(len(taken))
        if not taken:
            return
        self._members[patient_id].update(taken)
        self._why.update({uid: member.why for uid, member in taken.items()})
        async for one in self._versions_of(patient_id):
            if one.ref.sop_instance_uid in taken:
                self._keys[patient_id, one.ref.sop_instance_uid].append(one.object_key)

    async def _versions_of(self, patient_id: str) -> AsyncIterator[FoundInstance]:
        after = 0
        while True:
            scope = SearchScope(patient_id=patient_id)
            page = await self._index.instances(scope, after=after, limit=_PAGE)
            for after, one in page:  # noqa: B007 - the last position is where the next page starts
                yield one
            if len(page) < _PAGE:
                return

    def _lacks(self, uid: str, why: str, reason: str) -> None:
        self._missing.append(ManifestMissing(uid=uid, level="instance", why=why, reason=reason))


def _plan(header: InstanceHeader) -> ManifestPlan:
    details = header.details if isinstance(header.details, PlanDetails) else PlanDetails()
    return ManifestPlan(
        sop_instance_uid=header.ref.sop_instance_uid,
        label=details.label,
        approval_status=details.approval_status,
        outcome="selected",
    )


def _bounded(number: int) -> None:
    if number > MAX_INSTANCES:
        raise InvalidRequest("too many instances for one export", limit=MAX_INSTANCES)
