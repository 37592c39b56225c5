"""A reference tree as text, as a flat list and as JSON; patient data, for the eyes of its reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import TypeAdapter

from dicomcore.model import (
    Beam,
    DoseDetails,
    PlanDetails,
    RecordDetails,
    RegistrationDetails,
    RtImageDetails,
    StructureSetDetails,
)
from dicomcore.nodes import (
    BeamNode,
    DoseNode,
    FlatInstance,
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

INDENT = "  "
NAMED_UIDS = 3
"""So many missing images of a series are named in the text; JSON has them all."""
_JSON = TypeAdapter(PatientTree)
_VERSIONS = "several versions"


def text(tree: PatientTree) -> str:
    """Return the tree as lines, each ended by a newline, indented by two."""
    return _joined((f"Patient: {_plain(tree.patient_id) or '(no ID)'}", *_below(_patient(tree))))


def flat(tree: PatientTree, paths: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return patient, series and instances as lines, each ended by a newline.

    Parameters
    ----------
    paths
        Files by SOP Instance UID, several where several versions exist.
    """
    lines = [f"Patient: {_plain(tree.patient_id) or '(no ID)'}"]
    for series in tree.series:
        modality = _plain(series.modality) or "no modality"
        number = _count(len(series.instances), "instance")
        lines.append(f"{INDENT}{modality}: {number}, series {series.series_instance_uid}")
        for instance in series.instances:
            lines.extend(2 * INDENT + line for line in _flat_instance(instance, paths or {}))
    return _joined(lines)


def to_json(tree: PatientTree) -> bytes:
    """Return the tree as JSON, with all it holds."""
    return _JSON.dump_json(tree)


def from_json(body: bytes) -> PatientTree:
    """Return the tree that `to_json` wrote; pydantic's ValidationError if it is none."""
    return _JSON.validate_json(body)


# ── a patient ───────────────────────────────────────────────────────────────────────────────


def _patient(tree: PatientTree) -> Iterator[str]:
    for plan in tree.plans:
        yield from _plan(plan)
    if tree.unconnected != Unconnected():
        yield "Not connected to any plan:"
        yield from _below(_unconnected(tree.unconnected))


def _unconnected(rest: Unconnected) -> Iterator[str]:
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
        yield _series(f"Other, {_plain(series.modality) or 'no modality'}", series, "instance")


# ── a plan ──────────────────────────────────────────────────────────────────────────────────


def _plan(node: PlanNode) -> Iterator[str]:
    details = node.instance.details
    plan = details if isinstance(details, PlanDetails) else PlanDetails()
    label = _plain(plan.label) or "(no label)"
    intent = f" ({_plain(plan.intent)})" if plan.intent else ""
    machines = dict.fromkeys(_plain(beam.machine) for beam in plan.beams if beam.machine)
    yield _line(
        f"Plan: {label}{intent}",
        _plain(plan.approval_status) or "no approval status",
        _date(plan.date),
        _prescription(plan),
        *(f"machine {machine}" for machine in machines),
        _conflict(node.instance),
    )
    yield from _below(_in_plan(node))


def _in_plan(node: PlanNode) -> Iterator[str]:
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
        yield _series(f"Other, {_plain(series.modality) or 'no modality'}", series, "instance")
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


def _related(related: RelatedPlan) -> str:
    details = related.instance.details
    label = _plain(details.label) if isinstance(details, PlanDetails) else ""
    relationship = f" ({_plain(related.relationship)})" if related.relationship else ""
    return f"Related plan: {label or '(no label)'}{relationship}"


def _structure_set(node: StructureSetNode) -> Iterator[str]:
    details = node.instance.details
    structure_set = details if isinstance(details, StructureSetDetails) else StructureSetDetails()
    yield _line(
        f"Structure set: {_plain(structure_set.label) or '(no label)'}",
        _plain(structure_set.approval_status),
        _date(structure_set.date),
        _conflict(node.instance),
    )
    yield from _below(_image_series(node.image_series))
    yield from _below(_missing(node.missing))


def _beam(node: BeamNode) -> Iterator[str]:
    beam = node.beam
    yield _line(
        f"Beam {_of_beam(beam.number, beam.name)}",
        _plain(beam.delivery_type),
        _machine_of(beam),
    )
    yield from _below(_rt_images(node.drrs, node.rt_images))
    yield from _below(_treated(record) for record in node.records)
    yield from _below(_missing(node.missing))


def _machine_of(beam: Beam) -> str:
    return f"machine {_plain(beam.machine)}" if beam.machine else ""


def _of_beam(number: int | None, name: str) -> str:
    shown = "without number" if number is None else str(number)
    return f"{shown} ({_plain(name)})" if name else shown


