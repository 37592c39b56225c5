"""CT, cone-beam CT, MR and PET slices, a scout, and a secondary capture of the phantom."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)

from dicomtools.demo.builders.base import (
    Person,
    Series,
    code,
    item,
    new_instance,
    reference,
    with_attributes,
)
from dicomtools.demo.phantom import TARGET, disc

FIELD_MM = 500.0


@dataclass(frozen=True, slots=True)
class Slice:
    """Where a slice is in its series."""

    uid: str
    index: int
    """0-based."""
    z_mm: float
    thickness_mm: float
    matrix: int
    """Rows and columns."""


def ct_slice(person: Person, series: Series, at: Slice) -> Dataset:
    """Return an axial CT slice (PS3.3 A.3)."""
    ds = new_instance(person, series, sop_class_uid=CTImageStorage, uid=at.uid, number=at.index + 1)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.KVP = "120"
    ds.PatientPosition = "HFS"
    ds.RescaleIntercept = "-1024"
    ds.RescaleSlope = "1"
    ds.RescaleType = "HU"
    ds.WindowCenter = "40"
    ds.WindowWidth = "400"
    _pixels(ds, at, levels=(24, 1024, 1084))
    return ds


def cone_beam_slice(
    person: Person, series: Series, at: Slice, plan: tuple[str, str] | None
) -> Dataset:
    """Return a slice of a cone-beam CT made at the treatment unit.

    Parameters
    ----------
    plan
        SOP class and instance UID of the plan it verifies the set-up of: Referenced RT Plan
        Sequence (300C,0002), which treatment units add to CT as a standard extended SOP class.
    """
    ds = ct_slice(person, series, at)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "CBCT"]
    if plan is not None:
        with_attributes(ds, ReferencedRTPlanSequence=[reference(*plan)])
    return ds


def scout(person: Person, series: Series, at: Slice) -> Dataset:
    """Return a CT localizer; it shares the frame of reference of the slices it plans."""
    ds = ct_slice(person, series, at)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    return ds


def mr_slice(person: Person, series: Series, at: Slice) -> Dataset:
    """Return an axial MR slice (PS3.3 A.4)."""
    ds = new_instance(person, series, sop_class_uid=MRImageStorage, uid=at.uid, number=at.index + 1)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.ScanningSequence = "SE"
    ds.SequenceVariant = "NONE"
    ds.ScanOptions = ""
    ds.MRAcquisitionType = "2D"
    ds.RepetitionTime = "4000"
    ds.EchoTime = "100"
    ds.EchoTrainLength = "1"
    ds.PatientPosition = "HFS"
    _pixels(ds, at, levels=(0, 400, 900))
    return ds


def pet_slice(person: Person, series: Series, at: Slice, *, slices: int) -> Dataset:
    """Return an axial PET slice (PS3.3 A.21) of a static acquisition."""
    ds = new_instance(
        person,
        series,
        sop_class_uid=PositronEmissionTomographyImageStorage,
        uid=at.uid,
        number=at.index + 1,
    )
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.AcquisitionDate = ds.SeriesDate
    ds.AcquisitionTime = ds.SeriesTime
    ds.Units = "BQML"
    ds.CountsSource = "EMISSION"
    ds.SeriesType = ["STATIC", "IMAGE"]
    ds.NumberOfSlices = slices
    ds.CorrectedImage = ["DECY", "ATTN", "SCAT"]
    ds.DecayCorrection = "START"
    ds.CollimatorType = "NONE"
    ds.FrameReferenceTime = "0"
    ds.ActualFrameDuration = "120000"
    ds.ImageIndex = at.index + 1
    ds.DecayFactor = "1"
    ds.PatientPosition = "HFS"
    with_attributes(
        ds,
        RadiopharmaceuticalInformationSequence=[
            item(
                RadionuclideCodeSequence=[code("C-111A1", "^18^Fluorine", "SRT")],
                RadiopharmaceuticalStartTime="090000",
                RadionuclideTotalDose="300000000",
                RadionuclideHalfLife="6586.2",
                RadionuclidePositronFraction="0.967",
            )
        ],
        PatientOrientationCodeSequence=[code("F-10450", "recumbent", "SRT")],
        PatientGantryRelationshipCodeSequence=[code("F-10470", "headfirst", "SRT")],
    )
    ds.RescaleIntercept = "0"
    ds.RescaleSlope = "1"
    _pixels(ds, at, levels=(0, 2000, 30000))
    return ds


def secondary_capture(person: Person, series: Series, uid: str, *, rows: int) -> Dataset:
    """Return a screenshot, 8 bits monochrome (PS3.3 A.8)."""
    ds = new_instance(person, series, sop_class_uid=SecondaryCaptureImageStorage, uid=uid)
    ds.ConversionType = "WSD"
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.PatientOrientation = ""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = rows
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelRepresentation = 0
    ramp = bytes(round(255 * column / rows) for column in range(rows))
    ds.PixelData = ramp * rows + b"\0" * (rows * rows % 2)
    ds["PixelData"].VR = "OB"
    return ds


def _pixels(ds: Dataset, at: Slice, *, levels: tuple[int, int, int]) -> None:
    spacing = FIELD_MM / at.matrix
    corner = -spacing * (at.matrix - 1) / 2
    ds.SliceThickness = f"{at.thickness_mm:g}"
    ds.AcquisitionNumber = 1
    ds.ImagePositionPatient = [f"{corner:.4f}", f"{corner:.4f}", f"{at.z_mm:.2f}"]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.SliceLocation = f"{at.z_mm:.2f}"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = at.matrix
    ds.PixelSpacing = [f"{spacing:.6f}", f"{spacing:.6f}"]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    target = round(TARGET.radius_at(at.z_mm))
    ds.PixelData = disc(at.matrix, at.matrix, spacing, target, levels)
    ds["PixelData"].VR = "OW"
