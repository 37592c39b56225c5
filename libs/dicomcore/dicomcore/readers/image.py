"""Images, segmentations, and everything that has no reader of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dicomcore.model import ImageDetails, Reference, Relation
from dicomcore.readers.access import Item
from dicomcore.readers.refs import by_class, to_instances, to_series

_INSTANCES = ("ReferencedInstanceSequence", "ReferencedImageSequence", "SourceImageSequence")


def read_image(item: Item) -> tuple[ImageDetails, Iterable[Reference]]:
    """Return what is told of an image, and what it references: cone-beam images name their plan.

    Images that an image names (localizers, sources) are `Relation.OTHER`: shown, not followed.
    """
    return _details(item), _references(item, Relation.OTHER)


def read_segmentation(item: Item) -> tuple[ImageDetails, Iterable[Reference]]:
    """Return what is told of a segmentation, and what it references: the images it segments."""
    return _details(item), _references(item, Relation.IMAGE)


def _details(item: Item) -> ImageDetails:
    dates = (item.first(k) for k in ("AcquisitionDate", "ContentDate", "SeriesDate"))
    return ImageDetails(
        image_type=item.texts("ImageType"),
        date=next((date for date in dates if date), ""),
        instance_number=item.integer("InstanceNumber"),
    )


def _references(item: Item, images: Relation) -> Iterator[Reference]:
    yield from to_instances(Relation.PLAN, item.items("ReferencedRTPlanSequence"))
    yield from to_instances(Relation.STRUCTURE_SET, item.items("ReferencedStructureSetSequence"))
    yield from to_instances(Relation.RECORD, item.items("ReferencedTreatmentRecordSequence"))
    # series of the study that the instance is in, then those of other studies (PS3.3 C.12.2)
    own_study = item.uid("StudyInstanceUID") or ""
    series = item.items("ReferencedSeriesSequence")
    yield from to_series(images, series, study=own_study)
    for study in item.items("StudiesContainingOtherReferencedInstancesSequence"):
        study_uid = study.uid("StudyInstanceUID") or ""
        yield from to_series(images, study.items("ReferencedSeriesSequence"), study=study_uid)
    for keyword in _INSTANCES:
        yield from by_class(images, item.items(keyword))
