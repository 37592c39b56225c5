"""Which plans fulfil a query: a set for each criterion, and what is in all of them.

Databases are good at one index at a time. Ids of some ten thousand plans are fetched in milliseconds,
and the sets make the total as well as the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from sqlalchemy import Connection

from dicomcore.plan_query import NumberField, NumberRange, PlanQuery
from dicomio.sql_index.pages import Conditions
from dicomio.sql_index.patients import date_range
from dicomio.sql_index.patterns import any_like
from dicomio.sql_index.plan_rows import (
    DATES,
    HAS_STRUCTURE_SET,
    HAS_TREATMENT,
    NUMBERS,
    said,
)
from dicomio.sql_index.sql import chunks, marks, rows
from dicomio.sql_index.texts import storable

Ask = Callable[[Connection], Iterable[int]]


def matching(connection: Connection, query: PlanQuery) -> set[int] | None:
    """Return the ids of the plans that fulfil a query; None if it does not restrict."""
    found: set[int] | None = None
    for ask in _criteria(query):
        ids = ask(connection)
        found = set(ids) if found is None else found.intersection(ids)
        if not found:
            break
    return found


def _criteria(query: PlanQuery) -> Iterator[Ask]:
    """Yield the criteria, those first that leave few."""
    for column, values in (
        ("p.sop_uid", query.sop_instance_uids),
        ("p.patient_id", query.patient_ids),
    ):
        if values:
            yield _equal(column, values)
    if query.study_instance_uids:
        yield _of_studies(query.study_instance_uids)
    for field, texts in query.texts.items():
        if texts:
            condition, patterns = any_like("v.text", texts, whole=field.is_word)
            yield _having(field.value, condition, patterns)
    for date, spans in query.dates.items():
        if spans:
            yield _within([date_range(f"p.{DATES[date]}", one) for one in spans])
    yield from _numbers(query)
    for name, wanted in (
        (HAS_TREATMENT, query.has_treatment),
        (HAS_STRUCTURE_SET, query.has_structure_set),
    ):
        if wanted is not None:
            yield _having(name, "v.text = ?", (said(is_so=wanted),))


def _numbers(query: PlanQuery) -> Iterator[Ask]:
    for number, ranges in query.numbers.items():
        if not ranges:
            continue
        if number is NumberField.NOMINAL_ENERGY:
            within = Conditions()
            within.any_of([_number_range("v.number", one) for one in ranges])
            yield _having(number.value, within.written(), within.values)
        else:
            yield _within([_number_range(f"p.{NUMBERS[number]}", one) for one in ranges])


def _having(field: str, condition: str, values: Sequence[object]) -> Ask:
    """Return those that have a value of a field which fulfils a condition."""

    def ask(connection: Connection) -> Iterator[int]:
        found = rows(
            connection,
            f"SELECT v.id FROM plan_value v WHERE v.field = ? AND {condition}",
            *(field, *values),
        )
        for some in chunks([row[0] for row in found]):
            statement = f"SELECT plan FROM plan_has WHERE value IN ({marks(some)})"
            yield from (row[0] for row in rows(connection, statement, *some))

    return ask


def _within(ranges: Sequence[tuple[str, tuple[object, ...]]]) -> Ask:
    conditions = Conditions()
    conditions.any_of(ranges)

    def ask(connection: Connection) -> Iterator[int]:
        statement = f"SELECT p.id FROM plan p WHERE {conditions.written()}"
        yield from (row[0] for row in rows(connection, statement, *conditions.values))

    return ask


def _equal(column: str, values: Iterable[str]) -> Ask:
    stored = sorted({storable(one) for one in values})

    def ask(connection: Connection) -> Iterator[int]:
        for some in chunks(stored):
            statement = f"SELECT p.id FROM plan p WHERE {column} IN ({marks(some)})"
            yield from (row[0] for row in rows(connection, statement, *some))

    return ask


def _of_studies(uids: Sequence[str]) -> Ask:
    stored = sorted({storable(one) for one in uids})

    def ask(connection: Connection) -> Iterator[int]:
        for some in chunks(stored):
            statement = (
                "SELECT p.id FROM study t JOIN series s ON s.study = t.id"
                " JOIN instance i ON i.series = s.id JOIN plan p ON p.id = i.id"
                f" WHERE t.study_uid IN ({marks(some)})"
            )
            yield from (row[0] for row in rows(connection, statement, *some))

    return ask


def _number_range(column: str, one: NumberRange) -> tuple[str, tuple[object, ...]]:
    # what is unknown is kept as a number below zero
    low = max(one.low, 0.0) if one.low is not None else 0.0
    if one.high is None:
        return f"({column} >= ?)", (low,)
    return f"({column} >= ? AND {column} <= ?)", (low, float(one.high))
