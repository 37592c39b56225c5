"""Patients by what a list builder asks for, and what is kept of them for that."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from dicomcore.plan_query import DateRange, PatientOrder, PatientQuery
from dicomcore.ports import PatientPage, PatientSummary, Position
from dicomio.sql_index.hierarchy import instances_below
from dicomio.sql_index.pages import Conditions, Listing, count, page
from dicomio.sql_index.patterns import any_like, kept
from dicomio.sql_index.sql import change_many, chunks, marks, rows
from dicomio.sql_index.texts import original, storable

IS_DATE = "length({0}) = 8 AND {0} BETWEEN '00000000' AND '99999999'"
_KEYS = {
    PatientOrder.PATIENT_ID: "p.patient_id",
    PatientOrder.PATIENT_NAME: "p.folded_name",
    PatientOrder.BIRTH_DATE: "p.birth_date",
    PatientOrder.LATEST_STUDY_DATE: "p.latest_study_date",
}


def refresh_patients(connection: Connection, patient_ids: Collection[str]) -> None:
    """Bring up to date what patients are found by, after a batch has placed their studies."""
    for some in chunks(sorted(patient_ids)):
        found = rows(
            connection,
            "SELECT p.id, p.patient_id, p.patient_name, p.folded_id, p.folded_name,"
            " p.latest_study_date, coalesce((SELECT max(t.study_date) FROM study t"
            f" WHERE t.patient = p.id AND {IS_DATE.format('t.study_date')}), '')"
            f" FROM patient p WHERE p.patient_id IN ({marks(some)})",
            *some,
        )
        changed = []
        for identity, patient_id, name, *before, latest in found:
            now = [kept(original(patient_id)), kept(original(name)), latest]
            if now != before:
                changed.append((*now, identity))
        change_many(
            connection,
            "UPDATE patient SET folded_id = ?, folded_name = ?, latest_study_date = ? WHERE id = ?",
            changed,
        )


def find_patients(
    connection: Connection, query: PatientQuery, after: Position | None, limit: int
) -> PatientPage:
    """Return a page of the patients that fulfil a query, with what each has."""
    conditions = _conditions(query)
    listing = Listing(
        columns="p.id, p.patient_id, p.patient_name, p.birth_date, p.sex, p.latest_study_date,"
        " (SELECT count(*) FROM study t WHERE t.patient = p.id),"
        " (SELECT count(*) FROM study t JOIN series s ON s.study = t.id WHERE t.patient = p.id),"
        " (SELECT count(*) FROM plan x WHERE x.patient = p.id)",
        table="patient p",
        key=_KEYS[query.order],
        tie="p.patient_id",
        descending=query.descending,
    )
    found, following = page(connection, listing, conditions, after, limit)
    instances = instances_below(connection, "p.id", [row[2] for row in found])
    return PatientPage(
        patients=tuple(
            PatientSummary(
                patient_id=original(row[3]),
                patient_name=original(row[4]),
                patient_birth_date=original(row[5]),
                patient_sex=original(row[6]),
                latest_study_date=row[7],
                number_of_studies=row[8],
                number_of_series=row[9],
                number_of_plans=row[10],
                number_of_instances=instances[row[2]],
            )
            for row in found
        ),
        next=following,
        total=count(connection, "patient p", conditions),
    )


def date_range(column: str, one: DateRange) -> tuple[str, tuple[object, ...]]:
    """Return the condition that a column, which begins with YYYYMMDD, is within a range."""
    # what is no date is within no range; "~" comes after every digit, so that times are included
    low, high = one.low or "0", (one.high or "9999") + "~"
    return f"({column} >= ? AND {column} <= ?)", (low, high)


def _conditions(query: PatientQuery) -> Conditions:
    conditions = Conditions()
    if query.prefix:
        least = storable(query.prefix)
        conditions.add("p.patient_id BETWEEN ? AND ?", least, least + "\U0010ffff")
    for column, texts in (("p.folded_id", query.ids), ("p.folded_name", query.names)):
        if texts:
            condition, values = any_like(column, texts, whole=False)
            conditions.add(condition, *values)
    conditions.any_of([date_range("p.birth_date", one) for one in query.birth_dates])
    if query.birth_dates:
        conditions.add(IS_DATE.format("p.birth_date"))
    if query.study_dates:
        within = Conditions([f"t.patient = p.id AND {IS_DATE.format('t.study_date')}"])
        within.any_of([date_range("t.study_date", one) for one in query.study_dates])
        conditions.add(f"EXISTS (SELECT 1 FROM study t WHERE {within.written()})", *within.values)
    if query.modalities:
        modalities = [storable(one) for one in query.modalities]
        conditions.add(
            "EXISTS (SELECT 1 FROM study t JOIN series s ON s.study = t.id"
            f" WHERE t.patient = p.id AND s.modality IN ({marks(modalities)}))",
            *modalities,
        )
    if query.has_plans is not None:
        exists = "EXISTS (SELECT 1 FROM plan x WHERE x.patient = p.id)"
        conditions.add(exists if query.has_plans else f"NOT {exists}")
    return conditions
