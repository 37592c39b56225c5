"""C-FIND keys before they go out, and replies after they came in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sequence import Sequence

from dicomcore.errors import InvalidRequest
from qr_gateway.matching import checked_keys, compare


def reply(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def matches(asked: dict[str, str], **attributes: object) -> bool:
    return len(compare([reply(**attributes)], asked).matches) == 1


@pytest.mark.parametrize(
    "keys",
    [
        {"PatientID": "P 1"},
        {"PatientID": ""},
        {"StudyInstanceUID": "1.2.3"},
        {"StudyInstanceUID": "1.2.3\\1.2.4"},
        {"StudyDate": "20260101-20261231"},
        {"StudyDate": "-20261231"},
        {"StudyTime": "0800-0900"},
        {"BeamSequence/TreatmentMachineName": "LINAC 1"},
        {"ReferencedRTPlanSequence/ReferencedSOPInstanceUID": ""},
        {"BeamSequence": ""},
        {"NumberOfStudyRelatedInstances": ""},
        {"PatientName": "Müller^Jürgen"},
    ],
)
def test_plain_keys_are_sent_as_they_are(keys: dict[str, str]) -> None:
    assert checked_keys(keys, allow_wildcards=False) == keys


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"PatientID": "P*"}, "wildcard"),
        ({"PatientID": "P?"}, "wildcard"),
        ({"PatientID": "A\\B"}, "wildcard"),
        ({"PatientID": "A\x1b"}, "control character"),
        ({"StudyInstanceUID": "1.2.*"}, "not a UID"),
        ({"StudyInstanceUID": "1.2\\"}, "not a UID"),
        ({"StudyDate": "2026*"}, "date or time"),
        ({"StudyDate": "yesterday"}, "date or time"),
        ({"PatientIdentity": "P"}, "not in the data dictionary"),
        ({"": ""}, "not in the data dictionary"),
        ({"(0010,0020)": "P"}, "not in the data dictionary"),
        ({"PatientID/PatientID": "P"}, "through sequences"),
        ({"BeamSequence": "x"}, "no value"),
        ({"QueryRetrieveLevel": "STUDY"}, "set by the query"),
        ({"SpecificCharacterSet": ""}, "set by the query"),
        ({"/".join(["BeamSequence"] * 9): ""}, "too deep"),
    ],
)
def test_what_a_pacs_would_read_otherwise_is_refused(keys: dict[str, str], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why) as caught:
        checked_keys({"Modality": "", **keys}, allow_wildcards=False)

    assert caught.value.facts == {"position": 2}


@pytest.mark.parametrize("keys", [{"PatientID": "P*"}, {"PatientName": "D?e^*"}])
def test_wildcards_are_sent_when_they_are_allowed(keys: dict[str, str]) -> None:
    assert checked_keys(keys, allow_wildcards=True) == keys


@pytest.mark.parametrize(
    "keys", [{"StudyInstanceUID": "1.2.*"}, {"StudyDate": "2026*"}, {"PatientID": "A\\*"}]
)
def test_wildcards_are_for_text_only(keys: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        checked_keys(keys, allow_wildcards=True)


@pytest.mark.parametrize(
    ("keyword", "asked", "found", "same"),
    [
        ("PatientID", "P1", "P1", True),
        ("PatientID", "P1 ", "P1", True),
        ("PatientID", "P1", "P10", False),
        ("PatientID", "P1", "p1", False),
        ("PatientID", "P.1", "PX1", False),
        ("PatientID", "P1", "", False),
        ("PatientID", "P*", "P10", True),
        ("PatientID", "P?", "P10", False),
        ("PatientName", "DOE^JANE", "Doe^Jane^^", True),
        ("PatientName", "Doe^Jane", "Doe^John", False),
        ("PatientName", "Yamada^Tarou", "Yamada^Tarou=山田^太郎", True),
        ("StudyInstanceUID", "1.2\\1.3", "1.3", True),
        ("StudyInstanceUID", "1.2\\1.3", "1.30", False),
        ("StudyDate", "20260101", "20260101", True),
        ("StudyDate", "20260101", "20260102", False),
        ("StudyDate", "20260101-20260131", "20260131", True),
        ("StudyDate", "20260101-20260131", "20260201", False),
        ("StudyDate", "20260101-", "20270101", True),
        ("StudyDate", "-20260101", "20270101", False),
        ("SeriesNumber", "7", "07", True),
        ("SeriesNumber", "7", "70", False),
        ("ModalitiesInStudy", "RTPLAN", ["CT", "RTPLAN"], True),
        ("ModalitiesInStudy", "RTPLAN", ["CT", "MR"], False),
        ("ModalitiesInStudy", "RTPLAN", "RTPLAN", True),
    ],
)
def test_replies_are_compared_by_their_vr(
    keyword: str, asked: str, found: object, same: bool
) -> None:
    assert matches({keyword: asked}, **{keyword: found}) is same


def test_a_match_may_be_in_any_item_of_a_sequence() -> None:
    beams = Sequence([reply(TreatmentMachineName="A"), reply(TreatmentMachineName="B")])
    key = "BeamSequence/TreatmentMachineName"

    assert matches({key: "B"}, BeamSequence=beams)
    assert not matches({key: "C"}, BeamSequence=beams)


def test_a_reply_that_does_not_say_whose_it_is_is_dropped() -> None:
    compared = compare([reply(Modality="CT"), reply(PatientID="")], {"PatientID": "P1"})

    assert (compared.matches, compared.dropped) == ((), 2)


def test_an_optional_key_that_is_not_answered_is_said_to_be_unverified() -> None:
    compared = compare(
        [reply(PatientID="P1"), reply(PatientID="P1", Modality="CT"), reply(PatientID="P1")],
        {"PatientID": "P1", "Modality": "CT", "StudyTime": "0800", "StudyDate": ""},
    )

    assert len(compared.matches) == 3
    assert compared.unverified == ("Modality", "StudyTime")


def test_without_keys_every_reply_matches() -> None:
    assert len(compare([reply(), reply(PatientID="P1")], {"PatientID": ""}).matches) == 2


TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="*?\\"),
    min_size=1,
    max_size=16,
).filter(lambda text: text == text.strip(" \0"))


@given(TEXT, TEXT)
def test_a_plain_value_matches_itself_and_nothing_else(asked: str, other: str) -> None:
    assert matches({"StudyDescription": asked}, StudyDescription=asked)
    assert matches({"StudyDescription": asked}, StudyDescription=other) is (asked == other)
