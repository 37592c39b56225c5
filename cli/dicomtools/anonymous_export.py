"""A retrieval anonymised into a folder: every object proven, or none of it there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from dicomcore.errors import Unavailable
from dicomcore.export import Manifest, ManifestInstance, names_any, plan_export
from dicomcore.ports import ObjectStore
from dicomcore.pseudonym_map import Renamed
from dicomio.exporting.folder import FolderDestination
from dicomio.exporting.proving import NO_STAGING, Proven, Prover, released
from dicomio.exporting.publishing import publish
from dicomtools.anonymize_options import Anonymization, identity_of
from dicomtools.anonymous_manifest import anonymous_manifest
from dicomtools.anonymous_report import Redaction
from dicomtools.export_folder import ExportFolder, exportable
from dicomtools.patients import Patient
from dicomtools.problems import CommandProblem
from qr_gateway.retrieval.model import Report, RetrievalRequest

Ended = tuple[RetrievalRequest, Report, Manifest | None]
"""What was asked for, how it ended, the manifest if there is one; nothing of it is from an original."""


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
        self._prover = Prover(how, identity_of(patient), store, staging)

    def nothing(self, request: RetrievalRequest, report: Report) -> Ended:
        """Return the outcome of a retrieval of which nothing is exported."""
        redaction = Redaction(self._prover.new_uid)
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
        self._prover.learn(files, _uids_of(report))
        try:
            proven, quarantined = self._prover.prove(files)
        except Unavailable as exc:
            if exc.sentence != NO_STAGING:
                raise
            raise CommandProblem(
                f"The folder for temporary files cannot be used: {exc.facts.get('problem')}"
            ) from exc
        exported = {str(one.after.ref.sop_instance_uid): one.after for one in proven}
        state, leaving = released(
            report.progress.state, proven, quarantined, allow_partial=self._how.allow_partial
        )
        redaction = Redaction(self._prover.new_uid, exported)
        request = redaction.request(request, self._patient.new_patient_id)
        report = redaction.report(report)
        report = report.model_copy(
            update={"progress": report.progress.model_copy(update={"state": state})}
        )

        def describe(entries: Sequence[ManifestInstance], _not_taken: object = ()) -> Manifest:
            return anonymous_manifest(request, report, entries, quarantined, self._how, folder)

        if names_any(describe([one.entry for one in leaving]), self._prover.known.uids):
            # the last check, of all that was put together here
            raise CommandProblem(
                "The manifest of this export would name an original UID. Nothing was exported. If "
                "the profile keeps UIDs, add the option RetainUIDs."
            )
        if leaving and self._how.pseudonym_map is not None:
            self._how.pseudonym_map.add(self._renamed(leaving))
        try:
            manifest = publish(
                (one.piece() for one in leaving),
                describe,
                FolderDestination(folder.path, folder.found),
            )
        except OSError as exc:
            raise CommandProblem(f"{folder.path} cannot be written: {exc.strerror}") from exc
        return request, report, manifest

    def _renamed(self, proven: Sequence[Proven]) -> Renamed:
        pseudonym = self._prover.pseudonym
        return Renamed(
            self._patient.patient_id,
            next((one.before.patient_name for one in proven if one.before.patient_name), ""),
            pseudonym.patient_id,
            pseudonym.patient_name,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _uids_of(report: Report) -> Iterator[str]:
    for item in (*report.items, *report.probed):
        yield from (item.study_instance_uid, item.series_instance_uid, item.sop_instance_uid)
    yield from (missing.uid for missing in report.missing)
    yield from (plan.sop_instance_uid for plan in report.plans)
