"""What structure sets and treatment records say of plans."""

from __future__ import annotations

from collections.abc import Iterable

from dicomcore.attributes import Attribute
from dicomcore.model import InstanceHeader, Kind, RecordDetails, Relation
from dicomcore.plan_facts.found import Found
from dicomcore.plan_facts.model import StructureFacts, TreatmentFacts

_ROI_NUMBER = "30060020/30060022"
_ROI_NAME = "30060020/30060026"
_OBSERVED_NUMBER = "30060080/30060084"
_OBSERVED_TYPE = "30060080/300600A4"
_TARGETS = frozenset(("PTV", "CTV", "GTV"))
_DELIVERED = "30080220/3008005A"
MOST_REGIONS = 2000
"""Of one structure set; plans are found by the first ones."""


def structure_facts(
    header: InstanceHeader, attributes: Iterable[Attribute]
) -> StructureFacts | None:
    """Return the regions of interest of a structure set; None if the instance is none."""
    if header.kind is not Kind.STRUCTURE_SET:
        return None
    found = Found(attributes, (_ROI_NUMBER, _ROI_NAME, _OBSERVED_NUMBER, _OBSERVED_TYPE))
    numbers = {items: int(number) for items, number in found.numbers(_ROI_NUMBER)}
    observed = {items: int(number) for items, number in found.numbers(_OBSERVED_NUMBER)}
    targets = {
        observed.get(items) for items, kind in found.at(_OBSERVED_TYPE) if kind in _TARGETS
    } - {None}
    regions = list(found.at(_ROI_NAME))[:MOST_REGIONS]
    return StructureFacts(
        names=tuple(name for _, name in regions),
        numbers=tuple(numbers.get(items) for items, _ in regions),
        is_target=tuple(numbers.get(items) in targets for items, _ in regions),
    )


def treatment_facts(
    header: InstanceHeader, attributes: Iterable[Attribute]
) -> TreatmentFacts | None:
    """Return what a treatment record says of plans; None if the instance is none."""
    details = header.details
    if header.kind is not Kind.RECORD or not isinstance(details, RecordDetails):
        return None
    found = Found(attributes, (_DELIVERED,))
    numbers = {beam.fraction_number for beam in details.beams if beam.fraction_number is not None}
    return TreatmentFacts(
        plan_uids=tuple(dict.fromkeys(header.targets(Relation.PLAN))),
        fraction_numbers=tuple(sorted(number for number in numbers if number > 0)),
        date=details.date,
        delivered=max((int(count) for _, count in found.numbers(_DELIVERED)), default=0),
    )
