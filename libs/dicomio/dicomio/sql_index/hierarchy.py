"""Pages of studies, series and instances in the order in which they came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from dicomcore.keys import DIGEST_LENGTH, INSTANCES
from dicomcore.ports import (
    FoundInstance,
    SearchScope,
    SeriesSummary,
    StudySummary,
)
from dicomcore.query import Told
from dicomcore.uids import InstanceRef, InstanceUID, SeriesUID, StudyUID
from dicomio.sql_index.sql import chunks, marks, rows
from dicomio.sql_index.texts import original, storable

LISTED = "t.study_uid, s.series_uid, i.sop_uid, i.sha256, p.patient_id, s.modality"
"""Of `LISTED_FROM`; `listed` reads such a row."""
LISTED_FROM = (
    "instance i JOIN series s ON s.id = i.series JOIN study t ON t.id = s.study"
    " JOIN patient p ON p.id = t.patient"
)
_LEVELS = "patient p JOIN study t ON t.patient = p.id"


def studies(
    connection: Connection, scope: SearchScope, after: int, limit: int
) -> Sequence[tuple[int, StudySummary]]:
    """Return studies; a scope below them leaves those in which it finds something."""
    where, values = _where(scope)
    found = rows(
        connection,
        "SELECT DISTINCT t.id, p.patient_id, t.study_uid, t.study_date, t.description,"
        " (SELECT count(*) FROM series x WHERE x.study = t.id)"
        f" FROM {_LEVELS} JOIN series s ON s.study = t.id"
        f" WHERE t.id > ?{where} ORDER BY t.id LIMIT ?",
        *(after, *values, limit),
    )
    counts = instances_below(connection, "t.id", [row[0] for row in found])
    return [
        (
            row[0],
            StudySummary(
                patient_id=original(row[1]),
                study_instance_uid=row[2],
                study_date=original(row[3]),
                study_description=original(row[4]),
                number_of_series=row[5],
                number_of_instances=counts[row[0]],
            ),
        )
        for row in found
    ]


def series(
    connection: Connection, scope: SearchScope, after: int, limit: int
) -> Sequence[tuple[int, SeriesSummary]]:
    """Return series."""
    where, values = _where(scope)
    found = rows(
        connection,
        "SELECT s.id, p.patient_id, t.study_uid, s.series_uid, s.modality, s.description"
        f" FROM {_LEVELS} JOIN series s ON s.study = t.id"
        f" WHERE s.id > ?{where} ORDER BY s.id LIMIT ?",
        *(after, *values, limit),
    )
    counts = instances_below(connection, "s.id", [row[0] for row in found])
    return [
        (
            row[0],
            SeriesSummary(
                patient_id=original(row[1]),
                study_instance_uid=row[2],
                series_instance_uid=row[3],
                modality=original(row[4]),
                series_description=original(row[5]),
                number_of_instances=counts[row[0]],
            ),
        )
        for row in found
    ]


def instances_below(connection: Connection, column: str, keys: Sequence[int]) -> dict[int, int]:
    """Return how many instances there are below patients, studies or series, versions not counted.

    Segments know how many versions there are; only those in conflict are counted one by one.
    """
    counts = dict.fromkeys(keys, 0)
    for some in chunks(keys):
        inside = f"{column} IN ({marks(some)})"
        versions = (
            f"SELECT {column}, sum(g.count) FROM {_LEVELS} JOIN series s ON s.study = t.id"
            f" JOIN segment g ON g.series = s.id WHERE {inside} GROUP BY {column}"
        )
        for key, count in rows(connection, versions, *some):
            counts[key] = int(count)
        # CROSS JOIN: SQLite keeps this order; there are few conflicts
        repeated = (
            f"SELECT {column}, count(*) - count(DISTINCT i.sop_uid) FROM conflict c"
            " CROSS JOIN instance i JOIN series s ON s.id = i.series"
            " JOIN study t ON t.id = s.study JOIN patient p ON p.id = t.patient"
            f" WHERE i.sop_uid = c.sop_uid AND {inside} GROUP BY {column}"
        )
        for key, count in rows(connection, repeated, *some):
            counts[key] -= int(count)
    return counts


def instances(
    connection: Connection, scope: SearchScope, after: int, limit: int
) -> Sequence[tuple[int, FoundInstance]]:
    """Return readable versions."""
    where, values = _where(scope)
    found = rows(
        connection,
        f"SELECT i.id, {LISTED} FROM {_LEVELS} JOIN series s ON s.study = t.id"
        f" JOIN instance i ON i.series = s.id WHERE i.id > ?{where} ORDER BY i.id LIMIT ?",
        *(after, *values, limit),
    )
    return [(identity, listed(row)) for identity, *row in found]


def listed(row: Sequence[Any], told: Told = ()) -> FoundInstance:
    """Return the readable version in a row of `LISTED`."""
    study_uid, series_uid, sop_uid, sha256, patient_id, modality = row
    ref = InstanceRef(StudyUID(study_uid), SeriesUID(series_uid), InstanceUID(sop_uid))
    digest = bytes(sha256[: DIGEST_LENGTH // 2]).hex()
    key = f"{INSTANCES}{study_uid}/{series_uid}/{sop_uid}/{digest}.dcm"
    return FoundInstance(key, ref, original(patient_id), original(modality), told)


def _where(scope: SearchScope) -> tuple[str, tuple[str, ...]]:
    given = {
        "p.patient_id": None if scope.patient_id is None else storable(scope.patient_id),
        "t.study_uid": storable(scope.study_instance_uid) or None,
        "s.series_uid": storable(scope.series_instance_uid) or None,
        "s.modality": storable(scope.modality) or None,
    }
    used = {column: text for column, text in given.items() if text is not None}
    return "".join(f" AND {column} = ?" for column in used), tuple(used.values())
