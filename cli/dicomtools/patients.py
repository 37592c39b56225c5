"""The patients of one command: the semicolon list, what an ID may be, and each one's folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dicomcore.naming import folder_name, folder_names, numbered
from dicomtools.problems import CommandProblem

MAX_LENGTH = 64
_SEPARATOR = re.compile(r"(?<!\\);")


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient of a command."""

    patient_id: str = field(repr=False)
    folder: str = field(repr=False)
    """Below the export path; empty for the export path itself."""
    new_patient_id: str = ""
    """Of an anonymised export; empty if it is none."""
    new_patient_name: str = ""

    @property
    def shown(self) -> str:
        """By what the patient is named on the terminal."""
        return self.new_patient_id or self.patient_id


def parse_patients(text: str) -> list[Patient]:
    r"""Return the patients of a semicolon list, each once, in order.

    One patient's files go to the export path itself; of several, each has a folder named after the
    ID. A semicolon that belongs to an ID is written `\;`: no ID can hold a backslash (PS3.5 6.2).

    Raises
    ------
    CommandProblem
        There is no ID in the list.
    """
    parts = (part.replace(r"\;", ";").strip() for part in _SEPARATOR.split(text))
    patient_ids = list(dict.fromkeys(part for part in parts if part))
    if not patient_ids:
        raise CommandProblem("--patientId holds no patient ID.")
    if len(patient_ids) == 1:
        return [Patient(patient_ids[0], "")]
    return [
        Patient(patient_id, folder)
        for patient_id, folder in zip(patient_ids, folder_names(patient_ids), strict=True)
    ]


def renamed(patients: Sequence[Patient], new_id: str, new_name: str) -> list[Patient]:
    """Return the patients under their new names; several are numbered from `NEW-01` on.

    The folders of several patients carry the new IDs.

    Notes
    -----
    The number is the place in the list: the same list gives the same names.
    """
    if len(patients) == 1:
        return [replace(patients[0], new_patient_id=new_id, new_patient_name=new_name)]
    count = len(patients)
    return [
        replace(
            patient,
            folder=folder_name(patient_id),
            new_patient_id=patient_id,
            new_patient_name=patient_name,
        )
        for patient, patient_id, patient_name in zip(
            patients, numbered(new_id, count), numbered(new_name, count), strict=True
        )
    ]


def check_patient_id(patient_id: str) -> None:
    """Refuse what is no Patient ID (0010,0020), or would ask for more than one patient.

    Raises
    ------
    CommandProblem

    Notes
    -----
    PS3.5 6.2, LO. A DICOM system takes `*` and `?` as wild cards (PS3.4 C.2.2.2.4): they would
    retrieve other patients.
    """
    if any(ord(character) < 32 for character in patient_id) or "\\" in patient_id:
        raise CommandProblem("A patient ID holds no backslash and no control character.")
    if "*" in patient_id or "?" in patient_id:
        raise CommandProblem(
            "A patient ID with * or ? is not sent: the DICOM system would take it as a pattern "
            "that other patients match too."
        )
    if len(patient_id) > MAX_LENGTH:
        raise CommandProblem(f"A patient ID has at most {MAX_LENGTH} characters.")
