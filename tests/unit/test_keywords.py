"""Keywords of the data dictionary, by a part of them."""

from __future__ import annotations

from dicomcore.keywords import Keyword, keywords_like


def test_a_keyword_is_found_by_its_beginning_in_any_case() -> None:
    found = keywords_like("beamseq", limit=5)

    assert found[0] == Keyword("BeamSequence", "(300A,00B0)", "Beam Sequence", "SQ")


def test_keywords_that_start_with_the_text_come_before_those_that_hold_it() -> None:
    found = [one.keyword for one in keywords_like("MachineName", limit=50)]

    starting = [keyword.startswith("MachineName") for keyword in found]
    assert "TreatmentMachineName" in found
    assert starting == sorted(starting, reverse=True)


def test_never_more_are_told_than_asked_for() -> None:
    assert len(keywords_like("Sequence", limit=7)) == 7


def test_what_no_keyword_holds_finds_none() -> None:
    assert keywords_like("Nonsense", limit=10) == ()
