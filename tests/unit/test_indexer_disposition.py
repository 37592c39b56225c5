"""The indexer's table from errors to JetStream answers."""

from __future__ import annotations

import pytest

from dicomcore import errors
from dicomcore.errors import DicomToolsError, NotFound, Rejected, Unavailable, Unreadable
from indexer.disposition import BY_ERROR, UNEXPECTED, Again, Dead, disposition, rule_for


def every_error() -> list[type[DicomToolsError]]:
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, DicomToolsError)
    ]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_of_the_tree_has_an_entry(kind: type[DicomToolsError]) -> None:
    if kind is DicomToolsError:  # the root is never raised
        return

    assert any(issubclass(kind, entry) for entry in BY_ERROR)
    assert rule_for(kind) is not UNEXPECTED


@pytest.mark.parametrize("kind", [k for k in every_error() if issubclass(k, Unavailable)])
def test_an_outage_never_kills_a_message(kind: type[DicomToolsError]) -> None:
    assert disposition(kind("away"), 1) == Again(1.0)
    assert disposition(kind("away"), 1_000_000) == Again(60.0)


@pytest.mark.parametrize(
    "kind", [k for k in every_error() if issubclass(k, Rejected) and k is not errors.Conflict]
)
def test_what_can_never_work_is_dead_at_once(kind: type[DicomToolsError]) -> None:
    assert disposition(kind("no", object_key="k"), 1) == Dead("no (object_key=k)")


def test_a_missing_object_is_asked_for_a_few_times() -> None:
    decisions = [disposition(NotFound("no such object"), attempt) for attempt in range(1, 8)]

    assert decisions[:5] == [Again(delay) for delay in (1.0, 2.0, 4.0, 8.0, 16.0)]
    assert decisions[5:] == [Dead("no such object")] * 2


def test_the_text_of_a_strange_error_is_not_repeated() -> None:
    last = disposition(ValueError("Doe^John"), 100)

    assert last == Dead("unexpected ValueError")
    assert isinstance(disposition(ValueError("Doe^John"), 1), Again)


def test_an_error_class_of_tomorrow_is_handled_like_its_parent() -> None:
    class Tomorrow(Unreadable):
        """Not in the table."""

    assert rule_for(Tomorrow) == rule_for(Unreadable)
