"""Pages of what a search finds, and of the values of an attribute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection

from dicomcore.columns import Packed
from dicomcore.criteria import Asked
from dicomcore.errors import InvalidRequest
from dicomcore.found import fields_at
from dicomcore.ports import FoundInstance, FoundPage, SearchScope, ValueCount
from dicomcore.query import Query, Term
from dicomcore.tagpath import Path
from dicomio.sql_index.hierarchy import LISTED, LISTED_FROM, listed
from dicomio.sql_index.lookup import look_up
from dicomio.sql_index.search import START, Finder, Hit, Position, on_series
from dicomio.sql_index.segments import PENDING, load
from dicomio.sql_index.sql import chunks, marks, rows

MOST_OPENED = 2000
"""Segments that are looked into for one page; then it ends early, and the next one goes on."""


def found_page(
    connection: Connection,
    query: Query,
    scope: SearchScope,
    *,
    after: Position | None,
    limit: int,
) -> FoundPage:
    """Return a page of hits, in an order that does not change."""
    finder = Finder(connection, query, scope)
    hits: list[Hit] = []
    end: Position | None = None
    for series, more in finder.by_series(after or START, wanted=limit + 1):
        hits += more
        if len(hits) > limit:
            hits = hits[:limit]
            end = hits[-1].position
            break
        if finder.opened >= MOST_OPENED:
            end = (series, _LAST)
            break
    return FoundPage(tuple(_instances(connection, hits)), end)


_LAST = 2**62
"""Above every id of an instance."""


def _instances(connection: Connection, hits: Sequence[Hit]) -> Iterable[FoundInstance]:
    found = {hit.position[1]: hit.row for hit in hits if hit.row is not None}
    for some in chunks([hit.position[1] for hit in hits if hit.row is None]):
        statement = f"SELECT i.id, {LISTED} FROM {LISTED_FROM} WHERE i.id IN ({marks(some)})"
        for identity, *row in rows(connection, statement, *some):
            found[identity] = row
    for hit in hits:
        yield listed(found[hit.position[1]], hit.told)


def value_counts(
    connection: Connection,
    path: Path,
    query: Query | None,
    scope: SearchScope,
    *,
    after: str | None,
    limit: int,
) -> Sequence[ValueCount]:
    """Return values of an attribute in code point order, and of how many instances each is.

    Parameters
    ----------
    query
        Only values of instances that fulfil it, from items that do where it is about the same ones.
    after
        Only values above this one.

    Raises
    ------
    InvalidRequest
        The values differ from instance to instance in too many series: a narrower scope is needed.
    """
    if query is None:
        posted, more = _posted(connection, path, scope, after, limit)
    else:
        posted, more = {}, _told(connection, path, query, scope)
    counts = Counter(posted)
    last = max(posted) if len(posted) >= limit else None
    for text, count in more.items():
        if (after is None or text > after) and (last is None or text <= last):
            counts[text] += count
    return [ValueCount(text, counts[text]) for text in sorted(counts)[:limit]]


def _posted(
    connection: Connection, path: Path, scope: SearchScope, after: str | None, limit: int
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return counts of posted values, a page of them, and of those that only attributes tell."""
    where, values = on_series(scope)
    path_ids = look_up(connection, Term(path, Asked())).path_ids
    posted: dict[str, int] = {}
    segments = [
        row[0]
        for row in rows(
            connection, f"SELECT id FROM segment WHERE {PENDING} AND ({where})", *values
        )
    ]
    if path_ids:
        above, texts = ("v.text > ? AND ", (after,)) if after is not None else ("", ())
        posted = {
            row[0]: int(row[1])
            for row in rows(
                connection,
                "SELECT v.text, sum(p.count) FROM value v JOIN posting p ON p.value = v.id"
                f" WHERE v.path IN ({marks(path_ids)}) AND {above}({where})"
                " GROUP BY v.text ORDER BY v.text LIMIT ?",
                *(*path_ids, *texts, *values, limit),
            )
        }
        segments += [
            row[0]
            for row in rows(
                connection,
                "SELECT id FROM segment WHERE packed = 1 AND series IN"
                f" (SELECT series FROM span WHERE path IN ({marks(path_ids)}) AND ({where}))",
                *(*path_ids, *values),
            )
        ]
    if len(segments) > MOST_OPENED:
        raise InvalidRequest("values differ from instance to instance: a narrower scope is needed")
    more: Counter[str] = Counter()
    for some in chunks(segments, 64):
        for segment in load(connection, some):
            more.update(_counted(segment.attributes(), path))
    return posted, more


def _counted(packed: Packed, path: Path) -> Counter[str]:
    fields = fields_at(packed, path)
    counts: Counter[str] = Counter()
    for number in range(packed.count):
        counts.update({text for one in fields for text in one.at(number) or ()})
    return counts


def _told(
    connection: Connection, path: Path, query: Query, scope: SearchScope
) -> Mapping[str, int]:
    asking = Query((*query.terms, Term(path, Asked())))
    finder = Finder(connection, asking, scope)
    counts: Counter[str] = Counter()
    for _, hits in finder.by_series():
        for hit in hits:
            counts.update(set(hit.told[-1]))
        if finder.opened > MOST_OPENED:
            raise InvalidRequest("too much fulfils the terms: a narrower scope is needed")
    return counts
