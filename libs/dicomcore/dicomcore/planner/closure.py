"""What a set of plans references, and what references them: the rules of the closure.

For each plan: its structure set, DRRs, setup and verification images, doses, and directly related plans (these alone, not what
they reference in turn); the image series that the structure set references, whole; registrations
that tie the plan's frame of reference to another, with the image series and structure sets on the
other side; and everything that points back at the plan: doses, RT images, treatment records,
cone-beam series. `docs/adr/0003-closure.md` says why the lines are drawn here.
"""

from __future__ import annotations

from collections.abc import Iterable

from dicomcore.catalogue import InstanceEntry, SeriesEntry
from dicomcore.model import InstanceHeader, Level, Reference, RegistrationDetails, Relation
from dicomcore.planner.demand import Absence, Demand
from dicomcore.planner.knowledge import (
    DOSES,
    PLANS,
    PROBED,
    RECORDS,
    REGISTRATIONS,
    RT_IMAGES,
    RT_OBJECTS,
    STRUCTURE_SETS,
)
from dicomcore.planner.values import DanglingReference, Stage
from dicomcore.uids import InstanceUID, SeriesUID

_FORWARD = {
    Relation.STRUCTURE_SET: (STRUCTURE_SETS, Stage.STRUCTURE_SETS, "structure set of the plan"),
    Relation.DRR: (RT_IMAGES, Stage.RT_IMAGES, "reference image of a beam"),
    Relation.IMAGE: (RT_IMAGES, Stage.RT_IMAGES, "setup or verification image of the plan"),
    Relation.DOSE: (DOSES, Stage.DOSES, "dose the plan references"),
    Relation.RELATED_PLAN: (PLANS, Stage.PLANS, "plan the plan references"),
}
_BACKWARD = (
    (RECORDS, Stage.RECORDS, "treatment record of the plan"),
    (RT_IMAGES, Stage.RT_IMAGES, "RT image of the plan"),
    (DOSES, Stage.DOSES, "dose of the plan"),
)
WHY_IMAGES = "image series of the structure set"
WHY_FRAME = "image series in the plan's frame of reference (no structure set names its images)"
WHY_REGISTRATION = "registration of the plan's frame of reference"
WHY_OTHER_SIDE = "other side of a registration"
WHY_CONE_BEAM = "images that reference the plan"

PROBE_ATTEMPTS = 3
"""Instances of one series that are tried before the series counts as undecidable."""


