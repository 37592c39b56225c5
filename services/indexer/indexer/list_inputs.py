"""What callers may ask of the lists of patients and of plans, as models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field

from dicomcore.plan_query import (
    DateField,
    NumberField,
    PatientOrder,
    PatientQuery,
    PlanOrder,
    PlanQuery,
    TextField,
    parse_date_range,
    parse_number_range,
)
from indexer.inputs import Page

T = TypeVar("T")
MAX_VALUES = 64
MAX_PATIENTS = 1000
_TEXT = Annotated[str, Field(max_length=128)]
_RANGE = Annotated[str, Field(max_length=64)]
_UID = Annotated[str, Field(max_length=64)]
_ID = Annotated[str, Field(max_length=256)]

Texts = Annotated[Sequence[_TEXT], Field(max_length=MAX_VALUES, repr=False)]
"""One of them is found in the value; with `*` or `?` it has to be the whole value."""
Words = Annotated[Sequence[_TEXT], Field(max_length=MAX_VALUES, repr=False)]
"""One of them is the whole value; `*` and `?` allowed."""
Numbers = Annotated[Sequence[_RANGE], Field(max_length=MAX_VALUES)]
"""`50..70`, `50..`, `..70`, `60`."""
Dates = Annotated[Sequence[_RANGE], Field(max_length=MAX_VALUES, repr=False)]
"""`20240101-20241231`, `20240101-`, `-20241231`, `20240101`."""


def _sort_pattern(orders: Sequence[str]) -> str:
    return f"^-?({'|'.join(orders)})$"


class PatientsQuery(Page):
    """Which patients, in which order; what is absent or empty does not restrict."""

    prefix: str = Field(default="", repr=False)
    """What Patient ID (0010,0020) starts with, exactly."""
    id: Texts = ()
    name: Texts = ()
    birth_date: Dates = ()
    study_date: Dates = ()
    """A study is of that date."""
    modality: Annotated[Sequence[_TEXT], Field(max_length=MAX_VALUES)] = ()
    """Modality (0008,0060) of a series, exactly."""
    has_plans: bool | None = None
    sort: str = Field(default="patient_id", pattern=_sort_pattern(list(PatientOrder)))
    """With `-` in front, descending."""

    def query(self) -> PatientQuery:
        """Return it as the index takes it; raises `InvalidRequest`."""
        return PatientQuery(
            prefix=self.prefix,
            ids=_given(self.id),
            names=_given(self.name),
            birth_dates=_ranges(self.birth_date, parse_date_range),
            study_dates=_ranges(self.study_date, parse_date_range),
            modalities=_given(self.modality),
            has_plans=self.has_plans,
            order=PatientOrder(self.sort.lstrip("-")),
            descending=self.sort.startswith("-"),
        )


class PlansQuery(Page):
    """Which plans, in which order; what is absent or empty does not restrict."""

    label: Texts = ()
    """RT Plan Label (300A,0002)."""
    name: Texts = ()
    """RT Plan Name (300A,0003)."""
    patient: Texts = ()
    """Patient ID or Patient's Name."""
    patient_id: Annotated[Sequence[_ID], Field(max_length=MAX_PATIENTS, repr=False)] = ()
    """Patient ID (0010,0020), exactly; empty for the patient without one."""
    approver: Texts = ()
    """Reviewer Name (300E,0008)."""
    operator: Texts = ()
    """Operators' Name (0008,1070)."""
    site: Texts = ()
    """Prescription Description, Treatment Sites, Dose Reference Descriptions."""
    technique: Texts = ()
    """Treatment Protocols (300A,0009)."""
    machine: Texts = ()
    """Treatment Machine Name (300A,00B2)."""
    manufacturer: Texts = ()
    model: Texts = ()
    mlc: Texts = ()
    """As `MLCX 60`: type and number of leaf pairs."""
    structure: Texts = ()
    """Names of regions of interest."""
    target: Texts = ()
    """Names of those that are PTV, CTV or GTV, or that the prescription names."""
    approval: Words = ()
    """Approval Status (300E,0002)."""
    intent: Words = ()
    """Plan Intent (300A,000A)."""
    sex: Words = ()
    orientation: Words = ()
    """Patient Position (0018,5100): `HFS`."""
    energy: Words = ()
    """As `6X`, `6FFF`, `9E`."""
    radiation: Words = ()
    """Radiation Type (300A,00C6)."""
    beam_technique: Words = ()
    """`VMAT`, `ARC`, `IMRT`, `STATIC` …, or Beam Type (300A,00C4)."""
    total_dose: Numbers = ()
    """In Gy."""
    dose_per_fraction: Numbers = ()
    """In Gy."""
    fractions: Numbers = ()
    treated_fractions: Numbers = ()
    beams: Numbers = ()
    control_points: Numbers = ()
    max_control_points: Numbers = ()
    nominal_energy: Numbers = ()
    """In MV or MeV, of any beam."""
    approved: Dates = ()
    """Review Date (300E,0004)."""
    plan_date: Dates = ()
    """RT Plan Date (300A,0006)."""
    birth_date: Dates = ()
    has_treatment: bool | None = None
    """Whether a treatment record references it."""
    has_structure_set: bool | None = None
    """Whether the structure set that it references is here."""
    study_instance_uid: Annotated[Sequence[_UID], Field(max_length=MAX_VALUES)] = ()
    sop_instance_uid: Annotated[Sequence[_UID], Field(max_length=MAX_PATIENTS)] = ()
    sort: str = Field(default="-plan_date", pattern=_sort_pattern(list(PlanOrder)))
    """With `-` in front, descending."""

    def query(self) -> PlanQuery:
        """Return it as the index takes it; raises `InvalidRequest`."""
        return PlanQuery(
            texts={
                field: given for field in TextField if (given := _given(getattr(self, field.value)))
            },
            numbers={
                field: _ranges(getattr(self, field.value), parse_number_range)
                for field in NumberField
            },
            dates={
                field: _ranges(getattr(self, field.value), parse_date_range) for field in DateField
            },
            patient_ids=tuple(self.patient_id),
            study_instance_uids=_given(self.study_instance_uid),
            sop_instance_uids=_given(self.sop_instance_uid),
            has_treatment=self.has_treatment,
            has_structure_set=self.has_structure_set,
            order=PlanOrder(self.sort.lstrip("-")),
            descending=self.sort.startswith("-"),
        )


class AfterPlan(BaseModel):
    """Cursor of a list of plans."""

    sort: str
    key: float | str = Field(repr=False)
    tie: str = Field(repr=False)


class AfterPatient(BaseModel):
    """Cursor of a list of patients."""

    sort: str
    key: str = Field(repr=False)
    tie: str = Field(repr=False)


def _given(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(text for text in texts if text.strip())


def _ranges(texts: Sequence[str], parse: Callable[[str], T]) -> tuple[T, ...]:
    return tuple(parse(text) for text in _given(texts))
