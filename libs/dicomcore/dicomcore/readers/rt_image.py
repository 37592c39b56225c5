"""RT Image (PS3.3 A.17): DRRs, portal images, simulator images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dicomcore.model import Reference, Relation, RtImageDetails
from dicomcore.readers.access import Item
from dicomcore.readers.refs import by_class, to_instances


def read_rt_image(item: Item) -> tuple[RtImageDetails, Iterable[Reference]]:
    """Return what is told of an RT image, and what it references."""
    details = RtImageDetails(
        label=item.text("RTImageLabel"),
        image_type=item.texts("ImageType"),
        date=item.first("ContentDate") or item.first("AcquisitionDate"),
        time=item.first("ContentTime"),
        beam_number=item.integer("ReferencedBeamNumber"),
        fraction_number=item.integer("FractionNumber"),
        machine=item.text("RadiationMachineName"),
    )
    return details, _references(item)


def _references(item: Item) -> Iterator[Reference]:
    yield from to_instances(Relation.PLAN, item.items("ReferencedRTPlanSequence"))
    yield from to_instances(Relation.RECORD, item.items("ReferencedTreatmentRecordSequence"))
    for keyword in ("ReferencedInstanceSequence", "ReferencedImageSequence", "SourceImageSequence"):
        yield from by_class(Relation.OTHER, item.items(keyword))
