"""Fold headers into the reference tree of each patient: plans as roots, then what no plan reaches.

The same tree for every order and any repetition of the headers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from dicomcore.model import (
    DoseDetails,
    InstanceHeader,
    Kind,
    PlanDetails,
    RegistrationDetails,
    Relation,
    RtImageDetails,
    StructureSetDetails,
)
from dicomcore.references import ReferenceGraph, Stack
from dicomcore.tree.branches import Branches
from dicomcore.tree.nodes import FlatInstance, FlatSeries, PatientTree, SeriesNode, Unconnected
from dicomcore.tree.plan_branch import PlanBranch

_FIRST_MODALITIES = ("CT", "MR", "PT")


def build_trees(
    headers: Iterable[InstanceHeader],
    *,
    conflicts: Collection[str] = (),
    stacks: Iterable[Stack] = (),
) -> tuple[PatientTree, ...]:
    """Return one tree for each Patient ID (0010,0020), ordered by it.

    Parameters
    ----------
    headers
        Of any number of patients, in any order, repeated or not.
    conflicts
        SOP Instance UIDs under which different bytes are kept; different headers of one UID are
        seen without being told.
    stacks
        Images that are not among `headers`, in any order; the tree is the same as with their headers.
    """
    patients: dict[str, tuple[list[InstanceHeader], list[Stack]]] = defaultdict(lambda: ([], []))
    for header in headers:
        patients[header.patient_id][0].append(header)
    for stack in stacks:
        patients[stack.header.patient_id][1].append(stack)
    told = frozenset(conflicts)
    return tuple(
        _tree(patient_id, ReferenceGraph(*patients[patient_id]), told)
        for patient_id in sorted(patients)
    )


def _tree(patient_id: str, graph: ReferenceGraph, conflicts: frozenset[str]) -> PatientTree:
    branches = Branches(graph, conflicts)
    plans = sorted(graph.of_kind(Kind.PLAN), key=_plan_order)
    nodes = tuple(PlanBranch(branches, plan).node() for plan in plans)
    names = sorted({h.patient_name for h in graph.headers if h.patient_name})
    return PatientTree(
        patient_id=patient_id,
        patient_name=names[0] if names else "",
        number_of_instances=sum(len(graph.uids(header)) for header in graph.headers),
        plans=nodes,
        unconnected=_unconnected(branches),
        series=_flat(branches),
    )


def _plan_order(plan: InstanceHeader) -> tuple[str, str, str, str]:
    details = plan.details if isinstance(plan.details, PlanDetails) else PlanDetails()
    return details.date, details.time, details.label, plan.ref.sop_instance_uid


def _unconnected(branches: Branches) -> Unconnected:
    """Structure sets take their images with them; all else is listed by series."""
    structures = branches.unplaced(Kind.STRUCTURE_SET)
    structure_sets = tuple(branches.structure_set(header) for header in structures)
    doses = tuple(branches.dose(header) for header in branches.unplaced(Kind.DOSE))
    registrations = tuple(
        branches.registration(header, frames=frozenset(), shown=frozenset())
        for header in branches.unplaced(Kind.REGISTRATION)
    )
    cone_beams = branches.whole_series_of(
        image for image in branches.unplaced(Kind.IMAGE) if image.targets(Relation.PLAN)
    )
    images = branches.series_of(branches.unplaced(Kind.IMAGE))
    return Unconnected(
        structure_sets=structure_sets,
        doses=doses,
        registrations=registrations,
        rt_images=branches.series_of(branches.unplaced(Kind.RT_IMAGE)),
        records=branches.series_of(branches.unplaced(Kind.RECORD)),
        cone_beams=cone_beams,
        images=tuple(sorted(images, key=_modality_order)),
        others=branches.series_of(branches.unplaced(Kind.SEGMENTATION, Kind.OTHER)),
    )


def _modality_order(series: SeriesNode) -> tuple[int, str, str, str]:
    known = series.modality in _FIRST_MODALITIES
    rank = _FIRST_MODALITIES.index(series.modality) if known else len(_FIRST_MODALITIES)
    return rank, series.modality, series.date, series.series_instance_uid


def _flat(branches: Branches) -> tuple[FlatSeries, ...]:
    series: dict[str, list[InstanceHeader]] = defaultdict(list)
    for header in branches.graph.headers:
        series[header.ref.series_instance_uid].append(header)
    return tuple(
        FlatSeries(
            series_instance_uid=uid,
            study_instance_uid=found[0].ref.study_instance_uid,
            modality=found[0].modality,
            instances=tuple(_instances(branches, found)),
        )
        for uid, found in series.items()
    )


def _instances(branches: Branches, series: Iterable[InstanceHeader]) -> Iterable[FlatInstance]:
    labels: dict[str, str] = {}
    for header in series:  # one header may stand for ten thousand images
        labels.update(dict.fromkeys(branches.graph.uids(header), label_of(header)))
    return (FlatInstance(uid, labels[uid], branches.in_conflict(uid)) for uid in sorted(labels))


def label_of(header: InstanceHeader) -> str:
    """Return what people call an instance: a plan's label, a dose's summation type."""
    match header.details:
        case PlanDetails(label=label) | StructureSetDetails(label=label):
            return label
        case RtImageDetails(label=label) | RegistrationDetails(label=label):
            return label
        case DoseDetails(summation_type=summation_type):
            return summation_type
        case _:
            return ""
