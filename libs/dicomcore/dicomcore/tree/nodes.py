"""The reference tree as values: what `dicomcore.tree.build` builds and `dicomcore.render` shows."""

from __future__ import annotations

from dataclasses import dataclass, field

from dicomcore.model import Beam, Details, Kind, Level, Relation, TreatedBeam
from dicomcore.uids import InstanceRef


@dataclass(frozen=True, slots=True)
class Leaf:
    """One instance."""

    ref: InstanceRef
    kind: Kind
    modality: str = ""
    sop_class_uid: str = ""
    details: Details | None = None
    conflict: bool = False
    """Different bytes exist under its SOP Instance UID."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A reference whose target is not there."""

    relation: Relation
    kind: Kind
    """What it would be."""
    uid: str
    level: Level = Level.INSTANCE
    note: str = ""


@dataclass(frozen=True, slots=True)
class SeriesNode:
    """One series, as far as it is there."""

    series_instance_uid: str
    """Empty for images that are missing and whose series nobody names."""
    study_instance_uid: str = ""
    modality: str = ""
    description: str = field(default="", repr=False)
    date: str = ""
    """Of the earliest instance, as stored: YYYYMMDD."""
    number_of_instances: int = 0
    """How many are there."""
    number_referenced: int = 0
    """How many are referenced one by one; 0 where the series is referenced as a whole."""
    missing_uids: tuple[str, ...] = ()
    """Referenced one by one and not there."""
    by_frame: bool = False
    """It is not referenced; it shares the frame of reference of what references no image."""
    conflicts: int = 0
    """Instances of which different versions exist."""


@dataclass(frozen=True, slots=True)
class StructureSetNode:
    """A structure set and the image series it is drawn on."""

    instance: Leaf
    image_series: tuple[SeriesNode, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class DoseNode:
    """A dose."""

    instance: Leaf
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class RegistrationNode:
    """A registration, and what is on its sides that is not shown beside it already."""

    instance: Leaf
    structure_sets: tuple[StructureSetNode, ...] = ()
    image_series: tuple[SeriesNode, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class TreatedNode:
    """One treated beam of a treatment record; without beams, the record."""

    instance: Leaf
    beam: TreatedBeam | None = None


@dataclass(frozen=True, slots=True)
class BeamNode:
    """A beam, ion beam or application setup, and what belongs to it."""

    beam: Beam
    drrs: tuple[Leaf, ...] = ()
    rt_images: tuple[Leaf, ...] = ()
    """All other RT images of the beam."""
    records: tuple[TreatedNode, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class RelatedPlan:
    """A plan that a plan names, and that is there."""

    instance: Leaf
    relationship: str = ""
    """RT Plan Relationship (300A,0055): PREDECESSOR, ALTERNATIVE, VERIFIED_PLAN …"""


@dataclass(frozen=True, slots=True)
class PlanNode:
    """A plan and everything that it references or that references it."""

    instance: Leaf
    related_plans: tuple[RelatedPlan, ...] = ()
    structure_sets: tuple[StructureSetNode, ...] = ()
    beams: tuple[BeamNode, ...] = ()
    drrs: tuple[Leaf, ...] = ()
    """DRRs that name no beam of the plan."""
    rt_images: tuple[Leaf, ...] = ()
    """Other RT images that name no beam of the plan."""
    records: tuple[TreatedNode, ...] = ()
    """Treatment records that name no beam of the plan."""
    doses: tuple[DoseNode, ...] = ()
    registrations: tuple[RegistrationNode, ...] = ()
    cone_beams: tuple[SeriesNode, ...] = ()
    images: tuple[SeriesNode, ...] = ()
    """Image series that the plan itself references: setup images, verification images."""
    others: tuple[SeriesNode, ...] = ()
    """Anything else that references the plan: delivery instructions, segmentations."""
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class Unconnected:
    """What no plan is connected with."""

    structure_sets: tuple[StructureSetNode, ...] = ()
    doses: tuple[DoseNode, ...] = ()
    registrations: tuple[RegistrationNode, ...] = ()
    rt_images: tuple[SeriesNode, ...] = ()
    records: tuple[SeriesNode, ...] = ()
    cone_beams: tuple[SeriesNode, ...] = ()
    images: tuple[SeriesNode, ...] = ()
    """CT, MR, PT, then other modalities; without those that are shown below a structure set."""
    others: tuple[SeriesNode, ...] = ()


@dataclass(frozen=True, slots=True)
class FlatInstance:
    """One instance of a flat list."""

    sop_instance_uid: str
    label: str = ""
    conflict: bool = False


@dataclass(frozen=True, slots=True)
class FlatSeries:
    """One series of a flat list."""

    series_instance_uid: str
    study_instance_uid: str
    modality: str
    instances: tuple[FlatInstance, ...]


@dataclass(frozen=True, slots=True)
class PatientTree:
    """One patient."""

    patient_id: str = field(repr=False)
    patient_name: str = field(default="", repr=False)
    number_of_instances: int = 0
    plans: tuple[PlanNode, ...] = ()
    unconnected: Unconnected = Unconnected()
    series: tuple[FlatSeries, ...] = ()
    """Every series with every instance, whatever it is connected with."""
