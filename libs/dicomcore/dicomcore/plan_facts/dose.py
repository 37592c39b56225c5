"""How much a plan prescribes: in all, per fraction, in how many fractions, and to which regions."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from dicomcore.model import PlanDetails
from dicomcore.plan_facts.found import Found, quantity

_FRACTIONS = "300A0070/300A0078"
_BEAM_DOSE = "300A0070/300C0004/300A0084"
_SETUP_DOSE = "300A0070/300C000A/300A00A4"
_REFERENCE_TYPE = "300A0010/300A0020"
_REFERENCE_ROI = "300A0010/30060084"
_TARGET = "TARGET"
_DIGITS = 4
"""Of a dose in Gy: sums of decimals differ from what is prescribed in the last bits."""
WANTED = frozenset((_FRACTIONS, _BEAM_DOSE, _SETUP_DOSE, _REFERENCE_TYPE, _REFERENCE_ROI))


@dataclass(frozen=True, slots=True)
class Prescribed:
    """Doses in Gy."""

    total_gy: float | None
    per_fraction_gy: float | None
    fractions: int | None
    roi_numbers: tuple[int, ...]


def prescribed(details: PlanDetails, found: Found) -> Prescribed:
    """Return what is prescribed.

    Notes
    -----
    In all: the greatest Target Prescription Dose (300A,0026) of a dose reference of type TARGET, or
    without type – several targets are treated at once, so that their doses do not add up. If there is
    none, fraction groups add up: the doses of their beams or application setups, times their fractions
    (PS3.3 C.8.8.10, C.8.8.13). Per fraction: of several groups nobody says which dose is whose.
    """
    planned = [count for count in details.fractions if quantity(count) is not None and count]
    fractions = sum(planned) if planned else None
    is_even = len(planned) == 1
    targets = [
        dose
        for one in details.prescriptions
        if one.kind in ("", _TARGET) and (dose := quantity(one.target_dose_gy)) is not None
    ]
    total = max(targets) if targets else _delivered(details, found)
    return Prescribed(
        total_gy=None if total is None else round(total, _DIGITS),
        per_fraction_gy=round(total / planned[0], _DIGITS)
        if total is not None and is_even
        else None,
        fractions=fractions,
        roi_numbers=_target_rois(found),
    )


def _delivered(details: PlanDetails, found: Found) -> float | None:
    """Return the sum of beam doses over all fractions; None if no beam has a dose and fractions."""
    per_fraction: defaultdict[int, list[float]] = defaultdict(list)
    for path in (_BEAM_DOSE, _SETUP_DOSE):
        for items, dose in found.numbers(path):
            per_fraction[items[0]].append(dose)
    sums = [
        count * sum(sorted(per_fraction[group]))
        for group, count in enumerate(details.fractions)
        if group in per_fraction and count is not None and quantity(count) is not None
    ]
    return quantity(sum(sums)) if sums else None


def _target_rois(found: Found) -> tuple[int, ...]:
    types = {items[0]: kind for items, kind in found.at(_REFERENCE_TYPE)}
    numbers = [
        int(number)
        for items, number in found.numbers(_REFERENCE_ROI)
        if types.get(items[0], _TARGET) == _TARGET
    ]
    return tuple(dict.fromkeys(numbers))
