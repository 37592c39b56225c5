"""Plans, structure sets and records of nobody, made from values that a test also reckons with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dicomcore.attributes import Attribute
from dicomcore.keys import object_key
from dicomcore.model import (
    Beam,
    Details,
    InstanceHeader,
    Kind,
    PlanDetails,
    Prescription,
    RecordDetails,
    Reference,
    Relation,
    StructureSetDetails,
    TreatedBeam,
)
from dicomcore.ports import IndexedInstance
from dicomcore.uids import parse_ref

STORED = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
_CLASSES = {
    Kind.PLAN: "1.2.840.10008.5.1.4.1.1.481.5",
    Kind.STRUCTURE_SET: "1.2.840.10008.5.1.4.1.1.481.3",
    Kind.RECORD: "1.2.840.10008.5.1.4.1.1.481.4",
}
_MODALITIES = {Kind.PLAN: "RTPLAN", Kind.STRUCTURE_SET: "RTSTRUCT", Kind.RECORD: "RTRECORD"}


@dataclass(frozen=True)
class MadePlan:
    """What one version of a plan says."""

    uid: str
    patient_id: str = "P-1"
    version: str = "a"
    label: str = "PLAN"
    structures: tuple[str, ...] = ()
    machine: str = "TB1"
    approval: str = "APPROVED"
    approver: str = ""
    approved: str = ""
    date: str = ""
    dose: float | None = None
    fractions: int | None = None
    energy: str = "6"
    target_roi: int | None = None


@dataclass(frozen=True)
class MadeStructures:
    """What one version of a structure set says: name and type of each region, numbered from 1."""

    uid: str
    patient_id: str = "P-1"
    version: str = "a"
    regions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class MadeRecord:
    """What one version of a treatment record says."""

    uid: str
    plan: str
    patient_id: str = "P-1"
    version: str = "a"
    fraction: int | None = None
    date: str = ""
    delivered: int | None = None


Made = MadePlan | MadeStructures | MadeRecord


@dataclass(frozen=True)
class _Object:
    kind: Kind
    details: Details
    attributes: tuple[Attribute, ...]
    references: tuple[Reference, ...] = field(default=())


def indexed(made: Made) -> IndexedInstance:
    """The instance as the indexer hands it to the index."""
    match made:
        case MadePlan():
            known = _plan(made)
        case MadeStructures():
            known = _structures(made)
        case MadeRecord():
            known = _record(made)
    ref = parse_ref("1.2", f"1.2.{list(_CLASSES).index(known.kind)}", made.uid)
    sha256 = hashlib.sha256(repr(made).encode()).hexdigest()
    header = InstanceHeader(
        ref=ref,
        sop_class_uid=_CLASSES[known.kind],
        kind=known.kind,
        modality=_MODALITIES[known.kind],
        references=known.references,
        details=known.details,
        patient_id=made.patient_id,
        patient_name=f"Name^{made.patient_id}",
        study_date="20240102",
    )
    return IndexedInstance(
        object_key=str(object_key(ref, sha256)),
        ref=ref,
        sop_class_uid=header.sop_class_uid,
        sha256=sha256,
        size_bytes=1000,
        stored_at=STORED,
        header=header,
        attributes=(Attribute("00100030", (), ("19600102",)), *known.attributes),
    )


def _plan(made: MadePlan) -> _Object:
    attributes = [
        Attribute("300A00B0/300A00C0#", (0,), ("1",)),
        Attribute("300A00B0/300A0111/300A0114#", (0, 0), (made.energy,)),
    ]
    if made.approver:
        attributes.append(Attribute("300E0008", (), (made.approver,)))
    if made.approved:
        attributes.append(Attribute("300E0004", (), (made.approved,)))
    if made.target_roi is not None:
        attributes.append(Attribute("300A0010/30060084#", (0,), (str(made.target_roi),)))
    beam = Beam(number=1, technique="STATIC", radiation_type="PHOTON", machine=made.machine)
    details = PlanDetails(
        label=made.label,
        approval_status=made.approval,
        date=made.date,
        beams=(beam,),
        fractions=() if made.fractions is None else (made.fractions,),
        prescriptions=(Prescription("", "TARGET", made.dose),),
    )
    references = tuple(Reference(Relation.STRUCTURE_SET, uid) for uid in made.structures)
    return _Object(Kind.PLAN, details, tuple(attributes), references)


def _structures(made: MadeStructures) -> _Object:
    attributes = []
    for place, (name, kind) in enumerate(made.regions):
        attributes.append(Attribute("30060020/30060022#", (place,), (str(place + 1),)))
        attributes.append(Attribute("30060020/30060026", (place,), (name,)))
        attributes.append(Attribute("30060080/30060084#", (place,), (str(place + 1),)))
        attributes.append(Attribute("30060080/300600A4", (place,), (kind,)))
    details = StructureSetDetails(number_of_rois=len(made.regions))
    return _Object(Kind.STRUCTURE_SET, details, tuple(attributes))


def _record(made: MadeRecord) -> _Object:
    attributes: tuple[Attribute, ...] = ()
    if made.delivered is not None:
        attributes = (Attribute("30080220/3008005A#", (0,), (str(made.delivered),)),)
    beams = () if made.fraction is None else (TreatedBeam(1, "B", made.fraction),)
    details = RecordDetails(date=made.date, beams=beams)
    references = (Reference(Relation.PLAN, made.plan),)
    return _Object(Kind.RECORD, details, attributes, references)
