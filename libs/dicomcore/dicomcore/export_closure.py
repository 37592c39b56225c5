"""The closure of plans of whom everything is known: the planner's rules, over what an index holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dicomcore.catalogue import Catalogue, InstanceEntry, SeriesEntry
from dicomcore.model import InstanceHeader
from dicomcore.planner import DanglingReference, Knowledge
from dicomcore.planner.closure import Closure
from dicomcore.planner.demand import Demand
from dicomcore.references import ReferenceGraph
from dicomcore.uids import InstanceRef, InstanceUID, SeriesUID


@dataclass(frozen=True, slots=True)
class Member:
    """One instance of a closure."""

    ref: InstanceRef
    sop_class_uid: str
    modality: str
    why: str
    """Why it is in the closure, in words a physicist reads."""


@dataclass(frozen=True, slots=True)
class PlanClosure:
    """What belongs to some plans of one patient."""

    members: tuple[Member, ...] = ()
    """By SOP Instance UID."""
    dangling: tuple[DanglingReference, ...] = ()
    """References out of it to what is not there."""


def closure_of(plans: Iterable[InstanceHeader], graph: ReferenceGraph) -> PlanClosure:
    """Return what belongs to plans, by the rules of a retrieval (docs/adr/0003-closure.md).

    Parameters
    ----------
    plans
        Of `graph`.
    graph
        Everything that is known of their patient.
    """
    known = _knowledge(graph)
    closure = Closure(plans, Demand(known))
    closure.expand()
    members = (
        Member(entry.ref, entry.sop_class_uid, known.modality(entry.ref.series_instance_uid), why)
        for entry, why in closure.members.values()
    )
    return PlanClosure(
        tuple(sorted(members, key=lambda member: member.ref.sop_instance_uid)),
        tuple(sorted(closure.dangling)),
    )


def all_of(graph: ReferenceGraph, why: str) -> tuple[Member, ...]:
    """Return every instance of a graph, by SOP Instance UID."""
    members = (
        Member(_ref(header, uid), header.sop_class_uid, header.modality, why)
        for header in graph.headers
        for uid in graph.uids(header)
    )
    return tuple(sorted(members, key=lambda member: member.ref.sop_instance_uid))


def _knowledge(graph: ReferenceGraph) -> Knowledge:
    series: dict[SeriesUID, SeriesEntry] = {}
    instances: dict[SeriesUID, list[InstanceEntry]] = defaultdict(list)
    headers: dict[InstanceUID, InstanceHeader] = {}
    for header in graph.headers:
        ref = header.ref
        series.setdefault(
            ref.series_instance_uid,
            SeriesEntry(ref.study_instance_uid, ref.series_instance_uid, header.modality),
        )
        for uid in graph.uids(header):
            entry = InstanceEntry(_ref(header, uid), header.sop_class_uid)
            instances[ref.series_instance_uid].append(entry)
            headers[entry.uid] = (
                header  # of a stack: what differs from image to image decides nothing
            )
    return Knowledge(
        catalogue=Catalogue(
            series=series,
            instances={
                uid: tuple(sorted(entries, key=lambda entry: entry.ref))
                for uid, entries in instances.items()
            },
        ),
        landed={uid: {entry.uid for entry in entries} for uid, entries in instances.items()},
        headers=headers,
    )


def _ref(header: InstanceHeader, uid: str) -> InstanceRef:
    ref = header.ref
    return InstanceRef(ref.study_instance_uid, ref.series_instance_uid, InstanceUID(uid))
