"""The lines of a reference tree, in the reading order and the words that its readers know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dicomcore.model import (
    DoseDetails,
    PlanDetails,
    RecordDetails,
    RegistrationDetails,
    RtImageDetails,
    StructureSetDetails,
)
from dicomcore.tree.nodes import (
    BeamNode,
    DoseNode,
    Leaf,
    Missing,
    PatientTree,
    PlanNode,
    RegistrationNode,
    RelatedPlan,
    SeriesNode,
    StructureSetNode,
    TreatedNode,
    Unconnected,
)
from dicomcore.tree.words import VERSIONS, count, date, line, plain

NAMED_UIDS = 3
"""So many missing images of a series are named in the text; JSON has them all."""


class Line(NamedTuple):
    """One line of a tree."""

    text: str
    depth: int = 0
    """How many levels below the patient, from 0."""
    missing: bool = False
    """It tells what is referenced and not there."""
    conflict: bool = False
    """It tells of different bytes under one SOP Instance UID."""


# ── a patient ───────────────────────────────────────────────────────────────────────────────


def patient_lines(tree: PatientTree) -> Iterator[Line]:
    """Yield the lines below a patient."""
    for plan in tree.plans:
        yield from _plan(plan)
    if tree.unconnected != Unconnected():
        yield Line("Not connected to any plan:")
        yield from _below(_unconnected(tree.unconnected))


def _unconnected(rest: Unconnected) -> Iterator[Line]:
    for structure_set in rest.structure_sets:
        yield from _structure_set(structure_set)
    for dose in rest.doses:
        yield from _dose(dose)
    for registration in rest.registrations:
        yield from _registration(registration)
    for series in rest.rt_images:
        yield _series("RT images", series)
    for series in rest.records:
        yield _series("Treatment records", series, "record")
    yield from _image_series(rest.cone_beams, "Cone-beam ")
    yield from _image_series(rest.images)
    for series in rest.others:
        yield _series(f"Other, {plain(series.modality) or 'no modality'}", series, "instance")


# ── a plan ──────────────────────────────────────────────────────────────────────────────────


def _plan(node: PlanNode) -> Iterator[Line]:
    details = node.instance.details
    plan = details if isinstance(details, PlanDetails) else PlanDetails()
    label = plain(plan.label) or "(no label)"
    intent = f" ({plain(plan.intent)})" if plan.intent else ""
    machines = dict.fromkeys(plain(beam.machine) for beam in plan.beams if beam.machine)
    yield _of(
        node.instance,
        f"Plan: {label}{intent}",
        plain(plan.approval_status) or "no approval status",
        date(plan.date),
        _prescription(plan),
        *(f"machine {machine}" for machine in machines),
        count(len(plan.beams), "beam") if plan.beams else "no beams",
    )
    yield from _below(_in_plan(node))


def _in_plan(node: PlanNode) -> Iterator[Line]:
    for related in node.related_plans:
        yield _related(related)
    for structure_set in node.structure_sets:
        yield from _structure_set(structure_set)
    yield from _image_series(node.images)
    for beam in node.beams:
        yield from _beam(beam)
    yield from _rt_images(node.drrs, node.rt_images)
    yield from (_treated(record) for record in node.records)
    for dose in node.doses:
        yield from _dose(dose)
    for registration in node.registrations:
        yield from _registration(registration)
    yield from _image_series(node.cone_beams, "Cone-beam ")
    for series in node.others:
        yield _series(f"Other, {plain(series.modality) or 'no modality'}", series, "instance")
    yield from _missing(node.missing)


def _prescription(plan: PlanDetails) -> str:
    """Return target doses, or all where none is a target's, and the fractions of each group."""
    targets = [p for p in plan.prescriptions if p.kind == "TARGET"] or plan.prescriptions
    found = sorted({p.target_dose_gy for p in targets if p.target_dose_gy is not None})
    doses = " / ".join(f"{dose:g} Gy" for dose in reversed(found))
    fractions = " + ".join(str(number) for number in plan.fractions if number is not None)
    if not fractions:
        return doses
    in_fractions = f"{fractions} {'fraction' if fractions == '1' else 'fractions'}"
    return f"{doses} in {in_fractions}" if doses else in_fractions


def _related(related: RelatedPlan) -> Line:
    details = related.instance.details
    label = plain(details.label) if isinstance(details, PlanDetails) else ""
    relationship = f" ({plain(related.relationship)})" if related.relationship else ""
    return Line(f"Related plan: {label or '(no label)'}{relationship}")


def _structure_set(node: StructureSetNode) -> Iterator[Line]:
    details = node.instance.details
    structure_set = details if isinstance(details, StructureSetDetails) else StructureSetDetails()
    yield _of(
        node.instance,
        f"Structure set: {plain(structure_set.label) or '(no label)'}",
        plain(structure_set.approval_status),
        date(structure_set.date),
    )
    yield from _below(_image_series(node.image_series))
    yield from _below(_missing(node.missing))


