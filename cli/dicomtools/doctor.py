"""`dicomtools doctor`: network, DICOM connection, listening port, the way back; and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from dicomtools.config import Values
from dicomtools.connection import connection
from dicomtools.doctor_checks import DoctorOptions, examine
from dicomtools.findings import Outcome
from dicomtools.log_level import configure_logs
from dicomtools.patients import check_patient_id
from dicomtools.settings import Layer

OK = 0
FAILED = 1


def run(values: Values, layers: Sequence[Layer]) -> int:
    """Print each finding as it is known; return 0 if nothing failed.

    Raises
    ------
    CommandProblem
        The options cannot be understood.
    """
    patient_id = values.text("patientId")
    if patient_id:
        check_patient_id(patient_id)
    options = DoctorOptions(
        connection=connection(values),
        patient_id=patient_id,
        listen_port=values.number("listenPort"),
        use_get=values.flag("useGet"),
    )
    configure_logs(layers, default="critical")
    failed = 0
    for finding in examine(options):
        print("\n".join(finding.lines()), flush=True)
        failed += finding.outcome is Outcome.FAILED
    print("Nothing failed." if not failed else f"{failed} of the checks failed.")
    return FAILED if failed else OK
