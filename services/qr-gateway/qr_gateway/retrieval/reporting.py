"""Put a retrieval's outcome into its report, and say in one word how it ended."""

from __future__ import annotations

from dicomcore.planner import Knowledge, Outcome, Verdict
from qr_gateway.retrieval.model import (
    Dangling,
    Item,
    Missing,
    PlanReport,
    Report,
    State,
)
from qr_gateway.retrieval.shelf import Landed, Shelf
from qr_gateway.retrieval.tally import Tally

NO_PATIENT = "The PACS lists no study of this patient."
NO_PLAN = "No plan of this patient meets the selection."
WHY_UNKNOWN = "landed before the retrieval was ended; its place in the closure is not known"
WHY_PROBED = "moved to decide; not part of the closure"


def make_report(
    outcome: Outcome | None,
    state: State | None,
    *,
    selective: bool,
    known: Knowledge,
    shelf: Shelf,
    tally: Tally,
) -> Report:
    """Return the report; without an outcome, of what had landed when the retrieval was ended."""
    if outcome is None:
        tally.step = ""
        return Report(
            progress=tally.now(state or State.FAILED),
            items=_moved(frozenset(), WHY_UNKNOWN, known, shelf, tally),
            messages=tuple(tally.saved.messages),
            catalogue_instances=known.catalogue.known_instances(),
        )
    items = tuple(
        _item(landed, expected.sop_class_uid, expected.modality, expected.why)
        for expected in outcome.expected
        if (landed := shelf.find(expected.ref.series_instance_uid, expected.ref.sop_instance_uid))
    )
    missing = tuple(
        Missing(
            uid=m.uid,
            level="series" if m.level == "series" else "instance",
            modality=m.modality,
            why=m.why,
            reason=m.reason,
        )
        for m in outcome.missing
    )
    if state is None:
        state = _state(outcome, known, tally, selective=selective)
    tally.wanted = {e.ref.sop_instance_uid for e in outcome.expected} or tally.wanted
    tally.landed = len(items)
    tally.step = ""
    return Report(
        progress=tally.now(state),
        items=items,
        missing=missing,
        dangling=tuple(
            Dangling(uid=d.uid, level=d.level, relation=d.relation, referenced_by=d.referenced_by)
            for d in outcome.dangling
        ),
        plans=tuple(
            PlanReport(
                sop_instance_uid=p.ref.sop_instance_uid,
                label=p.label,
                approval_status=p.approval_status,
                outcome=p.verdict.value,
                reason=p.reason,
            )
            for p in outcome.plans
        ),
        probed=_moved(
            frozenset(item.sop_instance_uid for item in items), WHY_PROBED, known, shelf, tally
        ),
        messages=tuple(tally.saved.messages),
        catalogue_instances=known.catalogue.known_instances(),
    )


def _state(outcome: Outcome, known: Knowledge, tally: Tally, *, selective: bool) -> State:
    """Complete only if there is something, and nothing of it is missing."""
    if not known.catalogue.series:
        tally.say(NO_PATIENT)
        return State.FAILED
    if outcome.missing:
        return State.PARTIAL
    if selective and not any(p.verdict is Verdict.SELECTED for p in outcome.plans):
        tally.say(NO_PLAN)
        return State.COMPLETE if outcome.expected else State.FAILED
    return State.COMPLETE if outcome.expected else State.FAILED


def _item(landed: Landed, sop_class_uid: str, modality: str, why: str) -> Item:
    return Item(
        study_instance_uid=landed.ref.study_instance_uid,
        series_instance_uid=landed.ref.series_instance_uid,
        sop_instance_uid=landed.ref.sop_instance_uid,
        sop_class_uid=sop_class_uid,
        modality=modality,
        object_key=landed.object_key,
        size_bytes=landed.size_bytes,
        why=why,
    )


def _moved(
    but: frozenset[str], why: str, known: Knowledge, shelf: Shelf, tally: Tally
) -> tuple[Item, ...]:
    """What landed through this retrieval, less some."""
    return tuple(
        _item(
            landed,
            known.headers[uid].sop_class_uid if uid in known.headers else "",
            known.modality(series) if series in known.catalogue.series else "",
            why,
        )
        for series in sorted(shelf.by_series)
        for uid, landed in sorted(shelf.by_series[series].items())
        if uid in tally.saved.moved and uid not in but
    )
