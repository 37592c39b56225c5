"""RT Structure Set (PS3.3 A.19): which images and which frames of reference it is drawn on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dicomcore.model import Level, Reference, Relation, StructureSetDetails
from dicomcore.readers.access import Item
from dicomcore.readers.refs import to_frames, to_instances


def read_structure_set(item: Item) -> tuple[StructureSetDetails, Iterable[Reference]]:
    """Return what is told of a structure set, and what it references.

    Notes
    -----
    Contours are looked at although the series level names the images as well: some writers fill one
    of the two, and some fill both with different images.
    """
    details = StructureSetDetails(
        label=item.text("StructureSetLabel"),
        name=item.text("StructureSetName"),
        date=item.first("StructureSetDate"),
        approval_status=item.first("ApprovalStatus"),
        number_of_rois=len(item.items("StructureSetROISequence")),
    )
    return details, _references(item)


def _references(item: Item) -> Iterator[Reference]:
    for frame in item.items("ReferencedFrameOfReferenceSequence"):
        for study in frame.items("RTReferencedStudySequence"):
            yield from _of_study(study)
    yield from _of_contours(item.items("ROIContourSequence"))
    predecessors = item.items("PredecessorStructureSetSequence")
    yield from to_instances(Relation.OTHER, predecessors, note="PREDECESSOR")
    yield from to_frames(_frames(item))


def _of_study(study: Item) -> Iterator[Reference]:
    # the study is referenced as an instance of the retired Detached Study Management class
    study_uid = study.uid("ReferencedSOPInstanceUID") or ""
    for series in study.items("RTReferencedSeriesSequence"):
        series_uid = series.uid("SeriesInstanceUID") or ""
        if series_uid:
            yield Reference(
                Relation.IMAGE_SERIES, series_uid, Level.SERIES, study_instance_uid=study_uid
            )
        images = series.items("ContourImageSequence")
        yield from to_instances(Relation.IMAGE, images, series=series_uid, study=study_uid)


def _of_contours(rois: Iterable[Item]) -> Iterator[Reference]:
    """Fold first: fifty structures on two hundred slices name each slice fifty times."""
    images: dict[str, Item] = {}
    for roi in rois:
        for source in roi.items("SourceSeriesSequence"):
            series_uid = source.uid("SeriesInstanceUID")
            if series_uid is not None:
                yield Reference(Relation.IMAGE_SERIES, series_uid, Level.SERIES)
        for contour in roi.items("ContourSequence"):
            for image in contour.items("ContourImageSequence"):
                images.setdefault(image.text("ReferencedSOPInstanceUID"), image)
    yield from to_instances(Relation.IMAGE, images.values())


def _frames(item: Item) -> Iterator[str | None]:
    """Frames in the order in which they are named; the structure set's own is not among them."""
    for frame in item.items("ReferencedFrameOfReferenceSequence"):
        yield frame.uid("FrameOfReferenceUID")
        for related in frame.items("FrameOfReferenceRelationshipSequence"):
            yield related.uid("RelatedFrameOfReferenceUID")
    for roi in item.items("StructureSetROISequence"):
        yield roi.uid("ReferencedFrameOfReferenceUID")
