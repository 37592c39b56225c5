"""From items that reference something to `Reference` values, each target once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from dicomcore.model import Kind, Level, Reference, Relation
from dicomcore.readers.access import Item
from dicomcore.readers.kinds import kind_of

_BY_KIND: Mapping[Kind, Relation] = {
    Kind.PLAN: Relation.PLAN,
    Kind.STRUCTURE_SET: Relation.STRUCTURE_SET,
    Kind.DOSE: Relation.DOSE,
    Kind.RECORD: Relation.RECORD,
}


def to_instances(
    relation: Relation, items: Iterable[Item], *, note: str = "", series: str = "", study: str = ""
) -> Iterator[Reference]:
    """Yield a reference for each item with a Referenced SOP Instance UID (0008,1155) that is a UID."""
    for item in items:
        uid = item.uid("ReferencedSOPInstanceUID")
        if uid is not None:
            sop_class = item.uid("ReferencedSOPClassUID") or ""
            yield Reference(relation, uid, Level.INSTANCE, sop_class, note, series, study)


def by_class(
    images: Relation, items: Iterable[Item], *, series: str = "", study: str = ""
) -> Iterator[Reference]:
    """Yield references whose relation follows from the SOP class they name.

    Parameters
    ----------
    images
        The relation where the class is an image's, another one or not named.
    """
    for reference in to_instances(images, items, series=series, study=study):
        relation = _BY_KIND.get(kind_of(reference.sop_class_uid), images)
        yield replace(reference, relation=relation)


def to_series(images: Relation, items: Iterable[Item], *, study: str = "") -> Iterator[Reference]:
    """Yield references of Referenced Series Sequence (0008,1115): each series, then its instances.

    A series of which only plans, structure sets, doses or records are named is not an image series.

    Notes
    -----
    PS3.3 table 10-4 (Series and Instance Reference Macro).
    """
    relation = Relation.IMAGE_SERIES if images is Relation.IMAGE else images
    for item in items:
        series = item.uid("SeriesInstanceUID") or ""
        instances = tuple(
            by_class(images, item.items("ReferencedInstanceSequence"), series=series, study=study)
        )
        if series and (not instances or any(r.relation is images for r in instances)):
            yield Reference(relation, series, Level.SERIES, study_instance_uid=study)
        yield from instances


def to_frames(uids: Iterable[str | None]) -> Iterator[Reference]:
    """Yield a reference for each frame of reference."""
    for uid in uids:
        if uid is not None:
            yield Reference(Relation.FRAME_OF_REFERENCE, uid, Level.FRAME)


def fold(references: Iterable[Reference], *, own_uid: str = "") -> tuple[Reference, ...]:
    """Return each target of a relation once, in order, with all that any of its mentions told.

    Parameters
    ----------
    own_uid
        SOP Instance UID of the instance that holds them: a reference to itself is dropped.
    """
    found: dict[tuple[Relation, str, Level], Reference] = {}
    for reference in references:
        if reference.uid == own_uid:
            continue
        key = (reference.relation, reference.uid, reference.level)
        known = found.get(key)
        found[key] = reference if known is None else _merged(known, reference)
    return tuple(found.values())


def _merged(one: Reference, other: Reference) -> Reference:
    return replace(
        one,
        sop_class_uid=one.sop_class_uid or other.sop_class_uid,
        note=one.note or other.note,
        series_instance_uid=one.series_instance_uid or other.series_instance_uid,
        study_instance_uid=one.study_instance_uid or other.study_instance_uid,
    )
