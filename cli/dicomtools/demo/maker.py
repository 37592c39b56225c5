"""Puts made-up objects together to a patient and writes down which of them belong to which plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pydicom import Dataset

from dicomcore.uids import parse_ref
from dicomtools.demo.builders import doses, images, plans, records, registrations, structures
from dicomtools.demo.builders.base import ImageSet, Person, Series, Study
from dicomtools.demo.identity import made_up_uid
from dicomtools.demo.made_up import MadeUpInstance, MadeUpPatient, MadeUpPlan, Role
from dicomtools.demo.sizes import Sizes

SliceBuilder = Callable[[Person, Series, images.Slice], Dataset]
PlanBuilder = Callable[[Person, Series, str, plans.PlanSpec], Dataset]
RecordBuilder = Callable[[Person, Series, str, records.RecordSpec], Dataset]


@dataclass(slots=True)
class Imaging:
    """An image series, the structure set on it, and what is registered to their frame."""

    images: ImageSet
    structure_set_uid: str
    roles: dict[str, Role]


@dataclass(frozen=True, slots=True)
class Forward:
    """What a plan is made to reference, apart from its structure set."""

    drrs: int = 0
    """DRRs of each beam that exist; all but the first are found from the plan only."""
    missing_drrs: int = 0
    """References of the first beam to DRRs that do not exist."""
    dose: bool = False
    """A dose that the plan references and that does not reference the plan."""


@dataclass(slots=True)
class Plan:
    """A plan while things are being attached to it."""

    study: Study
    sop_class_uid: str
    uid: str
    spec: plans.PlanSpec
    imaging: Imaging | None
    roles: dict[str, Role] = field(default_factory=dict)
    dangling: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """SOP class and instance UID, as a reference needs them."""
        return self.sop_class_uid, self.uid


class PatientMaker:
    """Adds objects in any order; `finish` hands the patient over."""

    def __init__(self, person: Person, sizes: Sizes, *, seed: int) -> None:
        self._person = person
        self._sizes = sizes
        self._root = (seed, person.patient_id, sizes)
        self._instances: list[MadeUpInstance] = []
        self._plans: list[Plan] = []
        self._series_in: dict[str, int] = {}

    # ── studies, series, images ─────────────────────────────────────────────────────────────

    def study(self, name: str, date: str, description: str) -> Study:
        """Return a new study; `name` makes its UID."""
        return Study(made_up_uid(*self._root, name), date, description, name)

    def frame(self, name: str) -> str:
        """Return the Frame of Reference UID of this name."""
        return made_up_uid(*self._root, "frame", name)

    def series(self, study: Study, modality: str, description: str, frame: str = "") -> Series:
        """Return the next series of a study."""
        number = self._series_in.get(study.uid, 0) + 1
        self._series_in[study.uid] = number
        return Series(study, made_up_uid(study.uid, number), modality, description, number, frame)

    def image_series(
        self, series: Series, build: SliceBuilder, *, slices: int, matrix: int, spacing_mm: float
    ) -> ImageSet:
        """Add an image series of `slices` (scaled) slices around the isocentre."""
        count = self._sizes.slices(slices)
        uids, positions, sop_class_uid = [], [], ""
        for index in range(count):
            z_mm = (index - (count - 1) / 2) * spacing_mm
            uid = made_up_uid(series.uid, index)
            at = images.Slice(uid, index, z_mm, spacing_mm, self._sizes.matrix(matrix))
            dataset = build(self._person, series, at)
            self._add(dataset)
            uids.append(uid)
            positions.append(z_mm)
            sop_class_uid = str(dataset.SOPClassUID)
        return ImageSet(series, sop_class_uid, tuple(uids), tuple(positions))

    def pet(self, series: Series, *, slices: int, matrix: int, spacing_mm: float) -> ImageSet:
        """Add a PET series."""
        count = self._sizes.slices(slices)

        def build(person: Person, series: Series, at: images.Slice) -> Dataset:
            return images.pet_slice(person, series, at, slices=count)

        return self.image_series(series, build, slices=slices, matrix=matrix, spacing_mm=spacing_mm)

    def imaging(self, image_set: ImageSet, study: Study, label: str) -> Imaging:
        """Add a structure set on an image series."""
        uid = self._structure_set(image_set, study, label)
        roles = dict.fromkeys(image_set.uids, Role.IMAGE)
        return Imaging(image_set, uid, {uid: Role.STRUCTURE_SET, **roles})

    def register(
        self,
        imaging: Imaging,
        moving: ImageSet,
        study: Study,
        *,
        deformable: bool = False,
        structure_set_label: str = "",
    ) -> None:
        """Add a registration of `moving` onto the planning images; with a structure set on it."""
        series = self.series(
            study,
            "REG",
            f"{moving.series.modality} to planning CT",
            imaging.images.series.frame_of_reference_uid,
        )
        uid = made_up_uid(series.uid, 0)
        build = (
            registrations.deformable_registration
            if deformable
            else registrations.spatial_registration
        )
        self._add(build(self._person, series, uid, fixed=imaging.images, moving=moving))
        imaging.roles[uid] = Role.REGISTRATION
        imaging.roles.update(dict.fromkeys(moving.uids, Role.REGISTERED_IMAGE))
        if structure_set_label:
            other = self._structure_set(moving, study, structure_set_label)
            imaging.roles[other] = Role.REGISTERED_STRUCTURE_SET

    # ── plans and what is attached to them ──────────────────────────────────────────────────

    def plan(
        self,
        study: Study,
        spec: plans.PlanSpec,
        *,
        imaging: Imaging | None,
        build: PlanBuilder = plans.photon_plan,
        forward: Forward = Forward(),
    ) -> Plan:
        """Add a plan and what it references; `imaging` None leaves the structure set out."""
        frame = imaging.images.series.frame_of_reference_uid if imaging else ""
        series = self.series(study, "RTPLAN", spec.label, frame)
        plan = Plan(study, "", made_up_uid(series.uid, 0), spec, imaging)
        spec = replace(
            spec,
            structure_set_uid=imaging.structure_set_uid if imaging else None,
            dose_uids=(self._forward_dose(plan),) if forward.dose else (),
            reference_images=self._drr_uids(plan, forward),
        )
        dataset = build(self._person, series, plan.uid, spec)
        plan.spec = spec
        plan.sop_class_uid = str(dataset.SOPClassUID)
        plan.roles[plan.uid] = Role.PLAN
        if spec.related is not None:
            plan.dangling.append(spec.related.uid)
        self._add(dataset)
        self._plans.append(plan)
        if forward.drrs:
            self._drrs(plan, forward.drrs)
        return plan

    def dose(
        self,
        of: Sequence[Plan],
        *,
        frames: int = 90,
        bits: int = 32,
        summation_type: str = "PLAN",
        beam_number: int | None = None,
    ) -> None:
        """Add a dose that references these plans."""
        spec = doses.DoseSpec(
            summation_type,
            tuple(plan.key for plan in of),
            of[0].imaging.structure_set_uid if of[0].imaging else None,
            beam_number,
        )
        uid = self._dose(of[0].study, self._frame_of(of[0]), spec, frames=frames, bits=bits)
        for plan in of:
            plan.roles[uid] = Role.DOSE

    def loose_dose(self, imaging: Imaging, study: Study, *, frames: int, bits: int) -> None:
        """Add a dose that references a structure set and no plan."""
        spec = doses.DoseSpec("PLAN", (), imaging.structure_set_uid)
        frame = imaging.images.series.frame_of_reference_uid
        self._dose(study, frame, spec, frames=frames, bits=bits)

    def portal_images(self, plan: Plan, study: Study, *, fractions: int) -> None:
        """Add a portal image of each beam and fraction, in one series."""
        series = self.series(study, "RTIMAGE", f"Portal {plan.spec.label}")
        for fraction in range(1, fractions + 1):
            for beam in range(1, plan.spec.beams + 1):
                spec = self._image_spec(plan, "PORTAL", beam, fraction)
                uid = made_up_uid(series.uid, fraction, beam)
                self._add(records.rt_image(self._person, series, uid, spec))
                plan.roles[uid] = Role.RT_IMAGE

    def treatment_records(
        self,
        plan: Plan,
        study: Study,
        *,
        fractions: int,
        build: RecordBuilder = records.beams_record,
        summary: bool = False,
    ) -> None:
        """Add a treatment record of each fraction, and a summary if asked."""
        series = self.series(study, "RTRECORD", f"Records {plan.spec.label}")
        for fraction in range(1, fractions + 1):
            spec = records.RecordSpec(plan.key, fraction, plan.spec.beams, plan.spec.machine)
            uid = made_up_uid(series.uid, fraction)
            self._add(build(self._person, series, uid, spec))
            plan.roles[uid] = Role.RECORD
        if summary:
            spec = records.RecordSpec(plan.key, fractions, plan.spec.beams, plan.spec.machine)
            uid = made_up_uid(series.uid, "summary")
            self._add(records.summary_record(self._person, series, uid, spec))
            plan.roles[uid] = Role.RECORD

    def cone_beam(self, study: Study, frame: str, *, plan: Plan | None = None) -> ImageSet:
        """Add a cone-beam CT series; its slices reference `plan` if there is one."""
        series = self.series(study, "CT", "CBCT", frame)

        def build(person: Person, series: Series, at: images.Slice) -> Dataset:
            return images.cone_beam_slice(person, series, at, plan.key if plan else None)

        made = self.image_series(series, build, slices=32, matrix=384, spacing_mm=4.0)
        if plan is not None:
            plan.roles.update(dict.fromkeys(made.uids, Role.CONE_BEAM))
        return made

    def unrelated(self, study: Study) -> None:
        """Add a scout, a secondary capture and a PDF: nothing that any plan references."""
        scout = self.series(study, "CT", "Scout", self.frame(f"scout {study.study_id}"))
        self.image_series(scout, images.scout, slices=1, matrix=512, spacing_mm=1.0)
        capture = self.series(study, "OT", "Screenshot")
        uid, rows = made_up_uid(capture.uid, 0), self._sizes.matrix(512)
        self._add(images.secondary_capture(self._person, capture, uid, rows=rows))
        paper = self.series(study, "DOC", "Report")
        self._add(registrations.report(self._person, paper, made_up_uid(paper.uid, 0)))

    def finish(self) -> MadeUpPatient:
        """Return the patient."""
        known = {instance.ref.sop_instance_uid for instance in self._instances}
        finished = []
        for plan in self._plans:
            roles = {**(plan.imaging.roles if plan.imaging else {}), **plan.roles}
            existing = [uid for uid in plan.dangling if uid in known]
            roles.update(dict.fromkeys(existing, Role.RELATED_PLAN))
            dangling = tuple(uid for uid in plan.dangling if uid not in known)
            finished.append(
                MadeUpPlan(
                    plan.uid,
                    plan.sop_class_uid,
                    plan.spec.label,
                    plan.spec.approval_status,
                    roles,
                    dangling,
                )
            )
        return MadeUpPatient(self._person.patient_id, tuple(self._instances), tuple(finished))

    # ── helpers ─────────────────────────────────────────────────────────────────────────────

    def _add(self, dataset: Dataset) -> None:
        ref = parse_ref(dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
        instance = MadeUpInstance(ref, str(dataset.SOPClassUID), str(dataset.Modality), dataset)
        self._instances.append(instance)

    def _structure_set(self, image_set: ImageSet, study: Study, label: str) -> str:
        frame = image_set.series.frame_of_reference_uid
        series = self.series(study, "RTSTRUCT", label, frame)
        uid = made_up_uid(series.uid, 0)
        self._add(
            structures.structure_set(self._person, series, uid, label=label, images=image_set)
        )
        return uid

    def _frame_of(self, plan: Plan) -> str:
        if plan.imaging is None:
            return self.frame(f"dose {plan.uid}")
        return plan.imaging.images.series.frame_of_reference_uid

    def _dose(
        self, study: Study, frame: str, spec: doses.DoseSpec, *, frames: int, bits: int
    ) -> str:
        series = self.series(study, "RTDOSE", f"Dose {spec.summation_type}", frame)
        uid = made_up_uid(series.uid, 0)
        grid = doses.Grid(self._sizes.slices(frames), self._sizes.matrix(128), bits)
        self._add(doses.dose(self._person, series, uid, spec, grid))
        return uid

    def _forward_dose(self, plan: Plan) -> str:
        structure_set_uid = plan.imaging.structure_set_uid if plan.imaging else None
        spec = doses.DoseSpec("PLAN", (), structure_set_uid)
        uid = self._dose(plan.study, self._frame_of(plan), spec, frames=60, bits=16)
        plan.roles[uid] = Role.DOSE
        return uid

    def _drr_uids(self, plan: Plan, forward: Forward) -> tuple[tuple[str, ...], ...]:
        by_beam = []
        for beam in range(1, plan.spec.beams + 1):
            uids = [made_up_uid(plan.uid, "drr", beam, index) for index in range(forward.drrs)]
            if beam == 1:
                absent = [made_up_uid(plan.uid, "absent", n) for n in range(forward.missing_drrs)]
                plan.dangling.extend(absent)
                uids += absent
            by_beam.append(tuple(uids))
        return tuple(by_beam)

    def _drrs(self, plan: Plan, drrs: int) -> None:
        series = self.series(plan.study, "RTIMAGE", f"DRR {plan.spec.label}")
        for beam in range(1, plan.spec.beams + 1):
            for index in range(drrs):
                spec = self._image_spec(plan, "DRR", beam, None)
                if index:
                    spec = replace(spec, plan=None)
                uid = made_up_uid(plan.uid, "drr", beam, index)
                self._add(records.rt_image(self._person, series, uid, spec))
                plan.roles[uid] = Role.DRR

    def _image_spec(
        self, plan: Plan, kind: str, beam: int, fraction: int | None
    ) -> records.ImageSpec:
        return records.ImageSpec(
            label=f"{kind} {beam}",
            kind=kind,
            rows=self._sizes.matrix(384),
            columns=self._sizes.matrix(512),
            beam_number=beam,
            plan=plan.key,
            fraction=fraction,
        )
