"""The values that plans are found by: each once, and which plan has which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import Connection

from dicomcore.plan_query import TextField
from dicomio.sql_index.plan_rows import HAS_STRUCTURE_SET, HAS_TREATMENT, Values
from dicomio.sql_index.sql import change_many, chunks, marks, next_id, rows, tuple_marks

_LINKED = (
    TextField.STRUCTURE.value,
    TextField.TARGET.value,
    HAS_TREATMENT,
    HAS_STRUCTURE_SET,
)


def set_values(connection: Connection, plans: Mapping[int, Values], *, linked: bool) -> None:
    """Let plans have these values and no others.

    Parameters
    ----------
    linked
        Whether these are the values that other objects give a plan; the other kind stays as it is.
    """
    for some in chunks(list(plans)):
        wanted = {plan: plans[plan] for plan in some}
        ids = _ids(connection, {key: n for values in wanted.values() for key, n in values.items()})
        before = _before(connection, some, linked=linked)
        now = {plan: {ids[key] for key in values} for plan, values in wanted.items()}
        change_many(
            connection,
            "DELETE FROM plan_has WHERE value = ? AND plan = ?",
            [(value, plan) for plan in some for value in sorted(before[plan] - now[plan])],
        )
        change_many(
            connection,
            "INSERT INTO plan_has (value, plan) VALUES (?, ?)",
            [(value, plan) for plan in some for value in sorted(now[plan] - before[plan])],
        )


def _before(
    connection: Connection, plans: Collection[int], *, linked: bool
) -> Mapping[int, set[int]]:
    found: defaultdict[int, set[int]] = defaultdict(set)
    inside = "IN" if linked else "NOT IN"
    statement = (
        "SELECT h.plan, h.value FROM plan_has h JOIN plan_value v ON v.id = h.value"
        f" WHERE h.plan IN ({marks(list(plans))}) AND v.field {inside} ({marks(_LINKED)})"
    )
    for plan, value in rows(connection, statement, *plans, *_LINKED):
        found[plan].add(value)
    return found


def _ids(connection: Connection, wanted: Values) -> Mapping[tuple[str, str], int]:
    """Return the id of each value; makes what is missing."""
    known: dict[tuple[str, str], int] = {}
    for some in chunks(sorted(wanted)):
        statement = (
            "SELECT id, field, text FROM plan_value"
            f" WHERE (field, text) IN ({tuple_marks(connection, some)})"
        )
        for row in rows(connection, statement, *(part for key in some for part in key)):
            known[(row[1], row[2])] = row[0]
    new = [key for key in sorted(wanted) if key not in known]
    first = next_id(connection, "plan_value") if new else 0
    change_many(
        connection,
        "INSERT INTO plan_value (id, field, text, number) VALUES (?, ?, ?, ?)",
        [(first + n, *key, wanted[key]) for n, key in enumerate(new)],
    )
    return known | {key: first + n for n, key in enumerate(new)}
