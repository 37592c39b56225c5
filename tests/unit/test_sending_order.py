"""In which order instances are sent, with which machines, and what is held back."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from dicomcore.errors import InvalidRequest
from dicomcore.header import read_dataset_header
from dicomcore.model import InstanceHeader, Kind, Relation
from dicomcore.references import ReferenceGraph
from dicomcore.sending.machines import (
    is_varian,
    machines_for,
    parse_pairs,
    with_default_machines,
)
from dicomcore.sending.order import plan_sends
from dicomcore.sending.values import Concern, Policy, Reason, Role, SendPlan, UnknownModel
from dicomtools.demo.made_up import Role as MadeUpRole
from tests import factories

ANY = Policy(any_receiver=True)


@cache
def twelve() -> tuple[InstanceHeader, ...]:
    return tuple(read_dataset_header(one) for one in factories.small_twelve_plans().datasets)


def headers(*datasets: Dataset) -> list[InstanceHeader]:
    return [read_dataset_header(one) for one in datasets]


def varian(dataset: Dataset, *, machine: str = "TB1", model: str = "TDS") -> Dataset:
    made = copy.deepcopy(dataset)
    for beam in made.BeamSequence:
        beam.Manufacturer = "Varian Medical Systems"
        beam.TreatmentMachineName = machine
        beam.ManufacturerModelName = model
    return made


def world() -> list[Dataset]:
    """One plan and one of everything that belongs to it."""
    return [
        factories.record(),
        factories.dose(),
        factories.registration(),
        factories.rt_image(),
        factories.mr(frame=factories.made_up_uid("factories", "mr frame")),
        factories.cone_beam(),
        varian(factories.plan()),
        factories.structure_set(),
        *(factories.ct(index=index) for index in range(3)),
    ]


def roles(plan: SendPlan) -> list[Role]:
    return [send.role for send in plan.sends()]


def uids(plan: SendPlan) -> list[str]:
    return [send.uid for send in plan.sends()]


def assert_nothing_before_what_it_needs(plan: SendPlan, all_headers: Iterable[InstanceHeader]):
    graph = ReferenceGraph(all_headers)
    place = {send.uid: number for number, send in enumerate(plan.sends())}
    needed = {
        Kind.STRUCTURE_SET: (Relation.IMAGE, Relation.IMAGE_SERIES),
        Kind.PLAN: (Relation.STRUCTURE_SET, Relation.RELATED_PLAN),
        Kind.DOSE: (Relation.PLAN, Relation.STRUCTURE_SET),
        Kind.RECORD: (Relation.PLAN,),
        Kind.RT_IMAGE: (Relation.PLAN,),
        Kind.REGISTRATION: (Relation.IMAGE, Relation.IMAGE_SERIES),
        Kind.IMAGE: (Relation.PLAN,),
    }
    for send in plan.sends():
        for target in graph.targets(send.header, *needed.get(send.header.kind, ())):
            uid = target.ref.sop_instance_uid
            assert uid not in place or place[uid] < place[send.uid], (send.role, target.kind)


# ── order ───────────────────────────────────────────────────────────────────────────────────


def test_a_plan_goes_out_in_the_order_of_the_manual() -> None:
    plan = plan_sends(headers(*world()), Policy())

    assert roles(plan) == [
        *[Role.IMAGE] * 3,
        Role.STRUCTURE_SET,
        Role.PLAN,
        Role.CONE_BEAM,
        Role.DOSE,
        Role.RT_IMAGE,
        Role.REGISTERED_IMAGE,
        Role.REGISTRATION,
        Role.RECORD,
    ]
    assert all(send.plan is not None for send in plan.sends())


def test_images_may_go_at_the_same_time_and_nothing_else() -> None:
    plan = plan_sends(headers(*world()), Policy())

    assert [(batch.orderless, len(batch.sends)) for batch in plan.batches] == [
        (True, 3),
        (False, 2),
        (True, 1),
        (False, 2),
        (True, 1),
        (False, 2),
    ]


@given(st.randoms(use_true_random=False))
def test_every_instance_is_there_once_and_none_before_what_it_needs(chance: random.Random) -> None:
    shuffled = list(twelve()) + chance.choices(twelve(), k=20)
    chance.shuffle(shuffled)

    plan = plan_sends(shuffled, ANY)

    assert sorted(uids(plan)) == sorted({h.ref.sop_instance_uid for h in twelve()})
    assert_nothing_before_what_it_needs(plan, twelve())
    assert plan == plan_sends(twelve(), ANY)


def test_what_the_maker_attached_to_a_plan_is_sent_as_a_plans_object() -> None:
    made = factories.small_twelve_plans()

    sent = {send.uid: send for send in plan_sends(twelve(), ANY).sends()}

    for plan in made.plans:
        for uid, role in plan.roles.items():
            assert sent[uid].plan is not None, role
            if role is MadeUpRole.PLAN:
                assert sent[uid].role is Role.PLAN


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.8])
@given(seed=st.integers(0, 10_000))
def test_any_part_of_a_patient_is_sent_or_held_back_and_nothing_is_lost(
    seed: int, kept: float
) -> None:
    chance = random.Random(seed)
    part = [header for header in twelve() if chance.random() < kept]

    plan = plan_sends(part, Policy() if seed % 2 else ANY)

    told = uids(plan) + [held.header.ref.sop_instance_uid for held in plan.held_back]
    assert sorted(told) == sorted(h.ref.sop_instance_uid for h in part)
    assert_nothing_before_what_it_needs(plan, part)


def test_a_plan_follows_the_plan_that_it_names_even_if_it_is_older() -> None:
    named, naming = factories.plan(), factories.plan(uid="2.25.77")
    naming.RTPlanDate, named.RTPlanDate = "20200101", "20240101"
    naming.ReferencedRTPlanSequence = [copy.deepcopy(factories.dose().ReferencedRTPlanSequence[0])]
    naming.ReferencedRTPlanSequence[0].RTPlanRelationship = "PREDECESSOR"

    plan = plan_sends(headers(naming, named), ANY)

    assert uids(plan) == [named.SOPInstanceUID, naming.SOPInstanceUID]


def test_plans_that_name_each_other_are_both_sent() -> None:
    one, other = factories.plan(), factories.plan(uid="2.25.77")
    for holder, target in ((one, other), (other, one)):
        holder.ReferencedRTPlanSequence = copy.deepcopy(factories.dose().ReferencedRTPlanSequence)
        holder.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID = target.SOPInstanceUID

    assert sorted(uids(plan_sends(headers(one, other), ANY))) == sorted(
        [one.SOPInstanceUID, other.SOPInstanceUID]
    )


def test_a_dose_of_two_plans_follows_both() -> None:
    second = "2.25.77"
    made = [
        factories.dose(plan_uids=(factories.PLAN_UID, second)),
        factories.plan(),
        factories.plan(uid=second),
    ]

    plan = plan_sends(headers(*made), ANY)

    assert roles(plan) == [Role.PLAN, Role.PLAN, Role.DOSE]


def test_patients_do_not_mix() -> None:
    mine, yours = factories.plan(), factories.plan(uid="2.25.77")
    yours.PatientID = "OTHER"

    plan = plan_sends(headers(mine, yours, factories.structure_set()), ANY)

    assert [send.header.patient_id for send in plan.sends()] == [mine.PatientID] * 2 + ["OTHER"]


# ── what is held back ───────────────────────────────────────────────────────────────────────


def test_other_manufacturers_plans_are_held_back_with_what_makes_no_sense_without_them() -> None:
    made = [*world(), varian(factories.plan(uid="2.25.77"))]
    made[6].BeamSequence[1].Manufacturer = "Somebody Else"

    plan = plan_sends(headers(*made), Policy())

    held = {one.header.kind: one.reason for one in plan.held_back}
    assert held == {
        Kind.PLAN: Reason.OTHER_MANUFACTURER,
        Kind.DOSE: Reason.PLAN_HELD_BACK,
        Kind.RT_IMAGE: Reason.PLAN_HELD_BACK,
        Kind.RECORD: Reason.PLAN_HELD_BACK,
    }
    assert {Role.STRUCTURE_SET, Role.IMAGE, Role.PLAN} <= set(roles(plan))
    assert len(uids(plan)) + len(plan.held_back) == len(made)


@pytest.mark.parametrize(
    ("manufacturer", "sent"),
    [
        ("", True),
        (" ", True),
        ("Varian", True),
        ("VARIAN MEDICAL SYSTEMS", True),
        ("Elekta", False),
    ],
)
def test_a_treatment_unit_without_manufacturer_counts_as_varians(manufacturer, sent) -> None:
    plan = factories.plan()
    for beam in plan.BeamSequence:
        beam.Manufacturer = manufacturer

    assert is_varian(read_dataset_header(plan)) is sent
    assert bool(uids(plan_sends(headers(plan), Policy()))) is sent
    assert uids(plan_sends(headers(plan), ANY))


def test_a_dose_without_plan_is_warned_of_and_sent_only_where_anything_is_taken() -> None:
    doses = headers(factories.dose(plan_uids=()), factories.dose(plan_uids=("2.25.404",)))

    refused, taken = plan_sends(doses, Policy()), plan_sends(doses, ANY)

    assert [held.reason for held in refused.held_back] == [Reason.NO_PLAN] * 2
    assert roles(taken) == [Role.DOSE] * 2
    for plan in (refused, taken):
        assert [notice.concern for notice in plan.notices] == [Concern.DOSE_WITHOUT_PLAN] * 2
    assert all(send.plan is None for send in taken.sends())


def test_of_two_versions_one_is_sent_and_the_other_held_back() -> None:
    first, second = factories.plan(), factories.plan()
    second.RTPlanLabel = "OTHER"

    plan = plan_sends(headers(first, second), ANY)

    assert len(uids(plan)) == 1
    assert [held.reason for held in plan.held_back] == [Reason.OTHER_VERSION]


def test_what_the_receiver_has_is_taken_out_and_the_order_stays() -> None:
    whole = plan_sends(twelve(), ANY)
    stored = set(uids(whole)[::2])

    rest = whole.without(stored)

    assert uids(rest) == [uid for uid in uids(whole) if uid not in stored]
    assert all(batch.sends for batch in rest.batches)


# ── machines ────────────────────────────────────────────────────────────────────────────────


def test_mapped_names_change_and_others_stay() -> None:
    plan = varian(factories.plan(), machine="TB1")
    plan.BeamSequence[1].TreatmentMachineName = "TB2"

    (send,) = plan_sends(headers(plan), Policy(machine_mapping={"TB1": "LA7"})).sends()

    assert send.machines == (("TB1", "LA7"),)


@pytest.mark.parametrize("defaults", [{"23EX": "D"}, {"*": "D"}, {"RDS": "H", "23EX": "D"}])
def test_an_empty_name_is_filled_in_by_the_model_of_the_first_beam(defaults) -> None:
    plan = varian(factories.plan(), machine="", model="23EX")
    plan.BeamSequence[1].ManufacturerModelName = "RDS"

    made = plan_sends(headers(plan), Policy(default_machines=defaults))

    assert [send.machines for send in made.sends()] == [(("", "D"),)]
    assert not made.notices


@pytest.mark.parametrize("model", ["23EX", ""])
def test_a_model_that_is_not_listed_is_a_problem_that_names_it(model: str) -> None:
    plan = varian(factories.plan(), machine="", model=model)

    made = plan_sends(headers(plan), Policy(default_machines={"RDS": "HALCYON"}))

    assert [problem.model for problem in made.problems] == [model]
    assert "23EX" not in repr(made.problems) or model == ""


def test_without_default_machines_a_plan_without_name_is_sent_with_a_notice() -> None:
    made = plan_sends(headers(varian(factories.plan(), machine="")), Policy())

    assert [notice.concern for notice in made.notices] == [Concern.NO_MACHINE]
    assert len(uids(made)) == 1


def test_brachy_and_ion_plans_have_machines_too() -> None:
    for make in (factories.brachy_plan, factories.ion_plan):
        header = read_dataset_header(make())
        name = header.details.beams[0].machine  # type: ignore[union-attr]

        assert name
        assert machines_for(header, Policy(machine_mapping={name: "NEW"})) == ((name, "NEW"),)


def test_a_plan_without_beams_needs_no_machine() -> None:
    header = read_dataset_header(factories.plan_without_beams())

    assert machines_for(header, Policy(default_machines={"RDS": "H"})) == ()


def test_show_sees_default_machines_in_plans_that_name_none() -> None:
    header = read_dataset_header(varian(factories.plan(), machine="", model="RDS"))

    seen = with_default_machines(header, {"RDS": "HALCYON"})

    assert {beam.machine for beam in seen.details.beams} == {"HALCYON"}  # type: ignore[union-attr]
    assert with_default_machines(header, {"23EX": "D"}) == header
    assert with_default_machines(header, {}) == header
    other = replace(header, kind=Kind.OTHER, details=None)
    assert with_default_machines(other, {"RDS": "HALCYON"}) == other


def test_pairs_are_names_and_names() -> None:
    assert parse_pairs(["A=B", " RDS = HALCYON ", "C=D=E"]) == {
        "A": "B",
        "RDS": "HALCYON",
        "C": "D=E",
    }


@pytest.mark.parametrize("texts", [["A"], ["=B"], ["A="], ["A=B", "A=C"], ["A=" + "x" * 17]])
def test_what_is_no_pair_is_refused(texts: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        parse_pairs(texts)


def test_an_unknown_model_keeps_its_label_out_of_logs() -> None:
    plan = read_dataset_header(varian(factories.plan(), machine="", model="CANARY"))

    problem = machines_for(plan, Policy(default_machines={"RDS": "H"}))

    assert isinstance(problem, UnknownModel)
    assert "CANARY" not in repr(problem)
