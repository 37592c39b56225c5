"""Made-up patients: nobody's data, the same for the same seed and size."""

from __future__ import annotations

from dicomtools.demo.builders import brachy_plans, images, ion_plans, photon_plans, records
from dicomtools.demo.builders.base import Person, Study
from dicomtools.demo.builders.plans import PlanSpec, RelatedPlan
from dicomtools.demo.identity import made_up_uid
from dicomtools.demo.made_up import MadeUpPatient
from dicomtools.demo.maker import Forward, PatientMaker, Plan
from dicomtools.demo.scene import Imaging, Scene
from dicomtools.demo.sizes import SMALL, Sizes


def twelve_plans(*, size: float = 1.0, seed: int = 1, sizes: Sizes | None = None) -> MadeUpPatient:
    """Return a patient of seven studies and twelve plans of every kind.

    Parameters
    ----------
    size
        1.0 is a realistic patient of about 350 MB; less has fewer slices and frames of the same
        matrix. The structure is the same at any size.
    sizes
        Instead of `size`: matrices may shrink as well.

    Notes
    -----
    Two plans are called PROST_7F, one APPROVED and one not, in different studies. Things that
    belong to no plan: a second reconstruction in a planning CT's frame of reference, a second
    structure set on it, a dose without plan, an unrelated CT and MR, a scout, a screenshot, a PDF.
    """
    sizes = sizes or Sizes(slice_factor=size)
    maker = PatientMaker(Scene(Person("DEMO-12-PLANS", "DEMO^PLANS"), sizes, seed=seed))
    treatment = maker.scene.study("TREATMENT", "20240601", "Treatment")
    first = _first_course(maker, treatment)
    _second_course(maker, treatment)
    _ions(maker, treatment)
    _brachy(maker, treatment)
    _quality_assurance(maker, first)
    _diagnostics(maker)
    return maker.finish()


def small_patient(
    *,
    patient_id: str = "DEMO-SMALL",
    plans: int = 2,
    slices: int = 3,
    seed: int = 1,
    statuses: tuple[str, ...] = ("APPROVED", "UNAPPROVED"),
) -> MadeUpPatient:
    """Return a patient of one study: a CT, a structure set, and plans PLAN_1 to PLAN_n.

    Each plan has two beams with a DRR each, a dose, two portal images and a treatment record;
    an MR series belongs to none. All matrices are tiny; `statuses` are given to the plans in turn.
    """
    sizes = Sizes(slice_factor=1.0, matrix_factor=SMALL.matrix_factor)
    maker = PatientMaker(Scene(Person(patient_id, "DEMO^SMALL"), sizes, seed=seed))
    study = maker.scene.study("SMALL", "20240101", "Small")
    planning = _planning_ct(maker, study, "small", slices=slices)
    for number in range(1, plans + 1):
        status = statuses[(number - 1) % len(statuses)]
        spec = PlanSpec(f"PLAN_{number}", status)
        plan = maker.plan(study, spec, imaging=planning, forward=Forward(drrs=1))
        maker.dose([plan], frames=3)
        maker.portal_images(plan, study, fractions=1)
        maker.treatment_records(plan, study, fractions=1)
    decoy = maker.scene.series(study, "MR", "Unrelated", maker.scene.frame("unrelated"))
    maker.scene.image_series(decoy, images.mr_slice, slices=slices, matrix=256, spacing_mm=3.0)
    return maker.finish()


def _planning_ct(maker: PatientMaker, study: Study, name: str, *, slices: int) -> Imaging:
    series = maker.scene.series(study, "CT", "Planning CT", maker.scene.frame(name))
    made = maker.scene.image_series(
        series, images.ct_slice, slices=slices, matrix=512, spacing_mm=2.5
    )
    return maker.scene.imaging(made, study, f"SS_{name}"[:16])


def _first_course(maker: PatientMaker, treatment: Study) -> Plan:
    """Four plans on one structure set; the first has been treated."""
    study = maker.scene.study("COURSE1", "20240501", "Planning, first course")
    planning = _planning_ct(maker, study, "first", slices=120)
    frame = planning.images.series.frame_of_reference_uid

    treated = maker.plan(
        study,
        PlanSpec("PROST_7F", "APPROVED", beams=3, fractions=4),
        imaging=planning,
        forward=Forward(drrs=2, missing_drrs=1),
    )
    maker.dose([treated])
    maker.portal_images(treated, treatment, fractions=2)
    maker.treatment_records(treated, treatment, fractions=4, summary=True)
    for number in (1, 2):
        maker.cone_beam(treatment, maker.scene.frame(f"cone-beam {number}"), plan=treated)

    boost = maker.plan(
        study, PlanSpec("PROST_BOOST", "APPROVED"), imaging=planning, forward=Forward(drrs=1)
    )
    maker.dose([boost])
    for beam in (1, 2):
        maker.dose([boost], frames=30, bits=16, summation_type="BEAM", beam_number=beam)
    maker.dose([treated, boost], summation_type="MULTI_PLAN")

    rejected = maker.plan(study, PlanSpec("PROST_OLD", "REJECTED"), imaging=planning)
    maker.dose([rejected], bits=16)
    attempt = maker.plan(study, PlanSpec("PROST_TRY", "UNAPPROVED"), imaging=planning)
    maker.dose([attempt], bits=16)

    # nothing below belongs to a plan, although it shares their frame of reference
    second = maker.scene.series(study, "CT", "Planning CT, soft kernel", frame)
    maker.scene.image_series(second, images.ct_slice, slices=40, matrix=512, spacing_mm=2.5)
    maker.scene.imaging(planning.images, study, "SS_first_draft")
    maker.loose_dose(planning, study, frames=30, bits=16)
    maker.scene.unrelated(study)
    return treated


