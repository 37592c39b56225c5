"""What is asked of the index."""

from __future__ import annotations

from sqlalchemy import Connection, distinct, func, select

from dicomcore.keys import parse_object_key
from dicomcore.model import Level, Relation
from dicomcore.ports import IncomingReference, IndexCounts, PatientSummary
from dicomio.sql_index.rows import Facts
from dicomio.sql_index.schema import conflict, instance, patient, reference, series, study
from dicomio.sql_index.texts import original, storable
from dicomio.sql_index.writer import FACTS

Stored = tuple[Facts, bytes | None]
"""Facts, and the header as it is kept: still compressed."""


def versions(connection: Connection, uid: str) -> list[Stored]:
    """Return every version of an instance, oldest first."""
    statement = (
        select(*FACTS, instance.c.header)
        .where(instance.c.sop_uid == uid)
        .order_by(instance.c.stored_at_us, instance.c.object_key)
    )
    return [(Facts(*row[:-1]), row[-1]) for row in connection.execute(statement)]


def of_patient(connection: Connection, patient_id: str) -> list[Stored]:
    """Return every version below a patient, by object key."""
    statement = (
        select(*FACTS, instance.c.header)
        .join(series, series.c.id == instance.c.series)
        .join(study, study.c.id == series.c.study)
        .join(patient, patient.c.id == study.c.patient)
        .where(patient.c.patient_id == storable(patient_id))
        .order_by(instance.c.object_key)
    )
    return [(Facts(*row[:-1]), row[-1]) for row in connection.execute(statement)]


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
    statement = (
        select(instance.c.object_key, reference.c.relation, reference.c.level)
        .join(instance, instance.c.id == reference.c.src)
        .where(reference.c.dst_uid == storable(uid))
        .order_by(instance.c.object_key, reference.c.relation, reference.c.level)
        .limit(limit)
    )
    found = {
        IncomingReference(parse_object_key(row[0]).ref, Relation(row[1]), Level(row[2]))
        for row in connection.execute(statement)
    }
    return sorted(found)


def patients(connection: Connection, after: str | None, limit: int) -> list[PatientSummary]:
    """Return a page of patients, with what each has."""
    page = select(patient).order_by(patient.c.patient_id).limit(limit)
    if after is not None:
        page = page.where(patient.c.patient_id > storable(after))
    some = page.subquery()
    statement = (
        select(
            some.c.patient_id,
            some.c.patient_name,
            func.count(distinct(study.c.id)),
            func.count(distinct(series.c.id)),
            func.count(distinct(instance.c.sop_uid)),
        )
        .join(study, study.c.patient == some.c.id)
        .join(series, series.c.study == study.c.id)
        .join(instance, instance.c.series == series.c.id)
        .group_by(some.c.patient_id, some.c.patient_name)
        .order_by(some.c.patient_id)
    )
    return [
        PatientSummary(original(row[0]), original(row[1]), row[2], row[3], row[4])
        for row in connection.execute(statement)
    ]


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