def _beam(node: BeamNode) -> Iterator[Line]:
    beam = node.beam
    machine = f"machine {plain(beam.machine)}" if beam.machine else ""
    facts = (f"Beam {_of_beam(beam.number, beam.name)}", plain(beam.delivery_type), machine)
    yield Line(line(*facts))
    yield from _below(_rt_images(node.drrs, node.rt_images))
    yield from _below(_treated(record) for record in node.records)
    yield from _below(_missing(node.missing))


def _of_beam(number: int | None, name: str) -> str:
    shown = "without number" if number is None else str(number)
    return f"{shown} ({plain(name)})" if name else shown


def _rt_images(drrs: Iterable[Leaf], others: Iterable[Leaf]) -> Iterator[Line]:
    for word, images in (("Live", drrs), ("Static", others)):
        for image in images:
            details = image.details if isinstance(image.details, RtImageDetails) else None
            yield _of(image, f"{word}: {_rt_image(details)}", *_rt_image_facts(details))


def _rt_image(details: RtImageDetails | None) -> str:
    if details is None:
        return "RT image"
    image_type = "\\".join(plain(value) for value in details.image_type)
    label = plain(details.label)
    return f"{label} [{image_type}]" if label and image_type else label or image_type or "RT image"


def _rt_image_facts(details: RtImageDetails | None) -> Iterator[str]:
    if details is not None:
        yield "" if details.fraction_number is None else f"fraction {details.fraction_number}"
        yield date(details.date)


def _treated(node: TreatedNode) -> Line:
    record = node.instance.details
    day = date(record.date) if isinstance(record, RecordDetails) else ""
    if node.beam is None:
        return _of(node.instance, "Treatment record", day)
    fraction = node.beam.fraction_number
    return _of(
        node.instance,
        f"Beam {_of_beam(node.beam.number, node.beam.name)}",
        "no fraction number" if fraction is None else f"fraction {fraction}",
        day,
    )


def _dose(node: DoseNode) -> Iterator[Line]:
    details = node.instance.details
    dose = details if isinstance(details, DoseDetails) else DoseDetails()
    beams = ", ".join(str(number) for number in dose.beam_numbers)
    yield _of(
        node.instance,
        f"Dose: {plain(dose.summation_type) or 'no summation type'}",
        f"beam {beams}" if beams else "",
    )
    yield from _below(_missing(node.missing))


def _registration(node: RegistrationNode) -> Iterator[Line]:
    details = node.instance.details
    known = details if isinstance(details, RegistrationDetails) else RegistrationDetails()
    name = plain(known.label) or plain(known.description) or "(no label)"
    yield _of(node.instance, f"Registration: {name}", date(known.date))
    for structure_set in node.structure_sets:
        yield from _below(_structure_set(structure_set))
    yield from _below(_image_series(node.image_series))
    yield from _below(_missing(node.missing))


# ── series and what is missing ──────────────────────────────────────────────────────────────


def _image_series(nodes: Iterable[SeriesNode], prefix: str = "") -> Iterator[Line]:
    for node in nodes:
        modality = plain(node.modality) or ("Images" if not prefix else "images")
        yield _series(f"{prefix}{modality}", node)
        yield from _below(_missing_images(node))


def _series(word: str, node: SeriesNode, noun: str = "image") -> Line:
    uid = node.series_instance_uid
    there, referenced = node.number_of_instances, node.number_referenced
    number = count(there, noun) if there or not referenced else f"0 of {count(referenced, noun)}"
    facts = (
        f"{word}: {number}",
        f"series {uid}" if uid else "series unknown",
        date(node.date),
        "same frame of reference" if node.by_frame else "",
        f"{VERSIONS} of {node.conflicts}" if node.conflicts else "",
        "" if there else "missing",
    )
    return Line(line(*facts), missing=not there, conflict=node.conflicts > 0)


def _missing_images(node: SeriesNode) -> Iterator[Line]:
    missing = node.missing_uids
    if not missing or (node.series_instance_uid and not node.number_of_instances):
        return  # nothing is missing, or all of a series is, which its line tells
    named = ", ".join(missing[:NAMED_UIDS])
    more = f" and {len(missing) - NAMED_UIDS} more" if len(missing) > NAMED_UIDS else ""
    number = f"{len(missing)} of {count(node.number_referenced, 'image')}"
    yield Line(f"Missing: {number}: {named}{more}", missing=True)


def _missing(nodes: Iterable[Missing]) -> Iterator[Line]:
    for node in nodes:
        note = f" ({plain(node.note)})" if node.note else ""
        relation = node.relation.value.replace("_", " ").replace("drr", "DRR")
        yield Line(f"Missing: {relation} {node.uid}{note}", missing=True)


def _of(leaf: Leaf, *facts: str) -> Line:
    """Return the line of an instance."""
    versions = VERSIONS if leaf.conflict else ""
    return Line(line(*facts, versions), conflict=leaf.conflict)


def _below(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield lines one level deeper."""
    return (one._replace(depth=one.depth + 1) for one in lines)
