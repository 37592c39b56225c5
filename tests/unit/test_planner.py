"""The planner: the right closure, from any order of arrivals, without asking twice."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomcore.model import InstanceHeader, Kind, Relation
from dicomcore.planner import Selection, Verdict
from tests.unit.planner_world import World, header, oracle, ref

F1, F2, F3 = "1.9.1", "1.9.2", "1.9.3"


def images(series: str, n: int, *, frame: str, modality: str = "CT", plan: str | None = None):
    refs = [ref(Relation.PLAN, plan)] if plan else []
    return [
        header(
            f"{series}.{i}", Kind.IMAGE, series=series, frame=frame, modality=modality, refs=refs
        )
        for i in range(1, n + 1)
    ]


def structure(uid: str, series: str, n: int, *, frame: str):
    refs = [ref(Relation.IMAGE_SERIES, series)]
    refs += [ref(Relation.IMAGE, f"{series}.{i}", series=series) for i in range(1, n + 1)]
    return header(uid, Kind.STRUCTURE_SET, frame=frame, refs=refs)


def plan(
    uid: str,
    label: str,
    struct: str | None,
    *,
    frame: str | None = F1,
    approval="APPROVED",
    refs=(),
):
    own = [ref(Relation.STRUCTURE_SET, struct)] if struct else []
    return header(uid, Kind.PLAN, frame=frame, label=label, approval=approval, refs=[*own, *refs])


def of_plan(uid: str, kind: Kind, target: str, *, frame: str | None = F1):
    return header(uid, kind, frame=frame, refs=[ref(Relation.PLAN, target)])


def world(*groups: InstanceHeader | list[InstanceHeader], **options: object) -> World:
    flat = [h for g in groups for h in (g if isinstance(g, list) else [g])]
    return World({str(h.ref.sop_instance_uid): h for h in flat}, **options)  # type: ignore[arg-type]


def typical(**options: object) -> World:
    """Two plans on two CTs, doses, DRRs, records, a registration to an MR, a cone-beam CT, decoys."""
    return world(
        images("2.1", 4, frame=F1),
        images("2.2", 4, frame=F2),
        images("2.3", 3, frame=F3, modality="MR"),
        images("2.4", 3, frame="1.9.4", plan="3.1"),
        images("2.5", 3, frame="1.9.5"),
        structure("4.1", "2.1", 4, frame=F1),
        structure("4.2", "2.2", 4, frame=F2),
        structure("4.3", "2.3", 3, frame=F3),
        plan("3.1", "A", "4.1", refs=[ref(Relation.DRR, "6.1"), ref(Relation.DRR, "6.99")]),
        plan("3.2", "B", "4.2", frame=F2, approval="UNAPPROVED"),
        of_plan("5.1", Kind.DOSE, "3.1"),
        of_plan("5.2", Kind.DOSE, "3.2", frame=F2),
        of_plan("6.1", Kind.RT_IMAGE, "3.1"),
        of_plan("6.2", Kind.RT_IMAGE, "3.2"),
        of_plan("7.1", Kind.RECORD, "3.1"),
        of_plan("7.2", Kind.RECORD, "3.2"),
        header(
            "8.1",
            Kind.REGISTRATION,
            frame=F1,
            refs=[ref(Relation.FRAME_OF_REFERENCE, F1), ref(Relation.FRAME_OF_REFERENCE, F3)],
        ),
        **options,
    )


A_CLOSURE = {
    "3.1", "4.1", "4.3", "5.1", "6.1", "7.1", "8.1",
    *(f"2.1.{i}" for i in range(1, 5)),
    *(f"2.3.{i}" for i in range(1, 4)),
    *(f"2.4.{i}" for i in range(1, 4)),
}  # fmt: skip


def uids(outcome) -> set[str]:
    return {str(e.ref.sop_instance_uid) for e in outcome.expected}


def test_one_plan_brings_what_it_references_and_what_references_it():
    w = typical()

    outcome = w.run(Selection("A"))

    assert uids(outcome) == A_CLOSURE == oracle(w.headers.values(), {"3.1"})
    assert outcome.missing == ()
    assert [(d.uid, d.relation) for d in outcome.dangling] == [("6.99", Relation.DRR)]


def test_a_pacs_that_tells_moves_nothing_beyond_the_closure_but_probes():
    w = typical()

    w.run(Selection("A"))

    assert set(w.fetched) == A_CLOSURE


def test_a_pacs_that_tells_nothing_gives_the_same_closure():
    w = typical(tells_label=False, tells_plans=False, tells_frame=False)

    outcome = w.run(Selection("A"))

    assert uids(outcome) == A_CLOSURE
    assert "2.2.2" not in w.fetched
    assert sum(uid.startswith(("2.2", "2.5")) for uid in w.fetched) == 2, "one probe of each decoy"


def test_a_pacs_that_tells_no_modality_and_lists_no_instances_gives_the_same_closure():
    w = typical(unlistable=frozenset({"*"}))

    outcome = w.run(Selection("A"))

    assert uids(outcome) == A_CLOSURE
    assert outcome.missing == ()


def test_an_unlisted_series_without_a_count_is_never_complete():
    w = typical(unlistable=frozenset({"2.1"}), counts=False)

    outcome = w.run(Selection("A"))

    assert [(m.uid, m.level) for m in outcome.missing] == [("2.1", "series")]


def test_the_label_is_exact_and_case_sensitive():
    outcome = typical().run(Selection("a"))

    assert outcome.expected == ()
    assert {p.verdict for p in outcome.plans} == {Verdict.NOT_SELECTED}


def test_an_unapproved_plan_is_left_out_with_what_is_connected_to_it_alone():
    w = typical()

    outcome = w.run(Selection(only_approved=True))

    others = {"3.2", "4.2", "5.2", "6.2", "7.2", *(f"2.2.{i}" for i in range(1, 5))}
    assert uids(outcome) == w.headers.keys() - others
    assert not {"5.2", "2.2.1"} & set(w.fetched)


def test_no_filter_brings_everything():
    w = typical()

    outcome = w.run(Selection())

    assert uids(outcome) == w.headers.keys()


def test_a_plan_that_cannot_be_fetched_is_reported_and_the_others_go_on():
    w = typical(tells_label=False, broken={"3.2": "empty Beam Sequence"})

    outcome = w.run(Selection("A"))

    assert uids(outcome) == A_CLOSURE
    assert [(m.uid, m.reason) for m in outcome.missing] == [("3.2", "empty Beam Sequence")]
    assert {p.verdict for p in outcome.plans} == {Verdict.SELECTED, Verdict.UNAVAILABLE}


def test_exactly_what_never_came_is_missing():
    w = typical(broken={"2.1.3": "dropped", "5.1": "dropped"})

    outcome = w.run(Selection("A"))

    assert {m.uid for m in outcome.missing} == {"2.1.3", "5.1"}
    assert uids(outcome) == A_CLOSURE


def test_a_probe_that_fails_is_tried_on_another_instance():
    w = typical(tells_plans=False, tells_frame=False, broken={"2.4.1": "dropped"})

    outcome = w.run(Selection("A"))

    assert {"2.4.2", "2.4.3"} <= uids(outcome)
    assert {m.uid for m in outcome.missing} == {"2.4.1"}


def test_a_series_that_cannot_be_probed_is_reported_as_undecided():
    broken = {f"2.5.{i}": "dropped" for i in range(1, 4)}
    w = typical(tells_plans=False, tells_frame=False, broken=broken)

    outcome = w.run(Selection("A"))

    assert [m.uid for m in outcome.missing if m.uid.startswith("2.5")]
    assert uids(outcome) == A_CLOSURE


def test_what_has_landed_before_is_not_fetched():
    w = typical()
    w.landed |= {"3.1", "4.1", "2.1.1", "2.1.2", "5.1"}

    outcome = w.run(Selection("A"))

    assert uids(outcome) == A_CLOSURE
    assert not {"3.1", "4.1", "2.1.1", "2.1.2", "5.1"} & set(w.fetched)


def test_a_second_plan_on_the_same_images_moves_only_what_is_new():
    w = typical()
    w.headers |= {
        str(h.ref.sop_instance_uid): h
        for h in (plan("3.3", "C", "4.1"), of_plan("5.3", Kind.DOSE, "3.3"))
    }
    w.run(Selection("A"))
    before = set(w.fetched)

    w.run(Selection("C"))

    assert set(w.fetched) - before == {"3.3", "5.3"}


def test_a_plan_without_structure_set_keeps_doses_images_and_registrations():
    w = typical()
    w.headers["3.1"] = plan("3.1", "A", None)

    outcome = w.run(Selection("A"))

    assert uids(outcome) == (A_CLOSURE - {"4.1"})


def test_a_structure_set_without_image_references_brings_the_series_of_its_frame():
    w = typical(tells_frame=False)
    w.headers["4.1"] = header("4.1", Kind.STRUCTURE_SET, frame=F1)

    outcome = w.run(Selection("A"))

    assert uids(outcome) == A_CLOSURE


def test_a_setup_image_comes_without_its_series():
    w = typical()
    w.headers["3.1"] = plan("3.1", "A", "4.1", refs=[ref(Relation.IMAGE, "2.5.2")])

    outcome = w.run(Selection("A"))

    assert "2.5.2" in uids(outcome)
    assert not {"2.5.1", "2.5.3"} & uids(outcome)


def test_a_related_plan_comes_alone():
    w = typical()
    w.headers["3.1"] = plan("3.1", "A", "4.1", refs=[ref(Relation.RELATED_PLAN, "3.2")])

    outcome = w.run(Selection("A"))

    assert "3.2" in uids(outcome)
    assert not {"4.2", "5.2", "2.2.1"} & uids(outcome)


def test_a_series_the_pacs_lists_short_of_its_own_count_is_not_complete():
    w = typical()
    catalogue = w.catalogue()
    short = w.headers.pop("2.1.4")

    from dicomcore.planner import Knowledge

    outcome = w.run(Selection("A"), known=Knowledge(catalogue=catalogue))

    assert short.ref.sop_instance_uid not in uids(outcome)
    assert [(m.uid, m.level) for m in outcome.missing] == [("2.1", "series")]


# ── any world, any order ────────────────────────────────────────────────────────────────────

FRAMES = [F1, F2, F3]


@st.composite
def worlds(draw: st.DrawFn) -> list[InstanceHeader]:
    """Up to a few of everything, tied at random; references may dangle."""
    n_series = draw(st.integers(0, 4))
    made: list[InstanceHeader] = []
    plan_uids = [f"3.{i}" for i in range(1, draw(st.integers(1, 3)) + 1)]
    maybe_plan = st.sampled_from([*plan_uids, "3.99"])
    series = [f"2.{i}" for i in range(1, n_series + 1)]
    for s in series:
        made += images(
            s,
            draw(st.integers(1, 3)),
            frame=draw(st.sampled_from(FRAMES)),
            modality=draw(st.sampled_from(["CT", "MR"])),
            plan=draw(st.none() | maybe_plan),
        )
    structs = [f"4.{i}" for i in range(1, draw(st.integers(0, 3)) + 1)]
    for s in structs:
        named = draw(st.lists(st.sampled_from([*series, "2.99"]), max_size=2, unique=True))
        style = draw(st.sampled_from(["series", "images", "bare images"]))
        refs = []
        for target in named:
            if style == "series":
                refs.append(ref(Relation.IMAGE_SERIES, target))
            else:
                refs.append(
                    ref(
                        Relation.IMAGE,
                        f"{target}.1",
                        series=target if style == "images" else "",
                    )
                )
        frame = draw(st.none() | st.sampled_from(FRAMES))
        made.append(header(s, Kind.STRUCTURE_SET, frame=frame, refs=refs))
    others = {
        Relation.DOSE: [f"5.{i}" for i in range(1, 3)],
        Relation.DRR: [f"6.{i}" for i in range(1, 3)],
        Relation.RELATED_PLAN: plan_uids,
        Relation.IMAGE: ["6.1", *(f"{s}.2" for s in series)],
    }
    for uid in plan_uids:
        refs = [
            ref(relation, target)
            for relation, targets in others.items()
            for target in draw(st.lists(st.sampled_from([*targets, "9.9"]), max_size=1))
            if target != uid
        ]
        made.append(
            plan(
                uid,
                draw(st.sampled_from(["A", "B"])),
                draw(st.none() | st.sampled_from([*structs, "4.99"])),
                frame=draw(st.none() | st.sampled_from(FRAMES)),
                approval=draw(st.sampled_from(["APPROVED", "UNAPPROVED", ""])),
                refs=refs,
            )
        )
    for kind, prefix in ((Kind.DOSE, 5), (Kind.RT_IMAGE, 6), (Kind.RECORD, 7)):
        made += [
            of_plan(f"{prefix}.{i}", kind, draw(maybe_plan))
            for i in range(1, draw(st.integers(0, 2)) + 1)
        ]
    for i in range(1, draw(st.integers(0, 2)) + 1):
        frames = draw(st.lists(st.sampled_from(FRAMES), min_size=1, max_size=2, unique=True))
        refs = [ref(Relation.FRAME_OF_REFERENCE, f) for f in frames]
        refs += [
            ref(Relation.IMAGE_SERIES, s)
            for s in draw(st.lists(st.sampled_from([*series, "2.99"]), max_size=1))
        ]
        made.append(header(f"8.{i}", Kind.REGISTRATION, refs=refs))
    return made


options = st.fixed_dictionaries(
    {
        "tells_label": st.booleans(),
        "tells_plans": st.booleans(),
        "tells_frame": st.booleans(),
    }
)


@given(worlds(), options, st.sampled_from(["A", "B"]), st.randoms(use_true_random=False))
@settings(max_examples=400, deadline=None)
def test_any_order_of_arrivals_gives_the_closure_the_oracle_knows(made, told, label, rng):
    w = World({str(h.ref.sop_instance_uid): h for h in made}, **told)

    outcome = w.run(Selection(label), order=lambda u: rng.sample(u, len(u)))

    plans = {
        str(h.ref.sop_instance_uid)
        for h in made
        if h.kind is Kind.PLAN and h.details.label == label
    }
    assert uids(outcome) == (oracle(made, plans) if plans else set())
    assert outcome.missing == ()
    assert uids(outcome) <= w.landed


@given(worlds(), options, options, st.data())
@settings(max_examples=200, deadline=None)
def test_what_landed_before_and_how_much_the_pacs_tells_change_nothing(made, told, other, data):
    headers = {str(h.ref.sop_instance_uid): h for h in made}
    first = World(dict(headers), **told)
    second = World(dict(headers), **other)
    second.landed = set(data.draw(st.lists(st.sampled_from(sorted(headers)), unique=True)))

    assert uids(first.run(Selection("A"))) == uids(second.run(Selection("A")))


@given(worlds(), options, st.data())
@settings(max_examples=200, deadline=None)
def test_with_instances_that_never_come_it_ends_and_is_never_wrongly_complete(made, told, data):
    headers = {str(h.ref.sop_instance_uid): h for h in made}
    broken = data.draw(st.lists(st.sampled_from(sorted(headers)), unique=True, max_size=4))
    w = World(headers, **told, broken=dict.fromkeys(broken, "dropped"))
    plans = {u for u, h in headers.items() if h.kind is Kind.PLAN and h.details.label == "A"}

    outcome = w.run(Selection("A"))

    lost = (oracle(made, plans) if plans else set()) - w.landed
    if lost:
        assert outcome.missing
    if not outcome.missing and plans:
        assert uids(outcome) == oracle(made, plans)
    assert {m.uid for m in outcome.missing} <= set(broken)
    assert all(m.reason == "dropped" for m in outcome.missing)


@given(worlds(), options)
@settings(max_examples=150, deadline=None)
def test_approved_plans_and_unconnected_data_leave_out_exactly_what_others_own(made, told):
    w = World({str(h.ref.sop_instance_uid): h for h in made}, **told)

    outcome = w.run(Selection(only_approved=True))

    plans = {u for u, h in w.headers.items() if h.kind is Kind.PLAN}
    approved = {u for u in plans if w.headers[u].details.approval_status == "APPROVED"}
    mine = oracle(made, approved) if approved else set()
    theirs = oracle(made, plans - approved) if plans - approved else set()
    assert uids(outcome) == mine | (w.headers.keys() - theirs - plans)


@pytest.mark.parametrize("seed", range(3))
def test_a_patient_of_many_series_needs_few_steps(seed):
    rng = random.Random(seed)
    groups: list[list[InstanceHeader]] = []
    for i in range(1, 41):
        groups.append(images(f"2.{i}", 30, frame=f"1.9.{i}"))
        groups.append([structure(f"4.{i}", f"2.{i}", 30, frame=f"1.9.{i}")])
        groups.append([plan(f"3.{i}", f"P{i}", f"4.{i}", frame=f"1.9.{i}")])
        groups.append([of_plan(f"5.{i}", Kind.DOSE, f"3.{i}")])
    w = world(*groups)

    outcome = w.run(Selection("P7"), order=lambda u: rng.sample(u, len(u)))

    assert len(uids(outcome)) == 33
    assert w.steps < 20