def _second_course(maker: PatientMaker, treatment: Study) -> None:
    """A later CT with MR, PET and cone-beam CT registered to it, and three plans."""
    study = maker.scene.study("COURSE2", "20240701", "Planning, second course")
    planning = _planning_ct(maker, study, "second", slices=100)
    mr_study = maker.scene.study("MR", "20240628", "MR for planning")
    mr = maker.scene.image_series(
        maker.scene.series(mr_study, "MR", "T2 axial", maker.scene.frame("mr")),
        images.mr_slice,
        slices=80,
        matrix=256,
        spacing_mm=3.0,
    )
    maker.scene.register(planning, mr, study, structure_set_label="SS_mr")
    pet_study = maker.scene.study("PET", "20240629", "PET for planning")
    pet_series = maker.scene.series(pet_study, "PT", "PET", maker.scene.frame("pet"))
    pet = maker.scene.pet(pet_series, slices=100, matrix=200, spacing_mm=3.0)
    maker.scene.register(planning, pet, study, deformable=True)
    cone_beam = maker.cone_beam(treatment, maker.scene.frame("cone-beam 3"))
    maker.scene.register(planning, cone_beam, treatment)

    arc = maker.plan(
        study, PlanSpec("VMAT_B", "APPROVED"), imaging=planning, forward=Forward(drrs=1)
    )
    maker.dose([arc])
    maker.portal_images(arc, treatment, fractions=1)
    maker.treatment_records(arc, treatment, fractions=3)

    halcyon = maker.plan(
        study,
        PlanSpec("HALCYON_B", "APPROVED", machine="DEMO_HALCYON"),
        imaging=planning,
        build=photon_plans.halcyon_plan,
    )
    maker.dose([halcyon])

    same_label = maker.plan(study, PlanSpec("PROST_7F", "UNAPPROVED"), imaging=planning)
    maker.dose([same_label], bits=16)


def _ions(maker: PatientMaker, treatment: Study) -> None:
    """An ion plan and its predecessor; the later one names its dose, the dose does not name it."""
    study = maker.scene.study("IONS", "20240801", "Planning, ions")
    planning = _planning_ct(maker, study, "ions", slices=70)
    before = maker.plan(
        study,
        PlanSpec("ION_PREV", "UNAPPROVED", machine="DEMO_GANTRY"),
        imaging=planning,
        build=ion_plans.ion_plan,
    )
    maker.dose([before], bits=16)
    related = RelatedPlan(before.sop_class_uid, before.uid, "PREDECESSOR")
    after = maker.plan(
        study,
        PlanSpec("ION_C", "APPROVED", machine="DEMO_GANTRY", related=related),
        imaging=planning,
        build=ion_plans.ion_plan,
        forward=Forward(drrs=1, dose=True),
    )
    maker.treatment_records(after, treatment, fractions=3, build=records.ion_record)


def _brachy(maker: PatientMaker, treatment: Study) -> None:
    study = maker.scene.study("BRACHY", "20240901", "Planning, brachytherapy")
    planning = _planning_ct(maker, study, "brachy", slices=30)
    implant = maker.plan(
        study,
        PlanSpec("BRACHY_HDR", "APPROVED", beams=1, machine="DEMO_LOADER"),
        imaging=planning,
        build=brachy_plans.brachy_plan,
    )
    maker.dose([implant], frames=60)
    maker.treatment_records(implant, treatment, fractions=2, build=records.brachy_record)


def _quality_assurance(maker: PatientMaker, treated: Plan) -> None:
    """A verification plan on a phantom, and a plan that has no structure set."""
    study = maker.scene.study("QA", "20240520", "Quality assurance")
    phantom = _planning_ct(maker, study, "phantom", slices=16)
    related = RelatedPlan(treated.sop_class_uid, treated.uid, "VERIFIED_PLAN")
    verification = maker.plan(
        study,
        PlanSpec("QA_PROST_7F", "UNAPPROVED", intent="VERIFICATION", beams=3, related=related),
        imaging=phantom,
    )
    maker.dose([verification], frames=60)
    maker.portal_images(verification, study, fractions=1)
    nowhere = RelatedPlan(
        treated.sop_class_uid, made_up_uid(treated.uid, "predecessor"), "PREDECESSOR"
    )
    loose = maker.plan(study, PlanSpec("NO_STRUCT", "UNAPPROVED", related=nowhere), imaging=None)
    maker.dose([loose], frames=60)


def _diagnostics(maker: PatientMaker) -> None:
    """Studies that no plan knows of."""
    study = maker.scene.study("DIAGNOSTIC", "20230301", "Diagnostic")
    ct = maker.scene.series(study, "CT", "Thorax", maker.scene.frame("thorax"))
    maker.scene.image_series(ct, images.ct_slice, slices=40, matrix=512, spacing_mm=3.0)
    mr = maker.scene.series(study, "MR", "Head", maker.scene.frame("head"))
    maker.scene.image_series(mr, images.mr_slice, slices=60, matrix=256, spacing_mm=3.0)