def _rt_images(drrs: Iterable[Leaf], others: Iterable[Leaf]) -> Iterator[str]:
    for word, images in (("Live", drrs), ("Static", others)):
        for image in images:
            details = image.details if isinstance(image.details, RtImageDetails) else None
            yield _line(
                f"{word}: {_rt_image(details)}", *_rt_image_facts(details), _conflict(image)
            )


def _rt_image(details: RtImageDetails | None) -> str:
    if details is None:
        return "RT image"
    image_type = "\\".join(_plain(value) for value in details.image_type)
    label = _plain(details.label)
    return f"{label} [{image_type}]" if label and image_type else label or image_type or "RT image"


def _rt_image_facts(details: RtImageDetails | None) -> Iterator[str]:
    if details is not None:
        yield "" if details.fraction_number is None else f"fraction {details.fraction_number}"
        yield _date(details.date)


def _treated(node: TreatedNode) -> str:
    record = node.instance.details
    date = _date(record.date) if isinstance(record, RecordDetails) else ""
    if node.beam is None:
        return _line("Treatment record", date, _conflict(node.instance))
    fraction = node.beam.fraction_number
    return _line(
        f"Beam {_of_beam(node.beam.number, node.beam.name)}",
        "no fraction number" if fraction is None else f"fraction {fraction}",
        date,
        _conflict(node.instance),
    )


def _dose(node: DoseNode) -> Iterator[str]:
    details = node.instance.details
    dose = details if isinstance(details, DoseDetails) else DoseDetails()
    beams = ", ".join(str(number) for number in dose.beam_numbers)
    yield _line(
        f"Dose: {_plain(dose.summation_type) or 'no summation type'}",
        f"beam {beams}" if beams else "",
        _conflict(node.instance),
    )
    yield from _below(_missing(node.missing))


def _registration(node: RegistrationNode) -> Iterator[str]:
    details = node.instance.details
    known = details if isinstance(details, RegistrationDetails) else RegistrationDetails()
    name = _plain(known.label) or _plain(known.description) or "(no label)"
    yield _line(f"Registration: {name}", _date(known.date), _conflict(node.instance))
    for structure_set in node.structure_sets:
        yield from _below(_structure_set(structure_set))
    yield from _below(_image_series(node.image_series))
    yield from _below(_missing(node.missing))


# ── series and what is missing ──────────────────────────────────────────────────────────────


def _image_series(nodes: Iterable[SeriesNode], prefix: str = "") -> Iterator[str]:
    for node in nodes:
        modality = _plain(node.modality) or ("Images" if not prefix else "images")
        yield _series(f"{prefix}{modality}", node)
        yield from _below(_missing_images(node))


def _series(word: str, node: SeriesNode, noun: str = "image") -> str:
    uid = node.series_instance_uid
    return _line(
        f"{word}: {_count(node.number_of_instances, noun)}",
        f"series {uid}" if uid else "series unknown",
        _date(node.date),
        "same frame of reference" if node.by_frame else "",
        f"{_VERSIONS} of {node.conflicts}" if node.conflicts else "",
        "missing" if not node.number_of_instances and not node.missing_uids else "",
    )


def _missing_images(node: SeriesNode) -> Iterator[str]:
    missing = node.missing_uids
    if not missing:
        return
    named = ", ".join(missing[:NAMED_UIDS])
    more = f" and {len(missing) - NAMED_UIDS} more" if len(missing) > NAMED_UIDS else ""
    yield f"Missing: {len(missing)} of {_count(node.number_referenced, 'image')}: {named}{more}"


def _missing(nodes: Iterable[Missing]) -> Iterator[str]:
    for node in nodes:
        note = f" ({_plain(node.note)})" if node.note else ""
        relation = node.relation.value.replace("_", " ").replace("drr", "DRR")
        yield f"Missing: {relation} {node.uid}{note}"


# ── words ───────────────────────────────────────────────────────────────────────────────────


def _flat_instance(instance: FlatInstance, paths: Mapping[str, Sequence[str]]) -> Iterator[str]:
    found = paths.get(instance.sop_instance_uid) or ("",)
    conflict = _VERSIONS if instance.conflict else ""
    for path in found:
        yield _line(instance.sop_instance_uid, _plain(instance.label), conflict, _plain(path))


def _conflict(leaf: Leaf) -> str:
    return _VERSIONS if leaf.conflict else ""


def _date(date: str) -> str:
    if len(date) == 8 and date.isascii() and date.isdigit():
        return f"{date[:4]}-{date[4:6]}-{date[6:]}"
    return _plain(date)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _plain(value: str) -> str:
    """Return a value that cannot break a line or speak to a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)


def _line(*facts: str) -> str:
    return ", ".join(fact for fact in facts if fact)


def _below(lines: Iterable[str]) -> Iterator[str]:
    return (INDENT + line for line in lines)


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
