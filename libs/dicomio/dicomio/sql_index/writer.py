"""Writes one batch: a fixed number of bulk statements, whatever its size.

Whoever calls holds the write lock (`engine.writing`): between reading what is known and writing
what follows from it, nobody else writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import (
    Column,
    Connection,
    Dialect,
    Table,
    bindparam,
    delete,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from dicomcore.ports import UpsertOutcome
from dicomio.sql_index.merge import decide
from dicomio.sql_index.rows import Content, Facts, Row
from dicomio.sql_index.schema import (
    CHILDREN_FIRST,
    conflict,
    instance,
    patient,
    reference,
    series,
    study,
)

T = TypeVar("T")
_CHUNK = 500
"""Values of one IN list: far below the limit of either database (32,766)."""

FACTS = (
    instance.c.object_key,
    instance.c.sop_uid,
    instance.c.sha256,
    instance.c.size_bytes,
    instance.c.stored_at_us,
    instance.c.sop_class_uid,
    instance.c.problem,
)


def write_batch(connection: Connection, batch: Sequence[Row]) -> tuple[UpsertOutcome, ...]:
    """Write all of `batch` and return an outcome for each of its rows."""
    decision = decide(_known(connection, {row.facts.sop_uid for row in batch}), batch)
    by_key = {row.facts.object_key: row.content for row in decision.new}
    contents = {key: c for key, c in by_key.items() if c is not None} | dict(decision.readable_now)

    series_ids = _place(connection, contents.values())
    ids = _insert_new(connection, decision.new, series_ids)
    ids |= _fill_headers(connection, decision.readable_now, series_ids)
    _update_facts(connection, decision.updated)
    _insert_references(connection, contents, ids)
    if decision.conflicts:
        connection.execute(
            _ignoring(connection.dialect, conflict),
            [{"sop_uid": uid} for uid in sorted(decision.conflicts)],
        )
    return decision.outcomes


def delete_all(connection: Connection) -> None:
    """Empty every table."""
    for table in CHILDREN_FIRST:
        connection.execute(delete(table))


def _known(connection: Connection, uids: Iterable[str]) -> Iterator[Facts]:
    for some in _chunks(sorted(uids)):
        for row in connection.execute(select(*FACTS).where(instance.c.sop_uid.in_(some))):
            yield Facts(*row)


def _place(connection: Connection, contents: Iterable[Content]) -> dict[tuple[str, ...], int]:
    """Return the id of each series by (patient ID, study UID, series UID); makes what is missing."""
    names: dict[str, str] = {}
    places = set()
    for content in contents:
        known = names.get(content.patient_id, "")
        names[content.patient_id] = min(filter(None, (known, content.patient_name)), default="")
        places.add((content.patient_id, content.study_uid, content.series_uid))
    if not places:
        return {}
    patients = _patients(connection, names)
    studies = _children(
        connection, study, study.c.study_uid, {(patients[p], s) for p, s, _ in places}
    )
    all_series = _children(
        connection,
        series,
        series.c.series_uid,
        {(studies[patients[p], s], x) for p, s, x in places},
    )
    return {(p, s, x): all_series[studies[patients[p], s], x] for p, s, x in places}


def _patients(connection: Connection, names: Mapping[str, str]) -> dict[str, int]:
    statement = _insert(connection.dialect, patient)
    new = statement.excluded.patient_name
    old = patient.c.patient_name
    # Of several spellings the first in code point order is shown: the same for every order of
    # arrival. Nothing is written where nothing changes.
    better = (new != "") & ((old == "") | (new < old))
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[patient.c.patient_id], set_={"patient_name": new}, where=better
        ),
        [{"patient_id": key, "patient_name": name} for key, name in sorted(names.items())],
    )
    return {
        row.patient_id: row.id
        for some in _chunks(sorted(names))
        for row in connection.execute(
            select(patient.c.id, patient.c.patient_id).where(patient.c.patient_id.in_(some))
        )
    }


def _children(
    connection: Connection, table: Table, uid: Column[str], wanted: set[tuple[int, str]]
) -> dict[tuple[int, str], int]:
    parent = table.c[1]
    connection.execute(
        _ignoring(connection.dialect, table),
        [{parent.name: above, uid.name: text} for above, text in sorted(wanted)],
    )
    return {
        (row[1], row[2]): row[0]
        for some in _chunks(sorted(wanted))
        for row in connection.execute(
            select(table.c.id, parent, uid).where(tuple_(parent, uid).in_(some))
        )
    }


def _insert_new(
    connection: Connection, new: Sequence[Row], series_ids: Mapping[tuple[str, ...], int]
) -> dict[str, int]:
    if not new:
        return {}
    result = connection.execute(
        insert(instance).returning(instance.c.object_key, instance.c.id),
        [_facts_columns(row.facts) | _content_columns(row.content, series_ids) for row in new],
    )
    return {row.object_key: row.id for row in result}


def _fill_headers(
    connection: Connection,
    contents: Mapping[str, Content],
    series_ids: Mapping[tuple[str, ...], int],
) -> dict[str, int]:
    if not contents:
        return {}
    connection.execute(
        update(instance).where(instance.c.object_key == bindparam("key")),
        [{**_content_columns(c, series_ids), "key": key} for key, c in contents.items()],
    )
    return {
        row.object_key: row.id
        for some in _chunks(sorted(contents))
        for row in connection.execute(
            select(instance.c.object_key, instance.c.id).where(instance.c.object_key.in_(some))
        )
    }


def _update_facts(connection: Connection, updated: Sequence[Facts]) -> None:
    if not updated:
        return
    rows = []
    for facts in updated:
        columns = _facts_columns(facts)
        columns["key"] = columns.pop("object_key")
        rows.append(columns)
    connection.execute(update(instance).where(instance.c.object_key == bindparam("key")), rows)


def _insert_references(
    connection: Connection, contents: Mapping[str, Content], ids: Mapping[str, int]
) -> None:
    rows = [
        {"src": ids[key], "relation": relation, "level": level, "dst_uid": uid}
        for key, content in contents.items()
        for relation, level, uid in sorted(content.references)
    ]
    if rows:
        connection.execute(_ignoring(connection.dialect, reference), rows)


def _facts_columns(facts: Facts) -> dict[str, str | int | bytes | None]:
    return {column.name: getattr(facts, column.name) for column in FACTS}


def _content_columns(
    content: Content | None, series_ids: Mapping[tuple[str, ...], int]
) -> dict[str, str | int | bytes | None]:
    if content is None:
        return {"series": None, "modality": "", "header": None}
    place = (content.patient_id, content.study_uid, content.series_uid)
    return {"series": series_ids[place], "modality": content.modality, "header": content.header}


def _insert(dialect: Dialect, table: Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if dialect.name == "postgresql" else sqlite.insert(table)


def _ignoring(dialect: Dialect, table: Table) -> postgresql.Insert | sqlite.Insert:
    return _insert(dialect, table).on_conflict_do_nothing()


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
