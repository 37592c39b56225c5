"""The graph: forward, backward, by frame of reference, dangling; for any order and repetition."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomcore.model import (
    DoseDetails,
    InstanceHeader,
    Kind,
    Level,
    PlanDetails,
    Reference,
    RegistrationDetails,
    Relation,
    StructureSetDetails,
)
from dicomcore.references import Dangling, ReferenceGraph, frames_of
from tests.unit.made_headers import images, made, to, to_frame, to_series

CT = images("1.5", frame="1.9")
STRUCTURES = made(
    "1.4",
    StructureSetDetails(),
    to_series("1.5"),
    to(Relation.IMAGE, "1.5.1"),
    to(Relation.IMAGE, "1.5.9", series="1.5"),
    to_frame("1.9"),
    study="1.2",
)
PLAN = made(
    "1.3",
    PlanDetails(),
    to(Relation.STRUCTURE_SET, "1.4"),
    to(Relation.DRR, "1.8", "beam 1"),
    frame="1.9",
)
DOSE = made("1.6", DoseDetails(), to(Relation.PLAN, "1.3"), study="1.7")
HEADERS = [*CT, STRUCTURES, PLAN, DOSE]
GRAPH = ReferenceGraph(HEADERS)


def uids(headers: object) -> list[str]:
    assert isinstance(headers, tuple)
    return [h.ref.sop_instance_uid for h in headers]


def test_forward_references_reach_across_studies() -> None:
    assert uids(GRAPH.targets(PLAN, Relation.STRUCTURE_SET)) == ["1.4"]
    assert uids(GRAPH.targets(PLAN, Relation.STRUCTURE_SET, Relation.DRR)) == ["1.4"]
    assert uids(GRAPH.targets(PLAN, Relation.DOSE)) == []


def test_a_referenced_series_is_all_its_instances_each_once() -> None:
    found = GRAPH.targets(STRUCTURES, Relation.IMAGE_SERIES, Relation.IMAGE)

    assert uids(found) == ["1.5.1", "1.5.2", "1.5.3"]


def test_frames_of_reference_are_no_targets() -> None:
    assert uids(GRAPH.targets(STRUCTURES, Relation.FRAME_OF_REFERENCE)) == []


def test_backward_references_are_those_of_the_relations_asked_for() -> None:
    assert uids(GRAPH.holders("1.3", Relation.PLAN)) == ["1.6"]
    assert uids(GRAPH.holders("1.3", Relation.RELATED_PLAN)) == []
    assert uids(GRAPH.holders("1.5", Relation.IMAGE_SERIES, Relation.IMAGE)) == ["1.4"]
    assert uids(GRAPH.holders("9.9", Relation.PLAN)) == []


def test_instances_are_found_by_uid_kind_series_and_frame() -> None:
    assert GRAPH.header("1.3") == PLAN
    assert GRAPH.header("9.9") is None
    assert uids(GRAPH.of_kind(Kind.PLAN, Kind.DOSE)) == ["1.3", "1.6"]
    assert uids(GRAPH.series("1.5")) == ["1.5.1", "1.5.2", "1.5.3"]
    assert uids(GRAPH.series("9.9")) == []
    assert uids(GRAPH.in_frame("1.9")) == ["1.3", "1.5.1", "1.5.2", "1.5.3", "1.4"]
    assert uids(GRAPH.in_frame("9.9")) == []
    assert GRAPH.versions("1.3") == 1
    assert GRAPH.versions("9.9") == 0


def test_an_instance_is_in_its_own_frame_before_those_it_ties() -> None:
    registration = made("1.2", RegistrationDetails(), to_frame("1.9"), to_frame("1.8"), frame="1.8")

    assert frames_of(registration) == ("1.8", "1.9")


def test_dangling_references_are_told_by_uid_and_kind() -> None:
    found = {(d.holder.ref.sop_instance_uid, d.reference.uid, d.kind) for d in GRAPH.dangling()}

    assert found == {("1.3", "1.8", Kind.RT_IMAGE), ("1.4", "1.5.9", Kind.IMAGE)}
    assert [d.reference.uid for d in GRAPH.dangling(PLAN)] == ["1.8"]


def test_a_series_that_is_not_there_dangles() -> None:
    graph = ReferenceGraph([STRUCTURES])

    assert to_series("1.5") in [d.reference for d in graph.dangling()]


@pytest.mark.parametrize(
    ("reference", "kind"),
    [
        (to(Relation.PLAN, "1.8"), Kind.PLAN),
        (to(Relation.OTHER, "1.8"), Kind.OTHER),
        (Reference(Relation.OTHER, "1.8", sop_class_uid="1.2.840.10008.5.1.4.1.1.2"), Kind.IMAGE),
        (Reference(Relation.IMAGE_SERIES, "1.8", Level.SERIES), Kind.IMAGE),
    ],
)
def test_kind_of_a_missing_target_is_told_by_its_class_or_else_by_the_relation(
    reference: Reference, kind: Kind
) -> None:
    assert Dangling(reference, PLAN).kind is kind


# ── order and repetition ────────────────────────────────────────────────────────────────────


def everything(graph: ReferenceGraph) -> tuple[object, ...]:
    return (
        graph.headers,
        graph.dangling(),
        *(graph.in_frame(frame) for frame in ("1.9", "1.8")),
        *(graph.holders(h.ref.sop_instance_uid, *Relation) for h in graph.headers),
        *(graph.targets(h, *Relation) for h in graph.headers),
        *(graph.series(h.ref.series_instance_uid) for h in graph.headers),
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_order_and_repetition_give_the_same_graph(data: st.DataObject) -> None:
    versions = [
        replace(PLAN, references=PLAN.references[:1]),
        replace(PLAN, details=PlanDetails(label="OTHER")),
    ]
    headers = [*HEADERS, *versions]
    expected = everything(ReferenceGraph(headers))

    shuffled = data.draw(st.permutations(headers))
    repeated = data.draw(st.lists(st.sampled_from(headers), max_size=5))

    assert everything(ReferenceGraph([*shuffled, *repeated])) == expected


def test_of_several_versions_the_one_with_the_most_references_counts() -> None:
    poor = replace(PLAN, references=(), details=PlanDetails(label="zzz"))

    graph = ReferenceGraph([poor, PLAN, poor])

    assert graph.header("1.3") == PLAN
    assert graph.versions("1.3") == 2


def test_equal_numbers_of_references_are_decided_without_regard_to_order() -> None:
    other = replace(PLAN, details=PlanDetails(label="OTHER"))

    def chosen(*headers: InstanceHeader) -> InstanceHeader | None:
        return ReferenceGraph(headers).header("1.3")

    assert chosen(PLAN, other) == chosen(other, PLAN)
