"""The pseudonym map: who became whom, in a file of its own that only its owner reads."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import astuple, dataclass, field
from pathlib import Path

from dicomtools.problems import CommandProblem

COLUMNS = (
    "OriginalPatientId",
    "OriginalPatientName",
    "AnonymizedPatientId",
    "AnonymizedPatientName",
    "TimestampUtc",
)


@dataclass(frozen=True, slots=True)
class Renamed:
    """One line of the map, in the order of its columns."""

    patient_id: str = field(repr=False)
    patient_name: str = field(repr=False)
    new_patient_id: str
    new_patient_name: str
    timestamp_utc: str


def append_to_map(path: Path, renamed: Renamed) -> None:
    """Append a line; a new file begins with the names of the columns.

    Also a file that others could read is its owner's alone afterwards, where the system knows owners.

    Raises
    ------
    CommandProblem
        Not written, or not whole.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            if os.name == "posix":
                path.chmod(0o600)
            lines = (
                [astuple(renamed)] if os.fstat(descriptor).st_size else [COLUMNS, astuple(renamed)]
            )
            file.write(_csv(lines))
            file.flush()
            os.fsync(descriptor)
    except OSError as exc:
        raise CommandProblem(f"--mapFile cannot be written: {exc.strerror}") from exc


def _csv(lines: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(lines)
    return text.getvalue().encode("utf-8", errors="replace")
