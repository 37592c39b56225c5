"""One patient's objects anonymised: each rewritten, written, read again and compared with its original.

What cannot be promised to be anonymous and whole is held back, and named by what it would have become.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dicomcore.deident import (
    Deidentifier,
    IdentifierCollector,
    KnownIdentifiers,
    Option,
    PatientIdentity,
    Pseudonym,
    Verifier,
    burned_in,
    reference_findings,
)
from dicomcore.deident.identifiers import MIN_ID
from dicomcore.errors import Rejected, Unavailable
from dicomcore.export import ExportFile, ManifestInstance, ManifestQuarantined, file_name
from dicomcore.header import read_header
from dicomcore.keys import parse_object_key
from dicomcore.model import InstanceHeader
from dicomcore.ports import ObjectStore
from dicomio.byte_scan import TextsRuledOut
from dicomio.exporting.anonymisation import Anonymization
from dicomio.exporting.pieces import Piece, read_object
from dicomio.jobs.states import State

NOT_PROCESSED = "not_processed"
NO_STAGING = "the folder for temporary files cannot be used"
_MAX_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Proven:
    """One object that passed every check, and lies in the staging folder."""

    staged: Path
    entry: ManifestInstance
    before: InstanceHeader = field(repr=False)
    after: InstanceHeader = field(repr=False)

    def piece(self) -> Piece:
        """Return the object with its bytes."""
        return Piece(self.entry, self.staged.read_bytes(), self.staged)


class _Failed(Exception):
    """An object that cannot be exported."""

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults


class Prover:
    """Anonymises one patient's objects; first all are learned from, then all are proven.

    Parameters
    ----------
    staging
        A folder that nobody else reads, for what is not proven yet.
    check
        Called before each object is read; what it raises ends the export.
    """

    def __init__(
        self,
        how: Anonymization,
        identity: PatientIdentity,
        store: ObjectStore,
        staging: Path,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._how = how
        self._identity = identity
        self._store = store
        self._staging = staging
        self._check = check
        self.known = KnownIdentifiers()
        """What tells who the patient is: nothing of it may leave."""
        self._set_up()

    @property
    def pseudonym(self) -> Pseudonym:
        """Who the patient becomes."""
        return self._engine.pseudonym

    @property
    def keeps_uids(self) -> bool:
        """Whether UIDs stay as they are."""
        return Option.RETAIN_UIDS in self._how.options

    def new_uid(self, uid: str) -> str:
        """Return what a UID becomes."""
        return uid if self.keeps_uids else self._engine.new_uid(uid)

    def learn(self, files: Sequence[ExportFile], uids: Iterable[str] = ()) -> None:
        """Take from all objects what tells who the patient is.

        Parameters
        ----------
        uids
            Further UIDs of originals, which a report names.

        Raises
        ------
        NotFound, ObjectStoreUnavailable
            An object is gone from the store.
        """
        patient_id = self._identity.patient_id.strip().casefold()
        ids = frozenset((patient_id,) if len(patient_id) >= MIN_ID else ())
        known = KnownIdentifiers(ids=ids, uids=frozenset(() if self.keeps_uids else uids))
        collector = IdentifierCollector(self._how.options)
        for file in files:
            self._check()
            try:
                collector.read(read_object(file.object_key, self._store))
            except Rejected:
                continue  # it is quarantined when it is to be processed
        self.known = known | collector.known()
        self._set_up()

    def prove(self, files: Sequence[ExportFile]) -> tuple[list[Proven], list[ManifestQuarantined]]:
        """Return what is proven, and what is held back and why.

        Raises
        ------
        NotFound, ObjectStoreUnavailable
            An object is gone from the store.
        Unavailable
            `NO_STAGING`.
        """
        proven: list[Proven] = []
        quarantined: list[ManifestQuarantined] = []
        for number, file in enumerate(files):
            self._check()
            try:
                proven.append(self._process(file, self._staging / f"{number}.dcm"))
            except _Failed as failed:
                uid = parse_object_key(file.object_key).ref.sop_instance_uid
                quarantined.append(_held(self.new_uid(uid), failed.faults))
        wrong = dict(_broken(proven))
        quarantined += [_held(uid, (fault,)) for uid, fault in wrong.values()]
        return [one for one in proven if id(one) not in wrong], quarantined

    def _set_up(self) -> None:
        how = self._how
        self._engine = Deidentifier(
            how.profile, how.options, how.key, self._identity, self.known, seal=how.seal
        )
        self._verifier = Verifier(self.known, TextsRuledOut)

    def _process(self, file: ExportFile, staged: Path) -> Proven:
        """Return one object, anonymised, written, read again and compared.

        Raises
        ------
        _Failed
            It is not certain that it is anonymous, or that it is whole.
        """
        try:
            original = read_object(file.object_key, self._store)
            self._screen(original)
            made = self._engine.apply(original)
            with staged.open("wb") as output:
                output.writelines(made.parts)
            again = staged.read_bytes()
            findings = self._verifier.findings(original, again)
            before, after = (read_header(data, complete=True) for data in (original, again))
        except Rejected as exc:
            raise _Failed(f"{NOT_PROCESSED}:{exc.sentence}") from exc
        except OSError as exc:
            raise Unavailable(NO_STAGING, problem=exc.strerror) from exc
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as exc:
            # Whatever a hostile object provokes: it does not leave, and its content is not shown.
            raise _Failed(f"{NOT_PROCESSED}:{type(exc).__name__}") from exc
        if findings:
            raise _Failed(*(f"{one.fault.value}:{one.tag}".rstrip(":") for one in findings))
        if before is None or after is None or after.ref != made.ref:
            raise _Failed(NOT_PROCESSED)
        return Proven(staged, _entry(file, again, after), before, after)

    def _screen(self, original: bytes) -> None:
        reason = burned_in(original)
        if reason is not None and reason not in self._how.allowed_burned_in:
            raise _Failed(f"burned_in:{reason.value}")


def released(
    state: State,
    proven: Sequence[Proven],
    quarantined: Sequence[ManifestQuarantined],
    *,
    allow_partial: bool,
) -> tuple[State, Sequence[Proven]]:
    """Return how an export ends, and what leaves: nothing that has failed, unless that is allowed.

    Parameters
    ----------
    state
        How it would end, were nothing held back.
    """
    if quarantined:
        state = State.PARTIAL if allow_partial and proven else State.FAILED
    return state, () if state is State.FAILED and not allow_partial else proven


def _broken(proven: Sequence[Proven]) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield the objects whose references are not those of the originals, with UID and fault."""
    by_header = {id(one.after): one for one in proven}
    for after, finding in reference_findings([(one.before, one.after) for one in proven]):
        one = by_header[id(after)]
        yield id(one), (one.entry.sop_instance_uid, finding.fault.value)


def _held(uid: str, faults: Sequence[str]) -> ManifestQuarantined:
    return ManifestQuarantined(sop_instance_uid=uid, faults=tuple(faults[:_MAX_FAULTS]))


def _entry(file: ExportFile, body: bytes, header: InstanceHeader) -> ManifestInstance:
    """Return what the manifest says of an object, all of it from the object as it is now."""
    sha256 = hashlib.sha256(body).hexdigest()
    uid = header.ref.sop_instance_uid
    return ManifestInstance(
        file=file_name(header.sop_class_uid, header.modality, uid, "" if file.newest else sha256),
        sop_instance_uid=uid,
        sop_class_uid=header.sop_class_uid,
        modality=header.modality,
        series_instance_uid=header.ref.series_instance_uid,
        study_instance_uid=header.ref.study_instance_uid,
        sha256=sha256,
        size_bytes=len(body),
        why=file.why,
        newest=file.newest,
    )
