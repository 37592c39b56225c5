"""The ladder: what is asked next of a PACS that refuses, stalls, or says Success and sends nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dicomcore.planner.ladder import MOVE_DESTINATION_UNKNOWN, Action, Ladder, Result
from dicomcore.ports import QueryLevel

IMAGE, SERIES, STUDY = QueryLevel.IMAGE, QueryLevel.SERIES, QueryLevel.STUDY
FAILURE = 0xC000


def result(
    level: QueryLevel = IMAGE,
    *,
    asked: int = 1,
    missing: int | None = None,
    came: int = 0,
    status: int | None = FAILURE,
    attempt: int = 1,
    alone: bool = False,
) -> Result:
    missing = asked - came if missing is None else missing
    return Result(level, asked, missing, came, status, attempt, alone)


def test_all_there_is_done_whatever_the_status():
    _, action = Ladder().after(result(asked=3, came=3, missing=0, status=FAILURE))

    assert action is Action.DONE


def test_success_with_something_missing_is_asked_again():
    _, action = Ladder().after(result(asked=3, came=2, status=0))

    assert action is Action.AGAIN


def test_a_refused_list_is_split_and_shorter_ones_are_sent_from_then_on():
    ladder, action = Ladder(uid_limit=64).after(result(asked=64))

    assert action is Action.SPLIT
    assert ladder.uid_limit == 32


def test_a_limit_lowered_by_one_bad_instance_is_raised_to_what_was_granted():
    ladder, _ = Ladder(uid_limit=64).after(result(asked=40, came=40, missing=0, status=0))
    for asked in (8, 4, 2):
        ladder, _ = ladder.after(result(asked=asked))
    assert ladder.uid_limit == 1

    ladder, action = ladder.after(result(asked=1, attempt=ladder.attempts))

    assert action is Action.GIVE_UP
    assert ladder.uid_limit == 40


def test_no_answer_is_tried_again_and_then_given_up_without_climbing():
    ladder = Ladder(attempts=2)

    first, again = ladder.after(result(status=None))
    last, action = first.after(result(status=None, attempt=2, alone=True))

    assert (again, action) == (Action.AGAIN, Action.GIVE_UP)
    assert last.level is IMAGE


def test_one_refused_instance_proves_nothing_while_others_are_untried():
    ladder, action = Ladder(attempts=1).after(result())

    assert action is Action.DEFER
    assert ladder.level is IMAGE


def test_a_second_refusal_without_any_grant_climbs_to_the_series():
    ladder, _ = Ladder(attempts=1).after(result())

    ladder, action = ladder.after(result())

    assert action is Action.CLIMB
    assert ladder.level is SERIES


def test_an_instance_refused_where_others_were_granted_is_given_up():
    ladder, _ = Ladder(attempts=1).after(result(came=1, missing=0, status=0))

    ladder, action = ladder.after(result(alone=True))

    assert action is Action.GIVE_UP
    assert ladder.level is IMAGE


def test_the_study_is_asked_for_only_after_instance_and_series_were_refused():
    ladder = Ladder(attempts=1)
    for level in (IMAGE, IMAGE, SERIES, SERIES):
        assert ladder.level is not STUDY
        ladder, _ = ladder.after(result(level))

    assert ladder.level is STUDY


def test_the_study_is_never_asked_for_where_that_is_forbidden():
    ladder = Ladder(attempts=1, study_level=False)
    actions = []
    for level in (IMAGE, IMAGE, SERIES, SERIES):
        ladder, action = ladder.after(result(level, alone=True))
        actions.append(action)

    assert actions[-1] is Action.GIVE_UP
    assert ladder.level is SERIES


def test_success_with_nothing_at_a_level_that_never_granted_climbs_when_attempts_are_used_up():
    _, action = Ladder(attempts=3).after(result(status=0, attempt=3, alone=True))

    assert action is Action.CLIMB


def test_an_unknown_destination_is_given_up_at_once():
    _, action = Ladder().after(result(asked=9, status=MOVE_DESTINATION_UNKNOWN))

    assert action is Action.GIVE_UP


statuses = st.sampled_from([None, 0x0000, 0xB000, 0xA701, 0xA702, 0xA900, 0xC000, 0xFE00, 0x0122])


@settings(max_examples=500)
@given(st.data(), st.integers(1, 64), st.integers(1, 5))
def test_one_errand_always_ends(data, asked, attempts):
    """However a peer answers, an errand that brings nothing ends after a bounded number of tries."""
    ladder, level, attempt, tries = Ladder(attempts=attempts), IMAGE, 1, 0
    while True:
        tries += 1
        # each halving of the list, and each of the three levels, has its attempts
        assert tries <= (6 + 3) * attempts
        status = data.draw(statuses)
        ladder, action = ladder.after(
            result(level, asked=asked, status=status, attempt=attempt, alone=True)
        )
        assert 1 <= ladder.uid_limit <= 64
        if action is Action.GIVE_UP:
            return
        if action is Action.SPLIT:
            asked, attempt = max(1, asked // 2), 1
        elif action is Action.CLIMB:
            above = ladder.above(level)
            assert above is not None
            level, attempt = above, 1
        else:
            attempt += 1
