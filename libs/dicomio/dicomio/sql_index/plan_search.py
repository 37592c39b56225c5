"""Plans by what they are found by, sorted, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection

from dicomcore.keys import DIGEST_LENGTH, INSTANCES
from dicomcore.plan_facts import PlanFacts, PlanLinks, PlanSummary
from dicomcore.plan_query import NumberField, NumberRange, PlanQuery
from dicomcore.ports import PlanPage, Position
from dicomio.sql_index.pages import Conditions, Listing, count, page
from dicomio.sql_index.patients import date_range
from dicomio.sql_index.patterns import any_like
from dicomio.sql_index.plan_rows import DATES, NUMBERS, ORDERS
from dicomio.sql_index.sql import chunks, marks, rows
from dicomio.sql_index.texts import original, storable

_FACTS = TypeAdapter(PlanFacts)
_LINKS = TypeAdapter(PlanLinks)
FILLING = "plans"
"""What `upkeep` calls the derivation of facts of what was there before."""


def find_plans(
    connection: Connection, query: PlanQuery, after: Position | None, limit: int
) -> PlanPage:
    """Return a page of the plans that fulfil a query."""
    conditions = _conditions(connection, query)
    listing = Listing(
        columns="p.id",
        table="plan p",
        key=f"p.{ORDERS[query.order]}",
        tie="p.tie",
        descending=query.descending,
    )
    found, following = page(connection, listing, conditions, after, limit)
    return PlanPage(
        plans=tuple(_summaries(connection, [row[2] for row in found])),
        next=following,
        total=count(connection, "plan p", conditions),
        complete=not rows(connection, "SELECT 1 FROM upkeep WHERE name = ?", FILLING),
    )


def _conditions(connection: Connection, query: PlanQuery) -> Conditions:
    conditions = Conditions()
    for field, texts in query.texts.items():
        if texts:
            condition, values = any_like("v.text", texts, whole=field.is_word)
            _having(connection, conditions, condition, field.value, values)
    for number, ranges in query.numbers.items():
        if number is NumberField.NOMINAL_ENERGY:
            within = Conditions()
            within.any_of([_number_range("v.number", one) for one in ranges])
            if ranges:
                _having(connection, conditions, within.written(), number.value, within.values)
        else:
            conditions.any_of([_number_range(f"p.{NUMBERS[number]}", one) for one in ranges])
    for date, spans in query.dates.items():
        column = f"p.{DATES[date]}"
        conditions.any_of([date_range(column, one) for one in spans])
    _exact(conditions, query)
    return conditions


def _exact(conditions: Conditions, query: PlanQuery) -> None:
    for column, values in (
        ("p.patient_id", query.patient_ids),
        ("p.sop_uid", query.sop_instance_uids),
    ):
        if values:
            stored = [storable(one) for one in values]
            conditions.add(f"{column} IN ({marks(stored)})", *stored)
    if query.study_instance_uids:
        studies = [storable(one) for one in query.study_instance_uids]
        conditions.add(
            "p.id IN (SELECT i.id FROM study t JOIN series s ON s.study = t.id"
            f" JOIN instance i ON i.series = s.id WHERE t.study_uid IN ({marks(studies)}))",
            *studies,
        )
    for column, wanted in (
        ("p.has_treatment", query.has_treatment),
        ("p.has_structure_set", query.has_structure_set),
    ):
        if wanted is not None:
            conditions.add(f"{column} = ?", int(wanted))


def _having(
    connection: Connection,
    conditions: Conditions,
    condition: str,
    field: str,
    values: Sequence[object],
) -> None:
    """Add that a plan has a value of a field that fulfils a condition."""
    statement = f"SELECT v.id FROM plan_value v WHERE v.field = ? AND {condition}"
    ids = [row[0] for row in rows(connection, statement, field, *values)]
    if not ids:
        conditions.add("FALSE")
    elif len(ids) <= _MOST_LISTED:
        conditions.add(
            f"p.id IN (SELECT h.plan FROM plan_has h WHERE h.value IN ({marks(ids)}))", *ids
        )
    else:
        conditions.add(
            "p.id IN (SELECT h.plan FROM plan_has h JOIN plan_value v ON v.id = h.value"
            f" WHERE v.field = ? AND {condition})",
            field,
            *values,
        )


_MOST_LISTED = 200


def _number_range(column: str, one: NumberRange) -> tuple[str, tuple[object, ...]]:
    low = max(one.low, 0.0) if one.low is not None else 0.0
    if one.high is None:
        return f"({column} >= ?)", (low,)
    return f"({column} >= ? AND {column} <= ?)", (low, float(one.high))


def _summaries(connection: Connection, ids: Sequence[int]) -> list[PlanSummary]:
    found: dict[int, Any] = {}
    for some in chunks(ids):
        statement = (
            "SELECT q.id, t.study_uid, s.series_uid, i.sop_uid, i.sha256, a.patient_id,"
            " q.facts, q.links, (SELECT 1 FROM conflict c WHERE c.sop_uid = i.sop_uid)"
            " FROM plan q JOIN instance i ON i.id = q.id JOIN series s ON s.id = i.series"
            " JOIN study t ON t.id = s.study JOIN patient a ON a.id = q.patient"
            f" WHERE q.id IN ({marks(some)})"
        )
        found.update({row[0]: row[1:] for row in rows(connection, statement, *some)})
    return [_summary(*found[one]) for one in ids]


def _summary(  # noqa: PLR0913 # one parameter for each column
    study: str,
    series: str,
    uid: str,
    sha256: bytes,
    patient_id: str,
    facts: bytes,
    links: bytes,
    conflict: int | None,
) -> PlanSummary:
    digest = bytes(sha256)[: DIGEST_LENGTH // 2].hex()
    return PlanSummary(
        patient_id=original(patient_id),
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=uid,
        object_key=f"{INSTANCES}{study}/{series}/{uid}/{digest}.dcm",
        conflict=conflict is not None,
        facts=_FACTS.validate_json(facts),
        links=_LINKS.validate_json(links),
    )
