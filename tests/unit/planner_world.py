"""A made-up PACS in memory for the planner's tests, and an oracle that knows all headers at once.

The oracle is written from the rules in words (`dicomcore.planner.closure`), as sets over complete
knowledge, without steps, stages or demands: it shares no code with the planner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from dicomcore.catalogue import Catalogue, InstanceEntry, SeriesEntry
from dicomcore.model import (
    InstanceHeader,
    Kind,
    Level,
    PlanDetails,
    Reference,
    RegistrationDetails,
    Relation,
)
from dicomcore.planner import (
    Fetch,
    Finished,
    Knowledge,
    ListSeries,
    Outcome,
    ReadHeaders,
    Selection,
    next_step,
)
from dicomcore.uids import FrameUID, InstanceRef, InstanceUID, SeriesUID, StudyUID

MODALITY = {
    Kind.PLAN: "RTPLAN",
    Kind.STRUCTURE_SET: "RTSTRUCT",
    Kind.DOSE: "RTDOSE",
    Kind.RT_IMAGE: "RTIMAGE",
    Kind.RECORD: "RTRECORD",
    Kind.REGISTRATION: "REG",
}


def header(
    uid: str,
    kind: Kind,
    *,
    series: str | None = None,
    frame: str | None = None,
    modality: str = "CT",
    refs: Iterable[Reference] = (),
    label: str = "",
    approval: str = "",
) -> InstanceHeader:
    """One instance; its study and series follow from its UID unless told."""
    details = None
    if kind is Kind.PLAN:
        details = PlanDetails(label=label, approval_status=approval)
    if kind is Kind.REGISTRATION:
        frames = [r.uid for r in refs if r.relation is Relation.FRAME_OF_REFERENCE]
        details = RegistrationDetails(frames=tuple(FrameUID(f) for f in frames))
    return InstanceHeader(
        InstanceRef(StudyUID("1.1"), SeriesUID(series or f"{uid}.9"), InstanceUID(uid)),
        sop_class_uid=f"1.2.3.{list(Kind).index(kind)}",
        kind=kind,
        modality=MODALITY.get(kind, modality),
        frame_of_reference_uid=FrameUID(frame) if frame else None,
        references=tuple(refs),
        details=details,
    )


def ref(relation: Relation, uid: str, *, series: str = "") -> Reference:
    """A reference at the level its relation implies."""
    level = {
        Relation.IMAGE_SERIES: Level.SERIES,
        Relation.FRAME_OF_REFERENCE: Level.FRAME,
    }.get(relation, Level.INSTANCE)
    return Reference(relation, uid, level, series_instance_uid=series)


@dataclass
class World:
    """A PACS that holds some instances, and an object store that starts empty."""

    headers: dict[str, InstanceHeader]
    tells_label: bool = True
    tells_plans: bool = True
    tells_frame: bool = True
    tells_modality: bool = True
    unlistable: frozenset[str] = frozenset()
    counts: bool = True
    broken: dict[str, str] = field(default_factory=dict)
    """UIDs that never come → reason."""
    landed: set[str] = field(default_factory=set)
    fetched: list[str] = field(default_factory=list)
    steps: int = 0

    def catalogue(self) -> Catalogue:
        series: dict[str, list[InstanceHeader]] = {}
        for h in self.headers.values():
            series.setdefault(h.ref.series_instance_uid, []).append(h)
        return Catalogue().with_series(
            SeriesEntry(
                StudyUID("1.1"),
                SeriesUID(uid),
                group[0].modality if self.tells_modality else "",
                len(group) if self.counts else None,
            )
            for uid, group in series.items()
        )

    def entry(self, h: InstanceHeader) -> InstanceEntry:
        plan = h.details if isinstance(h.details, PlanDetails) else None
        plans = h.targets(Relation.PLAN)
        return InstanceEntry(
            h.ref,
            h.sop_class_uid,
            label=plan.label if plan and self.tells_label else None,
            approval_status=plan.approval_status if plan and self.tells_label else None,
            frame_of_reference_uid=(h.frame_of_reference_uid or "") if self.tells_frame else None,
            referenced_plan_uids=plans if self.tells_plans else None,
        )

    def of_series(self, series: str) -> list[InstanceHeader]:
        return [h for h in self.headers.values() if h.ref.series_instance_uid == series]

    def run(
        self,
        selection: Selection,
        *,
        order: Callable[[list[str]], list[str]] = list,
        known: Knowledge | None = None,
    ) -> Outcome:
        """Carry steps out until finished, checking what every step must keep."""
        known = known or Knowledge(catalogue=self.catalogue())
        known = self._look(known)
        limit = 20 * (len(self.headers) + 5)
        while True:
            step = next_step(selection, known)
            assert step == next_step(selection, known), "the same knowledge gives the same step"
            self.steps += 1
            assert self.steps < limit, "it terminates"
            match step:
                case Finished():
                    return step.outcome
                case ListSeries():
                    known = self._list(known, step)
                case ReadHeaders():
                    read = {r.sop_instance_uid: self.headers[r.sop_instance_uid] for r in step.refs}
                    assert not read.keys() & known.headers.keys(), "nothing is read twice"
                    known = replace(known, headers={**known.headers, **read})
                case Fetch():
                    known = self._fetch(known, step, order)

    def _list(self, known: Knowledge, step: ListSeries) -> Knowledge:
        catalogue = known.catalogue
        for series in step.series:
            assert series not in catalogue.instances
            assert series not in catalogue.unlistable
            if series in self.unlistable or "*" in self.unlistable:
                catalogue = catalogue.with_unlistable(series)
            else:
                catalogue = catalogue.with_instances(
                    series, [self.entry(h) for h in self.of_series(series)]
                )
        return replace(known, catalogue=catalogue)

    def _fetch(
        self, known: Knowledge, step: Fetch, order: Callable[[list[str]], list[str]]
    ) -> Knowledge:
        uids: list[str] = []
        for want in step.wants:
            if want.sop_instance_uid is None:
                assert want.series_instance_uid not in known.moved_series
                uids += [h.ref.sop_instance_uid for h in self.of_series(want.series_instance_uid)]
                known = replace(known, moved_series=known.moved_series | {want.series_instance_uid})
            else:
                assert want.sop_instance_uid not in self.landed, "never asks for what has landed"
                assert want.sop_instance_uid not in known.given_up
                uids.append(want.sop_instance_uid)
        assert uids or all(w.sop_instance_uid is None for w in step.wants)
        for uid in order(uids):
            if uid in self.broken:
                known = replace(known, given_up={**known.given_up, uid: self.broken[uid]})
            elif uid not in self.landed:
                self.landed.add(uid)
                self.fetched.append(uid)
        return self._look(known)

    def _look(self, known: Knowledge) -> Knowledge:
        landed: dict[SeriesUID, set[InstanceUID]] = {}
        for uid in self.landed:
            r = self.headers[uid].ref
            landed.setdefault(r.series_instance_uid, set()).add(r.sop_instance_uid)
        return replace(known, landed=landed)


# ── the oracle ──────────────────────────────────────────────────────────────────────────────


def oracle(  # noqa: C901, PLR0912, PLR0915 - the rules in one piece, to be read beside the planner
    headers: Iterable[InstanceHeader], plans: set[str]
) -> set[str]:
    """The closure of some plans, knowing everything."""
    by_uid = {str(h.ref.sop_instance_uid): h for h in headers}
    closure = set(plans)
    structures: set[str] = set()
    frames: set[str] = set()
    fallback: set[str] = set()
    for uid in plans:
        plan = by_uid[uid]
        own = {plan.frame_of_reference_uid} - {None}
        frames |= {str(f) for f in own}
        named = False
        for r in plan.references:
            target = by_uid.get(r.uid)
            if target is None or r.relation not in (
                Relation.STRUCTURE_SET,
                Relation.DRR,
                Relation.DOSE,
                Relation.IMAGE,
                Relation.RELATED_PLAN,
            ):
                continue
            closure.add(r.uid)
            if r.relation is Relation.STRUCTURE_SET:
                structures.add(r.uid)
                frames |= _frames(target)
                if _images(target) or _frames(target):
                    named = True
                if not _images(target):
                    fallback |= _frames(target)
        if not named:
            fallback |= _frames(plan)
    other: set[str] = set()
    for h in by_uid.values():
        if h.kind is Kind.REGISTRATION and _frames(h) & frames:
            closure.add(str(h.ref.sop_instance_uid))
            other |= _frames(h) - frames
            if _images(h):
                structures.add(str(h.ref.sop_instance_uid))
            else:
                fallback |= _frames(h) - frames
    for h in by_uid.values():
        if h.kind is Kind.STRUCTURE_SET and _frames(h) & other:
            uid = str(h.ref.sop_instance_uid)
            if uid in closure:
                continue
            closure.add(uid)
            structures.add(uid)
            if not _images(h):
                fallback |= _frames(h)
    for uid in structures:
        series = _series_named(by_uid[uid], by_uid)
        closure |= {u for u, h in by_uid.items() if h.ref.series_instance_uid in series}
    for uid, h in by_uid.items():
        back = set(h.targets(Relation.PLAN)) & plans
        if h.kind in (Kind.DOSE, Kind.RT_IMAGE, Kind.RECORD) and back:
            closure.add(uid)
        if h.kind is Kind.IMAGE and (back or (h.frame_of_reference_uid or "-") in fallback):
            s = h.ref.series_instance_uid
            closure |= {u for u, o in by_uid.items() if o.ref.series_instance_uid == s}
    return closure


def _frames(h: InstanceHeader) -> set[str]:
    own = {str(h.frame_of_reference_uid)} if h.frame_of_reference_uid else set()
    return own | set(h.targets(Relation.FRAME_OF_REFERENCE))


def _images(h: InstanceHeader) -> bool:
    return bool(h.targets(Relation.IMAGE) or h.targets(Relation.IMAGE_SERIES))


def _series_named(h: InstanceHeader, by_uid: dict[str, InstanceHeader]) -> set[str]:
    named = set(h.targets(Relation.IMAGE_SERIES))
    for r in h.references:
        if r.relation is Relation.IMAGE:
            if r.series_instance_uid:
                named.add(r.series_instance_uid)
            elif r.uid in by_uid:
                named.add(by_uid[r.uid].ref.series_instance_uid)
    return named
