"""What plans and patients can be asked for: criteria, ranges, orders; values only.

Different criteria have all to hold; of the several values of one criterion, one has to. Case does not
matter; `docs/http.md` is the description for callers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dicomcore.criteria import number_of
from dicomcore.errors import InvalidRequest
from dicomcore.plan_facts.model import PlanFacts, PlanLinks

_DATE = re.compile(r"[0-9]{8}", re.ASCII)


class TextField(StrEnum):
    """What texts of plans are compared with."""

    LABEL = "label"
    NAME = "name"
    PATIENT = "patient"
    APPROVER = "approver"
    OPERATOR = "operator"
    SITE = "site"
    TECHNIQUE = "technique"
    MACHINE = "machine"
    MANUFACTURER = "manufacturer"
    MODEL = "model"
    MLC = "mlc"
    STRUCTURE = "structure"
    TARGET = "target"
    APPROVAL = "approval"
    INTENT = "intent"
    SEX = "sex"
    ORIENTATION = "orientation"
    ENERGY = "energy"
    RADIATION = "radiation"
    BEAM_TECHNIQUE = "beam_technique"

    @property
    def is_word(self) -> bool:
        """Whether a text has to match the whole value: `APPROVED` is inside `UNAPPROVED`."""
        return self in _WORDS


_WORDS = frozenset(
    (
        *(TextField.APPROVAL, TextField.INTENT, TextField.SEX, TextField.ORIENTATION),
        *(TextField.ENERGY, TextField.RADIATION, TextField.BEAM_TECHNIQUE),
    )
)


class NumberField(StrEnum):
    """What numbers of plans are compared with; all but the last are one number per plan."""

    TOTAL_DOSE = "total_dose"
    DOSE_PER_FRACTION = "dose_per_fraction"
    FRACTIONS = "fractions"
    TREATED_FRACTIONS = "treated_fractions"
    BEAMS = "beams"
    CONTROL_POINTS = "control_points"
    MAX_CONTROL_POINTS = "max_control_points"
    NOMINAL_ENERGY = "nominal_energy"


class DateField(StrEnum):
    """What dates of plans are compared with."""

    APPROVED = "approved"
    PLAN_DATE = "plan_date"
    BIRTH_DATE = "birth_date"


class PlanOrder(StrEnum):
    """By what plans are sorted; what is unknown is the least."""

    LABEL = "label"
    NAME = "name"
    PATIENT_ID = "patient_id"
    PATIENT_NAME = "patient_name"
    PLAN_DATE = "plan_date"
    APPROVED = "approved"
    APPROVAL = "approval"
    INTENT = "intent"
    MACHINE = "machine"
    TOTAL_DOSE = "total_dose"
    DOSE_PER_FRACTION = "dose_per_fraction"
    FRACTIONS = "fractions"
    TREATED_FRACTIONS = "treated_fractions"
    BEAMS = "beams"
    CONTROL_POINTS = "control_points"
    BIRTH_DATE = "birth_date"


class PatientOrder(StrEnum):
    """By what patients are sorted."""

    PATIENT_ID = "patient_id"
    PATIENT_NAME = "patient_name"
    BIRTH_DATE = "birth_date"
    LATEST_STUDY_DATE = "latest_study_date"


@dataclass(frozen=True, slots=True)
class NumberRange:
    """From `low` to `high`, both included; None is without an end."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class DateRange:
    """From `low` to `high`, both included, as YYYYMMDD; empty is without an end."""

    low: str = ""
    high: str = ""


@dataclass(frozen=True, slots=True)
class PlanQuery:
    """Which plans, in which order."""

    texts: Mapping[TextField, tuple[str, ...]] = field(default_factory=dict, repr=False)
    numbers: Mapping[NumberField, tuple[NumberRange, ...]] = field(default_factory=dict)
    dates: Mapping[DateField, tuple[DateRange, ...]] = field(default_factory=dict, repr=False)
    patient_ids: tuple[str, ...] = field(default=(), repr=False)
    """Exactly; empty does not restrict, the empty text is the patient without an ID."""
    study_instance_uids: tuple[str, ...] = ()
    sop_instance_uids: tuple[str, ...] = ()
    has_treatment: bool | None = None
    has_structure_set: bool | None = None
    order: PlanOrder = PlanOrder.PLAN_DATE
    descending: bool = True


