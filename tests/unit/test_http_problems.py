"""The table from our errors to HTTP statuses has an entry for every error there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dicomcore import errors
from dicomcore.errors import DicomToolsError
from dicomio.http.problems import answer_to, response_of_error

EXPECTED = {
    errors.DicomToolsError: 500,
    errors.Rejected: 422,
    errors.InvalidRequest: 422,
    errors.InvalidUid: 422,
    errors.InvalidInstance: 422,
    errors.SopClassMismatch: 422,
    errors.Unreadable: 422,
    errors.Conflict: 409,
    errors.PeerRefused: 502,
    errors.NotFound: 404,
    errors.Unavailable: 503,
    errors.ObjectStoreUnavailable: 503,
    errors.ObjectStoreFull: 507,
    errors.BusUnavailable: 503,
    errors.KeyValueUnavailable: 503,
    errors.IndexUnavailable: 503,
    errors.PeerUnavailable: 504,
}


def tree(kind: type[DicomToolsError] = DicomToolsError) -> Iterator[type[DicomToolsError]]:
    """Yield every class of the tree that the domain defines."""
    if kind.__module__ == errors.__name__:
        yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


def test_the_table_covers_the_whole_tree() -> None:
    assert {kind: answer_to(kind).status for kind in tree()} == EXPECTED


@pytest.mark.parametrize("kind", [kind for kind in tree() if issubclass(kind, errors.Unavailable)])
def test_what_may_be_tried_again_says_when(kind: type[DicomToolsError]) -> None:
    response = response_of_error(kind("away"), request_id="r")

    assert response.status >= 500
    assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "kind", [kind for kind in tree() if issubclass(kind, errors.Rejected | errors.NotFound)]
)
def test_what_may_not_be_tried_again_does_not_invite_to(kind: type[DicomToolsError]) -> None:
    assert "Retry-After" not in response_of_error(kind("no"), request_id="r").headers


def test_each_problem_type_is_one_kind_of_error() -> None:
    slugs = [answer_to(kind).slug for kind in tree()]

    assert len(set(slugs)) == len(slugs)


def test_an_error_unknown_to_the_table_is_answered_like_the_one_above_it() -> None:
    class Away(errors.PeerUnavailable):
        """An error of an adapter."""

    assert answer_to(Away) == answer_to(errors.PeerUnavailable)
