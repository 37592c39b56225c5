"""What a retrieval's selection, step, want and outcome are."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from dicomcore.model import Level, Relation
from dicomcore.uids import InstanceRef, InstanceUID, SeriesUID, StudyUID


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of a patient's plans are meant; neither criterion means the whole patient."""

    plan_label: str | None = field(default=None, repr=False)
    """RT Plan Label (300A,0002), exact and case-sensitive."""
    only_approved: bool = False
    """Approval Status (300E,0002) must be APPROVED."""

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self.plan_label is None and not self.only_approved

    @property
    def with_unconnected(self) -> bool:
        """Whether what is connected to no plan comes too: it does where no label was given."""
        return self.plan_label is None


class Stage(IntEnum):
    """Waves in their order: what decides most and weighs least comes first, doses last."""

    PLANS = 1
    STRUCTURE_SETS = 2
    REGISTRATIONS = 3
    RECORDS = 4
    RT_IMAGES = 5
    PROBES = 6
    IMAGES = 7
    DOSES = 8
    REST = 9


@dataclass(frozen=True, slots=True)
class Want:
    """One instance to fetch; the whole series where `sop_instance_uid` is None."""

    study_instance_uid: StudyUID
    series_instance_uid: SeriesUID
    sop_instance_uid: InstanceUID | None
    sop_class_uid: str
    modality: str
    why: str


@dataclass(frozen=True, slots=True)
class ListSeries:
    """Ask the PACS for the instances of these series (C-FIND at IMAGE level)."""

    series: tuple[SeriesUID, ...]


@dataclass(frozen=True, slots=True)
class ReadHeaders:
    """Read the headers of these instances, which have landed."""

    refs: tuple[InstanceRef, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Have these instances sent; none of them has landed, none has been given up."""

    stage: Stage
    wants: tuple[Want, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """One instance of the closure, and why it is in it."""

    ref: InstanceRef
    sop_class_uid: str
    modality: str
    why: str


@dataclass(frozen=True, slots=True)
class MissingItem:
    """Something expected, or not decidable, that has not landed."""

    uid: str
    level: Level
    modality: str
    why: str
    reason: str


@dataclass(frozen=True, slots=True, order=True)
class DanglingReference:
    """A reference out of the closure to something the PACS does not list."""

    uid: str
    relation: Relation
    level: Level
    referenced_by: InstanceUID


class Verdict(StrEnum):
    """What became of one plan."""

    SELECTED = "selected"
    NOT_SELECTED = "not_selected"
    UNAVAILABLE = "unavailable"
    """It could not be fetched or read, so nobody knows whether it is meant."""


@dataclass(frozen=True, slots=True)
class PlanDecision:
    """One plan of the patient and what was decided of it."""

    ref: InstanceRef
    verdict: Verdict
    label: str = field(default="", repr=False)
    approval_status: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the closure is, and what of it is missing: nothing missing means complete."""

    expected: tuple[Expected, ...] = ()
    missing: tuple[MissingItem, ...] = ()
    dangling: tuple[DanglingReference, ...] = ()
    plans: tuple[PlanDecision, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing more can be done."""

    outcome: Outcome


Step = ListSeries | ReadHeaders | Fetch | Finished
