"""The semicolon list of patients, and folders that no ID can lead out of."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.naming import folder_name
from dicomtools.patients import check_patient_id, parse_patients
from dicomtools.problems import CommandProblem

IDS = st.text(min_size=1, max_size=20).map(str.strip).filter(lambda t: t and "\\" not in t)


def test_one_patient_is_exported_to_the_path_itself() -> None:
    (patient,) = parse_patients(" KU_PMRT_9 ;")

    assert (patient.patient_id, patient.folder) == ("KU_PMRT_9", "")


def test_several_patients_have_folders_of_their_own_in_order_and_once() -> None:
    patients = parse_patients("B;A;B; ;C")

    assert [(p.patient_id, p.folder) for p in patients] == [("B", "B"), ("A", "A"), ("C", "C")]


def test_a_semicolon_after_a_backslash_belongs_to_the_id() -> None:
    assert [p.patient_id for p in parse_patients(r"A\;B;C")] == ["A;B", "C"]


@given(st.lists(IDS, min_size=1, max_size=5, unique=True))
def test_a_list_reads_back_as_it_was_written(patient_ids: list[str]) -> None:
    text = ";".join(patient_id.replace(";", r"\;") for patient_id in patient_ids)

    assert [p.patient_id for p in parse_patients(text)] == patient_ids


@given(st.lists(IDS, min_size=2, max_size=5, unique=True))
def test_no_two_patients_share_a_folder_on_any_system(patient_ids: list[str]) -> None:
    text = ";".join(patient_id.replace(";", r"\;") for patient_id in patient_ids)

    folders = [p.folder.casefold() for p in parse_patients(text)]

    assert len(set(folders)) == len(patient_ids)


@given(st.text(max_size=40) | st.sampled_from(["..", ".", "con", "LPT1.x", "a/../..", "x. ", "C:"]))
def test_a_folder_name_is_one_name_on_any_system(patient_id: str) -> None:
    name = folder_name(patient_id)

    assert re.search(r'[<>:"/\\|?*\x00-\x1f]', name) is None
    assert name
    assert not name.startswith(".")
    assert not name.endswith((".", " "))
    assert re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name) is None


@pytest.mark.parametrize("text", ["", " ; ", ";"])
def test_a_list_without_an_id_is_a_problem(text: str) -> None:
    with pytest.raises(CommandProblem):
        parse_patients(text)


@pytest.mark.parametrize("patient_id", ["A*", "?", "a\\b", "a\tb", "x" * 65])
def test_an_id_that_would_match_others_or_is_none_is_refused(patient_id: str) -> None:
    with pytest.raises(CommandProblem):
        check_patient_id(patient_id)


def test_an_ordinary_id_is_accepted() -> None:
    check_patient_id("KU_PMRT 9-ä")
