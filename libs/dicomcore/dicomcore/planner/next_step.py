"""The next step of a retrieval, or its outcome: the order in which decisions are made."""

from __future__ import annotations

from collections.abc import Iterable

from dicomcore.catalogue import InstanceEntry, SeriesEntry
from dicomcore.model import Level
from dicomcore.planner.closure import Closure
from dicomcore.planner.demand import Demand
from dicomcore.planner.knowledge import (
    DOSES,
    PLANS,
    RECORDS,
    REGISTRATIONS,
    RT_IMAGES,
    STRUCTURE_SETS,
    Knowledge,
)
from dicomcore.planner.plans import PlanChoice, choose_plans
from dicomcore.planner.values import (
    DanglingReference,
    Expected,
    Finished,
    MissingItem,
    Outcome,
    Selection,
    Stage,
    Step,
)
from dicomcore.uids import InstanceUID

WHY_EVERYTHING = "all of the patient's data"
WHY_UNCONNECTED = "not connected to any plan"

Members = dict[InstanceUID, tuple[InstanceEntry, str]]


def next_step(selection: Selection, known: Knowledge) -> Step:
    """Return what to do next; `Finished` once nothing more can be learned or fetched.

    Notes
    -----
    A function of its arguments alone: the same knowledge gives the same step, however it was
    come by. It terminates because every step that is carried out adds knowledge: a series listed
    or unlistable, a header read or given up, an instance landed or given up.
    """
    demand = Demand(known)
    if selection.everything:
        members = _everything(demand)
        return demand.step() or _finish(members, demand, (), None)
    choice = choose_plans(selection, demand)
    closure = Closure(choice.selected, demand)
    if not demand.blocked:
        closure.expand()
    members = dict(closure.members)
    if selection.with_unconnected and not demand.blocked:
        _add_unconnected(members, choice, demand)
    return demand.step() or _finish(members, demand, closure.dangling, choice)


def _everything(demand: Demand) -> Members:
    members: Members = {}
    for series in _series(demand):
        for entry in demand.listed(series, _stage(series), WHY_EVERYTHING) or ():
            members[entry.uid] = (entry, WHY_EVERYTHING)
            demand.fetch(entry, _stage(series), WHY_EVERYTHING)
        demand.expect_all(series, WHY_EVERYTHING)
    return members


def _add_unconnected(members: Members, choice: PlanChoice, demand: Demand) -> None:
    """Add all that is connected to no plan; what belongs only to the other plans stays out."""
    others = Closure(choice.others, demand, fetch=False)
    others.expand()
    if demand.blocked:
        return
    for series in _series(demand):
        for entry in demand.listed(series, _stage(series), WHY_UNCONNECTED) or ():
            if entry.uid in members or entry.uid in others.members:
                continue
            if any(entry.uid == decision.ref.sop_instance_uid for decision in choice.decisions):
                continue
            members[entry.uid] = (entry, WHY_UNCONNECTED)
            demand.fetch(entry, _stage(series), WHY_UNCONNECTED)


def _series(demand: Demand) -> list[SeriesEntry]:
    catalogue = demand.known.catalogue
    return [catalogue.series[uid] for uid in sorted(catalogue.series)]


def _stage(series: SeriesEntry) -> Stage:
    for modalities, stage in (
        (PLANS, Stage.PLANS),
        (STRUCTURE_SETS, Stage.STRUCTURE_SETS),
        (REGISTRATIONS, Stage.REGISTRATIONS),
        (RECORDS, Stage.RECORDS),
        (RT_IMAGES, Stage.RT_IMAGES),
        (DOSES, Stage.DOSES),
    ):
        if series.modality in modalities:
            return stage
    return Stage.IMAGES


def _finish(
    members: Members,
    demand: Demand,
    dangling: Iterable[DanglingReference],
    choice: PlanChoice | None,
) -> Finished:
    known = demand.known
    missing = dict(demand.undecided)
    expected: list[Expected] = []
    for uid in sorted(members):
        entry, why = members[uid]
        modality = known.modality(entry.ref.series_instance_uid)
        expected.append(Expected(entry.ref, entry.sop_class_uid, modality, why))
        if not known.has_landed(entry):
            missing[uid] = MissingItem(uid, Level.INSTANCE, modality, why, known.given_up[uid])
    return Finished(
        Outcome(
            expected=tuple(expected),
            missing=tuple(missing[uid] for uid in sorted(missing)),
            dangling=tuple(sorted(dangling)),
            plans=choice.decisions if choice else (),
        )
    )
