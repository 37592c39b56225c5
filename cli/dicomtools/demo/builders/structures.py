"""RT Structure Sets on the slices of an image series."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import RTStructureSetStorage

from dicomtools.demo.builders.base import (
    ImageSet,
    Person,
    Series,
    approve,
    item,
    new_instance,
    reference,
    referenced_study,
    with_attributes,
)
from dicomtools.demo.phantom import POINTS_PER_CONTOUR, REGIONS, Region, circle

_CONTOUR_DATA = Tag(0x3006, 0x0050)


def structure_set(
    person: Person, series: Series, uid: str, *, label: str, images: ImageSet
) -> Dataset:
    """Return an RT Structure Set (PS3.3 A.19) whose contours name the slice they lie on."""
    ds = new_instance(person, series, sop_class_uid=RTStructureSetStorage, uid=uid)
    frame = images.series.frame_of_reference_uid
    ds.StructureSetLabel = label
    ds.StructureSetDate = series.study.date
    ds.StructureSetTime = "110000"
    with_attributes(
        ds,
        ReferencedFrameOfReferenceSequence=[
            item(FrameOfReferenceUID=frame, RTReferencedStudySequence=[referenced_study(images)])
        ],
        StructureSetROISequence=[
            item(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=frame,
                ROIName=region.name,
                ROIGenerationAlgorithm="MANUAL",
            )
            for number, region in enumerate(REGIONS, start=1)
        ],
        ROIContourSequence=[
            item(
                ReferencedROINumber=number,
                ROIDisplayColor=list(region.color),
                ContourSequence=_contours(region, images),
            )
            for number, region in enumerate(REGIONS, start=1)
        ],
        RTROIObservationsSequence=[
            item(
                ObservationNumber=number,
                ReferencedROINumber=number,
                RTROIInterpretedType=region.interpreted_type,
                ROIInterpreter="",
            )
            for number, region in enumerate(REGIONS, start=1)
        ],
    )
    approve(ds, "APPROVED", series.study.date)
    return ds


def _contours(region: Region, images: ImageSet) -> list[Dataset]:
    contours = []
    for uid, z_mm in zip(images.uids, images.positions_mm, strict=True):
        radius = region.radius_at(z_mm)
        if radius < 1:
            continue
        contour = item(
            ContourImageSequence=[reference(images.sop_class_uid, uid)],
            ContourGeometricType="CLOSED_PLANAR",
            NumberOfContourPoints=POINTS_PER_CONTOUR,
        )
        x_mm, y_mm, _ = region.center_mm
        contour[_CONTOUR_DATA] = _decimal_strings(circle(radius, x_mm, y_mm, z_mm))
        contours.append(contour)
    return contours


def _decimal_strings(encoded: bytes) -> RawDataElement:
    # raw: a hundred thousand decimal strings would take seconds to make, and nobody reads them here
    return RawDataElement(
        _CONTOUR_DATA,
        "DS",
        len(encoded),
        encoded,
        0,
        is_implicit_VR=False,
        is_little_endian=True,
        is_raw=True,
    )
