"""Writes one batch: a fixed number of bulk statements, whatever its size.

Whoever calls holds the write lock (`engine.writing`): between reading what is known and writing
what follows from it, nobody else writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete

from dicomcore.keys import DIGEST_LENGTH, INSTANCES
from dicomcore.ports import UpsertOutcome
from dicomio.sql_index.merge import decide
from dicomio.sql_index.patients import refresh_patients
from dicomio.sql_index.plan_writer import write_facts
from dicomio.sql_index.rows import Content, Facts, Row
from dicomio.sql_index.schema import CHILDREN_FIRST
from dicomio.sql_index.segments import Encoded, Place, place_of, write_pending
from dicomio.sql_index.sql import change_many, chunks, marks, next_id, rows, tuple_marks
from dicomio.sql_index.texts import storable

FACTS = (
    "i.id, i.sop_uid, i.sha256, i.size_bytes, i.stored_at_us, i.sop_class_uid, i.problem,"
    " i.object_key, t.study_uid, s.series_uid, i.series"
)
"""Of `FACTS_FROM`; `facts_of` reads such a row."""
FACTS_FROM = "instance i LEFT JOIN series s ON s.id = i.series LEFT JOIN study t ON t.id = s.study"


def write_batch(
    connection: Connection, batch: Sequence[Row], encoded: Mapping[Place, Encoded], now_us: int
) -> tuple[UpsertOutcome, ...]:
    """Write all of `batch` and return an outcome for each of its rows.

    Parameters
    ----------
    encoded
        `segments.encode` of the batch.
    now_us
        Microseconds since 1970: a series is packed when it has been quiet for a while.
    """
    ids = {}
    known = []
    for identity, facts in _known(connection, {row.facts.sop_uid for row in batch}):
        ids[facts.object_key] = identity
        known.append(facts)
    decision = decide(known, batch)
    contents = {row.facts.object_key: row.content for row in decision.new if row.content}
    contents |= decision.readable_now

    series_ids = _place(connection, list(contents.values()))
    refresh_patients(connection, {content.patient_id for content in contents.values()})
    ids |= _insert_new(connection, decision.new, series_ids)
    _place_readable(connection, decision.readable_now, series_ids, ids)
    _update_facts(connection, decision.updated, ids)
    if contents:
        write_pending(connection, contents, encoded, series_ids, ids, now_us)
        _insert_references(connection, contents, ids)
    # of known versions too: a newer release may derive more from the same bytes
    write_facts(
        connection,
        {
            ids[row.facts.object_key]: row.content.facts
            for row in batch
            if row.content is not None and row.content.facts is not None
        },
    )
    change_many(
        connection,
        "INSERT INTO conflict (sop_uid) VALUES (?) ON CONFLICT DO NOTHING",
        [(uid,) for uid in sorted(decision.conflicts)],
    )
    return decision.outcomes


def delete_all(connection: Connection) -> None:
    """Empty every table."""
    for table in CHILDREN_FIRST:
        connection.execute(delete(table))


def facts_of(row: Sequence[Any]) -> Facts:
    """Return the facts in a row of `FACTS`."""
    _, sop_uid, sha256, size_bytes, stored_at_us, sop_class_uid, problem, key, study, series, _ = (
        row
    )
    digest = bytes(sha256).hex()
    if key is None:
        key = f"{INSTANCES}{study}/{series}/{sop_uid}/{digest[:DIGEST_LENGTH]}.dcm"
    return Facts(key, sop_uid, digest, size_bytes, stored_at_us, sop_class_uid, problem)


def _known(connection: Connection, uids: Iterable[str]) -> Iterator[tuple[int, Facts]]:
    for some in chunks(sorted(uids)):
        statement = f"SELECT {FACTS} FROM {FACTS_FROM} WHERE i.sop_uid IN ({marks(some)})"
        for row in rows(connection, statement, *some):
            yield row[0], facts_of(row)


# ── the hierarchy ───────────────────────────────────────────────────────────────────────────


def _place(connection: Connection, contents: Sequence[Content]) -> Mapping[Place, int]:
    """Return the id of each series; makes what is missing.

    Of several spellings of a name or description the first in code point order is shown, and none
    only if no instance has one: the same for every order of arrival.
    """
    patients: dict[tuple[object, ...], list[str]] = {}
    studies: dict[tuple[object, ...], list[str]] = {}
    series: dict[tuple[object, ...], list[str]] = {}
    for content in contents:
        header = content.header
        place = place_of(content)
        _first(patients, place[:1], content.patient_name, content.birth_date, content.sex)
        _first(studies, place[:2], storable(header.study_date), storable(header.study_description))
        _first(series, place, storable(header.modality), storable(header.series_description))
    if not contents:
        return {}
    patient_ids = _level(
        connection, "patient", ("patient_id", "patient_name", "birth_date", "sex"), patients
    )
    study_ids = _level(
        connection,
        "study",
        ("patient", "study_uid", "study_date", "description"),
        {(patient_ids[key[:1]], key[1]): texts for key, texts in studies.items()},
    )
    series_ids = _level(
        connection,
        "series",
        ("study", "series_uid", "modality", "description"),
        {(study_ids[patient_ids[key[:1]], key[1]], key[2]): texts for key, texts in series.items()},
    )
    return {
        place: series_ids[study_ids[patient_ids[place[:1]], place[1]], place[2]]
        for place in map(place_of, contents)
    }


def _first(
    found: dict[tuple[object, ...], list[str]], key: tuple[object, ...], *texts: str
) -> None:
    known = found.setdefault(key, list(texts))
    for place, text in enumerate(texts):
        if text and (not known[place] or text < known[place]):
            known[place] = text


def _level(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    wanted: Mapping[tuple[object, ...], Sequence[str]],
) -> dict[tuple[object, ...], int]:
    """Make rows and return their ids, by their keys: the columns that `wanted` is keyed by."""
    width = len(next(iter(wanted)))
    keys, texts = columns[:width], columns[width:]
    known = {}
    for some in chunks(sorted(wanted)):
        found = rows(
            connection,
            f"SELECT id, {', '.join(columns)} FROM {table}"
            f" WHERE ({', '.join(keys)}) IN ({tuple_marks(connection, some)})",
            *(part for key in some for part in key),
        )
        known.update({tuple(row[1 : 1 + width]): tuple(row) for row in found})
    new = [key for key in sorted(wanted) if key not in known]
    first = next_id(connection, table) if new else 0
    change_many(
        connection,
        f"INSERT INTO {table} (id, {', '.join(columns)}) VALUES ({marks((0, *columns))})",
        [(first + n, *key, *wanted[key]) for n, key in enumerate(new)],
    )
    better = []
    for key, row in known.items():
        merged: dict[tuple[object, ...], list[str]] = {key: list(row[1 + width :])}
        _first(merged, key, *wanted[key])
        if tuple(merged[key]) != row[1 + width :]:
            better.append((*merged[key], row[0]))
    change_many(
        connection,
        f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in texts)} WHERE id = ?",
        better,
    )
    return {key: row[0] for key, row in known.items()} | {
        key: first + n for n, key in enumerate(new)
    }


# ── instances ───────────────────────────────────────────────────────────────────────────────


def _insert_new(
    connection: Connection, new: Sequence[Row], series_ids: Mapping[Place, int]
) -> dict[str, int]:
    if not new:
        return {}
    first = next_id(connection, "instance")
    change_many(
        connection,
        "INSERT INTO instance (id, series, sop_uid, sha256, size_bytes, stored_at_us,"
        " sop_class_uid, object_key, problem) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                first + number,
                None if row.content is None else series_ids[place_of(row.content)],
                row.facts.sop_uid,
                bytes.fromhex(row.facts.sha256),
                row.facts.size_bytes,
                row.facts.stored_at_us,
                row.facts.sop_class_uid,
                row.facts.object_key if row.content is None else None,
                row.facts.problem,
            )
            for number, row in enumerate(new)
        ],
    )
    return {row.facts.object_key: first + number for number, row in enumerate(new)}


def _place_readable(
    connection: Connection,
    contents: Mapping[str, Content],
    series_ids: Mapping[Place, int],
    ids: Mapping[str, int],
) -> None:
    change_many(
        connection,
        "UPDATE instance SET series = ?, object_key = NULL WHERE id = ?",
        [(series_ids[place_of(content)], ids[key]) for key, content in contents.items()],
    )


def _update_facts(connection: Connection, updated: Sequence[Facts], ids: Mapping[str, int]) -> None:
    change_many(
        connection,
        "UPDATE instance SET sha256 = ?, size_bytes = ?, stored_at_us = ?, sop_class_uid = ?,"
        " problem = ? WHERE id = ?",
        [
            (
                bytes.fromhex(facts.sha256),
                facts.size_bytes,
                facts.stored_at_us,
                facts.sop_class_uid,
                facts.problem,
                ids[facts.object_key],
            )
            for facts in updated
        ],
    )


def _insert_references(
    connection: Connection, contents: Mapping[str, Content], ids: Mapping[str, int]
) -> None:
    change_many(
        connection,
        "INSERT INTO reference (src, relation, level, dst_uid) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        [
            (ids[key], relation, level, uid)
            for key, content in contents.items()
            for relation, level, uid in sorted(content.references)
        ],
    )
