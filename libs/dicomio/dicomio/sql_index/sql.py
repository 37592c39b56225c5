"""Hand-written statements: the few hot ones, past the compiler of SQLAlchemy."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
CHUNK = 500
"""Values of one IN list: far below the limit of either database (32,766)."""


def rows(connection: Connection, statement: str, *values: object) -> Sequence[Any]:
    """Return all rows of a statement; `?` stands for a value."""
    if connection.dialect.name == "sqlite":
        # SQLAlchemy takes five times as long as SQLite for what a search asks.
        driver: Any = connection.connection.driver_connection
        return list(driver.execute(statement, values))
    return connection.exec_driver_sql(_written(connection, statement), values).all()


def change(connection: Connection, statement: str, *values: object) -> int:
    """Run a statement that returns nothing; return how many rows it changed."""
    return connection.exec_driver_sql(_written(connection, statement), values).rowcount


def change_many(connection: Connection, statement: str, many: Iterable[tuple[object, ...]]) -> None:
    """Run a statement once for each tuple of values."""
    given = list(many)
    if given:
        connection.exec_driver_sql(_written(connection, statement), given)


def marks(values: Sequence[object]) -> str:
    """Return the `?` of an IN list, which must not be empty."""
    return ", ".join("?" * len(values))


def tuple_marks(connection: Connection, tuples: Sequence[Sequence[object]]) -> str:
    """Return what stands in `(a, b) IN (…)` for tuples, at least one."""
    each = ", ".join([f"({marks(tuples[0])})"] * len(tuples))
    # PostgreSQL would take the parameters of VALUES for texts; SQLite knows no other list of rows.
    return each if connection.dialect.name == "postgresql" else f"VALUES {each}"


def chunks(values: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Yield the values in lists of at most `size`."""
    iterator = iter(values)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def next_id(connection: Connection, table: str) -> int:
    """Return the first free id of a table; whoever holds the write lock may use it and those after it."""
    return int(rows(connection, f"SELECT coalesce(max(id), 0) + 1 FROM {table}")[0][0])


def _written(connection: Connection, statement: str) -> str:
    return _numbered(statement) if connection.dialect.name == "postgresql" else statement


@lru_cache(maxsize=512)
def _numbered(statement: str) -> str:
    numbers = itertools.count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", statement)
