"""Which plans are meant: by label and approval, on what C-FIND told or on the plans themselves."""

from __future__ import annotations

from dataclasses import dataclass

from dicomcore.catalogue import InstanceEntry
from dicomcore.model import InstanceHeader, PlanDetails
from dicomcore.planner.demand import Absence, Demand
from dicomcore.planner.knowledge import PLANS
from dicomcore.planner.values import PlanDecision, Selection, Stage, Verdict

WHY_READ = "RT Plan, to read its label and approval"
APPROVED = "APPROVED"


@dataclass(frozen=True, slots=True)
class PlanChoice:
    """Every plan of the patient, sorted by verdict."""

    selected: tuple[InstanceHeader, ...]
    others: tuple[InstanceHeader, ...]
    """Not meant, and read: only where their closure matters."""
    decisions: tuple[PlanDecision, ...]


def choose_plans(selection: Selection, demand: Demand) -> PlanChoice:
    """Return the choice; it holds only once `demand` is not blocked by plans to list or read."""
    selected: list[InstanceHeader] = []
    others: list[InstanceHeader] = []
    decisions: list[PlanDecision] = []
    for series in demand.known.series_with(PLANS):
        for entry in demand.listed(series, Stage.PLANS, WHY_READ) or ():
            early = _refused_by_catalogue(selection, entry)
            if early is not None and not selection.with_unconnected:
                decisions.append(early)
                continue
            header = demand.decide(entry, Stage.PLANS, WHY_READ)
            if header is Absence.ABSENT:
                decisions.append(_unavailable(entry, demand))
            elif isinstance(header, InstanceHeader):
                decision = _decide(selection, entry, header)
                decisions.append(decision)
                (selected if decision.verdict is Verdict.SELECTED else others).append(header)
    return PlanChoice(tuple(selected), tuple(others), tuple(decisions))


def _refused_by_catalogue(selection: Selection, entry: InstanceEntry) -> PlanDecision | None:
    """A filled attribute that differs decides; an absent or empty one proves nothing."""
    label = entry.label or ""
    approval = entry.approval_status or ""
    reason = ""
    if selection.plan_label is not None and label and label != selection.plan_label.strip(" "):
        reason = "another label"
    elif selection.only_approved and approval and approval != APPROVED:
        reason = "not approved"
    if not reason:
        return None
    return PlanDecision(entry.ref, Verdict.NOT_SELECTED, label, approval, reason)


def _decide(selection: Selection, entry: InstanceEntry, header: InstanceHeader) -> PlanDecision:
    details = header.details if isinstance(header.details, PlanDetails) else PlanDetails()
    label = details.label.strip(" ")
    approval = details.approval_status.strip(" ")
    verdict, reason = Verdict.SELECTED, ""
    if selection.plan_label is not None and label != selection.plan_label.strip(" "):
        verdict, reason = Verdict.NOT_SELECTED, "another label"
    elif selection.only_approved and approval != APPROVED:
        verdict, reason = Verdict.NOT_SELECTED, "not approved"
    return PlanDecision(entry.ref, verdict, label, approval, reason)


def _unavailable(entry: InstanceEntry, demand: Demand) -> PlanDecision:
    return PlanDecision(
        entry.ref,
        Verdict.UNAVAILABLE,
        entry.label or "",
        entry.approval_status or "",
        demand.known.given_up[entry.uid],
    )
