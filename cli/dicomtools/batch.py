"""Patients one after another: each retrieved, exported and reported for itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from dicomcore.errors import DicomToolsError
from dicomcore.export import Manifest
from dicomcore.ports import ObjectStore
from dicomtools.anonymize_options import Anonymization
from dicomtools.anonymous_export import Anonymizer
from dicomtools.anonymous_report import quarantine_in_words
from dicomtools.export_folder import ExportFolder, open_export_folder
from dicomtools.export_tree import export_tree
from dicomtools.patients import Patient, check_patient_id
from dicomtools.problems import CommandProblem, advice, fault_of_ours
from dicomtools.pseudonym_map import PseudonymMap
from dicomtools.retrieve_options import RetrieveOptions
from dicomtools.screen import Screen
from dicomtools.summary import found_nothing, summary
from dicomtools.work_folder import WorkFolder
from qr_gateway.retrieval.model import Progress, Report, RetrievalRequest, State

log = structlog.get_logger(__name__)


class Retrieve(Protocol):
    """The executor, with everything that does not differ from patient to patient bound already."""

    def __call__(
        self,
        request: RetrievalRequest,
        *,
        saved: bytes | None,
        save: Callable[[bytes], None],
        progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
    ) -> Report:
        """Retrieve one patient's closure and report how it ended."""
        ...


@dataclass(frozen=True, slots=True)
class Bench:
    """What a batch works with."""

    retrieve: Retrieve
    store: ObjectStore
    work: WorkFolder
    screen: Screen
    stopped: Callable[[], bool]


def retrieve_patients(options: RetrieveOptions, bench: Bench) -> int:
    """Retrieve every patient; return how many of them are not complete.

    One that fails does not stop the others; a request to stop does.
    """
    failed: list[Patient] = []
    several = len(options.patients) > 1
    for number, patient in enumerate(options.patients, start=1):
        if bench.stopped():
            failed += options.patients[number - 1 :]
            break
        if several:
            bench.screen.say(f"Patient {number} of {len(options.patients)}: {patient.shown}")
        if not _retrieved(patient, options, bench):
            failed.append(patient)
    if failed:
        bench.work.keep()
    if options.anonymization is not None:
        bench.screen.say(_of_secrets(options.anonymization))
    if several:
        bench.screen.say(_of_several(len(options.patients), failed))
    return len(failed)


def request_of(patient: Patient, options: RetrieveOptions) -> RetrievalRequest:
    """Return what the executor is asked for.

    Raises
    ------
    CommandProblem
        The ID is none, or would match other patients.
    """
    check_patient_id(patient.patient_id)
    return RetrievalRequest(
        patient_id=patient.patient_id,
        plan_label=options.plan_label,
        only_approved=options.only_approved,
        method="get" if options.use_get else "move",
    )


def _retrieved(patient: Patient, options: RetrieveOptions, bench: Bench) -> bool:
    folder = options.path / patient.folder
    try:
        request, report, manifest = _exported(patient, folder, options, bench)
    except DicomToolsError as exc:
        return _failed(patient, bench, advice(exc, facts=options.anonymization is None))
    except Exception as exc:  # noqa: BLE001 - a fault of ours: it must not cost the other patients
        log.error("patient_failed", problem=type(exc).__name__)  # noqa: TRY400 - no words of theirs
        return _failed(patient, bench, fault_of_ours(exc))
    bench.screen.say(_ended(request, report, manifest, str(folder), options))
    if options.show_tree and manifest is not None and manifest.instances:
        bench.screen.say(export_tree(folder, manifest))
    not_found = found_nothing(report)
    bench.screen.result(
        {
            "patient_id": patient.shown,
            "state": "not_found" if not_found else report.progress.state.value,
            "folder": str(folder),
            "counts": None if manifest is None else manifest.counts.model_dump(),
            "missing": [missing.model_dump() for missing in report.missing],
            **_quarantined(manifest),
        }
    )
    return report.progress.state is State.COMPLETE and not not_found


def _failed(patient: Patient, bench: Bench, words: str) -> bool:
    bench.screen.say(f"FAILED: {words}")
    bench.screen.result({"patient_id": patient.shown, "state": "failed"})
    return False


def _ended(
    request: RetrievalRequest,
    report: Report,
    manifest: Manifest | None,
    folder: str,
    options: RetrieveOptions,
) -> str:
    if options.anonymization is None or manifest is None or not manifest.quarantined:
        kept = options.anonymization is None or options.store_path is not None
        return summary(request, report, manifest, folder, kept=kept)
    return quarantine_in_words(manifest, allow_partial=options.anonymization.allow_partial)


def _quarantined(manifest: Manifest | None) -> dict[str, object]:
    if manifest is None or manifest.anonymization is None:
        return {}
    return {"quarantined": [one.model_dump(mode="json") for one in manifest.quarantined]}


def _exported(
    patient: Patient, path: Path, options: RetrieveOptions, bench: Bench
) -> tuple[RetrievalRequest, Report, Manifest | None]:
    """Retrieve, then export what landed; a stopped retrieval is left for the next run instead."""
    request = request_of(patient, options)
    folder = open_export_folder(path)
    how = options.anonymization
    if how is None:
        _refuse_beside_anonymised(folder)
        folder.seed(bench.store)
    ledger = bench.work.ledger(
        "\n".join(
            (options.host, str(options.port), options.called_ae_title, request.model_dump_json())
        )
    )
    report = bench.retrieve(
        request,
        saved=ledger.read(),
        save=ledger.write,
        progress=bench.screen.progress,
        cancelled=bench.stopped,
    )
    cancelled = report.progress.state is State.CANCELLED
    if not cancelled:
        # The next run asks anew for what is missing, as if nobody had been refused before.
        ledger.remove()
    nothing = cancelled or not (report.items or report.missing)
    if how is not None:
        with bench.work.staging() as staging:
            anonymizer = Anonymizer(how, patient, bench.store, staging)
            if nothing:
                return anonymizer.nothing(request, report)
            return anonymizer.export(request, report, folder)
    if nothing:
        return request, report, None
    return request, report, folder.write(request, report, bench.store)


def _refuse_beside_anonymised(folder: ExportFolder) -> None:
    if folder.anonymised:
        raise CommandProblem(
            f"{folder.path} holds an anonymised export; what is not anonymised is not written "
            "beside it. Give another --path."
        )


def _of_secrets(how: Anonymization) -> str:
    """Return where that which leads back to the patients is."""
    key = (
        "The key of --anonymizationKeyFile was used: keep it apart from the export, or it can be "
        "undone."
        if how.key_is_kept
        else "The key was made for this export and is not kept: the next one has other UIDs. "
        "--anonymizationKeyFile gives the same ones."
    )
    said = [key, _of_map(how.pseudonym_map)]
    if how.seal is not None:
        said.append("The originals of what was changed are in every file, encrypted.")
    return "\n".join(said)


def _of_map(pseudonym_map: PseudonymMap | None) -> str:
    if pseudonym_map is None:
        return "Who became whom is written nowhere; --mapFile writes it."
    if pseudonym_map.is_sealed:
        return (
            f"Who became whom is in {pseudonym_map.path}, encrypted: 'dicomtools reveal' opens it "
            "with the private key of --mapCertificate."
        )
    return f"Who became whom is in {pseudonym_map.path}: it identifies the patients, keep it apart."


def _of_several(number: int, failed: list[Patient]) -> str:
    if not failed:
        return f"All {number} patients are complete."
    names = "\n".join(f"  {patient.shown}" for patient in failed)
    return f"{number - len(failed)} of {number} patients are complete. Not complete:\n{names}"
