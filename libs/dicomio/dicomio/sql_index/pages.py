"""Pages of a sorted listing: where the next one starts is a key, not a count of rows."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from dicomcore.errors import InvalidRequest
from dicomcore.ports import Position
from dicomio.sql_index.sql import chunks, marks, rows


@dataclass(slots=True)
class Conditions:
    """Conditions that all have to hold, and the values of their `?`."""

    texts: list[str] = field(default_factory=lambda: ["TRUE"])
    values: list[object] = field(default_factory=list)

    def add(self, text: str, *values: object) -> None:
        """Add one."""
        self.texts.append(text)
        self.values += values

    def any_of(self, alternatives: Sequence[tuple[str, tuple[object, ...]]]) -> None:
        """Add that one of them has to hold; none of them is no condition."""
        if alternatives:
            self.add(
                "(" + " OR ".join(text for text, _ in alternatives) + ")",
                *(value for _, values in alternatives for value in values),
            )

    def written(self) -> str:
        """Return the condition."""
        return " AND ".join(self.texts)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a listing selects from, and how it is sorted."""

    columns: str
    table: str
    key: str
    tie: str
    descending: bool = False


def page(
    connection: Connection,
    listing: Listing,
    conditions: Conditions,
    after: Position | None,
    limit: int,
) -> tuple[Sequence[Any], Position | None]:
    """Return some rows, which begin with key and tie, and where the next page starts if there is one.

    Positions are as they are kept (`texts.storable`): nobody reads them but the next page.
    """
    where, values = conditions.written(), list(conditions.values)
    direction, sign = ("DESC", "<") if listing.descending else ("ASC", ">")
    if after is not None:
        where += f" AND ({listing.key}, {listing.tie}) {sign} (?, ?)"
        values += [_writable(after.key), _writable(after.tie)]
    found = rows(
        connection,
        f"SELECT {listing.key}, {listing.tie}, {listing.columns} FROM {listing.table} WHERE {where}"
        f" ORDER BY {listing.key} {direction}, {listing.tie} {direction} LIMIT ?",
        *values,
        limit + 1,
    )
    return _cut(found, limit)


def page_of(
    connection: Connection,
    listing: Listing,
    ids: Collection[int],
    after: Position | None,
    limit: int,
) -> tuple[Sequence[Any], Position | None]:
    """Return rows as `page` does, of those with these ids; the third column of a listing is the id.

    A few are fetched and sorted; of many, the next ones come soon in the order of the index.
    """
    if len(ids) <= _FEW:
        found = _sorted(connection, listing, ids, after)
        return _cut(found[: limit + 1], limit)
    some: list[Any] = []
    steps = itertools.chain((limit + 1,), itertools.repeat(_STEP))
    for step in steps:
        seen, following = page(connection, listing, Conditions(), after, step)
        some += [row for row in seen if row[2] in ids]
        if len(some) > limit or following is None:
            break
        after = following
    return _cut(some[: limit + 1], limit)


_FEW = 2000
_STEP = 1000


def _sorted(
    connection: Connection, listing: Listing, ids: Collection[int], after: Position | None
) -> list[Any]:
    found: list[Any] = []
    for some in chunks(sorted(ids)):
        found += rows(
            connection,
            f"SELECT {listing.key}, {listing.tie}, {listing.columns} FROM {listing.table}"
            f" WHERE {listing.columns} IN ({marks(some)})",
            *some,
        )
    found.sort(key=lambda row: (row[0], row[1]), reverse=listing.descending)
    if after is None:
        return found
    place = (_writable(after.key), _writable(after.tie))
    try:
        if listing.descending:
            return [row for row in found if (row[0], row[1]) < place]
        return [row for row in found if (row[0], row[1]) > place]
    except TypeError as exc:
        raise InvalidRequest("not a position of this listing") from exc


def _cut(found: Sequence[Any], limit: int) -> tuple[Sequence[Any], Position | None]:
    shown = found[:limit]
    return shown, Position(shown[-1][0], shown[-1][1]) if len(found) > limit else None


def _writable(part: str | float) -> str | float:
    """Return a part of a position that every database takes; ours are all such."""
    if isinstance(part, str) and ("\0" in part or not _is_text(part)):
        raise InvalidRequest("not a position of this listing")
    return part


def _is_text(part: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in part)


def count(connection: Connection, table: str, conditions: Conditions) -> int:
    """Return how many rows fulfil the conditions."""
    statement = f"SELECT count(*) FROM {table} WHERE {conditions.written()}"
    return int(rows(connection, statement, *conditions.values)[0][0])
