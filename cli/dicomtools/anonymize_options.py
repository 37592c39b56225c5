"""How an export is to be anonymised, checked as a whole before anything is retrieved."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dicomcore.deident import (
    SHIPPED,
    BurnedIn,
    Options,
    PatientIdentity,
    Profile,
    Seal,
    parse_options,
    parse_profile,
    shipped_profile,
)
from dicomcore.deident.identifiers import MIN_ID
from dicomcore.deident.uid_map import KeyedMap
from dicomcore.errors import InvalidRequest
from dicomio.exporting import anonymisation as exporting
from dicomio.sealed import Recipients, load_certificates, seal
from dicomtools.config import Values, setting
from dicomtools.patients import Patient
from dicomtools.problems import CommandProblem
from dicomtools.pseudonym_map import DEFAULT_NAME, PseudonymMap
from dicomtools.settings import Layer

SECTION = "DicomAnonymizer"
DEFAULT_PROFILE = "AriaSecurityProfile.csv"
DEFAULT_OPTIONS = ("CleanDesc", "RetainDeviceIdent")
KEY_BYTES = 32
_ENCRYPT = "EncryptAttributes"


@dataclass(frozen=True, slots=True)
class Anonymization(exporting.Anonymization):
    """What is done to every object of an export; the same for all patients of a command."""

    key_is_kept: bool = False
    """Whether the key comes from a file, so that the next export can have the same."""
    pseudonym_map: PseudonymMap | None = None


def anonymization(values: Values, layers: Sequence[Layer]) -> Anonymization | None:
    """Return how to anonymise; None if that was not asked for.

    Raises
    ------
    CommandProblem
        It was asked for in part: what cannot be done whole is not begun.
    """
    if not values.flag("anonymize"):
        _refuse_half(values, layers)
        return None
    if not (values.text("newPatientId").strip() and values.text("newPatientName").strip()):
        raise CommandProblem("--anonymize needs --newPatientId and --newPatientName as well.")
    _refuse_inside(values)
    key_file = values.text("anonymizationKeyFile")
    recipients = _recipients(values.many("mapCertificate"))
    return Anonymization(
        profile=_profile(setting(layers, SECTION, "SecurityProfileFileName")),
        options=_options(setting(layers, SECTION, "SecurityProfileOptions")),
        key=_key(Path(key_file)) if key_file else secrets.token_bytes(KEY_BYTES),
        key_is_kept=bool(key_file),
        pseudonym_map=_map(values, recipients),
        seal=_seal(values, recipients),
        allow_partial=values.flag("allowPartialExport"),
        allowed_burned_in=frozenset(BurnedIn(name) for name in values.many("allowBurnedIn")),
    )


def check_new_names(patients: Iterable[Patient]) -> None:
    """Refuse new names that no object can carry, or that give the old ones away.

    Raises
    ------
    CommandProblem
    """
    for patient in patients:
        try:
            identity_of(patient)
        except InvalidRequest as exc:
            raise CommandProblem(
                "--newPatientId and --newPatientName have 1 to 64 letters, digits and signs of "
                "ASCII, no backslash, and no space at either end."
            ) from exc
        old, new = patient.patient_id.casefold(), patient.new_patient_id.casefold()
        new_name = patient.new_patient_name.casefold()
        if old in (new, new_name) or (len(old) >= MIN_ID and (old in new or old in new_name)):
            raise CommandProblem("--newPatientId or --newPatientName holds the old patient ID.")


def identity_of(patient: Patient) -> PatientIdentity:
    """Return who the patient is, and who the patient becomes.

    Raises
    ------
    InvalidRequest
        The new ID or name is none.
    """
    return PatientIdentity(
        patient.patient_id,
        new_patient_id=patient.new_patient_id,
        new_patient_name=patient.new_patient_name,
    )


def _refuse_half(values: Values, layers: Sequence[Layer]) -> None:
    """Whoever names a new identity does not expect the old one in the export."""
    names = ("newPatientId", "newPatientName", "anonymizationKeyFile", "mapFile")
    given = [f"--{name}" for name in names if values.text(name)]
    # what the settings have for every anonymisation is asked for here only if the command says so
    for name, key in (("mapCertificate", "MapCertificate"), ("encryptAttributes", _ENCRYPT)):
        if (values.many(name) or values.flag(name)) and setting(layers, SECTION, key) is None:
            given.append(f"--{name}")
    if given:
        raise CommandProblem(
            f"{' and '.join(given)} without --anonymize: the data would be exported as it is, with "
            "the patient's identity. Nothing was retrieved and nothing was written. Give "
            "--anonymize as well, or leave that out."
        )


def _refuse_inside(values: Values) -> None:
    """Nothing that tells who the patient is lies in the folder that is handed on."""
    folder = Path(values.text("path")).resolve()
    for name in ("storePath", "anonymizationKeyFile", "mapFile"):
        text = values.text(name)
        if text and Path(text).resolve().is_relative_to(folder):
            raise CommandProblem(
                f"--{name} lies in --path, beside the anonymised files. Give another place."
            )


def _profile(raw: object) -> Profile:
    name = DEFAULT_PROFILE if raw is None else str(raw).strip()
    where = f"{SECTION}.SecurityProfileFileName"
    path = Path(name)
    try:
        if path.is_file():
            return parse_profile(path.read_text(encoding="utf-8-sig"), name=path.name)
        return shipped_profile(name)
    except UnicodeDecodeError as exc:
        raise CommandProblem(f"{where}: {name} is not text in UTF-8.") from exc
    except OSError as exc:
        raise CommandProblem(f"{where}: {name} cannot be read: {exc.strerror}") from exc
    except InvalidRequest as exc:
        known = " and ".join(SHIPPED)
        raise CommandProblem(
            f"{where}: {name} cannot be used: {exc}. {known} come with the program."
        ) from exc


def _options(raw: object) -> Options:
    try:
        return parse_options(DEFAULT_OPTIONS if raw is None else _names(raw))
    except InvalidRequest as exc:
        raise CommandProblem(f"{SECTION}.SecurityProfileOptions: {exc}") from exc


def _names(raw: object) -> list[str]:
    """Return the names of a list, of an object from the environment, or of one text."""
    if isinstance(raw, Mapping):  # from the environment: place → name
        return [str(name) for name in raw.values()]
    if isinstance(raw, list):
        return [str(name) for name in raw]
    return [name for name in re.split(r"[\s,;]+", str(raw)) if name]


def _key(path: Path) -> bytes:
    """Return the secret in a file, without white space around it."""
    try:
        key = path.read_bytes().strip()
        KeyedMap(key)
    except OSError as exc:
        raise CommandProblem(f"--anonymizationKeyFile cannot be read: {exc.strerror}") from exc
    except InvalidRequest as exc:
        raise CommandProblem(
            "--anonymizationKeyFile holds less than 16 bytes: such a secret could be guessed."
        ) from exc
    return key


def _recipients(files: Sequence[str]) -> Recipients:
    if not files:
        return ()
    try:
        return load_certificates([Path(file) for file in files])
    except InvalidRequest as exc:
        raise CommandProblem(f"--mapCertificate cannot be used: {exc}.") from exc


def _seal(values: Values, recipients: Recipients) -> Seal | None:
    """Return what encrypts the original attributes that go along; None if none do."""
    if not values.flag("encryptAttributes"):
        return None
    if not recipients:
        raise CommandProblem(
            "--encryptAttributes needs --mapCertificate: the certificate of whoever may read the "
            "originals."
        )
    return partial(seal, certificates=recipients)


def _map(values: Values, recipients: Recipients) -> PseudonymMap | None:
    """Return the map; to a certificate it is always written, plain only where a file is named."""
    text = values.text("mapFile")
    if not text:
        beside = Path(values.text("path")).absolute().parent / DEFAULT_NAME
        return PseudonymMap(beside, recipients) if recipients else None
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise CommandProblem("--mapFile is no file in a folder that exists.")
    return PseudonymMap(path, recipients)
