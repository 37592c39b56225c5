"""Spatial and deformable registration (PS3.3 A.39): which frames of reference and images it ties."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dicomcore.model import Reference, RegistrationDetails, Relation
from dicomcore.readers.access import Item
from dicomcore.readers.refs import by_class, to_frames, to_series
from dicomcore.uids import FrameUID


def read_registration(item: Item) -> tuple[RegistrationDetails, Iterable[Reference]]:
    """Return what is told of a registration, and what it references."""
    frames = tuple(dict.fromkeys(uid for uid in _frames(item) if uid is not None))
    details = RegistrationDetails(
        label=item.text("ContentLabel"),
        description=item.text("ContentDescription"),
        date=item.first("ContentDate"),
        frames=tuple(FrameUID(uid) for uid in frames),
    )
    return details, _references(item, frames)


def _frames(item: Item) -> Iterator[str | None]:
    """The registered frame first, as PS3.3 C.20.2 has it, then that of each item."""
    yield item.uid("FrameOfReferenceUID")
    for registered in item.items("RegistrationSequence"):
        yield registered.uid("FrameOfReferenceUID")
    for deformed in item.items("DeformableRegistrationSequence"):
        yield deformed.uid("SourceFrameOfReferenceUID")


def _references(item: Item, frames: Iterable[str]) -> Iterator[Reference]:
    # series of the study that the instance is in, then those of other studies (PS3.3 C.12.2)
    own_study = item.uid("StudyInstanceUID") or ""
    series = item.items("ReferencedSeriesSequence")
    yield from to_series(Relation.IMAGE, series, study=own_study)
    for study in item.items("StudiesContainingOtherReferencedInstancesSequence"):
        study_uid = study.uid("StudyInstanceUID") or ""
        series = study.items("ReferencedSeriesSequence")
        yield from to_series(Relation.IMAGE, series, study=study_uid)
    for keyword in ("RegistrationSequence", "DeformableRegistrationSequence"):
        for registered in item.items(keyword):
            yield from by_class(Relation.IMAGE, registered.items("ReferencedImageSequence"))
    for keyword in ("ReferencedImageSequence", "ReferencedInstanceSequence"):
        yield from by_class(Relation.IMAGE, item.items(keyword))
    yield from to_frames(frames)
