"""The branch of one plan: what it references, and what references it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from dicomcore.model import (
    Beam,
    DoseDetails,
    InstanceHeader,
    Kind,
    PlanDetails,
    RecordDetails,
    RegistrationDetails,
    Relation,
    RtImageDetails,
    TreatedBeam,
)
from dicomcore.references import frames_of
from dicomcore.tree.branches import Branches
from dicomcore.tree.nodes import BeamNode, Leaf, PlanNode, RelatedPlan, SeriesNode, TreatedNode


class PlanBranch:
    """Finds what belongs to one plan.

    Parameters
    ----------
    plan
        Of any shape: without beams, without structure set, with several.
    """

    def __init__(self, branches: Branches, plan: InstanceHeader) -> None:
        self._branches = branches
        self._graph = branches.graph
        self._plan = plan
        self._details = plan.details if isinstance(plan.details, PlanDetails) else PlanDetails()
        self._holders = self._graph.holders(plan.ref.sop_instance_uid, Relation.PLAN)

    def node(self) -> PlanNode:
        """Return the branch; what is in it counts as placed."""
        branches, numbers = self._branches, {beam.number for beam in self._details.beams}
        structure_sets = tuple(branches.structure_set(h) for h in self._structure_sets)
        below = {s.series_instance_uid for node in structure_sets for s in node.image_series}
        shown = frozenset(below | {h.ref.sop_instance_uid for h in self._structure_sets})
        missing = branches.missing(self._plan, images=True)
        loose = [image for image in self._rt_images if not self._beams_of(image)]
        return PlanNode(
            instance=branches.leaf(self._plan),
            related_plans=tuple(self._related_plans()),
            structure_sets=structure_sets,
            beams=tuple(self._beam(beam) for beam in self._details.beams),
            drrs=self._leaves(image for image in loose if self._is_drr(image)),
            rt_images=self._leaves(image for image in loose if not self._is_drr(image)),
            records=self._records(lambda beam: beam is None or beam.number not in numbers),
            doses=tuple(branches.dose(header) for header in self._doses),
            registrations=tuple(
                branches.registration(header, frames=self._frames, shown=shown)
                for header in self._registrations()
            ),
            cone_beams=branches.whole_series_of(self._held_by(Kind.IMAGE)),
            images=self._images(named=bool(below)),
            others=branches.series_of(self._held_by(Kind.SEGMENTATION, Kind.OTHER)),
            missing=tuple(m for m in missing if m.relation is not Relation.DRR),
        )

    # ── what belongs to it ──────────────────────────────────────────────────────────────────

    def _held_by(self, *kinds: Kind) -> Sequence[InstanceHeader]:
        """What references the plan and is of these kinds."""
        return [header for header in self._holders if header.kind in kinds]

    @cached_property
    def _doses(self) -> Sequence[InstanceHeader]:
        forward = self._graph.targets(self._plan, Relation.DOSE)
        return sorted(dict.fromkeys((*forward, *self._held_by(Kind.DOSE))), key=_dose_order)

    @cached_property
    def _structure_sets(self) -> Sequence[InstanceHeader]:
        """The plan's, then those that only its doses reference."""
        holders = (self._plan, *self._doses)
        found = (h for holder in holders for h in self._targets(holder, Relation.STRUCTURE_SET))
        return tuple(dict.fromkeys(found))

    @cached_property
    def _frames(self) -> frozenset[str]:
        """The frames of reference of the plan; where it has none, of its doses."""
        frames = {f for header in (self._plan, *self._structure_sets) for f in frames_of(header)}
        return frozenset(frames or {f for dose in self._doses for f in frames_of(dose)})

    @cached_property
    def _rt_images(self) -> Sequence[InstanceHeader]:
        forward = self._graph.targets(self._plan, Relation.DRR, Relation.IMAGE)
        images = (h for h in forward if h.kind is Kind.RT_IMAGE)
        return sorted(dict.fromkeys((*images, *self._held_by(Kind.RT_IMAGE))), key=_rt_image_order)

    @cached_property
    def _treated(self) -> Sequence[tuple[InstanceHeader, TreatedBeam | None]]:
        """Every treated beam of every record, in the order of treatment."""
        found: list[tuple[InstanceHeader, TreatedBeam | None]] = []
        for record in self._held_by(Kind.RECORD):
            details = record.details
            beams = details.beams if isinstance(details, RecordDetails) else ()
            found.extend((record, beam) for beam in beams or (None,))
        return sorted(found, key=_treated_order)

    def _registrations(self) -> Sequence[InstanceHeader]:
        found = {h for frame in self._frames for h in self._graph.in_frame(frame)}
        registrations = (h for h in found if h.kind is Kind.REGISTRATION)
        return sorted(registrations, key=_registration_order)

    def _related_plans(self) -> Iterator[RelatedPlan]:
        for reference in self._plan.references:
            related = self._graph.header(reference.uid)
            if reference.relation is Relation.RELATED_PLAN and related is not None:
                yield RelatedPlan(self._branches.leaf(related), reference.note)

    def _images(self, *, named: bool) -> tuple[SeriesNode, ...]:
        """Images the plan names itself; if no structure set names any, those in its frame."""
        images = [h for h in self._targets(self._plan, Relation.IMAGE) if h.kind is Kind.IMAGE]
        if images or named:
            return self._branches.whole_series_of(images)
        return self._branches.in_frames(self._frames, without_plan=True)

    def _targets(self, header: InstanceHeader, relation: Relation) -> Sequence[InstanceHeader]:
        return self._graph.targets(header, relation)

    # ── beams ───────────────────────────────────────────────────────────────────────────────

    def _beam(self, beam: Beam) -> BeamNode:
        images = [image for image in self._rt_images if beam in self._beams_of(image)]
        missing = self._branches.missing(self._plan)
        return BeamNode(
            beam=beam,
            drrs=self._leaves(image for image in images if self._is_drr(image)),
            rt_images=self._leaves(image for image in images if not self._is_drr(image)),
            records=self._records(lambda treated: treated is not None and _same(treated, beam)),
            missing=tuple(
                replace(m, note="") for m in missing if m.uid in beam.reference_image_uids
            ),
        )

    def _beams_of(self, image: InstanceHeader) -> Sequence[Beam]:
        """The beams that name an image; if none does, the beam that the image names."""
        uid = image.ref.sop_instance_uid
        naming = [beam for beam in self._details.beams if uid in beam.reference_image_uids]
        if naming or not isinstance(image.details, RtImageDetails):
            return naming
        number = image.details.beam_number
        return [b for b in self._details.beams if number is not None and b.number == number]

    def _is_drr(self, image: InstanceHeader) -> bool:
        uid = image.ref.sop_instance_uid
        if any(uid in beam.reference_image_uids for beam in self._details.beams):
            return True
        return isinstance(image.details, RtImageDetails) and "DRR" in image.details.image_type

    def _leaves(self, images: Iterable[InstanceHeader]) -> tuple[Leaf, ...]:
        return tuple(self._branches.leaf(image) for image in images)

    def _records(self, belongs: Callable[[TreatedBeam | None], bool]) -> tuple[TreatedNode, ...]:
        return tuple(
            TreatedNode(self._branches.leaf(record), treated)
            for record, treated in self._treated
            if belongs(treated)
        )


