"""A retrieval anonymised: every object rewritten, read again and proven before any is exported."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from dicomcore.deident import (
    Deidentifier,
    KnownIdentifiers,
    Option,
    Verifier,
    burned_in,
    collect_identifiers,
    reference_findings,
)
from dicomcore.deident.identifiers import MIN_ID
from dicomcore.errors import Rejected
from dicomcore.export import (
    MANIFEST_NAME,
    ExportFile,
    Manifest,
    ManifestInstance,
    ManifestQuarantined,
    encode_manifest,
    file_prefix,
    plan_export,
)
from dicomcore.header import read_header
from dicomcore.keys import DIGEST_LENGTH, parse_object_key
from dicomcore.model import InstanceHeader
from dicomcore.ports import ObjectStore
from dicomtools.anonymize_options import Anonymization, identity_of
from dicomtools.anonymous_manifest import anonymous_manifest
from dicomtools.anonymous_report import Redaction
from dicomtools.export_folder import ExportFolder, exportable, read_object
from dicomtools.files import write_atomically
from dicomtools.patients import Patient
from dicomtools.problems import CommandProblem
from dicomtools.pseudonym_map import Renamed, append_to_map
from qr_gateway.retrieval.model import Report, RetrievalRequest, State

NOT_PROCESSED = "not_processed"
_MAX_FAULTS = 20


Ended = tuple[RetrievalRequest, Report, Manifest | None]
"""What was asked for, how it ended, the manifest if there is one; nothing of it is from an original."""


@dataclass(frozen=True, slots=True)
class _Proven:
    """One object that passed every check but that of the references, and lies in the work folder."""

    staged: Path
    entry: ManifestInstance
    before: InstanceHeader = field(repr=False)
    after: InstanceHeader = field(repr=False)


class _Failed(Exception):
    """An object that cannot be exported."""

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults


class Anonymizer:
    """One patient's export.

    Parameters
    ----------
    staging
        A folder that nobody else reads, for what is not proven yet.
    """

    def __init__(
        self, how: Anonymization, patient: Patient, store: ObjectStore, staging: Path
    ) -> None:
        self._how = how
        self._patient = patient
        self._store = store
        self._staging = staging
        self._keeps_uids = Option.RETAIN_UIDS in how.options
        self._engine = self._make_engine(KnownIdentifiers())
        self._verifier = Verifier(KnownIdentifiers())

    def nothing(self, request: RetrievalRequest, report: Report) -> Ended:
        """Return the outcome of a retrieval of which nothing is exported."""
        redaction = Redaction(self._new_uid)
        shown = request.model_copy(update={"patient_id": self._patient.new_patient_id})
        return shown, redaction.report(report), None

    def export(self, request: RetrievalRequest, report: Report, folder: ExportFolder) -> Ended:
        """Anonymise what a retrieval brought and write it; return the outcome.

        If one object cannot be promised to be anonymous, none is written, but for the manifest that
        says so, unless partial exports are allowed. Nothing is written into `folder` before every
        object has been read again and compared with its original.

        Raises
        ------
        CommandProblem
            A file cannot be written; what this call wrote into the folder is gone again.
        NotFound, ObjectStoreUnavailable
            An object that had landed is gone from the store.
        """
        files = plan_export(exportable(report.items, self._store))
        known = self._known(files, report)
        self._engine, self._verifier = self._make_engine(known), Verifier(known)
        proven, quarantined = self._proven(files)
        exported = {str(one.after.ref.sop_instance_uid): one.after for one in proven}
        state = report.progress.state
        if quarantined:
            state = State.PARTIAL if self._how.allow_partial and proven else State.FAILED
        if state is State.FAILED and not self._how.allow_partial:
            proven = []
        redaction = Redaction(self._new_uid, exported)
        request = redaction.request(request, self._patient.new_patient_id)
        report = redaction.report(report)
        report = report.model_copy(
            update={"progress": report.progress.model_copy(update={"state": state})}
        )
        manifest = anonymous_manifest(
            request, report, [one.entry for one in proven], quarantined, self._how, folder
        )
        _refuse_uids(manifest, known)
        if proven and self._how.map_file is not None:
            append_to_map(self._how.map_file, self._renamed(proven))
        _publish(proven, manifest, folder)
        return request, report, manifest

    def _make_engine(self, known: KnownIdentifiers) -> Deidentifier:
        how = self._how
        return Deidentifier(how.profile, how.options, how.key, identity_of(self._patient), known)

    def _new_uid(self, uid: str) -> str:
        return uid if self._keeps_uids else self._engine.new_uid(uid)

    def _known(self, files: Sequence[ExportFile], report: Report) -> KnownIdentifiers:
        """Return what all objects tell, and what the retrieval itself knows."""
        patient_id = self._patient.patient_id.strip().casefold()
        ids = frozenset((patient_id,) if len(patient_id) >= MIN_ID else ())
        known = KnownIdentifiers(ids=ids, uids=frozenset(self._uids_of(report)))
        for file in files:
            try:
                body = read_object(file.object_key, self._store)
                known |= collect_identifiers([body], self._how.options)
            except Rejected:
                continue  # it is quarantined when it is to be processed
        return known

    def _uids_of(self, report: Report) -> Iterator[str]:
        if self._keeps_uids:
            return
        for item in (*report.items, *report.probed):
            yield from (item.study_instance_uid, item.series_instance_uid, item.sop_instance_uid)
        yield from (missing.uid for missing in report.missing)
        yield from (plan.sop_instance_uid for plan in report.plans)

    def _proven(
        self, files: Sequence[ExportFile]
    ) -> tuple[list[_Proven], list[ManifestQuarantined]]:
        proven: list[_Proven] = []
        quarantined: list[ManifestQuarantined] = []
        for number, file in enumerate(files):
            try:
                proven.append(self._process(file, self._staging / f"{number}.dcm"))
            except _Failed as failed:
                uid = parse_object_key(file.object_key).ref.sop_instance_uid
                quarantined.append(self._quarantined(self._new_uid(uid), failed.faults))
        pairs = [(one.before, one.after) for one in proven]
        wrong = {id(after): finding for after, finding in reference_findings(pairs)}
        for one in proven:
            if id(one.after) in wrong:
                faults = (wrong[id(one.after)].fault.value,)
                quarantined.append(self._quarantined(one.entry.sop_instance_uid, faults))
        return [one for one in proven if id(one.after) not in wrong], quarantined

    def _quarantined(self, uid: str, faults: Sequence[str]) -> ManifestQuarantined:
        return ManifestQuarantined(sop_instance_uid=uid, faults=tuple(faults[:_MAX_FAULTS]))

    def _process(self, file: ExportFile, staged: Path) -> _Proven:
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
            raise CommandProblem(
                f"The folder for temporary files cannot be used: {exc.strerror}"
            ) from exc
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as exc:
            # Whatever a hostile object provokes: it does not leave, and its content is not shown.
            raise _Failed(f"{NOT_PROCESSED}:{type(exc).__name__}") from exc
        if findings:
            raise _Failed(*(f"{one.fault.value}:{one.tag}".rstrip(":") for one in findings))
        if before is None or after is None or after.ref != made.ref:
            raise _Failed(NOT_PROCESSED)
        return _Proven(staged, _entry(file, again, after), before, after)

    def _screen(self, original: bytes) -> None:
        reason = burned_in(original)
        if reason is not None and reason not in self._how.allowed_burned_in:
            raise _Failed(f"burned_in:{reason.value}")

    def _renamed(self, proven: Sequence[_Proven]) -> Renamed:
        pseudonym = self._engine.pseudonym
        return Renamed(
            self._patient.patient_id,
            next((one.before.patient_name for one in proven if one.before.patient_name), ""),
            pseudonym.patient_id,
            pseudonym.patient_name,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _entry(file: ExportFile, body: bytes, header: InstanceHeader) -> ManifestInstance:
    """Return what the manifest says of an object, all of it from the object as it is now."""
    sha256 = hashlib.sha256(body).hexdigest()
    uid = header.ref.sop_instance_uid
    name = f"{file_prefix(header.sop_class_uid, header.modality)}.{uid}"
    return ManifestInstance(
        file=f"{name}.dcm" if file.newest else f"{name}.version-{sha256[:DIGEST_LENGTH]}.dcm",
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


_UID_LIKE = re.compile(r"\d+(?:\.\d+){3,}")


def _refuse_uids(manifest: Manifest, known: KnownIdentifiers) -> None:
    """Refuse a manifest that names an original: the last check, of all that was put together here."""
    if not known.uids.isdisjoint(_UID_LIKE.findall(manifest.model_dump_json())):
        raise CommandProblem(
            "The manifest of this export would name an original UID. Nothing was exported. If the "
            "profile keeps UIDs, add the option RetainUIDs."
        )


def _publish(proven: Sequence[_Proven], manifest: Manifest, folder: ExportFolder) -> None:
    """Write what is proven, then the manifest; all of it, or none."""
    written: list[Path] = []
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        for one in proven:
            target = folder.path / one.entry.file
            known = folder.found.get(one.entry.file)
            if known is None or known.sha256 != one.entry.sha256:
                written.append(target)
                write_atomically(target, one.staged.read_bytes())
            with target.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != one.entry.sha256:
                    raise OSError(None, "a file is not as it was written")
        write_atomically(folder.path / MANIFEST_NAME, encode_manifest(manifest))
    except BaseException as exc:
        for path in written:
            with suppress(OSError):  # what is no file was not written here
                path.unlink()
        if isinstance(exc, OSError):
            raise CommandProblem(f"{folder.path} cannot be written: {exc.strerror}") from exc
        raise
