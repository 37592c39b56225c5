"""`dicomtools retrieve`: patients out of a DICOM system into folders, without any server of ours."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from dicomcore.deident.identifiers import MIN_ID
from dicomtools.anonymous_manifest import refuse_originals
from dicomtools.batch import Bench, retrieve_patients
from dicomtools.compose import composed
from dicomtools.config import Values
from dicomtools.interrupt import interruptible
from dicomtools.log_level import configure_logs
from dicomtools.retrieve_options import RetrieveOptions, confirm_path, retrieve_options
from dicomtools.screen import make_screen
from dicomtools.settings import Layer
from dicomtools.work_folder import is_occupied, private_work_folder, work_folder
from qr_gateway.retrieval.executor import retrieve

OK = 0
FAILED = 1
_STOPPING = {
    False: "Stopping; what has arrived is kept.",
    True: "Stopping; nothing more is exported.",
}


def run(values: Values, layers: Sequence[Layer]) -> int:
    """Carry out the command; return 0 only if every patient is complete.

    Raises
    ------
    CommandProblem
        It cannot be begun: options that contradict each other, a folder in use, a port taken.
    """
    options = retrieve_options(values, layers)
    anonymous = options.anonymization is not None
    configure_logs(layers, default="error")
    confirm_path(
        options,
        occupied=is_occupied(options.path),
        ask=_ask if sys.stdin is not None and sys.stdin.isatty() else None,
    )
    if anonymous:
        refuse_originals(options.path)
        _warn_of_path(options)
    if options.tls is not None and options.tls.insecure:
        print(
            "Warning: --insecure takes any certificate. Whoever stands between this computer and "
            "the DICOM system can read and change everything.",
            file=sys.stderr,
        )
    with (
        interruptible(_STOPPING[anonymous]) as asked_to_stop,
        make_screen(as_json=options.as_json) as screen,
        (private_work_folder if anonymous else work_folder)(options.path) as work,
        composed(options, work) as parts,
    ):
        # The executor takes its parts second, so that they are bound by keyword.
        bench = Bench(
            retrieve=partial(retrieve, parts=parts),
            store=parts.store,
            work=work,
            screen=screen,
            stopped=asked_to_stop.is_set,
        )
        return OK if retrieve_patients(options, bench) == 0 else FAILED


def _warn_of_path(options: RetrieveOptions) -> None:
    """Warn if the export's own path tells who the patient is; nothing can be done about it here."""
    path = str(options.path).casefold()
    if any(
        len(patient.patient_id) >= MIN_ID and patient.patient_id.casefold() in path
        for patient in options.patients
    ):
        print("Warning: --path holds the patient's ID.", file=sys.stderr)


def _ask(question: str) -> str:
    # On standard error: standard output is for results.
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()