def _same(treated: TreatedBeam, beam: Beam) -> bool:
    return treated.number == beam.number


def _dose_order(dose: InstanceHeader) -> tuple[str, tuple[int, ...], str]:
    details = dose.details if isinstance(dose.details, DoseDetails) else DoseDetails()
    # the plan's dose before those of fractions and beams
    rank = "" if details.summation_type == "PLAN" else details.summation_type or "~"
    return rank, details.beam_numbers, dose.ref.sop_instance_uid


def _rt_image_order(image: InstanceHeader) -> tuple[str, str, int, str, str]:
    details = image.details if isinstance(image.details, RtImageDetails) else RtImageDetails()
    fraction = details.fraction_number or 0
    return details.date, details.time, fraction, details.label, image.ref.sop_instance_uid


def _treated_order(
    treated: tuple[InstanceHeader, TreatedBeam | None],
) -> tuple[str, str, int, int, str]:
    record, beam = treated
    details = record.details if isinstance(record.details, RecordDetails) else RecordDetails()
    fraction = beam.fraction_number if beam is not None else None
    number = beam.number if beam is not None else None
    uid = record.ref.sop_instance_uid
    return details.date, details.time, fraction or 0, number or 0, uid


def _registration_order(registration: InstanceHeader) -> tuple[str, str, str]:
    details = registration.details
    if not isinstance(details, RegistrationDetails):
        details = RegistrationDetails()
    return details.date, details.label, registration.ref.sop_instance_uid
