"""The reference tree: what is where, in which words, the same for every order."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomcore import render
from dicomcore.errors import Unreadable
from dicomcore.header import read_dataset_header
from dicomcore.model import (
    Beam,
    DoseDetails,
    ImageDetails,
    InstanceHeader,
    Kind,
    PlanDetails,
    Prescription,
    RecordDetails,
    RegistrationDetails,
    Relation,
    RtImageDetails,
    StructureSetDetails,
    TreatedBeam,
)
from dicomcore.tree import PatientTree, build_trees
from dicomcore.tree.nodes import Leaf, PlanNode, SeriesNode
from dicomtools.demo.made_up import MadeUpPatient
from dicomtools.demo.patients import small_patient, twelve_plans
from dicomtools.demo.sizes import SMALL
from tests.unit.made_headers import images, made, to, to_frame, to_series

GOLDEN = Path(__file__).parent / "golden"
PORTAL = ("ORIGINAL", "PRIMARY", "PORTAL")
DRR = ("DERIVED", "SECONDARY", "DRR")


def tree_of(headers: Iterable[InstanceHeader]) -> PatientTree:
    [tree] = build_trees(headers)
    return tree


def lines_of(*headers: InstanceHeader) -> list[str]:
    return render.text(tree_of(headers)).splitlines()


# ── golden trees ────────────────────────────────────────────────────────────────────────────


def treated_prostate() -> list[InstanceHeader]:
    """One treated plan with all that belongs to it; and what does not."""
    plan = made(
        "1.30",
        PlanDetails(
            label="PROST",
            intent="CURATIVE",
            approval_status="APPROVED",
            date="20240501",
            beams=(
                Beam(1, "AP", "TREATMENT", machine="TB1", reference_image_uids=("1.51", "1.59")),
                Beam(2, "LAT", "TREATMENT", machine="TB1", reference_image_uids=("1.52",)),
                Beam(3, "CBCT", "SETUP", machine="TB1"),
            ),
            fractions=(39,),
            prescriptions=(
                Prescription("PTV", "TARGET", 78.0),
                Prescription("Boost", "TARGET", 80.5),
                Prescription("Rectum", "ORGAN_AT_RISK", 60.0),
            ),
        ),
        to(Relation.STRUCTURE_SET, "1.20"),
        *(to(Relation.DRR, uid) for uid in ("1.51", "1.59", "1.52")),
        to(Relation.RELATED_PLAN, "1.31", "PREDECESSOR"),
        to(Relation.RELATED_PLAN, "1.39", "ALTERNATIVE"),
        frame="1.90",
    )
    structures = made(
        "1.20",
        StructureSetDetails(label="CT_1", date="20240428", approval_status="APPROVED"),
        to_series("1.10"),
        *(to(Relation.IMAGE, f"1.10.{n}", series="1.10") for n in range(1, 7)),
        to_frame("1.90"),
    )
    of_plan = to(Relation.PLAN, "1.30")
    treated = (TreatedBeam(1, "AP", 1), TreatedBeam(2, "", None), TreatedBeam(7, "OLD", 1))
    return [
        *images("1.10", frame="1.90", date="20240427", number=5),
        structures,
        plan,
        made("1.31", PlanDetails(label="PROST_0", date="20240430")),
        made("1.51", RtImageDetails(label="AP-DRR", image_type=DRR, date="20240501"), of_plan),
        made("1.52", RtImageDetails(beam_number=2)),
        made(
            "1.53",
            RtImageDetails("rt_image", "MV", PORTAL, "20240502", "", 1, 1),
            of_plan,
        ),
        made("1.54", RtImageDetails(image_type=PORTAL, date="20240503"), of_plan),
        made("1.55", RtImageDetails(image_type=DRR), of_plan),
        made("1.60", RecordDetails(date="20240502", beams=treated), of_plan),
        made("1.61", RecordDetails(date="20240620"), of_plan),
        made("1.70", DoseDetails(summation_type="BEAM", beam_numbers=(2,)), of_plan),
        made("1.71", DoseDetails(summation_type="PLAN"), of_plan),
        made("1.72", DoseDetails(), of_plan, to(Relation.STRUCTURE_SET, "1.29")),
        made(
            "1.80",
            RegistrationDetails(label="CT-MR", date="20240428"),
            to_series("1.10"),
            to_series("1.11"),
            to_frame("1.90"),
            to_frame("1.91"),
            frame="1.90",
        ),
        made(
            "1.21",
            StructureSetDetails(label="MR_1"),
            to(Relation.IMAGE, "1.11.1"),
            to_frame("1.91"),
        ),
        *images("1.11", "MR", frame="1.91", date="20240426"),
        made(
            "1.81",
            RegistrationDetails(description="CT to PET"),
            to_frame("1.90"),
            to_frame("1.92"),
        ),
        *images("1.12", "PT", frame="1.92", number=1),
        *images("1.13", "CT", of_plan, date="20240502", number=2),
        *images("1.14", "PLAN", of_plan, number=1, kind=Kind.OTHER),
        # not connected: another reconstruction in the same frame of reference, and its friends
        *images("1.15", frame="1.90", date="20240427"),
        made("1.22", StructureSetDetails(label="DRAFT"), to_series("1.15")),
        made("1.73", DoseDetails(summation_type="PLAN"), to(Relation.PLAN, "1.38")),
        *images("1.16", "MR", date="20230101"),
        *images("1.17", "XA", number=1),
        *images("1.18", "PT"),
        *images("1.19", "CT", to(Relation.PLAN, "1.38"), number=1),
        made("1.56", RtImageDetails(image_type=PORTAL), series="1.57"),
        made("1.62", RecordDetails(), series="1.63"),
        made("1.82", RegistrationDetails(label="OLD"), to_frame("1.97"), to_frame("1.98")),
        *images("1.24", "SR", number=1, kind=Kind.OTHER),
    ]


def odd_plans() -> list[InstanceHeader]:
    """Plans that lack what plans have, and structure sets that lack what they have."""
    return [
        made("2.1", PlanDetails(date="not a date"), frame="2.9"),
        *images("2.10", frame="2.9", number=2),
        *images("2.11", "CT", to(Relation.PLAN, "2.1"), frame="2.9", number=1),
        made(
            "2.2",
            PlanDetails(
                label="two\nlines\x1b[31m",
                fractions=(16, None, 4),
                prescriptions=(Prescription(target_dose_gy=40.0), Prescription()),
                beams=(
                    Beam(1, "Tandem", "HDR", machine="LOADER"),
                    Beam(None, "", machine="SPARE"),
                ),
            ),
            to(Relation.STRUCTURE_SET, "2.20"),
            to(Relation.STRUCTURE_SET, "2.21"),
            to(Relation.STRUCTURE_SET, "2.22"),
            to(Relation.DOSE, "2.71"),
            to(Relation.IMAGE, "2.12.1"),
            to(Relation.IMAGE, "2.12.9"),
            to(Relation.IMAGE, "2.59"),
        ),
        *images("2.12", "CR", number=1),
        made("2.59", RtImageDetails(label="setup")),
        made("2.20", StructureSetDetails(), to_frame("2.9")),
        made("2.21", StructureSetDetails(label="whole series away"), to_series("2.19")),
        made(
            "2.22",
            StructureSetDetails(label="images away"),
            *(to(Relation.IMAGE, f"2.18.{n}", series="2.18") for n in (1, 2)),
            *(to(Relation.IMAGE, f"2.17.{n}") for n in (1, 2)),
        ),
        # no plan names this structure set, but a dose of a plan does
        made("2.3", PlanDetails(label="BY DOSE", intent="VERIFICATION", fractions=(1,))),
        made(
            "2.70",
            DoseDetails(summation_type="PLAN"),
            to(Relation.PLAN, "2.3"),
            to(Relation.STRUCTURE_SET, "2.23"),
            frame="2.9",
        ),
        made("2.23", StructureSetDetails(label="of the dose"), to_series("2.10")),
        replace(made("2.60", RecordDetails(), to(Relation.PLAN, "2.3")), details=None),
        replace(made("2.58", RtImageDetails(), to(Relation.PLAN, "2.3")), details=None),
    ]


@pytest.mark.parametrize("make", [treated_prostate, odd_plans], ids=lambda f: f.__name__)
def test_text_is_the_golden_one(make: object) -> None:
    assert callable(make)
    golden = GOLDEN / f"tree_{make.__name__}.txt"

    assert render.text(tree_of(make())) == golden.read_text(encoding="utf-8")


def test_flat_list_is_the_golden_one() -> None:
    headers = [h for h in treated_prostate() if h.kind is not Kind.IMAGE]
    paths = {"1.30": ["a/RP1.30.dcm"], "1.20": ["a/RS1.20.dcm", "b/RS1.20\n.dcm"]}
    [tree] = build_trees(headers, conflicts={"1.20"})

    golden = GOLDEN / "tree_flat.txt"
    assert render.flat(tree, paths) == golden.read_text(encoding="utf-8")


# ── membership ──────────────────────────────────────────────────────────────────────────────


def members(node: object, series: dict[str, set[str]]) -> set[str]:
    """Every SOP Instance UID in a node; a series counts as all its instances."""
    if isinstance(node, Leaf):
        return {node.ref.sop_instance_uid}
    if isinstance(node, SeriesNode):
        return series.get(node.series_instance_uid, set())
    if isinstance(node, tuple):
        return {uid for part in node for uid in members(part, series)}
    if dataclasses.is_dataclass(node):
        parts = (getattr(node, f.name) for f in dataclasses.fields(node))
        return {uid for part in parts for uid in members(part, series)}
    return set()


@pytest.mark.parametrize(
    "patient", [twelve_plans(sizes=SMALL), small_patient()], ids=lambda p: p.patient_id
)
def test_each_plan_has_exactly_what_its_maker_attached_to_it(patient: MadeUpPatient) -> None:
    headers = [read_dataset_header(ds) for ds in patient.datasets]
    random.Random(7).shuffle(headers)
    series: dict[str, set[str]] = {}
    for header in headers:
        series.setdefault(header.ref.series_instance_uid, set()).add(header.ref.sop_instance_uid)

    tree = tree_of(headers)

    attached = {plan.sop_instance_uid: set(plan.roles) for plan in patient.plans}
    found = {node.instance.ref.sop_instance_uid: members(node, series) for node in tree.plans}
    assert found == attached
    everything = {uid for uids in series.values() for uid in uids}
    unconnected = members(tree.unconnected, series)
    assert set().union(*found.values()) | unconnected == everything
    missing = {m.uid for p in tree.plans for m in (*p.missing, *_of_beams(p))}
    assert missing == {uid for plan in patient.plans for uid in plan.dangling}


def _of_beams(plan: PlanNode) -> Iterable[object]:
    return [m for beam in plan.beams for m in beam.missing]


@pytest.mark.parametrize("make", [treated_prostate, odd_plans], ids=lambda f: f.__name__)
def test_every_instance_is_somewhere_in_the_tree(make: object) -> None:
    assert callable(make)
    headers = make()
    series: dict[str, set[str]] = {}
    for header in headers:
        series.setdefault(header.ref.series_instance_uid, set()).add(header.ref.sop_instance_uid)

    tree = tree_of(headers)

    everything = {header.ref.sop_instance_uid for header in headers}
    assert members((tree.plans, tree.unconnected), series) == everything
    assert {i.sop_instance_uid for s in tree.series for i in s.instances} == everything
    assert tree.number_of_instances == len(everything)


def test_the_image_series_is_the_one_that_is_referenced() -> None:
    decoy, meant = images("1.10", frame="1.9"), images("1.11", frame="1.9")
    structures = made(
        "1.4", StructureSetDetails(), to(Relation.IMAGE, "1.11.2", series="1.10"), to_frame("1.9")
    )

    tree = tree_of([*decoy, *meant, structures])

    # the image is in 1.11, whatever the reference says about its series
    [series] = tree.unconnected.structure_sets[0].image_series
    assert series.series_instance_uid == "1.11"
    assert not series.by_frame
    assert [s.series_instance_uid for s in tree.unconnected.images] == ["1.10"]


def test_records_and_images_go_to_the_beam_they_name() -> None:
    plan = made(
        "1.3", PlanDetails(beams=(Beam(1, "A"), Beam(2, "B", reference_image_uids=("1.5",))))
    )
    of_plan = to(Relation.PLAN, "1.3")
    # it says beam 1, but beam 2 says it is its own
    image = made("1.5", RtImageDetails(beam_number=1), of_plan)

    [node] = tree_of([plan, image]).plans

    assert node.beams[0].rt_images == node.beams[0].drrs == ()
    assert [leaf.ref.sop_instance_uid for leaf in node.beams[1].drrs] == ["1.5"]


def test_several_versions_are_told() -> None:
    plan = made("1.3", PlanDetails(label="A"))
    ct = images("1.5", number=2)

    [tree] = build_trees([plan, *ct], conflicts=["1.5.1", "1.3"])

    assert tree.plans[0].instance.conflict
    assert tree.unconnected.images[0].conflicts == 1
    assert "several versions of 1" in render.text(tree)
    other = replace(plan, details=PlanDetails(label="B"))
    assert tree_of([plan, other]).plans[0].instance.conflict


def test_patients_are_apart_and_in_order() -> None:
    trees = build_trees(
        [
            made("1.3", PlanDetails(label="B"), patient="P-2"),
            made("1.4", PlanDetails(label="A"), patient="P-1"),
            made("1.5", PlanDetails(label="C"), patient=""),
            replace(made("1.6", DoseDetails(), patient="P-3"), patient_name=""),
        ]
    )

    assert [tree.patient_id for tree in trees] == ["", "P-1", "P-2", "P-3"]
    assert [tree.patient_name for tree in trees] == ["DOE^JANE", "DOE^JANE", "DOE^JANE", ""]
    assert render.text(trees[0]).startswith("Patient: (no ID)\n")


def test_no_headers_give_no_trees() -> None:
    assert build_trees([]) == ()


def test_plans_are_ordered_by_date_time_label_and_uid() -> None:
    plans = [
        made("1.4", PlanDetails(label="B", date="20240502")),
        made("1.3", PlanDetails(label="A", date="20240502")),
        made("1.6", PlanDetails(label="Z", date="20240501", time="09")),
        made("1.5", PlanDetails(label="Y", date="20240501", time="10")),
        made("1.2", PlanDetails(label="A", date="20240502")),
    ]

    assert [p.instance.ref.sop_instance_uid for p in tree_of(plans).plans] == [
        "1.6",
        "1.5",
        "1.2",
        "1.3",
        "1.4",
    ]


def test_a_patient_identity_is_not_in_the_repr_of_a_tree() -> None:
    tree = tree_of([made("1.3", PlanDetails(), patient="CANARY-ID")])

    assert "CANARY-ID" not in repr(tree)
    assert "DOE^JANE" not in repr(tree)


def test_a_modality_that_is_absent_is_said_to_be() -> None:
    other = replace(images("1.5", "", number=1, kind=Kind.OTHER)[0], details=None)
    image = images("1.6", "", number=1)[0]

    assert lines_of(other, image) == [
        "Patient: P-1",
        "  Not connected to any plan:",
        "    Images: 1 image, series 1.6",
        "    Other, no modality: 1 instance, series 1.5",
    ]
    assert "no modality: 1 instance, series 1.5" in render.flat(tree_of([other]))


def test_details_that_do_not_fit_the_kind_are_let_through() -> None:
    headers = [
        replace(made(f"1.{n}", PlanDetails(), frame="1.9"), kind=kind, details=ImageDetails())
        for n, kind in enumerate(Kind, start=2)
    ]

    assert render.text(tree_of(headers)).count("\n") > len(Kind)


# ── order, repetition, JSON ─────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_order_and_repetition_give_the_same_tree(data: st.DataObject) -> None:
    headers = [*treated_prostate(), *odd_plans()]
    expected = build_trees(headers)

    shuffled = data.draw(st.permutations(headers))
    repeated = data.draw(st.lists(st.sampled_from(headers), max_size=10))

    trees = build_trees([*shuffled, *repeated])
    assert trees == expected
    assert [render.text(tree) for tree in trees] == [render.text(tree) for tree in expected]


@pytest.mark.parametrize("make", [treated_prostate, odd_plans], ids=lambda f: f.__name__)
def test_json_gives_back_an_equal_tree(make: object) -> None:
    assert callable(make)
    tree = tree_of(make())

    assert render.from_json(render.to_json(tree)) == tree


@pytest.mark.parametrize("body", [b"", b"{}", b'{"patient_id": ["CANARY"]}'])
def test_what_is_no_tree_is_unreadable_and_is_not_quoted(body: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        render.from_json(body)

    assert "CANARY" not in str(caught.value)
    assert caught.value.__cause__ is None
