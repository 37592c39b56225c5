"""What every made-up instance has: patient, study, series, equipment, SOP common modules."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.sequence import Sequence

CHARACTER_SET = "ISO_IR 192"


@dataclass(frozen=True, slots=True)
class Person:
    """Nobody."""

    patient_id: str = field(repr=False)
    name: str = field(repr=False)
    birth_date: str = "19500101"
    sex: str = "O"


@dataclass(frozen=True, slots=True)
class Study:
    """A study of the made-up patient."""

    uid: str
    date: str
    description: str
    study_id: str


@dataclass(frozen=True, slots=True)
class Series:
    """A series of a study; `frame_of_reference_uid` is empty for objects that have none."""

    study: Study
    uid: str
    modality: str
    description: str
    number: int
    frame_of_reference_uid: str = ""
    manufacturer: str = "DicomTools demo"
    model: str = "Phantom"


@dataclass(frozen=True, slots=True)
class ImageSet:
    """An image series as others reference it."""

    series: Series
    sop_class_uid: str
    uids: tuple[str, ...]
    positions_mm: tuple[float, ...]
    """z of each slice, in the order of `uids`."""


def new_instance(
    person: Person, series: Series, *, sop_class_uid: str, uid: str, number: int = 1
) -> Dataset:
    """Return a data set with the modules that all composite instances share (PS3.3 C.7, C.12.1)."""
    study = series.study
    ds = Dataset()
    ds.SpecificCharacterSet = CHARACTER_SET
    ds.InstanceCreationDate = study.date
    ds.InstanceCreationTime = "120000"
    ds.SOPClassUID = sop_class_uid
    ds.SOPInstanceUID = uid
    ds.StudyDate = study.date
    ds.SeriesDate = study.date
    ds.StudyTime = "100000"
    ds.SeriesTime = "100500"
    ds.AccessionNumber = ""
    ds.Modality = series.modality
    ds.Manufacturer = series.manufacturer
    ds.ReferringPhysicianName = ""
    ds.StationName = "DEMO"
    ds.StudyDescription = study.description
    ds.SeriesDescription = series.description
    ds.OperatorsName = ""
    ds.ManufacturerModelName = series.model
    ds.PatientName = person.name
    ds.PatientID = person.patient_id
    ds.PatientBirthDate = person.birth_date
    ds.PatientSex = person.sex
    ds.DeviceSerialNumber = "0"
    ds.SoftwareVersions = "1"
    ds.StudyInstanceUID = study.uid
    ds.SeriesInstanceUID = series.uid
    ds.StudyID = study.study_id
    ds.SeriesNumber = series.number
    ds.InstanceNumber = number
    if series.frame_of_reference_uid:
        ds.FrameOfReferenceUID = series.frame_of_reference_uid
        ds.PositionReferenceIndicator = ""
    return ds


def reference(sop_class_uid: str, uid: str, **more: object) -> Dataset:
    """Return an item with Referenced SOP Class and Instance UID (PS3.3 Table 10-11)."""
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = uid
    return with_attributes(item, **more)


def item(**attributes: object) -> Dataset:
    """Return a sequence item with these attributes, by keyword."""
    return with_attributes(Dataset(), **attributes)


def with_attributes(ds: Dataset, **attributes: object) -> Dataset:
    """Set attributes by keyword and return the data set; a list of items becomes a sequence."""
    for keyword, value in attributes.items():
        if isinstance(value, list) and value and isinstance(value[0], Dataset):
            value = Sequence(value)  # noqa: PLW2901 - the same value, in pydicom's type
        setattr(ds, keyword, value)
    return ds


def code(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    """Return an item of a code sequence (PS3.3 Table 8.8-1a)."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def approve(ds: Dataset, status: str, date: str) -> None:
    """Add the Approval module (PS3.3 C.8.8.16); the reviewer is nobody."""
    ds.ApprovalStatus = status
    if status != "UNAPPROVED":
        ds.ReviewDate = date
        ds.ReviewTime = "130000"
        ds.ReviewerName = "DEMO^REVIEWER"


def referenced_study(images: ImageSet) -> Dataset:
    """Return an item of RT Referenced Study Sequence (3006,0012) that names every slice."""
    contour_images = [reference(images.sop_class_uid, uid) for uid in images.uids]
    series = item(SeriesInstanceUID=images.series.uid, ContourImageSequence=contour_images)
    return reference(
        "1.2.840.10008.3.1.2.3.1", images.series.study.uid, RTReferencedSeriesSequence=[series]
    )
