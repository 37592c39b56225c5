"""Plan, structure sets and records folded: the same answer for any order and any repetition."""

from __future__ import annotations

from collections.abc import Iterable

from dicomcore.plan_facts.model import PlanFacts, PlanLinks, StructureFacts, TreatmentFacts


def linked(
    plan: PlanFacts,
    structure_sets: Iterable[StructureFacts],
    treatments: Iterable[TreatmentFacts],
) -> PlanLinks:
    """Return what other objects say of a plan.

    Parameters
    ----------
    structure_sets
        Every version of every structure set that the plan references.
    treatments
        Every version of every record that references the plan.
    """
    names: set[str] = set()
    targets: set[str] = set()
    has_structure_set = False
    for one in structure_sets:
        has_structure_set = True
        names.update(one.names)
        for name, number, is_target in zip(one.names, one.numbers, one.is_target, strict=True):
            if is_target or (number is not None and number in plan.target_roi_numbers):
                targets.add(name)
    records = list(treatments)
    return PlanLinks(
        has_structure_set=has_structure_set,
        structure_names=tuple(sorted(names)),
        target_names=tuple(sorted(targets)),
        has_treatment=bool(records),
        treated_fractions=_treated(records),
    )


def _treated(records: Iterable[TreatmentFacts]) -> int:
    """Return how many fractions were treated, as `docs/http.md` says."""
    numbers: set[int] = set()
    dates: set[str] = set()
    delivered = 0
    for one in records:
        numbers.update(one.fraction_numbers)
        dates.update((one.date,) if one.date else ())
        delivered = max(delivered, one.delivered)
    return max(len(numbers) or len(dates), delivered)
