"""`dicomtools retrieve`: patients out of a DICOM system into folders, without any server of ours."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from dicomtools.batch import Bench, retrieve_patients
from dicomtools.compose import composed
from dicomtools.config import Values
from dicomtools.interrupt import interruptible
from dicomtools.log_level import configure_logs
from dicomtools.retrieve_options import confirm_path, retrieve_options
from dicomtools.screen import make_screen
from dicomtools.settings import Layer
from dicomtools.work_folder import is_occupied, work_folder
from qr_gateway.retrieval.executor import retrieve

OK = 0
FAILED = 1


def run(values: Values, layers: Sequence[Layer]) -> int:
    """Carry out the command; return 0 only if every patient is complete.

    Raises
    ------
    CommandProblem
        It cannot be begun: options that contradict each other, a folder in use, a port taken.
    """
    options = retrieve_options(values)
    configure_logs(layers, default="error")
    confirm_path(
        options,
        occupied=is_occupied(options.path),
        ask=_ask if sys.stdin is not None and sys.stdin.isatty() else None,
    )
    if options.tls is not None and options.tls.insecure:
        print(
            "Warning: --insecure takes any certificate. Whoever stands between this computer and "
            "the DICOM system can read and change everything.",
            file=sys.stderr,
        )
    with (
        interruptible("Stopping; what has arrived is kept.") as asked_to_stop,
        make_screen(as_json=options.as_json) as screen,
        work_folder(options.path) as work,
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


def _ask(question: str) -> str:
    # On standard error: standard output is for results.
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()
