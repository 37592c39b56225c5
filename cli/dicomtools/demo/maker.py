"""Puts plans on a scene and writes down, while making them, which instances belong to which plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pydicom import Dataset

from dicomtools.demo.builders import doses, images, photon_plans, plans, records
from dicomtools.demo.builders.base import ImageSet, Person, Series, Study
from dicomtools.demo.identity import made_up_uid
from dicomtools.demo.made_up import MadeUpPatient, MadeUpPlan, Role
from dicomtools.demo.scene import Imaging, Scene

PlanBuilder = Callable[[Person, Series, str, plans.PlanSpec], Dataset]
RecordBuilder = Callable[[Person, Series, str, records.RecordSpec], Dataset]


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
    """Adds plans and what belongs to them to a scene; `finish` hands the patient over."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._plans: list[Plan] = []

    def plan(
        self,
        study: Study,
        spec: plans.PlanSpec,
        *,
        imaging: Imaging | None,
        build: PlanBuilder = photon_plans.photon_plan,
        forward: Forward = Forward(),
    ) -> Plan:
        """Add a plan and what it references; `imaging` None leaves the structure set out."""
        frame = imaging.images.series.frame_of_reference_uid if imaging else ""
        series = self.scene.series(study, "RTPLAN", spec.label, frame)
        plan = Plan(study, "", made_up_uid(series.uid, 0), spec, imaging)
        spec = replace(
            spec,
            structure_set_uid=imaging.structure_set_uid if imaging else None,
            dose_uids=(self._forward_dose(plan),) if forward.dose else (),
            reference_images=self._drr_uids(plan, forward),
        )
        dataset = build(self.scene.person, series, plan.uid, spec)
        plan.spec = spec
        plan.sop_class_uid = str(dataset.SOPClassUID)
        plan.roles[plan.uid] = Role.PLAN
        if spec.related is not None:
            plan.dangling.append(spec.related.uid)
        self.scene.add(dataset)
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
        series = self.scene.series(study, "RTIMAGE", f"Portal {plan.spec.label}")
        for fraction in range(1, fractions + 1):
            for beam in range(1, plan.spec.beams + 1):
                spec = self._image_spec(plan, "PORTAL", beam, fraction)
                uid = made_up_uid(series.uid, fraction, beam)
                self.scene.add(records.rt_image(self.scene.person, series, uid, spec))
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
        series = self.scene.series(study, "RTRECORD", f"Records {plan.spec.label}")
        for fraction in range(1, fractions + 1):
            spec = records.RecordSpec(plan.key, fraction, plan.spec.beams, plan.spec.machine)
            uid = made_up_uid(series.uid, fraction)
            self.scene.add(build(self.scene.person, series, uid, spec))
            plan.roles[uid] = Role.RECORD
        if summary:
            spec = records.RecordSpec(plan.key, fractions, plan.spec.beams, plan.spec.machine)
            uid = made_up_uid(series.uid, "summary")
            self.scene.add(records.summary_record(self.scene.person, series, uid, spec))
            plan.roles[uid] = Role.RECORD

    def cone_beam(self, study: Study, frame: str, *, plan: Plan | None = None) -> ImageSet:
        """Add a cone-beam CT series; its slices reference `plan` if there is one."""
        series = self.scene.series(study, "CT", "CBCT", frame)

        def build(person: Person, series: Series, at: images.Slice) -> Dataset:
            return images.cone_beam_slice(person, series, at, plan.key if plan else None)

        made = self.scene.image_series(series, build, slices=32, matrix=384, spacing_mm=4.0)
        if plan is not None:
            plan.roles.update(dict.fromkeys(made.uids, Role.CONE_BEAM))
        return made

    def finish(self) -> MadeUpPatient:
        """Return the patient."""
        known = {instance.ref.sop_instance_uid for instance in self.scene.instances}
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
        return MadeUpPatient(
            self.scene.person.patient_id, tuple(self.scene.instances), tuple(finished)
        )

    # ── helpers ─────────────────────────────────────────────────────────────────────────────

    def _frame_of(self, plan: Plan) -> str:
        if plan.imaging is None:
            return self.scene.frame(f"dose {plan.uid}")
        return plan.imaging.images.series.frame_of_reference_uid

    def _dose(
        self, study: Study, frame: str, spec: doses.DoseSpec, *, frames: int, bits: int
    ) -> str:
        series = self.scene.series(study, "RTDOSE", f"Dose {spec.summation_type}", frame)
        uid = made_up_uid(series.uid, 0)
        grid = doses.Grid(self.scene.sizes.slices(frames), self.scene.sizes.matrix(128), bits)
        self.scene.add(doses.dose(self.scene.person, series, uid, spec, grid))
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
        series = self.scene.series(plan.study, "RTIMAGE", f"DRR {plan.spec.label}")
        for beam in range(1, plan.spec.beams + 1):
            for index in range(drrs):
                spec = self._image_spec(plan, "DRR", beam, None)
                if index:
                    spec = replace(spec, plan=None)
                uid = made_up_uid(plan.uid, "drr", beam, index)
                self.scene.add(records.rt_image(self.scene.person, series, uid, spec))
                plan.roles[uid] = Role.DRR

    def _image_spec(
        self, plan: Plan, kind: str, beam: int, fraction: int | None
    ) -> records.ImageSpec:
        return records.ImageSpec(
            label=f"{kind} {beam}",
            kind=kind,
            rows=self.scene.sizes.matrix(384),
            columns=self.scene.sizes.matrix(512),
            beam_number=beam,
            plan=plan.key,
            fraction=fraction,
        )
