"""Facts of plans, of structure sets and of treatment records, as far as plans are found by them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What one version of a plan says by itself.

    Lists are distinct values in the order of the plan; absent texts are empty, numbers None.
    """

    sop_class_uid: str = ""
    patient_sex: str = field(default="", repr=False)
    patient_birth_date: str = field(default="", repr=False)
    patient_name: str = field(default="", repr=False)
    rt_plan_label: str = field(default="", repr=False)
    rt_plan_name: str = field(default="", repr=False)
    rt_plan_date: str = field(default="", repr=False)
    rt_plan_time: str = field(default="", repr=False)
    plan_intent: str = ""
    approval_status: str = ""
    reviewer_name: str = field(default="", repr=False)
    review_date: str = field(default="", repr=False)
    review_time: str = field(default="", repr=False)
    operators_name: tuple[str, ...] = field(default=(), repr=False)
    sites: tuple[str, ...] = field(default=(), repr=False)
    techniques: tuple[str, ...] = ()
    total_dose_gy: float | None = None
    dose_per_fraction_gy: float | None = None
    number_of_fractions_planned: int | None = None
    machines: tuple[str, ...] = ()
    manufacturers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    energies: tuple[str, ...] = ()
    """As `6X`, `6FFF`, `9E`."""
    nominal_beam_energies: tuple[float, ...] = ()
    """MV or MeV."""
    radiation_types: tuple[str, ...] = ()
    mlc_types: tuple[str, ...] = ()
    beam_types: tuple[str, ...] = ()
    beam_techniques: tuple[str, ...] = ()
    number_of_beams: int = 0
    number_of_control_points: int = 0
    max_control_points: int = 0
    patient_positions: tuple[str, ...] = ()
    structure_set_uids: tuple[str, ...] = ()
    target_roi_numbers: tuple[int, ...] = ()
    """Referenced ROI Number (3006,0084) of what the prescription is for."""


@dataclass(frozen=True, slots=True)
class StructureFacts:
    """What a structure set says: regions of interest in its order."""

    names: tuple[str, ...] = field(default=(), repr=False)
    numbers: tuple[int | None, ...] = ()
    """ROI Number (3006,0022) of each."""
    is_target: tuple[bool, ...] = ()
    """Whether RT ROI Interpreted Type (3006,00A4) of each is PTV, CTV or GTV."""


@dataclass(frozen=True, slots=True)
class TreatmentFacts:
    """What a treatment record says of the plans it references."""

    plan_uids: tuple[str, ...] = ()
    fraction_numbers: tuple[int, ...] = ()
    date: str = field(default="", repr=False)
    delivered: int = 0
    """Number of Fractions Delivered (3008,005A) of a summary."""


@dataclass(frozen=True, slots=True)
class PlanLinks:
    """What the other objects of the patient say of a plan."""

    has_structure_set: bool = False
    structure_names: tuple[str, ...] = field(default=(), repr=False)
    target_names: tuple[str, ...] = field(default=(), repr=False)
    has_treatment: bool = False
    treated_fractions: int = 0


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """One version of a plan as it is listed: where it is, what it says, what others say of it."""

    patient_id: str = field(repr=False)
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    object_key: str
    conflict: bool
    """Whether there is more than one version under the SOP Instance UID."""
    facts: PlanFacts
    links: PlanLinks
