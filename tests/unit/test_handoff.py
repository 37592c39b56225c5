"""The patient list that another program hands over: both spellings, its rules, and what is no list."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.errors import InvalidRequest
from dicomcore.handoff import (
    MOST_PATIENTS,
    HandOff,
    HandOffObjectives,
    HandOffPatient,
    HandOffPlan,
    read_hand_off,
    write_hand_off,
)

DOCUMENT: dict[str, Any] = {
    "exportDateTime": "2026-01-31T12:00:00",
    "totalPatients": 2,
    "totalPlans": 3,
    "hasObjectives": True,
    "objectivesStagingPath": "C:\\Temp\\Objectives",
    "objectiveFiles": [
        {"patientId": "P-1", "courseId": "C1", "planId": "A", "fileName": "P-1_C1_A.json"}
    ],
    "patients": [
        {
            "patientId": "P-1",
            "firstName": "Jane",
            "lastName": "Doe <b>",
            "dateOfBirth": "1950-01-02",
            "isSelected": True,
            "plans": [
                {
                    "patientId": "P-1",
                    "courseId": "C1",
                    "planId": "A",
                    "approvalStatus": "TreatmentApproved",
                    "totalDose": 60.0,
                    "numberOfFractions": 30,
                    "structureSetId": "CT1",
                    "isSelected": True,
                },
                {"courseId": "C1", "planId": "B", "isSelected": False},
                {"planId": "C", "totalDose": None},
            ],
        },
        {"patientId": "P-2"},
        {"patientId": "P-3", "isSelected": False},
    ],
}


def pascal(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[0].upper() + name[1:]: pascal(each) for name, each in value.items()}
    return [pascal(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("spelling", [lambda document: document, pascal])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_list_is_read_in_either_spelling(spelling: Any, mark: str) -> None:
    found = read_hand_off(mark + json.dumps(spelling(DOCUMENT)))

    first, second, third = found.patients
    assert (first.patient_id, first.first_name, first.last_name) == ("P-1", "Jane", "Doe <b>")
    assert first.plans[0] == HandOffPlan(
        "P-1", "C1", "A", "TreatmentApproved", 60.0, 30, "CT1", selected=True
    )
    assert first.plans[1].patient_id == "P-1"
    assert found.objectives_staging_path == "C:\\Temp\\Objectives"
    assert found.objective_files == (HandOffObjectives("P-1", "C1", "A", "P-1_C1_A.json"),)
    # a patient counts unless it says otherwise, a plan only if it says so
    assert [patient.selected for patient in (first, second, third)] == [True, True, False]
    assert [plan.selected for plan in first.plans] == [True, False, False]


def test_an_id_that_was_written_as_a_number_is_its_digits() -> None:
    found = read_hand_off('{"patients": [{"patientId": 4711, "plans": [{"planId": 1}]}]}')

    assert found.patients[0].patient_id == "4711"
    assert found.patients[0].plans[0].plan_id == "1"


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("", None),
        ("{", None),
        ('{"patients": [NaN]}', None),
        ("[" * 100_000, None),
        ("[]", "/"),
        ("{}", "/patients"),
        ('{"patients": {}}', "/patients"),
        ('{"patients": [1]}', "/patients/0"),
        ('{"patients": [{}]}', "/patients/0/patientId"),
        ('{"patients": [{"patientId": " "}]}', "/patients/0/patientId"),
        ('{"patients": [{"patientId": ["x"]}]}', "/patients/0/patientId"),
        ('{"patients": [{"patientId": true}]}', "/patients/0/patientId"),
        ('{"patients": [{"patientId": "x", "isSelected": "no"}]}', "/patients/0/isSelected"),
        ('{"patients": [{"patientId": "x", "plans": [{}]}]}', "/patients/0/plans/0/planId"),
        (
            '{"patients": [{"patientId": "x", "plans": [{"planId": "a", "totalDose": "60"}]}]}',
            "/patients/0/plans/0/totalDose",
        ),
        (
            '{"patients": [{"patientId": "x", "plans": [{"planId": "a", "numberOfFractions": 1e99}]}]}',
            "/patients/0/plans/0/numberOfFractions",
        ),
        ('{"patients": [], "objectiveFiles": 7}', "/objectiveFiles"),
    ],
)
def test_what_is_no_list_is_refused_with_its_place(text: str, pointer: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_hand_off(text)

    assert refused.value.facts.get("pointer") == pointer


def test_a_list_is_written_in_the_form_of_the_original() -> None:
    written = json.loads(write_hand_off(read_hand_off(json.dumps(DOCUMENT))))

    assert list(written) == list(DOCUMENT)
    assert written["patients"][0]["plans"][0] == DOCUMENT["patients"][0]["plans"][0]
    assert written["totalPatients"] == 3
    assert written["totalPlans"] == 3


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
ID = TEXT.filter(lambda text: bool(text.strip()))
PLAN = st.builds(
    HandOffPlan,
    ID,
    TEXT,
    ID,
    TEXT,
    st.none() | st.floats(0, 1e6),
    st.none() | st.integers(0, 1000),
    TEXT,
    selected=st.booleans(),
)
PATIENT = st.builds(
    HandOffPatient, ID, TEXT, TEXT, TEXT, st.booleans(), st.lists(PLAN, max_size=3).map(tuple)
)


@given(patients=st.lists(PATIENT, max_size=4).map(tuple), when=TEXT)
def test_what_is_written_is_read_again(patients: tuple[HandOffPatient, ...], when: str) -> None:
    handed = HandOff(patients, when)

    assert read_hand_off(write_hand_off(handed)) == handed


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["patients", "Patients", "plans", "patientId", "planId", "x"]),
                inner,
            )
        ),
        max_leaves=20,
    )
)
def test_any_document_is_a_list_or_refused(document: Any) -> None:
    try:
        found = read_hand_off(json.dumps(document))
    except InvalidRequest:
        return
    assert all(patient.patient_id for patient in found.patients)


def test_a_list_without_end_is_refused() -> None:
    patient = '{"patientId": "x"},'
    text = f'{{"patients": [{patient * MOST_PATIENTS}{patient[:-1]}]}}'

    with pytest.raises(InvalidRequest):
        read_hand_off(text)
