"""RT images and treatment records: what the treatment unit leaves behind."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import (
    RTBeamsTreatmentRecordStorage,
    RTBrachyTreatmentRecordStorage,
    RTImageStorage,
    RTIonBeamsTreatmentRecordStorage,
    RTTreatmentSummaryRecordStorage,
)

from dicomtools.demo.builders.base import (
    Person,
    Series,
    item,
    new_instance,
    reference,
    with_attributes,
)
from dicomtools.demo.phantom import disc


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """An RT Image of one beam."""

    label: str
    kind: str
    """Value 3 of Image Type: DRR, PORTAL, SIMULATOR …"""
    rows: int
    columns: int
    beam_number: int
    plan: tuple[str, str] | None = None
    """SOP class and instance UID; None leaves Referenced RT Plan Sequence out."""
    fraction: int | None = None


def rt_image(person: Person, series: Series, uid: str, spec: ImageSpec) -> Dataset:
    """Return an RT Image (PS3.3 A.17)."""
    ds = new_instance(person, series, sop_class_uid=RTImageStorage, uid=uid)
    drawn = spec.kind == "DRR"
    ds.ImageType = ["DERIVED" if drawn else "ORIGINAL", "SECONDARY" if drawn else "PRIMARY"]
    ds.ImageType = [*ds.ImageType, spec.kind]
    ds.ContentDate = series.study.date
    ds.ContentTime = "113000"
    ds.ConversionType = "WSD" if drawn else "DI"
    ds.PatientOrientation = ""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = spec.rows, spec.columns
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    ds.RTImageLabel = spec.label
    ds.RTImagePlane = "NORMAL"
    ds.XRayImageReceptorAngle = "0"
    spacing = 400 / spec.columns
    ds.ImagePlanePixelSpacing = [f"{spacing:.5f}"] * 2
    ds.RTImagePosition = [f"{-spacing * spec.columns / 2:.3f}", f"{spacing * spec.rows / 2:.3f}"]
    ds.RadiationMachineName = "DEMO_LINAC"
    ds.RadiationMachineSAD = "1000"
    ds.RTImageSID = "1500"
    ds.PrimaryDosimeterUnit = "MU"
    ds.GantryAngle = "0"
    ds.BeamLimitingDeviceAngle = "0"
    ds.PatientSupportAngle = "0"
    ds.IsocenterPosition = ["0", "0", "0"]
    ds.ReferencedBeamNumber = spec.beam_number
    ds.PixelIntensityRelationship = "LIN"
    ds.PixelIntensityRelationshipSign = 1
    if spec.plan is not None:
        with_attributes(ds, ReferencedRTPlanSequence=[reference(*spec.plan)])
    if spec.fraction is not None:
        ds.FractionNumber = spec.fraction
    ds.PixelData = disc(spec.rows, spec.columns, spacing, 40, (500, 9000, 20000))
    ds["PixelData"].VR = "OW"
    return ds


@dataclass(frozen=True, slots=True)
class RecordSpec:
    """A treatment record of one fraction."""

    plan: tuple[str, str]
    fraction: int
    beams: int
    machine: str = "DEMO_LINAC"


def beams_record(person: Person, series: Series, uid: str, spec: RecordSpec) -> Dataset:
    """Return an RT Beams Treatment Record (PS3.3 A.29)."""
    ds = _record(person, series, uid, spec, RTBeamsTreatmentRecordStorage)
    sessions = [_session_beam(number, spec.fraction, "PHOTON") for number in _numbers(spec)]
    return with_attributes(ds, TreatmentSessionBeamSequence=sessions)


def ion_record(person: Person, series: Series, uid: str, spec: RecordSpec) -> Dataset:
    """Return an RT Ion Beams Treatment Record (PS3.3 A.50)."""
    ds = _record(person, series, uid, spec, RTIonBeamsTreatmentRecordStorage)
    sessions = [_session_ion_beam(number, spec.fraction) for number in _numbers(spec)]
    return with_attributes(ds, TreatmentSessionIonBeamSequence=sessions)


def brachy_record(person: Person, series: Series, uid: str, spec: RecordSpec) -> Dataset:
    """Return an RT Brachy Treatment Record (PS3.3 A.30)."""
    ds = _record(person, series, uid, spec, RTBrachyTreatmentRecordStorage)
    ds.BrachyTreatmentTechnique = "INTRACAVITARY"
    ds.BrachyTreatmentType = "HDR"
    source = item(
        SourceNumber=1,
        SourceType="POINT",
        SourceManufacturer="",
        SourceSerialNumber="",
        SourceIsotopeName="Ir-192",
        SourceIsotopeHalfLife="73.83",
        ReferenceAirKermaRate="40000",
        SourceStrengthReferenceDate=series.study.date,
        SourceStrengthReferenceTime="080000",
    )
    setups = [
        item(
            CurrentFractionNumber=spec.fraction,
            TreatmentDeliveryType="TREATMENT",
            TreatmentTerminationStatus="NORMAL",
            TreatmentTerminationCode="",
            TreatmentVerificationStatus="",
            ReferencedBrachyApplicationSetupNumber=number,
            ApplicationSetupType="RECTAL",
            TotalReferenceAirKerma="100",
        )
        for number in _numbers(spec)
    ]
    return with_attributes(
        ds, RecordedSourceSequence=[source], TreatmentSessionApplicationSetupSequence=setups
    )


def summary_record(person: Person, series: Series, uid: str, spec: RecordSpec) -> Dataset:
    """Return an RT Treatment Summary Record (PS3.3 A.31); `fraction` is the last one delivered."""
    ds = _record(person, series, uid, spec, RTTreatmentSummaryRecordStorage)
    ds.CurrentTreatmentStatus = "COMPLETED"
    ds.FirstTreatmentDate = series.study.date
    ds.MostRecentTreatmentDate = series.study.date
    summaries = [
        item(
            ReferencedFractionGroupNumber=1,
            NumberOfFractionsPlanned=spec.fraction,
            NumberOfFractionsDelivered=spec.fraction,
            FractionGroupType="EXTERNAL_BEAM",
        )
    ]
    return with_attributes(ds, FractionGroupSummarySequence=summaries)


def _numbers(spec: RecordSpec) -> range:
    return range(1, spec.beams + 1)


def _record(
    person: Person, series: Series, uid: str, spec: RecordSpec, sop_class_uid: str
) -> Dataset:
    ds = new_instance(person, series, sop_class_uid=sop_class_uid, uid=uid, number=spec.fraction)
    ds.TreatmentDate = series.study.date
    ds.TreatmentTime = "140000"
    machine = item(
        TreatmentMachineName=spec.machine,
        Manufacturer="DicomTools demo",
        InstitutionName="",
        ManufacturerModelName="DEMO-6X",
        DeviceSerialNumber="0",
    )
    return with_attributes(
        ds,
        ReferencedRTPlanSequence=[reference(*spec.plan)],
        ReferencedFractionGroupNumber=1,
        NumberOfFractionsPlanned=spec.fraction,
        PrimaryDosimeterUnit="MU",
        TreatmentMachineSequence=[machine],
    )


def _session_beam(number: int, fraction: int, radiation: str) -> Dataset:
    return item(
        CurrentFractionNumber=fraction,
        TreatmentDeliveryType="TREATMENT",
        TreatmentTerminationStatus="NORMAL",
        TreatmentTerminationCode="",
        TreatmentVerificationStatus="VERIFIED",
        ReferencedBeamNumber=number,
        BeamName=f"Field {number}",
        BeamType="STATIC",
        RadiationType=radiation,
        NumberOfWedges=0,
        NumberOfCompensators=0,
        NumberOfBoli=0,
        NumberOfBlocks=0,
        SpecifiedPrimaryMeterset="100",
        DeliveredPrimaryMeterset="100",
        NumberOfControlPoints=2,
        ControlPointDeliverySequence=[_delivered(index) for index in range(2)],
    )


def _delivered(index: int) -> Dataset:
    return item(
        TreatmentControlPointDate="20240601",
        TreatmentControlPointTime="140000",
        SpecifiedMeterset=f"{100 * index}",
        DeliveredMeterset=f"{100 * index}",
        DoseRateSet="600",
        DoseRateDelivered="600",
        NominalBeamEnergy="6",
        GantryAngle="0",
        GantryRotationDirection="NONE",
        BeamLimitingDeviceAngle="0",
        BeamLimitingDeviceRotationDirection="NONE",
        PatientSupportAngle="0",
        PatientSupportRotationDirection="NONE",
        ReferencedControlPointIndex=index,
    )


def _session_ion_beam(number: int, fraction: int) -> Dataset:
    beam = item(
        CurrentFractionNumber=fraction,
        TreatmentDeliveryType="TREATMENT",
        TreatmentTerminationStatus="NORMAL",
        TreatmentVerificationStatus="VERIFIED",
        ReferencedBeamNumber=number,
        BeamName=f"Ion {number}",
        BeamType="STATIC",
        RadiationType="PROTON",
        RadiationMassNumber=1,
        RadiationAtomicNumber=1,
        RadiationChargeState=1,
        ScanMode="MODULATED",
        NumberOfWedges=0,
        NumberOfCompensators=0,
        NumberOfBoli=0,
        NumberOfBlocks=0,
        NumberOfRangeShifters=0,
        NumberOfLateralSpreadingDevices=0,
        NumberOfRangeModulators=0,
        PatientSupportType="TABLE",
        SpecifiedPrimaryMeterset="100",
        DeliveredPrimaryMeterset="100",
        NumberOfControlPoints=1,
    )
    delivered = item(
        TreatmentControlPointDate="20240601",
        TreatmentControlPointTime="140000",
        SpecifiedMeterset="100",
        DeliveredMeterset="100",
        NominalBeamEnergy="150",
        ReferencedControlPointIndex=0,
    )
    return with_attributes(beam, IonControlPointDeliverySequence=[delivered])