class Closure:
    """The closure of some plans, as far as it is known; what is not known goes to `demand`.

    Parameters
    ----------
    fetch
        False: only what must be read to follow references is fetched, not the members. That is
        how the closure of the plans that are *not* meant is found.
    """

    def __init__(
        self, plans: Iterable[InstanceHeader], demand: Demand, *, fetch: bool = True
    ) -> None:
        self.members: dict[InstanceUID, tuple[InstanceEntry, str]] = {}
        self.dangling: set[DanglingReference] = set()
        self._demand = demand
        self._known = demand.known
        self._fetch = fetch
        self._plans = tuple(plans)
        self._plan_uids = frozenset(str(p.ref.sop_instance_uid) for p in self._plans)
        self._frames: set[str] = set()
        self._image_frames: dict[str, str] = {}
        """Frames whose image series are wanted, because nothing names the series → why."""
        self._other_frames: set[str] = set()
        self._structures_followed: set[InstanceUID] = set()
        self._series_followed: set[SeriesUID] = set()

    def expand(self) -> None:
        """Follow every rule as far as knowledge goes, each only once the one before is settled."""
        if not self._plans:
            return
        for plan in self._plans:
            self._forward(plan)
        if not self._demand.blocked:
            self._registrations()
        if not self._demand.blocked:
            self._other_side_structures()
        if not self._demand.blocked:
            for modalities, stage, why in _BACKWARD:
                self._backward(modalities, stage, why)
            self._image_candidates()

    # ── forward ─────────────────────────────────────────────────────────────────────────────

    def _forward(self, plan: InstanceHeader) -> None:
        self._members_from_header(plan, "the plan asked for", Stage.PLANS)
        if plan.frame_of_reference_uid:
            self._frames.add(plan.frame_of_reference_uid)
        images_named = False
        for reference in plan.references:
            if reference.relation not in _FORWARD:
                continue
            modalities, stage, why = _FORWARD[reference.relation]
            if reference.relation is Relation.IMAGE:
                modalities |= self._image_modalities()
            entry = self._demand.find(reference.uid, modalities, stage, why)
            if entry is Absence.ABSENT:
                self._dangles(reference, plan)
            elif isinstance(entry, InstanceEntry):
                self._member(entry, why, stage)
                if reference.relation is Relation.STRUCTURE_SET:
                    images_named |= self._structure_set(entry, Stage.STRUCTURE_SETS, why)
            else:
                images_named |= reference.relation is Relation.STRUCTURE_SET
        if not images_named:
            for frame in self._frames_of(plan):
                self._image_frames.setdefault(frame, WHY_FRAME)

    def _structure_set(self, entry: InstanceEntry, stage: Stage, why: str) -> bool:
        """Follow a structure set; return whether it names its images, or may still do so."""
        header = self._demand.decide(entry, stage, why)
        if not isinstance(header, InstanceHeader):
            return header is Absence.PENDING
        frames = self._frames_of(header)
        if why != WHY_OTHER_SIDE:
            self._frames |= frames
        if self._images_of(header, WHY_IMAGES):
            return True
        for frame in frames:
            self._image_frames.setdefault(frame, WHY_FRAME)
        return bool(frames)

    def _images_of(self, header: InstanceHeader, why: str) -> bool:
        """Want the image series a header names; return whether it names any."""
        if header.ref.sop_instance_uid in self._structures_followed:
            return bool(header.targets(Relation.IMAGE) or header.targets(Relation.IMAGE_SERIES))
        self._structures_followed.add(header.ref.sop_instance_uid)
        named = False
        for reference in header.references:
            if reference.relation is Relation.IMAGE_SERIES:
                named = True
                self._named_series(reference, header, why)
            elif reference.relation is Relation.IMAGE:
                named = True
                self._named_image(reference, header, why)
        return named

    def _named_series(self, reference: Reference, header: InstanceHeader, why: str) -> None:
        series = self._known.catalogue.series.get(SeriesUID(reference.uid))
        if series is None:
            self._dangles(reference, header)
        else:
            self._series_members(series, why)

    def _named_image(self, reference: Reference, header: InstanceHeader, why: str) -> None:
        """An image named by its own UID brings its series; one that is in no series dangles."""
        if reference.series_instance_uid:
            named = Reference(Relation.IMAGE_SERIES, reference.series_instance_uid, Level.SERIES)
            self._named_series(named, header, why)
            series = self._known.catalogue.series.get(SeriesUID(reference.series_instance_uid))
            listed = series and self._demand.listed(series, Stage.IMAGES, why)
            if listed is not None and self._known.locate(reference.uid) is None:
                self._dangles(reference, header)
            return
        entry = self._demand.find(reference.uid, self._image_modalities(), Stage.IMAGES, why)
        if entry is Absence.ABSENT:
            self._dangles(reference, header)
        elif isinstance(entry, InstanceEntry):
            self._series_members(self._known.catalogue.series[entry.ref.series_instance_uid], why)

    def _image_modalities(self) -> frozenset[str]:
        known = self._known
        return frozenset(known.modality(uid) for uid in known.catalogue.series) - RT_OBJECTS

    # ── frames of reference ─────────────────────────────────────────────────────────────────

    def _registrations(self) -> None:
        if not self._frames:
            return
        for entry, header in self._headers(REGISTRATIONS, Stage.REGISTRATIONS, WHY_REGISTRATION):
            frames = self._frames_of(header)
            if not frames & self._frames:
                continue
            self._member(entry, WHY_REGISTRATION, Stage.REGISTRATIONS)
            other = frames - self._frames
            self._other_frames |= other
            if not self._images_of(header, WHY_OTHER_SIDE):
                for frame in other:
                    self._image_frames.setdefault(frame, WHY_OTHER_SIDE)

    def _other_side_structures(self) -> None:
        if not self._other_frames:
            return
        stage = Stage.STRUCTURE_SETS
        for series in self._known.series_with(STRUCTURE_SETS):
            for entry in self._demand.listed(series, stage, WHY_OTHER_SIDE) or ():
                told = entry.frame_of_reference_uid
                if entry.uid in self.members or (told and told not in self._other_frames):
                    continue
                header = self._demand.decide(entry, stage, WHY_OTHER_SIDE)
                if not isinstance(header, InstanceHeader):
                    continue
                if self._frames_of(header) & self._other_frames:
                    self._member(entry, WHY_OTHER_SIDE, stage)
                    self._structure_set(entry, stage, WHY_OTHER_SIDE)

    # ── backward ────────────────────────────────────────────────────────────────────────────

    def _backward(self, modalities: frozenset[str], stage: Stage, why: str) -> None:
        """Take what references one of the plans, on the PACS's word or the object's own."""
        for series in self._known.series_with(modalities):
            for entry in self._demand.listed(series, stage, why) or ():
                if entry.uid in self.members:
                    continue
                told = self._told(entry, series.modality)
                if told is None:
                    header = self._demand.decide(entry, stage, why)
                    told = isinstance(header, InstanceHeader) and self._points_back(header)
                if told:
                    self._member(entry, why, stage)

    def _image_candidates(self) -> None:
        """Decide each image series that nothing has named yet on one of its instances."""
        for series in self._known.series_with(PROBED):
            entries = self._demand.listed(series, Stage.PROBES, WHY_CONE_BEAM)
            if not entries or all(entry.uid in self.members for entry in entries):
                continue
            why = self._why_series(series, entries)
            if why:
                self._series_members(series, why)

    def _why_series(self, series: SeriesEntry, entries: tuple[InstanceEntry, ...]) -> str:
        told = self._told(entries[0], series.modality)
        frame = entries[0].frame_of_reference_uid
        if told:
            return WHY_CONE_BEAM
        if frame and frame in self._image_frames:
            return self._image_frames[frame]
        frame_decided = bool(frame) or not self._image_frames
        if told is False and frame_decided:
            return ""
        header = self._probe(entries)
        if header is None:
            return ""
        if self._points_back(header):
            return WHY_CONE_BEAM
        return self._image_frames.get(header.frame_of_reference_uid or "", "")

    def _probe(self, entries: tuple[InstanceEntry, ...]) -> InstanceHeader | None:
        """Return the header of one instance: one that has landed, else the first not given up."""
        known = self._known
        given_up = [e for e in entries if e.uid in known.given_up]
        usable = [e for e in entries if e.uid not in known.given_up]
        if len(given_up) >= PROBE_ATTEMPTS or not usable:
            usable = given_up
        candidates = [e for e in usable if known.has_landed(e)] or usable
        header = self._demand.decide(candidates[0], Stage.PROBES, "probe of an image series")
        return header if isinstance(header, InstanceHeader) else None

    def _told(self, entry: InstanceEntry, modality: str) -> bool | None:
        """Whether it references one of the plans, on the PACS's word; None if it did not tell."""
        if entry.referenced_plan_uids:
            return bool(self._plan_uids.intersection(entry.referenced_plan_uids))
        if self._known.tells_referenced_plans(modality):
            return False
        return None

    def _points_back(self, header: InstanceHeader) -> bool:
        return bool(self._plan_uids.intersection(header.targets(Relation.PLAN)))

    # ── members ─────────────────────────────────────────────────────────────────────────────

    def _headers(
        self, modalities: frozenset[str], stage: Stage, why: str
    ) -> Iterable[tuple[InstanceEntry, InstanceHeader]]:
        for series in self._known.series_with(modalities):
            for entry in self._demand.listed(series, stage, why) or ():
                header = self._demand.decide(entry, stage, why)
                if isinstance(header, InstanceHeader):
                    yield entry, header

    def _series_members(self, series: SeriesEntry, why: str) -> None:
        if series.series_instance_uid in self._series_followed:
            return
        entries = self._demand.listed(series, Stage.IMAGES, why)
        if entries is None:
            return
        self._series_followed.add(series.series_instance_uid)
        for entry in entries:
            self._member(entry, why, Stage.IMAGES)
        if self._fetch:
            self._demand.expect_all(series, why)

    def _members_from_header(self, header: InstanceHeader, why: str, stage: Stage) -> None:
        entry = self._known.locate(header.ref.sop_instance_uid)
        if entry is not None:
            self._member(entry, why, stage)

    def _member(self, entry: InstanceEntry, why: str, stage: Stage) -> None:
        self.members.setdefault(entry.uid, (entry, why))
        if self._fetch:
            self._demand.fetch(entry, stage, why)

    def _dangles(self, reference: Reference, by: InstanceHeader) -> None:
        level = reference.level if reference.level is Level.SERIES else Level.INSTANCE
        self.dangling.add(
            DanglingReference(reference.uid, reference.relation, level, by.ref.sop_instance_uid)
        )

    @staticmethod
    def _frames_of(header: InstanceHeader) -> set[str]:
        frames = set(header.targets(Relation.FRAME_OF_REFERENCE))
        if header.frame_of_reference_uid:
            frames.add(header.frame_of_reference_uid)
        if isinstance(header.details, RegistrationDetails):
            frames.update(header.details.frames)
        return frames
