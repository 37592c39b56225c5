"""Facts of a plan as the columns it is sorted by, and as the values it is found by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dicomcore.plan_facts import PlanFacts, PlanLinks
from dicomcore.plan_query import (
    DateField,
    NumberField,
    PlanOrder,
    linked_texts,
    searched_texts,
)
from dicomcore.values import decimal_text
from dicomio.sql_index.patterns import kept
from dicomio.sql_index.texts import storable

UNKNOWN = -1.0
_DATE = re.compile(r"[0-9]{8}", re.ASCII)
_TIME = re.compile(r"[0-9]{0,6}", re.ASCII)

OWN = (
    *("label", "name", "patient_id", "patient_name", "plan_date", "approved", "approval"),
    *("intent", "machine", "birth_date", "total_dose", "dose_per_fraction", "fractions", "beams"),
    *("control_points", "max_control_points"),
)
LINKED = ("treated_fractions",)
HAS_TREATMENT = "has_treatment"
HAS_STRUCTURE_SET = "has_structure_set"
NUMBERS = {number: number.value for number in NumberField if number != NumberField.NOMINAL_ENERGY}
"""Column of each number that a plan has one of."""
DATES = {date: date.value for date in DateField}
ORDERS = {order: order.value for order in PlanOrder}

Values = Mapping[tuple[str, str], float | None]
"""Field and folded text → number, if it is one."""


def own_columns(patient_id: str, facts: PlanFacts) -> Sequence[object]:
    """Return the values of `OWN`."""
    return (
        kept(facts.rt_plan_label),
        kept(facts.rt_plan_name),
        storable(patient_id),
        kept(facts.patient_name),
        moment(facts.rt_plan_date, facts.rt_plan_time),
        moment(facts.review_date, facts.review_time),
        kept(facts.approval_status),
        kept(facts.plan_intent),
        kept(facts.machines[0] if facts.machines else ""),
        moment(facts.patient_birth_date, ""),
        _number(facts.total_dose_gy),
        _number(facts.dose_per_fraction_gy),
        _number(facts.number_of_fractions_planned),
        _number(facts.number_of_beams),
        _number(facts.number_of_control_points),
        _number(facts.max_control_points),
    )


def linked_columns(links: PlanLinks) -> Sequence[object]:
    """Return the values of `LINKED`."""
    return (_number(links.treated_fractions),)


def own_values(patient_id: str, facts: PlanFacts) -> Values:
    """Return what a plan is found by, of what it says itself."""
    values: dict[tuple[str, str], float | None] = {
        (field.value, kept(text)): None
        for field, texts in searched_texts(patient_id, facts).items()
        for text in texts
        if text
    }
    for energy in facts.nominal_beam_energies:
        values[(NumberField.NOMINAL_ENERGY.value, decimal_text(energy))] = energy
    return values


def linked_values(links: PlanLinks) -> Values:
    """Return what a plan is found by, of what other objects say of it."""
    values: dict[tuple[str, str], float | None] = {
        (field.value, kept(text)): None
        for field, texts in linked_texts(links).items()
        for text in texts
        if text
    }
    values[(HAS_TREATMENT, said(is_so=links.has_treatment))] = None
    values[(HAS_STRUCTURE_SET, said(is_so=links.has_structure_set))] = None
    return values


def said(*, is_so: bool) -> str:
    """Return the value of a field that is true or false."""
    return "yes" if is_so else "no"


def moment(date: str, time: str) -> str:
    """Return YYYYMMDD, and HHMMSS as far as it is known; empty if there is no date."""
    if _DATE.fullmatch(date) is None:
        return ""
    found = _TIME.match(time)
    return date + (found.group() if found else "")


def _number(number: float | None) -> float:
    return UNKNOWN if number is None else float(number)
