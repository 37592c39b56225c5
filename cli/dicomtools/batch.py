"""Patients one after another: each retrieved, exported and reported for itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dicomcore.errors import DicomToolsError
from dicomcore.export import Manifest
from dicomcore.ports import ObjectStore
from dicomtools.export_folder import open_export_folder
from dicomtools.export_tree import export_tree
from dicomtools.patients import Patient, check_patient_id
from dicomtools.problems import advice
from dicomtools.retrieve_options import RetrieveOptions
from dicomtools.screen import Screen
from dicomtools.summary import found_nothing, summary
from dicomtools.work_folder import WorkFolder
from qr_gateway.retrieval.model import Progress, Report, RetrievalRequest, State


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
            bench.screen.say(f"Patient {number} of {len(options.patients)}: {patient.patient_id}")
        if not _retrieved(patient, options, bench):
            failed.append(patient)
    if failed:
        bench.work.keep()
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
        request = request_of(patient, options)
        report, manifest = _exported(request, folder, options, bench)
    except DicomToolsError as exc:
        bench.screen.say(f"FAILED: {advice(exc)}")
        bench.screen.result({"patient_id": patient.patient_id, "state": "failed"})
        return False
    bench.screen.say(summary(request, report, manifest, str(folder)))
    if options.show_tree and manifest is not None:
        bench.screen.say(export_tree(folder, manifest))
    not_found = found_nothing(report)
    bench.screen.result(
        {
            "patient_id": patient.patient_id,
            "state": "not_found" if not_found else report.progress.state.value,
            "folder": str(folder),
            "counts": None if manifest is None else manifest.counts.model_dump(),
            "missing": [missing.model_dump() for missing in report.missing],
        }
    )
    return report.progress.state is State.COMPLETE and not not_found


def _exported(
    request: RetrievalRequest, path: Path, options: RetrieveOptions, bench: Bench
) -> tuple[Report, Manifest | None]:
    """Retrieve, then export what landed; a stopped retrieval is left for the next run instead."""
    folder = open_export_folder(path)
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
    if report.progress.state is State.CANCELLED:
        return report, None
    # The next run asks anew for what is missing, as if nobody had been refused before.
    ledger.remove()
    if not report.items and not report.missing:
        return report, None
    return report, folder.write(request, report, bench.store)


def _of_several(number: int, failed: list[Patient]) -> str:
    if not failed:
        return f"All {number} patients are complete."
    names = "\n".join(f"  {patient.patient_id}" for patient in failed)
    return f"{number - len(failed)} of {number} patients are complete. Not complete:\n{names}"
