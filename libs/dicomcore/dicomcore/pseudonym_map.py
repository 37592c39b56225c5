"""The pseudonym map: who became whom, as CSV with the columns of the original."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field

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
    """ISO 8601."""


def encode_map(lines: Iterable[Renamed], *, head: bool = True) -> bytes:
    """Return lines of the map in UTF-8.

    Parameters
    ----------
    head
        Whether the names of the columns come first.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    if head:
        writer.writerow(COLUMNS)
    writer.writerows(astuple(line) for line in lines)
    return text.getvalue().encode("utf-8", errors="replace")
