"""What the answer to a transfer means, seen together with what arrived."""

from __future__ import annotations

from dicomcore.ports import SubOperations, TransferOutcome
from dicomio.diagnosis.advice import Advice
from dicomio.diagnosis.findings import TRANSFER, Finding, Outcome

UNKNOWN_DESTINATION = 0xA801
"""Move Destination unknown (PS3.4 Table C.4-2)."""
NO_OBJECT = Finding(TRANSFER, Outcome.SKIPPED, "the patient has no object that is listed")


def moved(outcome: TransferOutcome, *, arrived: bool, advice: Advice) -> Finding:
    """Return the finding of a C-MOVE of one object."""
    answered = f"C-MOVE was answered 0x{outcome.status:04X}"
    if arrived:
        observed = "C-MOVE delivered one object: the system reaches us"
        return Finding(TRANSFER, Outcome.OK, observed)
    if outcome.status == UNKNOWN_DESTINATION:
        observed = f"{answered}: the system does not know where {advice.words.destination} is"
        return Finding(TRANSFER, Outcome.FAILED, observed, (advice.destination,))
    if outcome.status == 0:
        observed = (
            f"{answered} Success, and nothing arrived: it was sent somewhere else, or nowhere"
        )
        tips = (advice.destination, advice.server_to_client, advice.use_get)
        return Finding(TRANSFER, Outcome.FAILED, observed, tips)
    comment = f" ({outcome.comment})" if outcome.comment.isprintable() and outcome.comment else ""
    tips = (advice.server_to_client, advice.destination, advice.use_get)
    return Finding(TRANSFER, Outcome.FAILED, f"{answered}{comment}, and nothing arrived", tips)


def got(outcome: TransferOutcome, *, arrived: bool, otherwise: str) -> Finding:
    """Return the finding of a C-GET of one object; `otherwise` says what else could be tried."""
    if arrived:
        observed = "C-GET brought one object over the same connection"
        return Finding(TRANSFER, Outcome.OK, observed)
    observed = f"C-GET was answered 0x{outcome.status:04X} and brought nothing"
    return Finding(TRANSFER, Outcome.FAILED, observed, (otherwise,))


def unwatched(progress: SubOperations) -> None:
    """Take progress, and do nothing with it: one object is all there is."""
    del progress
