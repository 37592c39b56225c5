"""Attribute matching of the demo PACS, rule by rule (PS3.4 C.2.2.2)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sequence import Sequence

from dicomtools.demo.matching import matches


def dataset(**attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize(
    ("keyword", "key", "value", "expected"),
    [
        # single value: case counts, and the whole value
        ("PatientID", "DEMO-1", "DEMO-1", True),
        ("PatientID", "demo-1", "DEMO-1", False),
        ("PatientID", "DEMO", "DEMO-1", False),
        ("RTPlanLabel", "A.B", "AxB", False),
        # universal
        ("PatientID", "", "DEMO-1", True),
        ("PatientID", "", "", True),
        # a value does not match nothing
        ("PatientID", "DEMO-1", "", False),
        # wildcards
        ("PatientID", "DEMO*", "DEMO-1", True),
        ("PatientID", "DEMO-?", "DEMO-1", True),
        ("PatientID", "DEMO-?", "DEMO-12", False),
        ("RTPlanLabel", "*7F", "PROST_7F", True),
        # names without case, trailing separators aside
        ("PatientName", "demo^plans", "DEMO^PLANS", True),
        ("PatientName", "DEMO^PLANS^^", "DEMO^PLANS", True),
        ("PatientName", "DEMO", "DEMO^PLANS", False),
        # UIDs are no patterns
        ("StudyInstanceUID", "1.2.3", "1.2.3", True),
        ("StudyInstanceUID", "1.2.3", "1.2.34", False),
        ("StudyInstanceUID", ["1.2.3", "1.2.4"], "1.2.4", True),
        ("StudyInstanceUID", ["1.2.3", "1.2.4"], "1.2.5", False),
        # ranges
        ("StudyDate", "20240501-20240601", "20240501", True),
        ("StudyDate", "20240501-20240601", "20240601", True),
        ("StudyDate", "20240501-20240601", "20240602", False),
        ("StudyDate", "-20240601", "20230101", True),
        ("StudyDate", "20240501-", "20240430", False),
        ("StudyTime", "10-11", "113000", True),
        # numbers by value
        ("SeriesNumber", "3", "03", True),
        ("SeriesNumber", "3", "4", False),
        # any of several values
        ("ImageType", "AXIAL", ["ORIGINAL", "PRIMARY", "AXIAL"], True),
        ("ImageType", "DRR", ["ORIGINAL", "PRIMARY", "AXIAL"], False),
    ],
)
def test_one_key(keyword: str, key: Any, value: Any, expected: bool) -> None:
    assert matches(dataset(**{keyword: key}), dataset(**{keyword: value})) is expected


def test_every_key_must_match() -> None:
    candidate = dataset(PatientID="DEMO-1", Modality="CT")

    assert matches(dataset(PatientID="DEMO-1", Modality="CT"), candidate)
    assert not matches(dataset(PatientID="DEMO-1", Modality="MR"), candidate)


def test_a_key_that_the_candidate_lacks_matches_only_if_empty() -> None:
    assert matches(dataset(RTPlanLabel=""), dataset(PatientID="DEMO-1"))
    assert not matches(dataset(RTPlanLabel="A"), dataset(PatientID="DEMO-1"))


def test_level_and_character_set_are_no_keys() -> None:
    identifier = dataset(QueryRetrieveLevel="STUDY", SpecificCharacterSet="ISO_IR 100")

    assert matches(identifier, dataset(PatientID="DEMO-1"))


def plans(*uids: str) -> Sequence:
    return Sequence(dataset(ReferencedSOPInstanceUID=uid) for uid in uids)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (plans("1.2"), True),
        (plans("1.3"), True),
        (plans("1.4"), False),
        (plans(""), True),
        (Sequence(), True),
    ],
)
def test_a_sequence_matches_if_any_of_its_items_does(key: Sequence, expected: bool) -> None:
    candidate = dataset(ReferencedRTPlanSequence=plans("1.2", "1.3"))

    assert matches(dataset(ReferencedRTPlanSequence=key), candidate) is expected


def test_a_sequence_with_a_value_does_not_match_an_absent_one() -> None:
    key = dataset(ReferencedRTPlanSequence=plans("1.2"))

    assert not matches(key, dataset(PatientID="DEMO-1"))


TEXT = st.text(alphabet="AB.+[(^$|_-", min_size=1, max_size=8)


@given(TEXT)
def test_text_matches_itself_whatever_signs_it_holds(text: str) -> None:
    assert matches(dataset(RTPlanLabel=text), dataset(RTPlanLabel=text))


@given(TEXT, TEXT)
def test_a_star_stands_for_any_rest(start: str, rest: str) -> None:
    assert matches(dataset(SeriesDescription=start + "*"), dataset(SeriesDescription=start + rest))
