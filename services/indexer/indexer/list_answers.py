"""What the lists of patients and of plans answer, as models."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Patient(_Answer):
    """One patient of the index."""

    patient_id: str = Field(repr=False)
    patient_name: str = Field(repr=False)
    patient_sex: str = Field(repr=False)
    patient_birth_date: str = Field(repr=False)
    number_of_studies: int
    number_of_series: int
    number_of_instances: int
    number_of_plans: int
    """Versions of plans, as they are listed."""
    latest_study_date: str = Field(repr=False)


class Patients(_Answer):
    """One page of patients."""

    patients: tuple[Patient, ...]
    next: str | None = None
    """Cursor of the next page; null on the last one."""
    total: int
    """How many fulfil the filters in all."""


class Plan(_Answer):
    """One version of a plan; absent texts are empty, absent numbers null."""

    patient_id: str = Field(repr=False)
    patient_name: str = Field(repr=False)
    patient_sex: str = Field(repr=False)
    patient_birth_date: str = Field(repr=False)
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    object_key: str
    conflict: bool
    """Whether there is more than one version under its SOP Instance UID."""
    rt_plan_label: str = Field(repr=False)
    rt_plan_name: str = Field(repr=False)
    rt_plan_date: str = Field(repr=False)
    rt_plan_time: str = Field(repr=False)
    plan_intent: str
    approval_status: str
    reviewer_name: str = Field(repr=False)
    review_date: str = Field(repr=False)
    review_time: str = Field(repr=False)
    operators_name: tuple[str, ...] = Field(repr=False)
    sites: tuple[str, ...] = Field(repr=False)
    techniques: tuple[str, ...]
    total_dose_gy: float | None
    dose_per_fraction_gy: float | None
    number_of_fractions_planned: int | None
    machines: tuple[str, ...]
    manufacturers: tuple[str, ...]
    models: tuple[str, ...]
    energies: tuple[str, ...]
    """As `6X`, `6FFF`, `9E`."""
    nominal_beam_energies: tuple[float, ...]
    """In MV or MeV."""
    radiation_types: tuple[str, ...]
    mlc_types: tuple[str, ...]
    beam_types: tuple[str, ...]
    beam_techniques: tuple[str, ...]
    number_of_beams: int
    number_of_control_points: int
    max_control_points: int
    patient_positions: tuple[str, ...]
    structure_set_uids: tuple[str, ...]
    has_structure_set: bool
    structure_names: tuple[str, ...] = Field(repr=False)
    target_names: tuple[str, ...] = Field(repr=False)
    has_treatment: bool
    treated_fractions: int


class Plans(_Answer):
    """One page of plans."""

    plans: tuple[Plan, ...]
    next: str | None = None
    """Cursor of the next page; null on the last one."""
    total: int
    """How many fulfil the filters in all."""
    complete: bool
    """False while an index of an older release still derives facts: plans may be missing."""
