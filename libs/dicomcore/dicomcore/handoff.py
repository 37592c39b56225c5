"""The patient list that ESAPIPatientBrowser hands over: read, and written in the same form.

Keys are in camelCase or PascalCase. A patient counts unless `isSelected` is false; a plan counts only if
`isSelected` is true. What is absent is empty; what is of another kind than it should be is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dicomcore.errors import InvalidRequest

MOST_PATIENTS = 100_000
LONGEST_TEXT = 1024


@dataclass(frozen=True, slots=True)
class HandOffPlan:
    """One plan."""

    patient_id: str = field(repr=False)
    course_id: str = field(repr=False)
    plan_id: str = field(repr=False)
    approval_status: str = ""
    total_dose: float | None = None
    """As the browser says it, in Gy as a rule."""
    number_of_fractions: int | None = None
    structure_set_id: str = field(default="", repr=False)
    selected: bool = False


@dataclass(frozen=True, slots=True)
class HandOffPatient:
    """One patient."""

    patient_id: str = field(repr=False)
    first_name: str = field(default="", repr=False)
    last_name: str = field(default="", repr=False)
    date_of_birth: str = field(default="", repr=False)
    selected: bool = True
    plans: tuple[HandOffPlan, ...] = ()


@dataclass(frozen=True, slots=True)
class HandOffObjectives:
    """A file of optimisation objectives, below the staging path."""

    patient_id: str = field(repr=False)
    course_id: str = field(repr=False)
    plan_id: str = field(repr=False)
    file_name: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HandOff:
    """A whole list."""

    patients: tuple[HandOffPatient, ...] = ()
    export_date_time: str = ""
    has_objectives: bool = False
    objectives_staging_path: str = field(default="", repr=False)
    objective_files: tuple[HandOffObjectives, ...] = ()


def read_hand_off(text: str) -> HandOff:
    """Return the list in a file.

    Raises
    ------
    InvalidRequest
        It is no JSON, no list of patients, or something in it is of another kind than it should be:
        `pointer` (RFC 6901) says where.
    """
    try:
        document = json.loads(text.removeprefix("\ufeff"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidRequest("the list is not JSON") from None
    top = _Node(document, "")
    patients = top.items("patients")
    if len(patients) > MOST_PATIENTS:
        raise InvalidRequest("the list is too long", most=MOST_PATIENTS)
    return HandOff(
        patients=tuple(map(_patient, patients)),
        export_date_time=top.text("exportDateTime"),
        has_objectives=top.flag("hasObjectives", default=False),
        objectives_staging_path=top.text("objectivesStagingPath"),
        objective_files=tuple(
            HandOffObjectives(
                patient_id=file.text("patientId"),
                course_id=file.text("courseId"),
                plan_id=file.text("planId"),
                file_name=file.text("fileName"),
            )
            for file in top.items("objectiveFiles", required=False)
        ),
    )


def write_hand_off(hand_off: HandOff) -> str:
    """Return the list as a file: camelCase, in the order of the original."""
    document = {
        "exportDateTime": hand_off.export_date_time,
        "totalPatients": len(hand_off.patients),
        "totalPlans": sum(len(patient.plans) for patient in hand_off.patients),
        "hasObjectives": hand_off.has_objectives or bool(hand_off.objective_files),
        "objectivesStagingPath": hand_off.objectives_staging_path,
        "objectiveFiles": [
            {
                "patientId": file.patient_id,
                "courseId": file.course_id,
                "planId": file.plan_id,
                "fileName": file.file_name,
            }
            for file in hand_off.objective_files
        ],
        "patients": [
            {
                "patientId": patient.patient_id,
                "firstName": patient.first_name,
                "lastName": patient.last_name,
                "dateOfBirth": patient.date_of_birth,
                "isSelected": patient.selected,
                "plans": [_plan_out(plan) for plan in patient.plans],
            }
            for patient in hand_off.patients
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _plan_out(plan: HandOffPlan) -> Mapping[str, object]:
    return {
        "patientId": plan.patient_id,
        "courseId": plan.course_id,
        "planId": plan.plan_id,
        "approvalStatus": plan.approval_status,
        "totalDose": plan.total_dose,
        "numberOfFractions": plan.number_of_fractions,
        "structureSetId": plan.structure_set_id,
        "isSelected": plan.selected,
    }


def _patient(node: _Node) -> HandOffPatient:
    patient_id = node.text("patientId")
    if not patient_id.strip():
        raise InvalidRequest("a patient has no ID", pointer=f"{node.pointer}/patientId")
    return HandOffPatient(
        patient_id=patient_id,
        first_name=node.text("firstName"),
        last_name=node.text("lastName"),
        date_of_birth=node.text("dateOfBirth"),
        selected=node.flag("isSelected", default=True),
        plans=tuple(_plan(plan, patient_id) for plan in node.items("plans", required=False)),
    )


def _plan(node: _Node, patient_id: str) -> HandOffPlan:
    plan_id = node.text("planId")
    if not plan_id:
        raise InvalidRequest("a plan has no ID", pointer=f"{node.pointer}/planId")
    fractions = node.number("numberOfFractions")
    return HandOffPlan(
        patient_id=node.text("patientId") or patient_id,
        course_id=node.text("courseId"),
        plan_id=plan_id,
        approval_status=node.text("approvalStatus"),
        total_dose=node.number("totalDose"),
        number_of_fractions=None if fractions is None else round(fractions),
        structure_set_id=node.text("structureSetId"),
        selected=node.flag("isSelected", default=False),
    )


class _Node:
    """An object of the document, asked for its members under either spelling."""

    def __init__(self, value: object, pointer: str) -> None:
        if not isinstance(value, Mapping):
            raise InvalidRequest("not an object", pointer=pointer or "/")
        self._value = value
        self.pointer = pointer

    def text(self, name: str) -> str:
        """Return a text; numbers as they are written, for an ID may be one."""
        value = self._member(name)
        if value is None:
            return ""
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or len(value) > LONGEST_TEXT:
            raise self._wrong("not a text", name)
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._member(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong("neither true nor false", name)
        return value

    def number(self, name: str) -> float | None:
        """Return a number; None where there is none."""
        value = self._member(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong("not a number", name)
        if not math.isfinite(value) or abs(value) > 1e9:
            raise self._wrong("not a number", name)
        return value

    def items(self, name: str, *, required: bool = True) -> Sequence[_Node]:
        """Return the objects of a list."""
        value = self._member(name)
        if value is None and not required:
            return ()
        if not isinstance(value, list):
            raise self._wrong("not a list", name)
        pointer = f"{self.pointer}/{name}"
        return [_Node(each, f"{pointer}/{place}") for place, each in enumerate(value)]

    def _member(self, name: str) -> object:
        if name in self._value:
            return self._value[name]
        return self._value.get(name[:1].upper() + name[1:])

    def _wrong(self, what: str, name: str) -> InvalidRequest:
        return InvalidRequest(what, pointer=f"{self.pointer}/{name}")


def _no_constant(name: str) -> float:
    raise ValueError(name)  # NaN and Infinity are no JSON (RFC 8259 6)
