"""Whose data an export takes out, for the audit trail: a plan's UID alone does not tell."""

from __future__ import annotations

from collections.abc import Sequence

from dicomcore.audit import Act, Activity, Actor, Outcome
from indexer.exporting.kind import SERVICE
from indexer.exporting.model import ExportRequest, PeerDestination

_MOST = 1000


def disclosed(job_id: str, request: ExportRequest, patients: Sequence[str]) -> Act:
    """Return the act of taking patients' data out, with the ID of the job whose end is told too."""
    actors = [Actor("urn:dicomtools:service", SERVICE)]
    if isinstance(request.destination, PeerDestination):
        peer = request.destination.peer
        actors.append(Actor("urn:dicomtools:peer", peer, requestor=False))
    return Act(
        activity=Activity.EXPORT,
        operation="export",
        action="R",
        outcome=Outcome.SUCCESS,
        actors=tuple(actors),
        reason="" if request.anonymise is None else "anonymised",
        patient_ids=tuple(patients[:_MOST]),
        objects=(("id", job_id),),
        counts=(("patients_not_named", max(0, len(patients) - _MOST)),),
    )
