"""RT Ion Plans."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import RTIonPlanStorage

from dicomtools.demo.builders.base import Person, Series, item, with_attributes
from dicomtools.demo.builders.plans import PlanSpec, fraction_group, plan_of_class, reference_images


def ion_plan(person: Person, series: Series, uid: str, spec: PlanSpec) -> Dataset:
    """Return an RT Ion Plan (PS3.3 A.49): Ion Beam Sequence instead of Beam Sequence."""
    ds = plan_of_class(person, series, uid, spec, RTIonPlanStorage)
    numbers = range(1, spec.beams + 1)
    with_attributes(
        ds,
        FractionGroupSequence=[fraction_group(spec)],
        PatientSetupSequence=[item(PatientPosition="HFS", PatientSetupNumber=1)],
        IonToleranceTableSequence=[item(ToleranceTableNumber=1, ToleranceTableLabel="T1")],
        IonBeamSequence=[_ion_beam(number, spec) for number in numbers],
    )
    return ds


def _ion_beam(number: int, spec: PlanSpec) -> Dataset:
    first = item(
        ControlPointIndex=0,
        CumulativeMetersetWeight="0",
        NominalBeamEnergy="150",
        GantryAngle=f"{90 * number}",
        GantryRotationDirection="NONE",
        PatientSupportAngle="0",
        PatientSupportRotationDirection="NONE",
        TableTopVerticalPosition=None,
        TableTopLongitudinalPosition=None,
        TableTopLateralPosition=None,
        TableTopPitchAngle=0.0,
        TableTopPitchRotationDirection="NONE",
        TableTopRollAngle=0.0,
        TableTopRollRotationDirection="NONE",
        IsocenterPosition=["0", "0", "0"],
        GantryPitchAngle=0.0,
        GantryPitchRotationDirection="NONE",
        SnoutPosition=300.0,
        ScanSpotTuneID="3.0",
        NumberOfScanSpotPositions=1,
        ScanSpotPositionMap=[0.0, 0.0],
        ScanSpotMetersetWeights=[1.0],
        ScanningSpotSize=[5.0, 5.0],
        NumberOfPaintings=1,
    )
    last = item(
        ControlPointIndex=1,
        CumulativeMetersetWeight="1",
        ScanSpotTuneID="3.0",
        NumberOfScanSpotPositions=1,
        ScanSpotPositionMap=[0.0, 0.0],
        ScanSpotMetersetWeights=[0.0],
        NumberOfPaintings=1,
    )
    beam = item(
        TreatmentMachineName=spec.machine,
        Manufacturer="DicomTools demo",
        PrimaryDosimeterUnit="MU",
        BeamNumber=number,
        BeamName=f"Ion {number}",
        BeamType="STATIC",
        RadiationType="PROTON",
        RadiationMassNumber=1,
        RadiationAtomicNumber=1,
        RadiationChargeState=1,
        ScanMode="MODULATED",
        TreatmentDeliveryType="TREATMENT",
        NumberOfWedges=0,
        NumberOfCompensators=0,
        NumberOfBoli=0,
        NumberOfBlocks=0,
        NumberOfRangeShifters=0,
        NumberOfLateralSpreadingDevices=0,
        NumberOfRangeModulators=0,
        VirtualSourceAxisDistances=[2000.0, 2500.0],
        PatientSupportType="TABLE",
        FinalCumulativeMetersetWeight="1",
        NumberOfControlPoints=2,
        IonControlPointSequence=[first, last],
        ReferencedPatientSetupNumber=1,
        ReferencedToleranceTableNumber=1,
    )
    images = reference_images(number, spec)
    return with_attributes(beam, ReferencedReferenceImageSequence=images) if images else beam
