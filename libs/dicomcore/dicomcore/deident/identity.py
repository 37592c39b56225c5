"""Who a patient is, and who the patient becomes."""

from __future__ import annotations

from dataclasses import dataclass, field

from dicomcore.deident.uid_map import KeyedMap
from dicomcore.errors import InvalidRequest

MAX_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class PatientIdentity:
    """One patient, by the Patient ID (0010,0020) of the originals; nothing of it shows in `repr`.

    Raises
    ------
    InvalidRequest
        A given pseudonym is not 1 to 64 printable ASCII characters without a backslash.
    """

    patient_id: str = field(repr=False)
    new_patient_id: str = field(default="", repr=False)
    """Empty: derived from `patient_id` by the key."""
    new_patient_name: str = field(default="", repr=False)
    """Empty: the new patient ID."""
    other_patient_ids: frozenset[str] = field(default=frozenset(), repr=False)
    """Further Patient IDs under which the same patient's objects may come."""

    def __post_init__(self) -> None:
        for keyword, text in (
            ("PatientID", self.new_patient_id),
            ("PatientName", self.new_patient_name),
        ):
            if text and not _valid(text):
                raise InvalidRequest("not a pseudonym", keyword=keyword, length=len(text))

    def owns(self, patient_id: str) -> bool:
        """Return whether an object with this Patient ID may be the patient's; one without may."""
        wanted = patient_id.strip(" \0")
        known = {self.patient_id, *self.other_patient_ids}
        return not wanted or wanted in {known_id.strip() for known_id in known}


@dataclass(frozen=True, slots=True)
class Pseudonym:
    """What takes the place of a patient's identity; the same for the same key and patient."""

    patient_id: str
    patient_name: str
    shift_days: int = field(repr=False)


def pseudonym_of(identity: PatientIdentity, keyed: KeyedMap) -> Pseudonym:
    """Return what a patient becomes under a key."""
    patient_id = identity.new_patient_id or keyed.pseudonym(identity.patient_id)
    name = identity.new_patient_name or patient_id
    return Pseudonym(patient_id, name, keyed.shift_days(identity.patient_id))


def _valid(text: str) -> bool:
    printable = text.isascii() and text.isprintable() and "\\" not in text
    return printable and text.strip() == text and len(text) <= MAX_CHARACTERS
