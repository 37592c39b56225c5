"""Batch files: one command for each patient and plan, what fails is noted, the rest goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from dicomcore.catalogue import exact
from dicomcore.command_words import Operation, OptionValue, words_of
from dicomcore.errors import InvalidRequest
from dicomcore.naming import folder_name, folder_names, numbered
from dicomcore.shell import Shell, check, command_line

LONGEST_ID = 64
MAP_FILE = "anonymization_map.csv"
_OF_PATIENTS = frozenset({Operation.RETRIEVE, Operation.SHOW, Operation.DOCTOR})


@dataclass(frozen=True, slots=True)
class BatchPatient:
    """One patient, and which plans."""

    patient_id: str = field(repr=False)
    plans: tuple[str, ...] = field(default=(), repr=False)
    """RT Plan Labels; none: all of the patient."""


@dataclass(frozen=True, slots=True)
class ObjectiveFile:
    """A file of optimisation objectives that belongs to a patient."""

    patient_id: str = field(repr=False)
    file_name: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Objectives:
    """Files that are copied into their patients' folders."""

    folder: str = ""
    files: tuple[ObjectiveFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is to be done, in one file or as single commands."""

    operation: Operation
    shell: Shell
    program: str = "dicomtools"
    options: Mapping[str, OptionValue] = field(default_factory=lambda: MappingProxyType({}))
    """By the command's own names, but for `patientId` and `planId`."""
    patients: tuple[BatchPatient, ...] = ()
    objectives: Objectives = Objectives()

    @property
    def anonymised(self) -> bool:
        """Whether the patients get new names."""
        return self.operation is Operation.RETRIEVE and self.options.get("anonymize") is True


@dataclass(frozen=True, slots=True)
class BatchCommand:
    """One command."""

    text: str = field(repr=False)
    words: tuple[str, ...] = field(repr=False)
    patient: int | None = None
    """Place in the list, from 1."""
    plan: int | None = None
    """Place in the patient's list, from 1."""
    folder: str = field(default="", repr=False)
    """Of a retrieval: where its files go."""
    patient_folder: str = field(default="", repr=False)


def commands_of(batch: Batch, *, unattended: bool = False) -> list[BatchCommand]:
    """Return the commands, in the order of patients and plans.

    Parameters
    ----------
    unattended
        Nobody is there to be asked whether to write into a folder that holds something.

    Raises
    ------
    InvalidRequest
        With a `pointer` to what cannot be done, or not be said in the shell.
    """
    for name in ("patientId", "planId"):
        if name in batch.options:
            raise InvalidRequest("patients and plans are a list", pointer=f"/options/{name}")
    _check_texts(batch)
    if not batch.patients:
        return [_command(batch, {})]
    if batch.operation not in _OF_PATIENTS:
        raise InvalidRequest("this command is not for patients", pointer="/patients")
    for place, patient in enumerate(batch.patients):
        _check_patient(patient, place)
    if len({patient.patient_id for patient in batch.patients}) < len(batch.patients):
        raise InvalidRequest("a patient is listed twice", pointer="/patients")
    if batch.operation is not Operation.RETRIEVE:
        return [
            _command(batch, {"patientId": patient.patient_id}, place)
            for place, patient in enumerate(batch.patients, start=1)
        ]
    return _retrievals(batch, unattended=unattended)


def join(folder: str, name: str, shell: Shell) -> str:
    """Return a path below a folder, as the shell's system writes it."""
    if not folder or not name:
        return folder or name
    separator = "\\" if shell is Shell.BAT else "/"
    return folder + name if folder.endswith(("/", separator)) else folder + separator + name


def _retrievals(batch: Batch, *, unattended: bool) -> list[BatchCommand]:
    count = len(batch.patients)
    base = str(batch.options.get("path", ""))
    several: list[dict[str, OptionValue]] = [{} for _ in batch.patients]
    folders = folder_names([patient.patient_id for patient in batch.patients])
    if batch.anonymised:
        new = [numbered(_pseudonym(batch, name), count) for name in _NEW]
        several = [dict(zip(_NEW, names, strict=True)) for names in zip(*new, strict=True)]
        folders = [folder_name(name) for name in new[0]]
    commands: list[BatchCommand] = []
    for place, patient in enumerate(batch.patients, start=1):
        of_patient = join(base, folders[place - 1], batch.shell) if count > 1 else base
        # a label may tell who the patient is
        labels = (
            numbered("plan", len(patient.plans))
            if batch.anonymised
            else folder_names(patient.plans)
        )
        changed: dict[str, OptionValue] = {
            "patientId": patient.patient_id.replace(";", "\\;"),  # a list, for the command line
            **several[place - 1],
        }
        if batch.anonymised and "mapFile" not in batch.options:
            changed["mapFile"] = MAP_FILE
        if unattended:
            changed["force"] = True
        for number, label in enumerate(patient.plans or ("",), start=1):
            own = len(patient.plans) > 1
            folder = join(of_patient, labels[number - 1], batch.shell) if own else of_patient
            commands.append(
                _command(
                    batch,
                    {**changed, "planId": label, "path": folder},
                    place,
                    number if label else None,
                    of_patient,
                )
            )
    return commands


_NEW = ("newPatientId", "newPatientName")


def _pseudonym(batch: Batch, name: str) -> str:
    value = batch.options.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest("whoever is anonymised needs a new name", pointer=f"/options/{name}")
    return value.strip()


def _command(
    batch: Batch,
    changed: Mapping[str, OptionValue],
    patient: int | None = None,
    plan: int | None = None,
    patient_folder: str = "",
) -> BatchCommand:
    words = [batch.program, *words_of(batch.operation, {**batch.options, **changed})]
    try:
        text = command_line(words, batch.shell)
    except InvalidRequest as exc:
        # every text has been looked at: what is left is the length of the line
        where = "/options" if patient is None else f"/patients/{patient - 1}"
        raise InvalidRequest(exc.sentence, pointer=where) from exc
    return BatchCommand(
        text=text,
        words=tuple(words),
        patient=patient,
        plan=plan,
        folder=str(changed.get("path", "")),
        patient_folder=patient_folder,
    )


def _check_texts(batch: Batch) -> None:
    """Refuse what the shell cannot express, and say where it stands."""
    try:
        command_line([batch.program], batch.shell)
    except InvalidRequest as exc:
        raise InvalidRequest(exc.sentence, pointer="/program") from exc
    words_of(batch.operation, batch.options)  # names and kinds, before their texts
    for name, value in batch.options.items():
        for text in _texts(value):
            _checked(text, batch.shell, f"/options/{name}")
    for place, patient in enumerate(batch.patients):
        _checked(patient.patient_id, batch.shell, f"/patients/{place}/patient_id")
        for number, label in enumerate(patient.plans):
            _checked(label, batch.shell, f"/patients/{place}/plans/{number}")


def _checked(text: str, shell: Shell, pointer: str) -> None:
    try:
        check(text, shell)
    except InvalidRequest as exc:
        raise InvalidRequest(exc.sentence, pointer=pointer) from exc


def _texts(value: OptionValue) -> Sequence[str]:
    if isinstance(value, bool | int):
        return ()
    return (value,) if isinstance(value, str) else value


def _check_patient(patient: BatchPatient, place: int) -> None:
    pointer = f"/patients/{place}"
    try:
        exact(patient.patient_id)
    except InvalidRequest as exc:
        raise InvalidRequest(exc.sentence, pointer=f"{pointer}/patient_id") from exc
    if not patient.patient_id.strip() or len(patient.patient_id) > LONGEST_ID:
        raise InvalidRequest("a patient ID has 1 to 64 characters", pointer=f"{pointer}/patient_id")
    if "" in patient.plans:
        raise InvalidRequest("a plan has a label", pointer=f"{pointer}/plans")
    if len(set(patient.plans)) < len(patient.plans):
        raise InvalidRequest("a plan is listed twice", pointer=f"{pointer}/plans")
