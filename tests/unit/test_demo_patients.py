"""Made-up patients: deterministic, whole, and what their maker says of them is true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from pydicom import Dataset

from tests import factories
from tests.factories import MadeUpPatient, MadeUpPlan, Role, Sizes, small_patient, twelve_plans

PLAN_CLASSES = {
    "RT Plan": "1.2.840.10008.5.1.4.1.1.481.5",
    "RT Ion Plan": "1.2.840.10008.5.1.4.1.1.481.8",
    "Halcyon": "1.2.246.352.70.1.70",
}
RECORD_CLASSES = {f"1.2.840.10008.5.1.4.1.1.481.{n}" for n in (4, 6, 7, 9)}


@pytest.fixture(scope="module")
def patient() -> MadeUpPatient:
    return factories.small_twelve_plans()


def referenced_uids(dataset: Dataset) -> set[str]:
    return {
        str(element.value)
        for element in dataset.iterall()
        if element.keyword == "ReferencedSOPInstanceUID"
    }


def by_uid(patient: MadeUpPatient) -> dict[str, Dataset]:
    return {str(dataset.SOPInstanceUID): dataset for dataset in patient.datasets}


# ── the same again, and never by accident ───────────────────────────────────────────────────


def test_the_same_seed_makes_the_same_bytes() -> None:
    first, second = factories.small_twelve_plans(seed=7), factories.small_twelve_plans(seed=7)

    assert [factories.encoded(one) for one in first.datasets] == [
        factories.encoded(one) for one in second.datasets
    ]
    assert first.plans == second.plans


@pytest.mark.parametrize(
    "other", [twelve_plans(sizes=Sizes(0.05, 1 / 16)), factories.small_twelve_plans(seed=2)]
)
def test_another_size_or_seed_shares_no_uid(patient: MadeUpPatient, other: MadeUpPatient) -> None:
    assert not set(by_uid(patient)) & set(by_uid(other))


def test_no_uid_is_used_twice(patient: MadeUpPatient) -> None:
    uses = Counter(instance.ref.sop_instance_uid for instance in patient.instances)

    assert max(uses.values()) == 1


def test_a_series_has_one_study_one_modality_and_one_frame(patient: MadeUpPatient) -> None:
    facts: dict[str, set[tuple[str, str, str]]] = {}
    for dataset in patient.datasets:
        frame = str(dataset.get("FrameOfReferenceUID", ""))
        fact = (dataset.StudyInstanceUID, dataset.Modality, frame)
        facts.setdefault(dataset.SeriesInstanceUID, set()).add(fact)

    assert all(len(one) == 1 for one in facts.values())


def test_it_is_nobody(patient: MadeUpPatient) -> None:
    names = {str(dataset.PatientName) for dataset in patient.datasets}

    assert names == {"DEMO^PLANS"}
    assert {dataset.PatientID for dataset in patient.datasets} == {patient.patient_id}


# ── how large ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("size", "least", "most"), [(1.0, 330e6, 370e6), (0.25, 80e6, 100e6)])
def test_bytes_of_a_size(size: float, least: float, most: float) -> None:
    made = twelve_plans(size=size)

    total = sum(len(dataset.get("PixelData", b"")) for dataset in made.datasets)

    assert least < total < most


def test_the_full_size_fits_into_memory_because_pixels_are_shared() -> None:
    made = twelve_plans(size=1.0)

    different = {id(one.PixelData): len(one.PixelData) for one in made.datasets if "Rows" in one}

    assert sum(different.values()) < 60e6


def test_the_structure_is_the_same_at_any_size(patient: MadeUpPatient) -> None:
    medium = twelve_plans(size=0.25)

    def shape(made: MadeUpPatient) -> list[tuple[str, str, set[Role], int]]:
        return [
            (plan.label, plan.sop_class_uid, set(plan.roles.values()), len(plan.dangling))
            for plan in made.plans
        ]

    assert shape(patient) == shape(medium)


# ── what is in it ───────────────────────────────────────────────────────────────────────────


def test_twelve_plans_of_every_kind(patient: MadeUpPatient) -> None:
    labels = Counter(plan.label for plan in patient.plans)
    kinds = {plan.sop_class_uid for plan in patient.plans}
    brachy = [one for one in patient.datasets if "ApplicationSetupSequence" in one]

    assert len(patient.plans) == 12
    assert labels["PROST_7F"] == 2
    assert kinds == set(PLAN_CLASSES.values())
    assert {plan.approval_status for plan in patient.plans} == {
        "APPROVED",
        "UNAPPROVED",
        "REJECTED",
    }
    assert [one.RTPlanLabel for one in brachy] == ["BRACHY_HDR"]
    assert "BeamSequence" not in brachy[0]


def test_every_kind_of_record_and_registration_is_there(patient: MadeUpPatient) -> None:
    classes = {instance.sop_class_uid for instance in patient.instances}

    assert classes >= RECORD_CLASSES
    assert classes >= {"1.2.840.10008.5.1.4.1.1.66.1", "1.2.840.10008.5.1.4.1.1.66.3"}


def test_the_same_label_is_approved_in_one_course_only(patient: MadeUpPatient) -> None:
    both = patient.closure("PROST_7F")
    approved = patient.closure("PROST_7F", only_approved=True)

    assert approved < both


def test_decoys_belong_to_no_plan(patient: MadeUpPatient) -> None:
    everything = patient.closure()
    left_out = [one for one in patient.instances if one.ref.sop_instance_uid not in everything]

    modalities = Counter(one.modality for one in left_out)
    assert {"CT", "MR", "RTSTRUCT", "RTDOSE", "OT", "DOC"} <= set(modalities)


def test_a_decoy_reconstruction_shares_the_frame_of_a_planning_ct(patient: MadeUpPatient) -> None:
    closure = patient.closure("PROST_BOOST")
    datasets = by_uid(patient)
    frames = {str(datasets[uid].get("FrameOfReferenceUID", "")) for uid in closure}

    decoys = [
        one
        for uid, one in datasets.items()
        if one.Modality == "CT" and uid not in closure and one.FrameOfReferenceUID in frames
    ]

    assert decoys


# ── the maker's word against an independent reading ─────────────────────────────────────────


def test_what_belongs_to_a_plan_exists_and_what_dangles_does_not(patient: MadeUpPatient) -> None:
    known = set(by_uid(patient))

    for plan in patient.plans:
        assert set(plan.roles) <= known
        assert not set(plan.dangling) & known


def test_every_reference_that_leads_nowhere_is_declared(patient: MadeUpPatient) -> None:
    known = set(by_uid(patient)) | {str(one.StudyInstanceUID) for one in patient.datasets}

    nowhere = set().union(*(referenced_uids(one) for one in patient.datasets)) - known

    assert nowhere == patient.dangling()
    assert len(nowhere) == 2


def names(dataset: Dataset, sequence: str) -> Iterator[str]:
    for item in dataset.get(sequence, ()):
        yield str(item.ReferencedSOPInstanceUID)


def read_closure(patient: MadeUpPatient, plan: MadeUpPlan) -> set[str]:
    """Follow the references in the data sets, by the rules in words; nothing of ours is used."""
    datasets = by_uid(patient)
    root = datasets[plan.sop_instance_uid]
    structure_sets = set(names(root, "ReferencedStructureSetSequence"))
    found = {plan.sop_instance_uid} | structure_sets
    found |= set(names(root, "ReferencedDoseSequence"))
    found |= set(names(root, "ReferencedRTPlanSequence"))
    for beam in [*root.get("BeamSequence", ()), *root.get("IonBeamSequence", ())]:
        found |= set(names(beam, "ReferencedReferenceImageSequence"))
    frames: set[str] = set()
    for uid in structure_sets:
        found |= referenced_uids(datasets[uid])
        items = datasets[uid].ReferencedFrameOfReferenceSequence
        frames |= {str(item.FrameOfReferenceUID) for item in items}
    for uid, dataset in datasets.items():
        is_plan = "RTPlanLabel" in dataset
        if not is_plan and plan.sop_instance_uid in names(dataset, "ReferencedRTPlanSequence"):
            found.add(uid)
        if dataset.Modality == "REG" and str(dataset.FrameOfReferenceUID) in frames:
            found |= {uid} | referenced_uids(dataset)
            found |= other_structure_sets(datasets, referenced_uids(dataset), frames)
    return found & set(datasets)


def other_structure_sets(
    datasets: dict[str, Dataset], images: set[str], frames: set[str]
) -> set[str]:
    return {
        uid
        for uid, dataset in datasets.items()
        if dataset.Modality == "RTSTRUCT"
        and str(dataset.FrameOfReferenceUID) not in frames
        and images & referenced_uids(dataset)
    }


@pytest.mark.parametrize("number", range(12))
def test_the_makers_closure_is_what_the_references_say(patient: MadeUpPatient, number: int) -> None:
    plan = patient.plans[number]

    assert set(plan.roles) == read_closure(patient, plan)


def test_a_verification_plan_brings_the_plan_it_verifies_and_not_its_dose(
    patient: MadeUpPatient,
) -> None:
    verification = next(plan for plan in patient.plans if plan.label == "QA_PROST_7F")
    treated = patient.plans[0]

    assert verification.roles[treated.sop_instance_uid] is Role.RELATED_PLAN
    doses = {uid for uid, role in treated.roles.items() if role is Role.DOSE}
    assert not doses & set(verification.roles)
    assert verification.sop_instance_uid not in treated.roles


# ── the small one ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("plans", "slices"), [(1, 3), (4, 5)])
def test_a_small_patient_has_what_was_asked_for(plans: int, slices: int) -> None:
    made = small_patient(plans=plans, slices=slices)

    assert [plan.label for plan in made.plans] == [f"PLAN_{n}" for n in range(1, plans + 1)]
    for plan in made.plans:
        assert Counter(plan.roles.values()) == {
            Role.PLAN: 1,
            Role.STRUCTURE_SET: 1,
            Role.IMAGE: slices,
            Role.DOSE: 1,
            Role.DRR: 2,
            Role.RT_IMAGE: 2,
            Role.RECORD: 1,
        }
        assert set(plan.roles) == read_closure(made, plan)
    assert len(made.instances) == slices * 2 + 1 + plans * 7


def test_small_patients_of_different_ids_share_nothing() -> None:
    first, second = small_patient(patient_id="DEMO-A"), small_patient(patient_id="DEMO-B")

    assert not set(by_uid(first)) & set(by_uid(second))
    studies = {one.StudyInstanceUID for one in first.datasets + second.datasets}
    assert len(studies) == 2
