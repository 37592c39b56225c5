"""Pages of studies, series and instances, in order of their ids: the order in which they came."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from dicomcore.keys import parse_object_key
from dicomcore.ports import FoundInstance, SearchScope, SeriesSummary, StudySummary
from dicomio.sql_index.sql import rows
from dicomio.sql_index.texts import original, storable
from dicomio.sql_index.writer import FACTS, facts_of

_LEVELS = "patient p JOIN study t ON t.patient = p.id"


def studies(
    connection: Connection, scope: SearchScope, after: int, limit: int
) -> Sequence[tuple[int, StudySummary]]:
    """Return studies; a scope below them leaves those in which it finds something."""
    where, values = _where(scope)
    below = " JOIN series s ON s.study = t.id"
    found = rows(
        connection,
        "SELECT u.id, u.patient_id, u.study_uid, u.study_date, u.description,"
        " (SELECT count(*) FROM series x WHERE x.study = u.id),"
        " (SELECT count(DISTINCT i.sop_uid) FROM series x JOIN instance i ON i.series = x.id"
        " WHERE x.study = u.id)"
        " FROM (SELECT DISTINCT t.id, p.patient_id, t.study_uid, t.study_date, t.description"
        f" FROM {_LEVELS}{below} WHERE t.id > ?{where} ORDER BY t.id LIMIT ?) u ORDER BY u.id",
        *(after, *values, limit),
    )
    return [
        (
            row[0],
            StudySummary(
                original(row[1]), row[2], original(row[3]), original(row[4]), row[5], row[6]
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
        "SELECT s.id, p.patient_id, t.study_uid, s.series_uid, s.modality, s.description,"
        " (SELECT count(DISTINCT i.sop_uid) FROM instance i WHERE i.series = s.id)"
        f" FROM {_LEVELS} JOIN series s ON s.study = t.id"
        f" WHERE s.id > ?{where} ORDER BY s.id LIMIT ?",
        *(after, *values, limit),
    )
    return [
        (
            row[0],
            SeriesSummary(
                original(row[1]), row[2], row[3], original(row[4]), original(row[5]), row[6]
            ),
        )
        for row in found
    ]


def instances(
    connection: Connection, scope: SearchScope, after: int, limit: int
) -> Sequence[tuple[int, FoundInstance]]:
    """Return readable versions."""
    where, values = _where(scope)
    found = rows(
        connection,
        f"SELECT {FACTS}, p.patient_id, s.modality FROM {_LEVELS} JOIN series s ON s.study = t.id"
        f" JOIN instance i ON i.series = s.id WHERE i.id > ?{where} ORDER BY i.id LIMIT ?",
        *(after, *values, limit),
    )
    listed = []
    for row in found:
        key = facts_of(row[:-2]).object_key
        ref = parse_object_key(key).ref
        one = FoundInstance(key, ref, original(row[-2]), original(row[-1]))
        listed.append((row[0], one))
    return listed


def _where(scope: SearchScope) -> tuple[str, tuple[str, ...]]:
    given = {
        "p.patient_id": None if scope.patient_id is None else storable(scope.patient_id),
        "t.study_uid": storable(scope.study_instance_uid) or None,
        "s.series_uid": storable(scope.series_instance_uid) or None,
        "s.modality": storable(scope.modality) or None,
    }
    used = {column: text for column, text in given.items() if text is not None}
    return "".join(f" AND {column} = ?" for column in used), tuple(used.values())
