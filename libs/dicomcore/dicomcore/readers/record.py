"""RT treatment records (PS3.3 A.29 to A.31, A.50): beams, ion beams, brachy, summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dicomcore.model import RecordDetails, Reference, Relation, TreatedBeam
from dicomcore.readers.access import Item
from dicomcore.readers.refs import by_class, to_instances

_BEAMS = ("TreatmentSessionBeamSequence", "TreatmentSessionIonBeamSequence")
_SETUPS = "TreatmentSessionApplicationSetupSequence"


def read_record(item: Item) -> tuple[RecordDetails, Iterable[Reference]]:
    """Return what is told of a treatment record, and what it references."""
    details = RecordDetails(
        date=item.first("TreatmentDate"),
        time=item.first("TreatmentTime"),
        beams=tuple(_treated(item)),
    )
    return details, _references(item)


def _treated(item: Item) -> Iterator[TreatedBeam]:
    for keyword in _BEAMS:
        for beam in item.items(keyword):
            yield TreatedBeam(
                number=beam.integer("ReferencedBeamNumber"),
                name=beam.text("BeamName"),
                fraction_number=beam.integer("CurrentFractionNumber"),
            )
    for setup in item.items(_SETUPS):
        yield TreatedBeam(
            number=setup.integer("ReferencedBrachyApplicationSetupNumber"),
            name=setup.text("ApplicationSetupName"),
            fraction_number=setup.integer("CurrentFractionNumber"),
        )


def _references(item: Item) -> Iterator[Reference]:
    yield from to_instances(Relation.PLAN, item.items("ReferencedRTPlanSequence"))
    yield from to_instances(Relation.STRUCTURE_SET, item.items("ReferencedStructureSetSequence"))
    yield from to_instances(Relation.RECORD, item.items("ReferencedTreatmentRecordSequence"))
    sessions = [session for keyword in (*_BEAMS, _SETUPS) for session in item.items(keyword)]
    for holder in (item, *sessions):
        for keyword in ("ReferencedVerificationImageSequence", "ReferencedImageSequence"):
            yield from by_class(Relation.IMAGE, holder.items(keyword))
    yield from by_class(Relation.OTHER, item.items("ReferencedInstanceSequence"))
