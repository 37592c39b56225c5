"""Pages of plans and of patients, as the index answers them."""

from __future__ import annotations

from dataclasses import dataclass, field

from dicomcore.plan_facts.model import PlanSummary


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ends: what its last row is sorted by, and what tells it from equal ones."""

    key: str | float = field(repr=False)
    tie: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PatientSummary:
    """One patient of the index."""

    patient_id: str = field(repr=False)
    patient_name: str = field(repr=False)
    number_of_studies: int
    number_of_series: int
    number_of_instances: int
    patient_sex: str = field(default="", repr=False)
    patient_birth_date: str = field(default="", repr=False)
    number_of_plans: int = 0
    """Versions of plans, as `plans` lists them."""
    latest_study_date: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PatientPage:
    """Some of the patients that fulfil a query."""

    patients: tuple[PatientSummary, ...]
    next: Position | None
    """Where the next page starts; None on the last one."""
    total: int
    """How many fulfil it in all."""


@dataclass(frozen=True, slots=True)
class PlanPage:
    """Some of the plans that fulfil a query."""

    plans: tuple[PlanSummary, ...]
    next: Position | None
    """Where the next page starts; None on the last one."""
    total: int
    """How many fulfil it in all."""
    complete: bool
    """False while an index of an older release still derives facts of what it held."""
