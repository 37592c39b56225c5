"""What is asked of the hierarchy, of instances and of references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from dicomcore.keys import parse_object_key
from dicomcore.model import InstanceHeader, Level, Relation
from dicomcore.ports import IncomingReference, IndexCounts, IndexedInstance
from dicomcore.references import Stack
from dicomio.sql_index.headers import unpack_headers, unpack_stacks
from dicomio.sql_index.rows import Facts, to_instance
from dicomio.sql_index.schema import conflict, instance, patient, series, study
from dicomio.sql_index.segments import unpack_ids
from dicomio.sql_index.sql import chunks, marks, rows
from dicomio.sql_index.texts import storable
from dicomio.sql_index.writer import FACTS, FACTS_FROM, facts_of

Blobs = tuple[bytes, bytes]
"""Of a segment: ids and headers, still packed."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Versions of instances, and the segments that their headers are in; decoded by `instances`."""

    facts: Mapping[int, Facts]
    """By id, in the order of the answer."""
    segments: Sequence[Blobs] = field(repr=False)
    uids: Mapping[int, str]
    """SOP Instance UIDs of every instance in the segments."""


def instances(stored: Stored) -> list[IndexedInstance]:
    """Return the versions with their headers."""
    headers: dict[int, InstanceHeader] = {}
    for blob, packed in stored.segments:
        ids = unpack_ids(blob)
        uids = [stored.uids[one] for one in ids]
        for one, header in zip(ids, unpack_headers(packed, uids), strict=True):
            if one in stored.facts:
                headers[one] = header
    return [to_instance(facts, headers.get(one)) for one, facts in stored.facts.items()]


def versions(connection: Connection, uid: str) -> Stored:
    """Return every version of an instance, oldest first."""
    found = rows(connection, f"SELECT {FACTS} FROM {FACTS_FROM} WHERE i.sop_uid = ?", uid)
    facts = {row[0]: facts_of(row) for row in found}
    order = sorted(facts.items(), key=lambda one: (one[1].stored_at_us, one[1].object_key))
    series_ids = sorted({row[-1] for row in found if row[-1] is not None})
    segments: list[Blobs] = []
    for blobs in _segments(connection, series_ids):
        if not facts.keys().isdisjoint(unpack_ids(blobs[0])):
            segments.append(blobs)
    wanted = sorted({one for blob, _ in segments for one in unpack_ids(blob)})
    uids: dict[int, str] = {}
    for some in chunks(wanted):
        statement = f"SELECT id, sop_uid FROM instance WHERE id IN ({marks(some)})"
        uids.update({row[0]: row[1] for row in rows(connection, statement, *some)})
    return Stored(dict(order), segments, uids)


def of_patient(connection: Connection, patient_id: str) -> Stored:
    """Return every readable version below a patient, by object key."""
    stored = storable(patient_id)
    found = rows(
        connection,
        f"SELECT {FACTS} FROM patient p JOIN study t ON t.patient = p.id"
        " JOIN series s ON s.study = t.id JOIN instance i ON i.series = s.id"
        " WHERE p.patient_id = ?",
        stored,
    )
    facts = {row[0]: facts_of(row) for row in found}
    order = sorted(facts.items(), key=lambda one: one[1].object_key)
    segments = _segments(connection, sorted({row[-1] for row in found}))
    return Stored(dict(order), segments, {row[0]: row[1] for row in found})


def for_tree(connection: Connection, patient_id: str) -> Stored:
    """Return a patient's segments, and the SOP Instance UIDs in them, without facts of versions."""
    found = rows(
        connection,
        "SELECT s.id FROM patient p JOIN study t ON t.patient = p.id"
        " JOIN series s ON s.study = t.id WHERE p.patient_id = ? ORDER BY s.id",
        storable(patient_id),
    )
    series_ids = [row[0] for row in found]
    uids: dict[int, str] = {}
    for one in series_ids:  # one by one: PostgreSQL's rows are taken on the loop
        uids.update(rows(connection, "SELECT id, sop_uid FROM instance WHERE series = ?", one))
    return Stored({}, _segments(connection, series_ids), uids)


def headers(stored: Stored) -> tuple[list[InstanceHeader], list[Stack]]:
    """Return what a tree is made of: images in stacks, one header for each other version."""
    several: set[str] = set()
    if len(set(stored.uids.values())) < len(stored.uids):
        several = {uid for uid, count in Counter(stored.uids.values()).items() if count > 1}
    single: list[InstanceHeader] = []
    stacks: list[Stack] = []
    for blob, packed in stored.segments:
        uids = [stored.uids[one] for one in unpack_ids(blob)]
        some, more = unpack_stacks(packed, uids, several)
        single += some
        stacks += more
    return single, stacks


def _segments(connection: Connection, series_ids: Sequence[int]) -> list[Blobs]:
    return [
        (row[0], row[1])
        for some in chunks(series_ids)
        for row in rows(
            connection,
            f"SELECT ids, headers FROM segment WHERE series IN ({marks(some)})",
            *some,
        )
    ]


def conflicts(connection: Connection, patient_id: str) -> frozenset[str]:
    """Return the patient's SOP Instance UIDs with more than one version."""
    statement = (
        select(instance.c.sop_uid)
        .distinct()
        .join(conflict, conflict.c.sop_uid == instance.c.sop_uid)
        .join(series, series.c.id == instance.c.series)
        .join(study, study.c.id == series.c.study)
        .join(patient, patient.c.id == study.c.patient)
        .where(patient.c.patient_id == storable(patient_id))
    )
    return frozenset(connection.execute(statement).scalars())


def referenced_by(connection: Connection, uid: str, limit: int) -> list[IncomingReference]:
    """Return who references `uid`, once for every instance, relation and level."""
    found = rows(
        connection,
        f"SELECT {FACTS}, r.relation, r.level FROM reference r JOIN instance i ON i.id = r.src"
        " LEFT JOIN series s ON s.id = i.series LEFT JOIN study t ON t.id = s.study WHERE r.dst_uid = ?"
        " ORDER BY t.study_uid, s.series_uid, i.sop_uid, i.sha256, r.relation, r.level LIMIT ?",
        storable(uid),
        limit,
    )
    return sorted(
        {
            IncomingReference(
                parse_object_key(facts_of(row[:-2]).object_key).ref,
                Relation(row[-2]),
                Level(row[-1]),
            )
            for row in found
        }
    )


def counts(connection: Connection) -> IndexCounts:
    """Return how much there is."""
    statement = select(
        select(func.count()).select_from(patient).scalar_subquery(),
        select(func.count()).select_from(instance).scalar_subquery(),
        select(func.count()).where(instance.c.problem != "").scalar_subquery(),
        select(func.count()).select_from(conflict).scalar_subquery(),
    )
    row = connection.execute(statement).one()
    return IndexCounts(patients=row[0], instances=row[1], unreadable=row[2], conflicts=row[3])
