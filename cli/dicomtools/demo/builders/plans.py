"""RT Plans of every kind: photon, Halcyon's private class, ion, brachy."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import (
    RTDoseStorage,
    RTImageStorage,
    RTIonPlanStorage,
    RTPlanStorage,
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

HALCYON_PLAN = "1.2.246.352.70.1.70"
"""Varian's private class for plans of Halcyon; an RT Plan in everything else."""


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


def photon_plan(person: Person, series: Series, uid: str, spec: PlanSpec) -> Dataset:
    """Return an RT Plan (PS3.3 A.20) with external beams."""
    return _external(person, series, uid, spec, RTPlanStorage)


def halcyon_plan(person: Person, series: Series, uid: str, spec: PlanSpec) -> Dataset:
    """Return a plan of Halcyon's private SOP class."""
    return _external(person, series, uid, spec, HALCYON_PLAN)


def ion_plan(person: Person, series: Series, uid: str, spec: PlanSpec) -> Dataset:
    """Return an RT Ion Plan (PS3.3 A.49): Ion Beam Sequence instead of Beam Sequence."""
    ds = _plan(person, series, uid, spec, RTIonPlanStorage)
    numbers = range(1, spec.beams + 1)
    with_attributes(
        ds,
        FractionGroupSequence=[_fraction_group(spec)],
        PatientSetupSequence=[item(PatientPosition="HFS", PatientSetupNumber=1)],
        IonToleranceTableSequence=[item(ToleranceTableNumber=1, ToleranceTableLabel="T1")],
        IonBeamSequence=[_ion_beam(number, spec) for number in numbers],
    )
    return ds


def brachy_plan(person: Person, series: Series, uid: str, spec: PlanSpec) -> Dataset:
    """Return an RT Plan with brachy application setups and no Beam Sequence (PS3.3 C.8.8.15)."""
    ds = _plan(person, series, uid, spec, RTPlanStorage)
    group = item(
        FractionGroupNumber=1,
        NumberOfFractionsPlanned=spec.fractions,
        NumberOfBeams=0,
        NumberOfBrachyApplicationSetups=spec.beams,
        ReferencedBrachyApplicationSetupSequence=[
            item(ReferencedBrachyApplicationSetupNumber=number)
            for number in range(1, spec.beams + 1)
        ],
    )
    with_attributes(
        ds,
        FractionGroupSequence=[group],
        PatientSetupSequence=[item(PatientPosition="HFS", PatientSetupNumber=1)],
        TreatmentMachineSequence=[
            item(TreatmentMachineName=spec.machine, Manufacturer="DicomTools demo")
        ],
        SourceSequence=[
            item(
                SourceNumber=1,
                SourceType="POINT",
                SourceIsotopeName="Ir-192",
                SourceIsotopeHalfLife="73.83",
                ReferenceAirKermaRate="40000",
                SourceStrengthReferenceDate=series.study.date,
                SourceStrengthReferenceTime="080000",
            )
        ],
        ApplicationSetupSequence=[
            _application_setup(number) for number in range(1, spec.beams + 1)
        ],
    )
    ds.BrachyTreatmentTechnique = "INTRACAVITARY"
    ds.BrachyTreatmentType = "HDR"
    return ds


def _external(
    person: Person, series: Series, uid: str, spec: PlanSpec, sop_class_uid: str
) -> Dataset:
    ds = _plan(person, series, uid, spec, sop_class_uid)
    with_attributes(
        ds,
        FractionGroupSequence=[_fraction_group(spec)],
        PatientSetupSequence=[item(PatientPosition="HFS", PatientSetupNumber=1)],
        BeamSequence=[_beam(number, spec) for number in range(1, spec.beams + 1)],
    )
    return ds


def _plan(person: Person, series: Series, uid: str, spec: PlanSpec, sop_class_uid: str) -> Dataset:
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


def _fraction_group(spec: PlanSpec) -> Dataset:
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


def _reference_images(number: int, spec: PlanSpec) -> list[Dataset]:
    if number > len(spec.reference_images):
        return []
    return [
        reference(RTImageStorage, uid, ReferenceImageNumber=index)
        for index, uid in enumerate(spec.reference_images[number - 1], start=1)
    ]


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
    images = _reference_images(number, spec)
    return with_attributes(beam, ReferencedReferenceImageSequence=images) if images else beam


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
    images = _reference_images(number, spec)
    return with_attributes(beam, ReferencedReferenceImageSequence=images) if images else beam


def _application_setup(number: int) -> Dataset:
    stops = [
        item(
            ControlPointIndex=index,
            ControlPointRelativePosition=f"{5 * index}",
            ControlPoint3DPosition=["0", "0", f"{5 * index}"],
            CumulativeTimeWeight=f"{100 * index}",
        )
        for index in range(2)
    ]
    channel = item(
        ChannelNumber=1,
        ChannelLength="1000",
        ChannelTotalTime="100",
        TransferTubeNumber=None,
        SourceMovementType="STEPWISE",
        SourceApplicatorNumber=1,
        SourceApplicatorID="A1",
        SourceApplicatorType="RIGID",
        SourceApplicatorLength="200",
        SourceApplicatorStepSize="5",
        ReferencedSourceNumber=1,
        NumberOfControlPoints=2,
        FinalCumulativeTimeWeight="100",
        BrachyControlPointSequence=stops,
    )
    return item(
        ApplicationSetupType="RECTAL",
        ApplicationSetupNumber=number,
        ApplicationSetupName=f"Setup {number}",
        TotalReferenceAirKerma="100",
        ChannelSequence=[channel],
    )
