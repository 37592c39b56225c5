"""The audit trail read backwards, through filters, so much at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from dicomcore.audit import PSEUDONYM, AuditEvent, Entity
from dicomcore.events import CloudEvent
from dicomcore.ports import EventHistory, PastEvent

READ_AT_ONCE = 200
SCANNED_AT_MOST = 2000
"""Events that one page looks through; the next one goes on where it stopped."""
_OUT_OF_ORDER = timedelta(hours=1)
"""Events are published a little after they were recorded, by many services: so much later at most."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What is looked for; None or empty: anything."""

    since: datetime | None = None
    until: datetime | None = None
    action: str = ""
    outcome: str = ""
    """FHIR's code."""
    operation: str = ""

    def takes(self, event: AuditEvent) -> bool:
        """Return whether an event is looked for."""
        return (
            (self.since is None or event.recorded >= self.since)
            and (self.until is None or event.recorded < self.until)
            and self.action in ("", event.action)
            and (
                not self.outcome
                or event.outcome == self.outcome
                or (self.outcome == "8" and event.outcome == "12")
            )
            and self.operation in ("", operation_of(event))
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """One event of the trail."""

    event_id: str
    event: AuditEvent


@dataclass(frozen=True, slots=True)
class TrailPage:
    """Events, newest first."""

    events: tuple[Kept, ...]
    before: int | None
    """Where the next page begins; None: there is nothing more."""
    scanned: int


async def read_trail(
    history: EventHistory, wanted: AuditFilter, *, before: int | None, limit: int
) -> TrailPage:
    """Return a page; it may be short, or empty, though there is more.

    Raises
    ------
    BusUnavailable
    """
    found: list[Kept] = []
    scanned = 0
    while scanned < SCANNED_AT_MOST:
        past = await history.past(before=before, limit=READ_AT_ONCE)
        for one in past:
            scanned += 1
            before = one.position
            kept = _read(one)
            if kept is None:
                continue
            if wanted.since is not None and kept.event.recorded < wanted.since - _OUT_OF_ORDER:
                return TrailPage(tuple(found), None, scanned)
            if wanted.takes(kept.event):
                found.append(kept)
                if len(found) == limit:
                    return TrailPage(tuple(found), before, scanned)
        if len(past) < READ_AT_ONCE and not await _goes_on(history, before):
            return TrailPage(tuple(found), None, scanned)
    return TrailPage(tuple(found), before, scanned)


def operation_of(event: AuditEvent) -> str:
    """Return the operation, as in OpenAPI, or the DIMSE service."""
    return event.subtype[0].code if event.subtype else ""


def facts_of(entity: Entity) -> Sequence[tuple[str, str]]:
    """Return what an entity says: what kind, and which; of counts, each."""
    if entity.detail:
        return [(detail.type, detail.value_string) for detail in entity.detail]
    system = entity.what.identifier.system
    kind = "patient" if system == PSEUDONYM else system.rpartition(":")[2].replace("-", "_")
    return [(kind, entity.what.identifier.value)]


async def _goes_on(history: EventHistory, before: int | None) -> bool:
    """Whether there is anything older: a stream may have gaps, so that a short answer is no end."""
    return before is not None and bool(await history.past(before=before, limit=1))


def _read(past: PastEvent) -> Kept | None:
    """Return the event of a message; None if it is none of ours, which hides no other."""
    try:
        envelope = CloudEvent.model_validate_json(past.body)
        if envelope.type != AuditEvent.TYPE:
            return None
        return Kept(envelope.id, AuditEvent.model_validate(envelope.data))
    except ValidationError:
        return None
