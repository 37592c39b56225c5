"""From a term to the series in which it may hold: postings of values, spans of what varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from dicomcore.attributes import is_at, tail_of_steps, value_of
from dicomcore.criteria import Criterion, Equal, NumberRange, TimeRange, Wildcard
from dicomcore.query import Term
from dicomcore.tagpath import Path, parse_path
from dicomio.sql_index.sql import marks, rows

MANY_VALUES = 500
"""Distinct values that fit a term. With more of them all series that have the attribute are looked
into: a list that long costs more than it saves."""
_SOP_INSTANCE_UID = parse_path("SOPInstanceUID")
_HIGHEST = "\U0010ffff"

Condition = tuple[str, tuple[object, ...]]
"""A condition on a row, and the values for its question marks."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One term, as far as the index can tell."""

    path_ids: tuple[int, ...]
    value_ids: tuple[int, ...] | None
    """Posted values that fit; None: any, or too many to list."""
    span: Condition | None
    """On a row of `span`; None where any span may hold a value that fits."""
    counts: bool = True
    """Whether the counts of the index are of instances that fulfil the term."""
    sop_instance_uid: str | None = None
    """The term is about the one attribute that has an index of its own."""


def look_up(connection: Connection, term: Term) -> Lookup:
    """Return what is known of a term without looking into a series."""
    criterion = term.criterion
    if term.path == _SOP_INSTANCE_UID and isinstance(criterion, Equal):
        return Lookup((), (), None, sop_instance_uid=_searchable(criterion.text))
    paths = _paths(connection, term.path)
    condition = _on_value(criterion)
    if condition is None:
        return Lookup(tuple(paths), None, None)
    where, values = condition
    found: list[int] = []
    for one, path in paths.items():
        fitting = rows(
            connection,
            f"SELECT id, text FROM value WHERE path = ? AND ({where}) LIMIT ?",
            *(one, *values, 8 * MANY_VALUES),
        )
        found += [row[0] for row in fitting if criterion.matches(value_of(path, row[1]))]
        if len(found) > MANY_VALUES or len(fitting) == 8 * MANY_VALUES:
            return Lookup(tuple(paths), None, None, counts=False)
    return Lookup(tuple(paths), tuple(found), _on_span(criterion))


def series_with(
    connection: Connection, lookup: Lookup, condition: Condition, limit: int
) -> dict[int, int]:
    """Return series in which a term may hold, by id and in its order, and of how many instances.

    Parameters
    ----------
    condition
        On `series`, beside what the term says.

    Returns
    -------
    dict
        -1 instances where only the attributes of the series can tell.
    """
    found: dict[int, int] = {}
    where, values = condition
    if lookup.sop_instance_uid is not None:
        statement = f"SELECT DISTINCT series FROM instance WHERE sop_uid = ? AND ({where})"
        named = rows(connection, f"{statement} ORDER BY series", lookup.sop_instance_uid, *values)
        return {row[0]: -1 for row in named}
    if not lookup.path_ids:
        return found
    if lookup.value_ids is None:
        found = _merged(connection, "occurrence", "path", lookup.path_ids, condition, limit)
        return found if lookup.counts else dict.fromkeys(found, -1)
    if lookup.value_ids:
        found = _merged(connection, "posting", "value", lookup.value_ids, condition, limit)
    on_span, span_values = lookup.span or ("TRUE", ())
    spans = rows(
        connection,
        f"SELECT DISTINCT series FROM span WHERE path IN ({marks(lookup.path_ids)})"
        f" AND ({on_span}) AND ({where}) ORDER BY series LIMIT ?",
        *(*lookup.path_ids, *span_values, *values, limit),
    )
    if not spans:
        return found
    found.update({row[0]: -1 for row in spans})
    return {series: found[series] for series in sorted(found)[:limit]}


def _merged(
    connection: Connection,
    table: str,
    column: str,
    keys: Sequence[int],
    condition: Condition,
    limit: int,
) -> dict[int, int]:
    """Return series and counts; -1 where several keys meet, whose instances may overlap."""
    where, values = condition
    if len(keys) == 1:
        statement = f"SELECT series, count FROM {table} WHERE {column} = ?"
    else:
        statement = f"SELECT DISTINCT series, -1 FROM {table} WHERE {column} IN ({marks(keys)})"
    found = rows(
        connection,
        f"{statement} AND ({where}) ORDER BY series LIMIT ?",
        *(*keys, *values, limit),
    )
    return {row[0]: row[1] for row in found}


def _paths(connection: Connection, wanted: Path) -> Mapping[int, str]:
    found = rows(connection, "SELECT id, text FROM path WHERE tail = ?", tail_of_steps(wanted))
    return {row[0]: row[1] for row in found if is_at(row[1], wanted)}


def _on_value(criterion: Criterion) -> Condition | None:
    """Return the condition on a row of `value`; None where every value fits."""
    match criterion:
        case Equal(text=text, number=number):
            either = "" if number is None else " OR number = ?"
            numbers = () if number is None else (number,)
            return f"text = ?{either}", (_searchable(text), *numbers)
        case Wildcard(prefix=prefix):
            return "text >= ? AND text <= ?", (_searchable(prefix), _searchable(prefix) + _HIGHEST)
        case NumberRange(low=low, high=high):
            return _between("number >= ?", low, "number <= ?", high)
        case TimeRange():
            return "text >= ? AND text < ?", (criterion.lower, criterion.upper)
        case _:
            return None


def _on_span(criterion: Criterion) -> Condition | None:
    """Return the condition on a row of `span` in which a value that fits may lie."""
    match criterion:
        case Equal(text=text, number=number):
            either = "" if number is None else " OR (low_number <= ? AND high_number >= ?)"
            numbers = () if number is None else (number, number)
            within = "(low <= ? AND high >= ?)"
            return within + either, (_searchable(text), _searchable(text), *numbers)
        case Wildcard(prefix=prefix):
            return "low <= ? AND high >= ?", (_searchable(prefix) + _HIGHEST, _searchable(prefix))
        case NumberRange(low=low, high=high):
            return _between("high_number >= ?", low, "low_number <= ?", high)
        case TimeRange():
            return "low < ? AND high >= ?", (criterion.upper, criterion.lower)
        case _:
            return None


def _between(above: str, low: float | None, below: str, high: float | None) -> Condition:
    given = [(text, end) for text, end in ((above, low), (below, high)) if end is not None]
    return " AND ".join(text for text, _ in given), tuple(end for _, end in given)


def _searchable(text: str) -> str:
    """What no stored value holds, NUL and lone surrogates, no database takes: a text unlike any."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
