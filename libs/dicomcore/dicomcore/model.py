"""What we know of one instance: identity, kind, facts for people, and references.

Values only. `dicomcore.readers` makes them from data sets, `dicomcore.references` links them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from dicomcore.uids import FrameUID, InstanceRef


class Kind(StrEnum):
    """What an instance is for radiotherapy; `OTHER` is kept like the rest."""

    PLAN = "plan"
    STRUCTURE_SET = "structure_set"
    DOSE = "dose"
    RT_IMAGE = "rt_image"
    RECORD = "record"
    REGISTRATION = "registration"
    IMAGE = "image"
    SEGMENTATION = "segmentation"
    OTHER = "other"


class Level(StrEnum):
    """What the UID of a reference names."""

    INSTANCE = "instance"
    SERIES = "series"
    STUDY = "study"
    FRAME = "frame"


class Relation(StrEnum):
    """What a reference means, seen from the instance that holds it."""

    STRUCTURE_SET = "structure_set"
    """Plan or dose → structure set: (300C,0060)."""
    IMAGE = "image"
    """Structure set, registration, segmentation … → an image instance: (0008,1155) at image level."""
    IMAGE_SERIES = "image_series"
    """Structure set or registration → an image series: (0020,000E)."""
    DOSE = "dose"
    """Plan → dose: (300C,0080)."""
    DRR = "drr"
    """A plan's beam → its reference images: (300C,0042)."""
    PLAN = "plan"
    """Dose, RT image, record, cone-beam CT → plan: (300C,0002) and kin."""
    RELATED_PLAN = "related_plan"
    """Plan → plan: (300C,0002) with RT Plan Relationship (300A,0055)."""
    RECORD = "record"
    """Summary or image → treatment record: (3008,0030)."""
    FRAME_OF_REFERENCE = "frame_of_reference"
    """The frames that a structure set or registration ties together, beyond its own (0020,0052)."""
    OTHER = "other"
    """Any other reference that is shown but not followed."""


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """One reference of an instance; duplicates within one instance are folded."""

    relation: Relation
    uid: str
    level: Level = Level.INSTANCE
    sop_class_uid: str = ""
    note: str = ""
    """For people: the plan relationship, the beam's number."""
    series_instance_uid: str = ""
    """For an instance whose series the reference names as well, otherwise empty."""
    study_instance_uid: str = ""
    """For an instance or series whose study the reference names as well, otherwise empty."""


@dataclass(frozen=True, slots=True)
class Beam:
    """One beam of a plan; for brachy plans, one application setup."""

    number: int | None = None
    name: str = ""
    delivery_type: str = ""
    """Treatment Delivery Type (300A,00CE)."""
    technique: str = ""
    """Beam Type (300A,00C4): STATIC or DYNAMIC; for brachy, the application setup type."""
    radiation_type: str = ""
    machine: str = ""
    """Treatment Machine Name (300A,00B2)."""
    manufacturer: str = ""
    model: str = ""
    """Manufacturer's Model Name (0008,1090) of the beam."""
    number_of_control_points: int | None = None
    reference_image_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prescription:
    """One item of Dose Reference Sequence (300A,0010)."""

    description: str = ""
    kind: str = ""
    """Dose Reference Type (300A,0020)."""
    target_dose_gy: float | None = None


@dataclass(frozen=True, slots=True)
class PlanDetails:
    """RT Plan, RT Ion Plan, RT Brachy plans, and private plan classes of their shape."""

    kind: Literal["plan"] = "plan"
    label: str = ""
    name: str = ""
    intent: str = ""
    approval_status: str = ""
    """Approval Status (300E,0002); empty if absent."""
    date: str = ""
    """RT Plan Date (300A,0006), as stored: YYYYMMDD."""
    time: str = ""
    geometry: str = ""
    beams: tuple[Beam, ...] = ()
    fractions: tuple[int | None, ...] = ()
    """Number of Fractions Planned (300A,0078) of each fraction group."""
    prescriptions: tuple[Prescription, ...] = ()


@dataclass(frozen=True, slots=True)
class StructureSetDetails:
    """RT Structure Set."""

    kind: Literal["structure_set"] = "structure_set"
    label: str = ""
    name: str = ""
    date: str = ""
    approval_status: str = ""
    number_of_rois: int = 0


@dataclass(frozen=True, slots=True)
class DoseDetails:
    """RT Dose."""

    kind: Literal["dose"] = "dose"
    summation_type: str = ""
    dose_type: str = ""
    units: str = ""
    beam_numbers: tuple[int, ...] = ()
    """Referenced Beam Number (300C,0006) of each beam it is the dose of; empty for a whole plan."""


@dataclass(frozen=True, slots=True)
class RtImageDetails:
    """RT Image: DRR, portal image, simulator image."""

    kind: Literal["rt_image"] = "rt_image"
    label: str = ""
    image_type: tuple[str, ...] = ()
    date: str = ""
    time: str = ""
    beam_number: int | None = None
    fraction_number: int | None = None
    """Fraction Number (3002,0029)."""
    machine: str = ""
    """Radiation Machine Name (3002,0020)."""


@dataclass(frozen=True, slots=True)
class TreatedBeam:
    """One treated beam, or brachy application setup, of a treatment record."""

    number: int | None = None
    name: str = ""
    fraction_number: int | None = None
    """Current Fraction Number (3008,0022)."""


@dataclass(frozen=True, slots=True)
class RecordDetails:
    """RT treatment record: beams, ion beams, brachy, summary."""

    kind: Literal["record"] = "record"
    date: str = ""
    time: str = ""
    beams: tuple[TreatedBeam, ...] = ()


@dataclass(frozen=True, slots=True)
class RegistrationDetails:
    """Spatial or deformable registration."""

    kind: Literal["registration"] = "registration"
    label: str = ""
    description: str = ""
    date: str = ""
    frames: tuple[FrameUID, ...] = ()
    """Every frame of reference it ties, its own first."""


@dataclass(frozen=True, slots=True)
class ImageDetails:
    """CT, MR, PET and their enhanced variants, SEG, and everything else that we only count."""

    kind: Literal["image"] = "image"
    image_type: tuple[str, ...] = ()
    date: str = ""
    instance_number: int | None = None


Details = Annotated[
    PlanDetails
    | StructureSetDetails
    | DoseDetails
    | RtImageDetails
    | RecordDetails
    | RegistrationDetails
    | ImageDetails,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, slots=True)
class InstanceHeader:
    """One instance, without its bulk data.

    Notes
    -----
    The patient's identity does not show in `repr`, so that it cannot reach a log by accident.
    """

    ref: InstanceRef
    sop_class_uid: str
    kind: Kind
    modality: str = ""
    frame_of_reference_uid: FrameUID | None = None
    references: tuple[Reference, ...] = ()
    details: Details | None = field(default=None, repr=False)
    patient_id: str = field(default="", repr=False)
    patient_name: str = field(default="", repr=False)
    study_date: str = field(default="", repr=False)
    study_description: str = field(default="", repr=False)
    series_description: str = field(default="", repr=False)
    series_number: int | None = None
    manufacturer: str = ""
    transfer_syntax_uid: str = ""

    def targets(self, relation: Relation) -> tuple[str, ...]:
        """Return the UIDs this instance references in one way, in order."""
        return tuple(r.uid for r in self.references if r.relation is relation)
