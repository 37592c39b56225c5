"""What RT Plans of every kind have in common: labels, approval, and what they reference."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import (
    RTDoseStorage,
    RTImageStorage,
    RTStructureSetStorage,
)

from dicomtools.demo.builders.base import (
    Person,
    Series,
    approve,
    item,
    new_instance,
    reference,
    with_attributes,
)


@dataclass(frozen=True, slots=True)
class RelatedPlan:
    """Another plan that a plan names, and RT Plan Relationship (300A,0055)."""

    sop_class_uid: str
    uid: str
    relationship: str


@dataclass(frozen=True, slots=True)
class PlanSpec:
    """What a plan says, and what it references."""

    label: str
    approval_status: str
    intent: str = "CURATIVE"
    machine: str = "DEMO_LINAC"
    beams: int = 2
    fractions: int = 5
    structure_set_uid: str | None = None
    """None: geometry TREATMENT_DEVICE, no Referenced Structure Set Sequence."""
    related: RelatedPlan | None = None
    dose_uids: tuple[str, ...] = ()
    """Referenced Dose Sequence (300C,0080)."""
    reference_images: tuple[tuple[str, ...], ...] = ()
    """For each beam, the DRRs of Referenced Reference Image Sequence (300C,0042)."""


def plan_of_class(
    person: Person, series: Series, uid: str, spec: PlanSpec, sop_class_uid: str
) -> Dataset:
    """Return what plans of every class have in common: all but fractions and beams."""
    ds = new_instance(person, series, sop_class_uid=sop_class_uid, uid=uid)
    ds.RTPlanLabel = spec.label
    ds.RTPlanName = f"Plan {spec.label}"
    ds.RTPlanDate = series.study.date
    ds.RTPlanTime = "114500"
    ds.PlanIntent = spec.intent
    ds.RTPlanGeometry = "PATIENT" if spec.structure_set_uid else "TREATMENT_DEVICE"
    with_attributes(
        ds,
        DoseReferenceSequence=[
            item(
                DoseReferenceNumber=1,
                DoseReferenceStructureType="SITE",
                DoseReferenceDescription="PTV_High",
                DoseReferenceType="TARGET",
                TargetPrescriptionDose=f"{2 * spec.fractions}",
            )
        ],
    )
    if spec.structure_set_uid:
        with_attributes(
            ds,
            ReferencedStructureSetSequence=[
                reference(RTStructureSetStorage, spec.structure_set_uid)
            ],
        )
    if spec.dose_uids:
        with_attributes(
            ds,
            ReferencedDoseSequence=[reference(RTDoseStorage, dose) for dose in spec.dose_uids],
        )
    if spec.related:
        with_attributes(
            ds,
            ReferencedRTPlanSequence=[
                reference(
                    spec.related.sop_class_uid,
                    spec.related.uid,
                    RTPlanRelationship=spec.related.relationship,
                )
            ],
        )
    approve(ds, spec.approval_status, series.study.date)
    return ds


def fraction_group(spec: PlanSpec) -> Dataset:
    """Return an item of Fraction Group Sequence (300A,0070) with all beams."""
    return item(
        FractionGroupNumber=1,
        NumberOfFractionsPlanned=spec.fractions,
        NumberOfBeams=spec.beams,
        NumberOfBrachyApplicationSetups=0,
        ReferencedBeamSequence=[
            item(BeamDose="1.0", BeamMeterset="100", ReferencedBeamNumber=number)
            for number in range(1, spec.beams + 1)
        ],
    )


def reference_images(number: int, spec: PlanSpec) -> list[Dataset]:
    """Return the items of Referenced Reference Image Sequence (300C,0042) of a beam, from 1."""
    if number > len(spec.reference_images):
        return []
    return [
        reference(RTImageStorage, uid, ReferenceImageNumber=index)
        for index, uid in enumerate(spec.reference_images[number - 1], start=1)
    ]
