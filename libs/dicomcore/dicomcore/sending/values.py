"""What is decided about instances that are to be sent to another system."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dicomcore.model import InstanceHeader, PlanDetails


class Role(StrEnum):
    """What an instance is sent as."""

    IMAGE = "image"
    STRUCTURE_SET = "structure set"
    PLAN = "plan"
    CONE_BEAM = "cone-beam image"
    DOSE = "dose"
    RT_IMAGE = "RT image"
    REGISTERED_IMAGE = "registered image"
    REGISTERED_STRUCTURE_SET = "registered structure set"
    REGISTRATION = "registration"
    RECORD = "treatment record"
    OTHER = "other"

    @property
    def orderless(self) -> bool:
        """Whether instances of this role may be sent in any order among themselves."""
        return self in (Role.IMAGE, Role.CONE_BEAM, Role.REGISTERED_IMAGE)


class Reason(StrEnum):
    """Why an instance is not sent."""

    OTHER_MANUFACTURER = "its treatment unit is of another manufacturer than Varian"
    PLAN_HELD_BACK = "its plan is not sent"
    NO_PLAN = "a dose without a plan that is sent"
    OTHER_VERSION = "another version of the same SOP Instance UID is sent"


class Concern(StrEnum):
    """What somebody should know before an instance is sent."""

    DOSE_WITHOUT_PLAN = "a dose without a plan: ARIA refuses it"
    NO_MACHINE = "a plan without a treatment machine name"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the receiving system takes."""

    machine_mapping: Mapping[str, str] = field(default_factory=dict)
    """Treatment Machine Name (300A,00B2), as it is, to the name that the receiver knows."""
    default_machines: Mapping[str, str] = field(default_factory=dict)
    """Manufacturer's Model Name (0008,1090) of the first beam to the machine's name, for plans
    that name none; `*` stands for any other model."""
    any_receiver: bool = False
    """Also what ARIA refuses: plans of other manufacturers' treatment units, doses without plan."""


@dataclass(frozen=True, slots=True)
class Send:
    """One instance, and how it is sent."""

    header: InstanceHeader
    role: Role
    plan: InstanceHeader | None = None
    """The plan that it belongs to; when it fails, everything stops. None: it belongs to none."""
    machines: tuple[tuple[str, str], ...] = ()
    """Names of treatment machines that the copy has instead: old (empty: none) and new."""

    @property
    def uid(self) -> str:
        """SOP Instance UID (0008,0018)."""
        return self.header.ref.sop_instance_uid


@dataclass(frozen=True, slots=True)
class Batch:
    """Instances that follow one another, or, if orderless, may go at the same time."""

    sends: tuple[Send, ...]
    orderless: bool


@dataclass(frozen=True, slots=True)
class HeldBack:
    """One instance that is not sent."""

    header: InstanceHeader
    reason: Reason


@dataclass(frozen=True, slots=True)
class Notice:
    """One instance about which somebody should know something."""

    header: InstanceHeader
    concern: Concern


@dataclass(frozen=True, slots=True)
class UnknownModel:
    """A plan without a machine's name whose model is not among the default machines."""

    plan: InstanceHeader
    model: str = field(repr=False)
    """Manufacturer's Model Name (0008,1090) of its first beam; empty if it has none."""


@dataclass(frozen=True, slots=True)
class SendPlan:
    """Everything that is to be sent, in its order, and what is not."""

    batches: tuple[Batch, ...] = ()
    held_back: tuple[HeldBack, ...] = ()
    notices: tuple[Notice, ...] = ()
    problems: tuple[UnknownModel, ...] = ()
    """While there is one, nothing should be sent: it would only be refused in the middle."""

    def sends(self) -> Iterator[Send]:
        """Yield every send, in order."""
        for batch in self.batches:
            yield from batch.sends

    def without(self, stored: Collection[str]) -> SendPlan:
        """Return the plan without the instances that the receiver has: by SOP Instance UID."""
        left = (
            Batch(tuple(s for s in batch.sends if s.uid not in stored), batch.orderless)
            for batch in self.batches
        )
        return replace(self, batches=tuple(batch for batch in left if batch.sends))


def plan_details(header: InstanceHeader) -> PlanDetails:
    """Return what a plan says of itself; nothing, for what is no plan."""
    return header.details if isinstance(header.details, PlanDetails) else PlanDetails()
