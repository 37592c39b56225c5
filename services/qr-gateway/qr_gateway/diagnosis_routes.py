"""HTTP: the diagnosis of a peer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from dicomcore.catalogue import exact
from dicomio.bridge import Bridge
from dicomio.diagnosis.findings import Outcome
from dicomio.http import AnyRoute, Call, Input, Nothing, Role, Route
from dicomio.peer_book import KnownPeer, PeerBook
from qr_gateway.diagnosis import Diagnostician, Group, Grouped
from qr_gateway.peer_views import PeerPath


class DiagnosisOrder(Input):
    """What is looked at."""

    checks: tuple[Literal["network", "dicom", "listening", "complete"], ...] = Field(
        default=("complete",), min_length=1, max_length=4
    )
    patient_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        repr=False,
        description="With `complete`: of whom one small object is asked for",
    )
    method: Literal["move", "get"] = "move"

    def groups(self) -> frozenset[Group]:
        """Return what the words stand for."""
        if "complete" in self.checks:
            return frozenset(Group)
        return frozenset(Group(check) for check in self.checks)


class FindingView(BaseModel):
    """What one check has found."""

    check: str
    group: Group
    outcome: Literal["ok", "warning", "failed", "skipped"]
    observed: str = Field(repr=False)
    advice: tuple[str, ...]


class Diagnosis(BaseModel):
    """What all of them have found, in order."""

    findings: tuple[FindingView, ...]
    failed: int


_OUTCOMES: dict[Outcome, Literal["ok", "warning", "failed", "skipped"]] = {
    Outcome.OK: "ok",
    Outcome.WARNING: "warning",
    Outcome.FAILED: "failed",
    Outcome.SKIPPED: "skipped",
}


class DiagnosisRoutes:
    """Handlers; what blocks runs in the bridge's pool."""

    def __init__(self, book: PeerBook, bridge: Bridge, diagnostician: Diagnostician) -> None:
        self._book = book
        self._bridge = bridge
        self._diagnostician = diagnostician

    def routes(self) -> Sequence[AnyRoute]:
        """Return the routes."""
        return (
            Route(
                method="POST",
                template="/v1/peers/{name}/diagnose",
                handler=self.diagnose,
                path=PeerPath,
                body=DiagnosisOrder,
                operation_id="diagnosePeer",
                role=Role.RETRIEVER,
                summary="Why a peer cannot be reached, or does not deliver",
                responses={200: Diagnosis},
                errors=(404, 422),
                tags=("peers",),
            ),
        )

    async def diagnose(self, call: Call[PeerPath, Nothing, DiagnosisOrder]) -> Diagnosis:
        """Return the findings."""
        known = await self._book.known(call.path.name)
        call.notes.involving("peer", call.path.name)
        if call.body.patient_id is not None:
            exact(call.body.patient_id)
        found = await self._bridge.run(self._examine, known, call.body)
        findings = tuple(
            FindingView(
                check=one.finding.check,
                group=one.group,
                outcome=_OUTCOMES[one.finding.outcome],
                observed=one.finding.observed,
                advice=one.finding.advice,
            )
            for one in found
        )
        return Diagnosis(findings=findings, failed=sum(one.outcome == "failed" for one in findings))

    def _examine(self, known: KnownPeer, order: DiagnosisOrder) -> list[Grouped]:
        return list(
            self._diagnostician.examine(
                known,
                order.groups(),
                patient_id=order.patient_id or "",
                use_get=order.method == "get",
            )
        )
