"""HTTP: the audit trail, for administrators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field

from dicomcore.audit import Outcome
from dicomcore.errors import NotFound
from dicomcore.ports import EventHistory
from dicomio.http import (
    AnyRoute,
    Call,
    Input,
    Nothing,
    Role,
    Route,
    decode_cursor,
    encode_cursor,
)
from qr_gateway.audit_trail import AuditFilter, Kept, facts_of, operation_of, read_trail

_OUTCOMES = {"success": Outcome.SUCCESS, "refused": Outcome.REFUSED, "failed": Outcome.FAILED}
_WORDS: dict[str, Literal["success", "refused", "failed"]] = {
    "0": "success",
    "4": "refused",
    "8": "failed",
    "12": "failed",
}


class AuditQuery(Input):
    """What is looked for."""

    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    action: Literal["", "C", "R", "U", "D", "E"] = ""
    outcome: Literal["", "success", "refused", "failed"] = ""
    operation: str = Field(default="", max_length=128)
    limit: int = Field(default=100, ge=1, le=500)
    cursor: str = Field(default="", max_length=1024, description="`next` of the page before")

    def wanted(self) -> AuditFilter:
        """Return the filter."""
        return AuditFilter(
            since=self.since,
            until=self.until,
            action=self.action,
            outcome=_OUTCOMES[self.outcome].value if self.outcome else "",
            operation=self.operation,
        )


class AgentView(BaseModel):
    """Someone, or a system, that took part."""

    name: str
    system: str
    address: str
    roles: tuple[str, ...]
    requestor: bool


class EntityView(BaseModel):
    """A patient, by pseudonym, an object, or a count."""

    kind: str
    value: str


class AuditView(BaseModel):
    """One event."""

    id: str
    recorded: AwareDatetime
    activity: str
    operation: str
    action: str
    outcome: Literal["success", "refused", "failed"]
    reason: str
    observer: str
    agents: tuple[AgentView, ...]
    entities: tuple[EntityView, ...]


class AuditPage(BaseModel):
    """Events, newest first."""

    events: tuple[AuditView, ...]
    next: str | None
    scanned: int = Field(description="Events that were looked through for this page")


class Before(BaseModel):
    """Where a page begins."""

    position: int = Field(ge=0, lt=1 << 63)


class AuditRoutes:
    """Handlers; `history` is None where there is no audit trail."""

    def __init__(self, history: EventHistory | None) -> None:
        self._history = history

    def routes(self) -> Sequence[AnyRoute]:
        """Return the routes."""
        return (
            Route(
                method="GET",
                template="/v1/audit",
                handler=self.list,
                query=AuditQuery,
                operation_id="listAuditEvents",
                role=Role.ADMIN,
                summary="Who did what, newest first; patients are pseudonyms",
                responses={200: AuditPage},
                errors=(404, 503),
                tags=("audit",),
            ),
        )

    async def list(self, call: Call[Nothing, AuditQuery]) -> AuditPage:
        """Return a page."""
        if self._history is None:
            raise NotFound("there is no audit trail here")
        query = call.query
        before = decode_cursor(query.cursor, Before).position if query.cursor else None
        page = await read_trail(self._history, query.wanted(), before=before, limit=query.limit)
        return AuditPage(
            events=tuple(_view(kept) for kept in page.events),
            next=None if page.before is None else encode_cursor(Before(position=page.before)),
            scanned=page.scanned,
        )


def _view(kept: Kept) -> AuditView:
    event = kept.event
    return AuditView(
        id=kept.event_id,
        recorded=event.recorded,
        activity=event.type.display or event.type.code,
        operation=operation_of(event),
        action=event.action,
        outcome=_WORDS[event.outcome],
        reason=event.outcome_desc or "",
        observer=event.source.observer.identifier.value,
        agents=tuple(
            AgentView(
                name=agent.who.identifier.value,
                system=agent.who.identifier.system,
                address="" if agent.network is None else agent.network.address,
                roles=tuple(
                    coding.code for concept in agent.role or () for coding in concept.coding
                ),
                requestor=agent.requestor,
            )
            for agent in event.agent
        ),
        entities=tuple(
            EntityView(kind=kind, value=value)
            for entity in event.entity or ()
            for kind, value in facts_of(entity)
        ),
    )