@dataclass(frozen=True, slots=True)
class PatientQuery:
    """Which patients, in which order."""

    prefix: str = field(default="", repr=False)
    """What Patient ID (0010,0020) starts with, exactly."""
    ids: tuple[str, ...] = field(default=(), repr=False)
    names: tuple[str, ...] = field(default=(), repr=False)
    birth_dates: tuple[DateRange, ...] = field(default=(), repr=False)
    study_dates: tuple[DateRange, ...] = field(default=(), repr=False)
    modalities: tuple[str, ...] = ()
    has_plans: bool | None = None
    order: PatientOrder = PatientOrder.PATIENT_ID
    descending: bool = False


EVERY_PATIENT = PatientQuery()


def folded(text: str) -> str:
    """Return a text as it is compared and sorted: without case, one form of each letter."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def is_pattern(text: str) -> bool:
    """Return whether a text holds a wildcard: `*` any characters, `?` one."""
    return "*" in text or "?" in text


def parse_number_range(text: str) -> NumberRange:
    """Return the range in `50..70`, `50..`, `..70` or `60`.

    Raises
    ------
    InvalidRequest
        Not such a range.
    """
    low, dots, high = text.partition("..")
    least, most = _number(low), _number(high if dots else low)
    if (least is None and most is None) or (
        least is not None and most is not None and least > most
    ):
        raise InvalidRequest("not a range of numbers", length=len(text))
    return NumberRange(least, most)


def parse_date_range(text: str) -> DateRange:
    """Return the range in `20240101-20241231`, `20240101-`, `-20241231` or `20240101`.

    Raises
    ------
    InvalidRequest
        Not such a range.
    """
    low, dash, high = text.strip().partition("-")
    ends = (low, high if dash else low)
    if not any(ends) or any(end and _DATE.fullmatch(end) is None for end in ends):
        raise InvalidRequest("not a range of dates", length=len(text))
    if all(ends) and ends[0] > ends[1]:
        raise InvalidRequest("the range of dates ends before it begins")
    return DateRange(*ends)


def searched_texts(patient_id: str, facts: PlanFacts) -> Mapping[TextField, tuple[str, ...]]:
    """Return what a plan is found by, of what it says itself."""
    return {
        TextField.LABEL: (facts.rt_plan_label,),
        TextField.NAME: (facts.rt_plan_name,),
        TextField.PATIENT: (patient_id, facts.patient_name),
        TextField.APPROVER: (facts.reviewer_name,),
        TextField.OPERATOR: facts.operators_name,
        TextField.SITE: facts.sites,
        TextField.TECHNIQUE: facts.techniques,
        TextField.MACHINE: facts.machines,
        TextField.MANUFACTURER: facts.manufacturers,
        TextField.MODEL: facts.models,
        TextField.MLC: facts.mlc_types,
        TextField.APPROVAL: (facts.approval_status,),
        TextField.INTENT: (facts.plan_intent,),
        TextField.SEX: (facts.patient_sex,),
        TextField.ORIENTATION: facts.patient_positions,
        TextField.ENERGY: facts.energies,
        TextField.RADIATION: facts.radiation_types,
        TextField.BEAM_TECHNIQUE: (*facts.beam_techniques, *facts.beam_types),
    }


def linked_texts(links: PlanLinks) -> Mapping[TextField, tuple[str, ...]]:
    """Return what a plan is found by, of what other objects say of it."""
    return {
        TextField.STRUCTURE: links.structure_names,
        TextField.TARGET: links.target_names,
    }


def _number(text: str) -> float | None:
    if not text.strip():
        return None
    number = number_of(text.strip())
    if number is None:
        raise InvalidRequest("not a range of numbers", length=len(text))
    return number
