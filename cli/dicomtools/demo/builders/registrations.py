"""Registrations that tie two frames of reference, and an object that is no image at all."""

from __future__ import annotations

import struct

from pydicom import Dataset
from pydicom.uid import (
    DeformableSpatialRegistrationStorage,
    EncapsulatedPDFStorage,
    SpatialRegistrationStorage,
)

from dicomtools.demo.builders.base import (
    ImageSet,
    Person,
    Series,
    code,
    item,
    new_instance,
    reference,
    with_attributes,
)

_IDENTITY = ["1", "0", "0", "0", "0", "1", "0", "0", "0", "0", "1", "0", "0", "0", "0", "1"]
_GRID = 4


def spatial_registration(
    person: Person, series: Series, uid: str, *, fixed: ImageSet, moving: ImageSet
) -> Dataset:
    """Return a Spatial Registration (PS3.3 A.39.1) of `moving` onto `fixed`."""
    ds = _registration(person, series, uid, SpatialRegistrationStorage, (fixed, moving))
    return with_attributes(
        ds, RegistrationSequence=[_registered(images) for images in (fixed, moving)]
    )


def deformable_registration(
    person: Person, series: Series, uid: str, *, fixed: ImageSet, moving: ImageSet
) -> Dataset:
    """Return a Deformable Spatial Registration (PS3.3 A.39.2) with a coarse vector grid."""
    ds = _registration(person, series, uid, DeformableSpatialRegistrationStorage, (fixed, moving))
    deformed = item(
        SourceFrameOfReferenceUID=moving.series.frame_of_reference_uid,
        ReferencedImageSequence=_references(moving),
        RegistrationTypeCodeSequence=[code("125025", "Visual Alignment")],
        PreDeformationMatrixRegistrationSequence=[_matrix()],
        PostDeformationMatrixRegistrationSequence=[_matrix()],
        DeformableRegistrationGridSequence=[
            item(
                ImagePositionPatient=["-150", "-150", "-30"],
                ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
                GridDimensions=[_GRID] * 3,
                GridResolution=[100.0, 100.0, 20.0],
                VectorGridData=struct.pack(f"<{3 * _GRID**3}f", *([0.5] * 3 * _GRID**3)),
            )
        ],
    )
    return with_attributes(ds, DeformableRegistrationSequence=[deformed])


def report(person: Person, series: Series, uid: str) -> Dataset:
    """Return an Encapsulated PDF (PS3.3 A.45.1): an object of a kind that nobody reads here."""
    ds = new_instance(person, series, sop_class_uid=EncapsulatedPDFStorage, uid=uid)
    ds.ConversionType = "WSD"
    ds.ContentDate = series.study.date
    ds.ContentTime = "150000"
    ds.AcquisitionDateTime = ""
    ds.BurnedInAnnotation = "NO"
    ds.DocumentTitle = "Demo"
    with_attributes(ds, ConceptNameCodeSequence=[code("18748-4", "Diagnostic imaging study", "LN")])
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocument = b"%PDF-1.4\n%made up, empty on purpose\n%%EOF\n"
    return ds


def _registration(
    person: Person,
    series: Series,
    uid: str,
    sop_class_uid: str,
    images: tuple[ImageSet, ImageSet],
) -> Dataset:
    ds = new_instance(person, series, sop_class_uid=sop_class_uid, uid=uid)
    ds.ContentDate = series.study.date
    ds.ContentTime = "113000"
    ds.ContentLabel = "REGISTRATION"
    ds.ContentDescription = series.description
    ds.ContentCreatorName = ""
    same, other = [], []
    for image_set in images:
        entry = item(
            SeriesInstanceUID=image_set.series.uid,
            ReferencedInstanceSequence=_references(image_set),
        )
        if image_set.series.study.uid == series.study.uid:
            same.append(entry)
        else:
            other.append(
                item(StudyInstanceUID=image_set.series.study.uid, ReferencedSeriesSequence=[entry])
            )
    if same:
        with_attributes(ds, ReferencedSeriesSequence=same)
    if other:
        with_attributes(ds, StudiesContainingOtherReferencedInstancesSequence=other)
    return ds


def _registered(images: ImageSet) -> Dataset:
    return item(
        FrameOfReferenceUID=images.series.frame_of_reference_uid,
        ReferencedImageSequence=_references(images),
        MatrixRegistrationSequence=[
            item(
                MatrixSequence=[_matrix()],
                RegistrationTypeCodeSequence=[code("125025", "Visual Alignment")],
            )
        ],
    )


def _references(images: ImageSet) -> list[Dataset]:
    return [reference(images.sop_class_uid, uid) for uid in images.uids]


def _matrix() -> Dataset:
    return item(
        FrameOfReferenceTransformationMatrixType="RIGID",
        FrameOfReferenceTransformationMatrix=_IDENTITY,
    )
