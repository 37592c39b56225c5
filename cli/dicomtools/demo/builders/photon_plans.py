"""RT Plans with external photon beams, and Halcyon's private class of them."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import RTPlanStorage

from dicomtools.demo.builders.base import Person, Series, item, with_attributes
from dicomtools.demo.builders.plans import PlanSpec, fraction_group, plan_of_class, reference_images

HALCYON_PLAN = "1.2.246.352.70.1.70"
"""Varian's private class for plans of Halcyon; an RT Plan in everything else."""


def photon_plan(person: Person, series: Series, uid: str, spec: PlanSpec) -> Dataset:
    """Return an RT Plan (PS3.3 A.20) with external beams."""
    return _external(person, series, uid, spec, RTPlanStorage)


def halcyon_plan(person: Person, series: Series, uid: str, spec: PlanSpec) -> Dataset:
    """Return a plan of Halcyon's private SOP class."""
    return _external(person, series, uid, spec, HALCYON_PLAN)


def _external(
    person: Person, series: Series, uid: str, spec: PlanSpec, sop_class_uid: str
) -> Dataset:
    ds = plan_of_class(person, series, uid, spec, sop_class_uid)
    with_attributes(
        ds,
        FractionGroupSequence=[fraction_group(spec)],
        PatientSetupSequence=[item(PatientPosition="HFS", PatientSetupNumber=1)],
        BeamSequence=[_beam(number, spec) for number in range(1, spec.beams + 1)],
    )
    return ds


def _beam(number: int, spec: PlanSpec) -> Dataset:
    jaws = [
        item(RTBeamLimitingDeviceType=kind, LeafJawPositions=["-50", "50"])
        for kind in ("ASYMX", "ASYMY")
    ]
    first = item(
        ControlPointIndex=0,
        NominalBeamEnergy="6",
        DoseRateSet="600",
        BeamLimitingDevicePositionSequence=jaws,
        GantryAngle=f"{(number - 1) * 360 / spec.beams:.1f}",
        GantryRotationDirection="NONE",
        BeamLimitingDeviceAngle="0",
        BeamLimitingDeviceRotationDirection="NONE",
        PatientSupportAngle="0",
        PatientSupportRotationDirection="NONE",
        TableTopEccentricAngle="0",
        TableTopEccentricRotationDirection="NONE",
        TableTopVerticalPosition=None,
        TableTopLongitudinalPosition=None,
        TableTopLateralPosition=None,
        IsocenterPosition=["0", "0", "0"],
        CumulativeMetersetWeight="0",
    )
    beam = item(
        TreatmentMachineName=spec.machine,
        Manufacturer="DicomTools demo",
        ManufacturerModelName="DEMO-6X",
        PrimaryDosimeterUnit="MU",
        SourceAxisDistance="1000",
        BeamLimitingDeviceSequence=[
            item(RTBeamLimitingDeviceType=kind, NumberOfLeafJawPairs=1)
            for kind in ("ASYMX", "ASYMY")
        ],
        BeamNumber=number,
        BeamName=f"Field {number}",
        BeamType="STATIC",
        RadiationType="PHOTON",
        TreatmentDeliveryType="TREATMENT",
        NumberOfWedges=0,
        NumberOfCompensators=0,
        NumberOfBoli=0,
        NumberOfBlocks=0,
        FinalCumulativeMetersetWeight="1",
        NumberOfControlPoints=2,
        ControlPointSequence=[first, item(ControlPointIndex=1, CumulativeMetersetWeight="1")],
        ReferencedPatientSetupNumber=1,
    )
    images = reference_images(number, spec)
    return with_attributes(beam, ReferencedReferenceImageSequence=images) if images else beam
