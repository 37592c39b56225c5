"""Stacks of images: the tree that is made of them is the tree of all their headers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dicomcore.header import read_dataset_header
from dicomcore.model import ImageDetails, InstanceHeader
from dicomcore.references import ReferenceGraph, Stack
from dicomcore.tree import build_trees
from tests import factories


def headers_of_twelve_plans() -> list[InstanceHeader]:
    patient = factories.small_twelve_plans()
    return [read_dataset_header(one.dataset) for one in patient.instances]


HEADERS = headers_of_twelve_plans()


def stacked(headers: Sequence[InstanceHeader]) -> tuple[list[InstanceHeader], list[Stack]]:
    """Images that differ in UID and number only, together."""
    single = []
    alike: dict[InstanceHeader, list[InstanceHeader]] = defaultdict(list)
    for header in headers:
        if isinstance(header.details, ImageDetails):
            ref = replace(header.ref, sop_instance_uid="0")
            details = replace(header.details, instance_number=None)
            alike[replace(header, ref=ref, details=details)].append(header)
        else:
            single.append(header)
    stacks = [
        Stack(some[0], tuple(one.ref.sop_instance_uid for one in some)) for some in alike.values()
    ]
    return single, stacks


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(HEADERS), left=st.integers(1, len(HEADERS)))
def test_the_tree_of_stacks_is_the_tree_of_headers(order: list[InstanceHeader], left: int) -> None:
    headers = order[:left]
    single, stacks = stacked(headers)
    conflicts = [header.ref.sop_instance_uid for header in headers[::5]]

    assert build_trees(single, stacks=stacks, conflicts=conflicts) == build_trees(
        headers, conflicts=conflicts
    )


def test_whoever_is_in_a_stack_is_found_and_stood_for() -> None:
    single, stacks = stacked(HEADERS)
    largest = max(stacks, key=lambda stack: len(stack.uids))
    graph = ReferenceGraph(single, stacks)

    assert len(largest.uids) > 1
    assert all(graph.header(uid) == largest.header for uid in largest.uids)
    assert graph.uids(largest.header) == largest.uids
    assert sum(len(graph.uids(header)) for header in graph.headers) == len(HEADERS)
