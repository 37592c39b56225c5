"""A made-up patient as its maker hands it over: the instances, and what belongs to each plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydicom import Dataset

from dicomcore.uids import InstanceRef


class Role(StrEnum):
    """Why an instance belongs to a plan."""

    PLAN = "plan"
    RELATED_PLAN = "related plan"
    """Named by the plan's own Referenced RT Plan Sequence; the object only, not what it references."""
    STRUCTURE_SET = "structure set"
    IMAGE = "image"
    DOSE = "dose"
    DRR = "drr"
    """Named by a beam of the plan."""
    RT_IMAGE = "rt image"
    """Names the plan."""
    RECORD = "record"
    CONE_BEAM = "cone-beam image"
    """Names the plan."""
    REGISTRATION = "registration"
    """Of the structure set's frame of reference."""
    REGISTERED_STRUCTURE_SET = "registered structure set"
    REGISTERED_IMAGE = "registered image"


@dataclass(frozen=True, slots=True)
class MadeUpInstance:
    """One instance; the data set has no file meta information."""

    ref: InstanceRef
    sop_class_uid: str
    modality: str
    dataset: Dataset = field(repr=False)


@dataclass(frozen=True, slots=True)
class MadeUpPlan:
    """One plan, and what its maker attached to it: written down while making, not read back."""

    sop_instance_uid: str
    sop_class_uid: str
    label: str
    approval_status: str
    roles: Mapping[str, Role]
    """SOP Instance UID to role, of everything that belongs to the plan, itself included."""
    dangling: tuple[str, ...]
    """SOP Instance UIDs that it references and that do not exist."""


@dataclass(frozen=True, slots=True)
class MadeUpPatient:
    """Instances in the order they were made, and plans."""

    patient_id: str
    instances: tuple[MadeUpInstance, ...]
    plans: tuple[MadeUpPlan, ...]

    @property
    def datasets(self) -> list[Dataset]:
        """Return the data sets; they share their pixel data, so a patient is small in memory."""
        return [instance.dataset for instance in self.instances]

    def plans_with(
        self, label: str | None = None, *, only_approved: bool = False
    ) -> Iterator[MadeUpPlan]:
        """Yield the plans of this label (None: of any), if asked only those with status APPROVED."""
        for plan in self.plans:
            if label is not None and plan.label != label:
                continue
            if only_approved and plan.approval_status != "APPROVED":
                continue
            yield plan

    def closure(self, label: str | None = None, *, only_approved: bool = False) -> frozenset[str]:
        """Return the SOP Instance UIDs that belong to any of `plans_with` these criteria."""
        plans = self.plans_with(label, only_approved=only_approved)
        return frozenset(uid for plan in plans for uid in plan.roles)

    def dangling(self, label: str | None = None, *, only_approved: bool = False) -> frozenset[str]:
        """Return the UIDs that these plans reference and that do not exist."""
        plans = self.plans_with(label, only_approved=only_approved)
        return frozenset(uid for plan in plans for uid in plan.dangling)
