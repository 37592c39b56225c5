"""The patients of an export anonymised, one after another, and all of them judged together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from dicomcore.deident import (
    KnownIdentifiers,
    PatientIdentity,
    Seal,
    parse_options,
    shipped_profile,
)
from dicomcore.errors import InvalidRequest
from dicomcore.export import ExportFile, ManifestAnonymization, ManifestQuarantined
from dicomcore.model import PlanDetails
from dicomcore.ports import ObjectStore
from dicomcore.pseudonym_map import Renamed, encode_map
from dicomio.exporting.anonymisation import Anonymization
from dicomio.exporting.proving import Proven, Prover, released
from dicomio.jobs.states import State
from indexer.exporting.describing import Anonymised
from indexer.exporting.model import Anonymise
from indexer.exporting.resolving import Resolved

NO_CERTIFICATE = "encrypted attributes need a certificate: INDEXER_EXPORT_MAP_CERTIFICATE"


@dataclass(frozen=True, slots=True)
class Proof:
    """What may leave, and under which names."""

    leaving: tuple[Proven, ...]
    quarantined: tuple[ManifestQuarantined, ...]
    known: KnownIdentifiers = field(repr=False)
    """Of all patients: nothing of it may leave."""
    how: Anonymization
    new_uid: Callable[[str], str]
    renamed: tuple[Renamed, ...] = field(repr=False)

    @property
    def failed(self) -> bool:
        """Whether nothing leaves because something was held back."""
        return bool(self.quarantined) and not self.leaving

    def encoded_map(self) -> bytes:
        """Return the pseudonym map."""
        return encode_map(self.renamed)

    def described(self, kept: str) -> Anonymised:
        """Return what the manifest says of it; `kept`: where the map is, in words."""
        labels = {
            one.entry.sop_instance_uid: one.after.details.label
            for one in self.leaving
            if isinstance(one.after.details, PlanDetails)
        }
        said = ManifestAnonymization(
            profile=self.how.profile.name,
            options=tuple(sorted(self.how.options)),
            pseudonym_map=kept,
        )
        return Anonymised(said, self.new_uid, labels)


def anonymization_of(asked: Anonymise, key: bytes, seal: Seal | None) -> Anonymization:
    """Return how it is done.

    Parameters
    ----------
    seal
        Encrypts the originals that go along, if that is asked for.

    Raises
    ------
    InvalidRequest
        The options exclude each other, or nobody is known for whom attributes could be encrypted.
    """
    if asked.encrypt_attributes and seal is None:
        raise InvalidRequest(NO_CERTIFICATE)
    return Anonymization(
        profile=shipped_profile(asked.profile),
        options=parse_options(asked.options),
        key=key,
        allow_partial=asked.allow_partial,
        allowed_burned_in=frozenset(asked.allow_burned_in),
        seal=seal if asked.encrypt_attributes else None,
    )


class Anonymiser:
    """Proves the patients of one export.

    Parameters
    ----------
    folder
        That nobody else reads.
    check
        Called before each object is read; what it raises ends the export.
    """

    def __init__(
        self,
        asked: Anonymise,
        how: Anonymization,
        store: ObjectStore,
        folder: Path,
        check: Callable[[], None],
    ) -> None:
        self._asked = asked
        self._how = how
        self._store = store
        self._folder = folder
        self._check = check

    def prove(
        self,
        patients: Sequence[str],
        files: Sequence[Sequence[ExportFile]],
        resolved: Resolved,
        told: Callable[[int], None],
    ) -> Proof:
        """Return what may leave.

        Parameters
        ----------
        files
            Of each patient, in their order.
        told
            Hears how many objects have been looked at.
        """
        uids = _uids_of(resolved)
        known = KnownIdentifiers()
        proven: list[Proven] = []
        quarantined: list[ManifestQuarantined] = []
        renamed: list[Renamed] = []
        looks = count(1)

        def looked() -> None:
            self._check()
            told(next(looks) // 2)  # each is looked at twice: to learn from it, and to prove it

        new_uid = self._prover("", 0, len(patients), looked).new_uid
        for place, (patient_id, of_patient) in enumerate(zip(patients, files, strict=True)):
            prover = self._prover(patient_id, place, len(patients), looked)
            prover.learn(of_patient, uids)
            known |= prover.known
            good, bad = prover.prove(of_patient)
            proven += good
            quarantined += bad
            if good:
                renamed.append(_renamed(patient_id, prover, good))
        _, leaving = released(
            State.COMPLETE, proven, quarantined, allow_partial=self._how.allow_partial
        )
        return Proof(tuple(leaving), tuple(quarantined), known, self._how, new_uid, tuple(renamed))

    def _prover(
        self, patient_id: str, place: int, number: int, check: Callable[[], None]
    ) -> Prover:
        folder = self._folder / f"patient-{place}"
        folder.mkdir(exist_ok=True)
        new_id, new_name = (
            _numbered(text, place, number)
            for text in (self._asked.new_patient_id, self._asked.new_patient_name)
        )
        identity = PatientIdentity(patient_id, new_patient_id=new_id, new_patient_name=new_name)
        return Prover(self._how, identity, self._store, folder, check)


def _numbered(text: str | None, place: int, number: int) -> str:
    """Return the new name of the patient at a place: `NEW`; of several `NEW-01`, `NEW-02` and on."""
    if not text or number == 1:
        return text or ""
    return f"{text}-{place + 1:0{max(2, len(str(number)))}}"


def _renamed(patient_id: str, prover: Prover, proven: Sequence[Proven]) -> Renamed:
    return Renamed(
        patient_id,
        next((one.before.patient_name for one in proven if one.before.patient_name), ""),
        prover.pseudonym.patient_id,
        prover.pseudonym.patient_name,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _uids_of(resolved: Resolved) -> list[str]:
    return [
        *(one.sop_instance_uid for one in resolved.chosen),
        *(one.uid for one in resolved.missing),
        *(one.uid for one in resolved.dangling),
        *(one.sop_instance_uid for one in resolved.plans),
    ]
