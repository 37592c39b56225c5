"""RT Dose (PS3.3 A.18): of which plan, beams and structure set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dicomcore.model import DoseDetails, Reference, Relation
from dicomcore.readers.access import Item
from dicomcore.readers.refs import to_instances


def read_dose(item: Item) -> tuple[DoseDetails, Iterable[Reference]]:
    """Return what is told of a dose, and what it references."""
    details = DoseDetails(
        summation_type=item.first("DoseSummationType"),
        dose_type=item.first("DoseType"),
        units=item.first("DoseUnits"),
        beam_numbers=tuple(dict.fromkeys(_beams(item))),
    )
    return details, _references(item)


def _beams(item: Item) -> Iterator[int]:
    for plan in item.items("ReferencedRTPlanSequence"):
        for group in plan.items("ReferencedFractionGroupSequence"):
            for beam in group.items("ReferencedBeamSequence"):
                number = beam.integer("ReferencedBeamNumber")
                if number is not None:
                    yield number


def _references(item: Item) -> Iterator[Reference]:
    yield from to_instances(Relation.PLAN, item.items("ReferencedRTPlanSequence"))
    yield from to_instances(Relation.STRUCTURE_SET, item.items("ReferencedStructureSetSequence"))
    yield from to_instances(Relation.RECORD, item.items("ReferencedTreatmentRecordSequence"))
    for keyword in ("ReferencedInstanceSequence", "ReferencedImageSequence"):
        yield from to_instances(Relation.OTHER, item.items(keyword))
