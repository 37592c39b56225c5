"""RT Plan, RT Ion Plan, brachy plans, and private plan classes of their shape (PS3.3 A.20, A.49)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dicomcore.model import Beam, PlanDetails, Prescription, Reference, Relation
from dicomcore.readers.access import Item
from dicomcore.readers.refs import by_class, to_instances


def read_plan(item: Item) -> tuple[PlanDetails, Iterable[Reference]]:
    """Return what is told of a plan, and what it references."""
    details = PlanDetails(
        label=item.text("RTPlanLabel"),
        name=item.text("RTPlanName"),
        intent=item.text("PlanIntent"),
        approval_status=item.first("ApprovalStatus"),
        date=item.first("RTPlanDate"),
        time=item.first("RTPlanTime"),
        geometry=item.first("RTPlanGeometry"),
        beams=tuple(_beams(item)),
        fractions=tuple(
            group.integer("NumberOfFractionsPlanned")
            for group in item.items("FractionGroupSequence")
        ),
        prescriptions=tuple(_prescription(dose) for dose in item.items("DoseReferenceSequence")),
    )
    return details, _references(item)


def _beams(item: Item) -> Iterator[Beam]:
    """Beams, then ion beams, then application setups: real plans have one of the three, or none."""
    for keyword in ("BeamSequence", "IonBeamSequence"):
        for beam in item.items(keyword):
            yield Beam(
                number=beam.integer("BeamNumber"),
                name=beam.text("BeamName"),
                delivery_type=beam.text("TreatmentDeliveryType"),
                technique=beam.first("BeamType"),
                radiation_type=beam.first("RadiationType"),
                machine=beam.text("TreatmentMachineName"),
                manufacturer=beam.text("Manufacturer"),
                model=beam.text("ManufacturerModelName"),
                number_of_control_points=beam.integer("NumberOfControlPoints"),
                reference_image_uids=_reference_images(beam),
            )
    machines = item.items("TreatmentMachineSequence")
    machine = machines[0] if machines else Item({})
    for setup in item.items("ApplicationSetupSequence"):
        yield Beam(
            number=setup.integer("ApplicationSetupNumber"),
            name=setup.text("ApplicationSetupName"),
            delivery_type=item.text("BrachyTreatmentType"),
            technique=setup.first("ApplicationSetupType"),
            radiation_type="BRACHY",
            machine=machine.text("TreatmentMachineName"),
            manufacturer=machine.text("Manufacturer") or setup.text("ApplicationSetupManufacturer"),
            model=machine.text("ManufacturerModelName"),
            reference_image_uids=_reference_images(setup),
        )


def _reference_images(beam: Item) -> tuple[str, ...]:
    images = to_instances(Relation.DRR, beam.items("ReferencedReferenceImageSequence"))
    return tuple(dict.fromkeys(reference.uid for reference in images))


def _prescription(dose: Item) -> Prescription:
    return Prescription(
        description=dose.text("DoseReferenceDescription"),
        kind=dose.first("DoseReferenceType"),
        target_dose_gy=dose.number("TargetPrescriptionDose"),
    )


def _references(item: Item) -> Iterator[Reference]:
    yield from to_instances(Relation.STRUCTURE_SET, item.items("ReferencedStructureSetSequence"))
    yield from to_instances(Relation.DOSE, item.items("ReferencedDoseSequence"))
    for plan in item.items("ReferencedRTPlanSequence"):
        relationship = plan.first("RTPlanRelationship")
        yield from to_instances(Relation.RELATED_PLAN, (plan,), note=relationship)
    for keyword in ("BeamSequence", "IonBeamSequence", "ApplicationSetupSequence"):
        for beam in item.items(keyword):
            yield from _of_beam(beam)
    for group in item.items("FractionGroupSequence"):
        yield from to_instances(Relation.DOSE, group.items("ReferencedDoseSequence"))
    for setup in item.items("PatientSetupSequence"):
        yield from by_class(Relation.IMAGE, setup.items("ReferencedSetupImageSequence"))


def _of_beam(beam: Item) -> Iterator[Reference]:
    number = beam.integer("BeamNumber")
    note = "" if number is None else f"beam {number}"
    images = beam.items("ReferencedReferenceImageSequence")
    yield from to_instances(Relation.DRR, images, note=note)
    yield from to_instances(Relation.DOSE, beam.items("ReferencedDoseSequence"), note=note)
    verification = beam.items("ReferencedVerificationImageSequence")
    yield from to_instances(Relation.IMAGE, verification, note=note)
