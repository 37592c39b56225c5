"""Search: series in which all terms may hold, then the instances in which they do."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from dicomcore.columns import Packed
from dicomcore.errors import IndexUnavailable, Unreadable
from dicomcore.found import answers
from dicomcore.ports import SearchScope
from dicomcore.query import Query, Told
from dicomio.sql_index.hierarchy import LISTED, LISTED_FROM
from dicomio.sql_index.lookup import Condition, Lookup, look_up, series_with
from dicomio.sql_index.segments import PENDING, unpack_ids
from dicomio.sql_index.sql import chunks, marks, rows
from dicomio.sql_index.texts import storable

_HEAD = 64
"""So many series are looked up of every term: which one is rare is seen, and often that is all."""
_SMALLEST_CHUNK = 32
_LARGEST_CHUNK = 2048
_ALL = 2**62
_TOGETHER = 64
"""Series that are fetched with one statement."""
_UNTOLD: Told = ()


Position = tuple[int, int]
"""Series and instance, by their ids: the order of hits."""
START: Position = (0, 0)


@dataclass(frozen=True, slots=True)
class Hit:
    """One version of an instance that fulfils all terms."""

    position: Position
    told: Told = field(default=(), repr=False)
    row: Sequence[Any] | None = field(default=None, repr=False)
    """Of `hierarchy.LISTED`, if it was fetched on the way."""


class Finder:
    """One query in one scope, on one state of the database.

    Parameters
    ----------
    tell
        Whether the values that are asked for are wanted, not only which instances have some.
    """

    def __init__(
        self, connection: Connection, query: Query, scope: SearchScope, *, tell: bool = True
    ) -> None:
        self._connection = connection
        self._query = query
        self._scope = on_series(scope)
        self._lookups = [look_up(connection, term) for term in query.terms]
        # Terms that meet in one item, and values that are asked for, only the attributes can tell.
        firsts = [term.path[0] for term in query.terms if len(term.path) > 1]
        self._tellable = len(firsts) == len(set(firsts)) and not (tell and query.asked)
        self.opened = 0
        """Segments whose attributes were looked into."""

    def by_series(
        self, after: Position = START, *, wanted: int = _ALL
    ) -> Iterator[tuple[int, Sequence[Hit]]]:
        """Yield series that may hold hits, in order, and their hits behind `after`: perhaps none.

        Parameters
        ----------
        wanted
            How many hits are. Where nothing has to be looked into, so many are fetched together, and of
            each batch no more: the last series may then miss some of its hits.
        """
        batch: dict[int, int] = {}
        expected = 0
        for series, whole in self._candidates(after[0], wanted):
            batch[series] = whole
            expected += whole
            if len(batch) >= _TOGETHER or expected >= wanted:
                yield from self._fetched(batch, after, wanted)
                batch, expected = {}, 0
        yield from self._fetched(batch, after, wanted)

    def count(self) -> int:
        """Return how many hits there are."""
        found, unknown = 0, []
        for series, whole in self._candidates(0):
            found += whole
            if not whole:
                unknown.append(series)
        for some in chunks(unknown, _TOGETHER):
            for segments in self._segments(some).values():
                found += sum(1 for _ in self._in(segments))
        return found

    # ── series ──────────────────────────────────────────────────────────────────────────────

    def _candidates(self, least: int, wanted: int = _ALL) -> Iterator[tuple[int, int]]:
        """Yield series from `least` on in order, and of how many instances all is known to hold.

        0 where it has to be looked into: something is pending, or the postings do not tell.
        """
        pending = deque(self._pending(least))
        for series, whole in self._packed(least, wanted):
            while pending and pending[0] < series:
                yield pending.popleft(), 0
            if pending and pending[0] == series:
                yield pending.popleft(), 0
            else:
                yield series, whole
        for series in pending:
            yield series, 0

    def _pending(self, least: int) -> Sequence[int]:
        where, values = self._scope
        found = rows(
            self._connection,
            f"SELECT DISTINCT series FROM segment WHERE {PENDING}"
            f" AND series >= ? AND ({where}) ORDER BY series",
            *(least, *values),
        )
        return [row[0] for row in found]

    def _packed(self, least: int, wanted: int) -> Iterator[tuple[int, int]]:
        """Yield packed series: as far as short heads of the postings tell, then by the rarest term."""
        alone = min(max(wanted, _SMALLEST_CHUNK), _LARGEST_CHUNK)
        size = alone if len(self._lookups) == 1 else _HEAD
        heads = [(one, self._head(one, least, size)) for one in self._lookups]
        heads.sort(key=lambda head: (len(head[1]), not head[0].counts))
        ended = [(lookup, head) for lookup, head in heads if len(head) < size]
        if ended:
            # All series of the rarest term are known: only these can hold hits.
            left = _in_all([head for _, head in ended])
            for lookup, _ in heads[len(ended) :]:
                left = self._narrowed(lookup, left)
            yield from self._wholes(left)
            return
        # Up to the end of the shortest reach, the heads are all there is.
        reached = min(max(head) for _, head in heads)
        left = _in_all([head for _, head in heads])
        yield from self._wholes({one: counts for one, counts in left.items() if one <= reached})
        yield from self._further([lookup for lookup, _ in heads], reached + 1, size)

    def _further(self, order: Sequence[Lookup], least: int, size: int) -> Iterator[tuple[int, int]]:
        while True:
            size = min(2 * size, _LARGEST_CHUNK)
            first = self._head(order[0], least, size)
            left = {series: [count] for series, count in first.items()}
            for lookup in order[1:]:
                left = self._narrowed(lookup, left)
            yield from self._wholes(left)
            if len(first) < size:
                return
            least = max(first) + 1

    def _head(self, lookup: Lookup, least: int, size: int) -> Mapping[int, int]:
        """Return the first series from `least` on in which a term may hold; fewer than `size`: all."""
        where, values = self._scope
        scope: Condition = (f"series >= ? AND ({where})", (least, *values))
        return series_with(self._connection, lookup, scope, size)

    def _narrowed(self, lookup: Lookup, left: Mapping[int, list[int]]) -> dict[int, list[int]]:
        both: dict[int, list[int]] = {}
        for some in chunks(left):
            inside: Condition = (f"series IN ({marks(some)})", tuple(some))
            for series, count in series_with(self._connection, lookup, inside, len(some)).items():
                both[series] = [*left[series], count]
        return dict(sorted(both.items()))

    def _wholes(self, left: Mapping[int, list[int]]) -> Iterator[tuple[int, int]]:
        """Yield series and their number of instances, or 0 where not all of these are hits."""
        for some in chunks(left):
            sizes: dict[int, int] = {}
            if self._tellable:
                statement = (
                    f"SELECT series, count FROM segment WHERE series IN ({marks(some)})"
                    " AND packed = 1"
                )
                sizes = {row[0]: row[1] for row in rows(self._connection, statement, *some)}
            for series in some:
                size = sizes.get(series, 0)
                yield series, size if all(count == size for count in left[series]) else 0

    # ── instances ───────────────────────────────────────────────────────────────────────────

    def _fetched(
        self, batch: Mapping[int, int], after: Position, wanted: int
    ) -> Iterator[tuple[int, Sequence[Hit]]]:
        """Yield hits of series: all instances where that is known, else those that fulfil the query."""
        listed = self._listed([one for one, whole in batch.items() if whole], after, wanted)
        segments = self._segments([series for series, whole in batch.items() if not whole])
        for series, whole in batch.items():
            if whole:
                hits = [Hit((series, row[1]), _UNTOLD, row[2:]) for row in listed[series]]
            else:
                hits = [Hit((series, one), told) for one, told in self._in(segments[series])]
            yield series, sorted((h for h in hits if h.position > after), key=_position)

    def _listed(
        self, series: Sequence[int], after: Position, wanted: int
    ) -> Mapping[int, Sequence[Sequence[Any]]]:
        """Return the first instances behind `after`, as many as are wanted, by series."""
        found: dict[int, list[Sequence[Any]]] = {one: [] for one in series}
        for some in chunks(series):
            statement = (
                f"SELECT i.series, i.id, {LISTED} FROM {LISTED_FROM}"
                f" WHERE i.series IN ({marks(some)}) AND (i.series > ? OR i.id > ?)"
                " ORDER BY i.series, i.id LIMIT ?"
            )
            for row in rows(self._connection, statement, *some, *after, wanted):
                found[row[0]].append(row)
        return found

    def _segments(self, series: Sequence[int]) -> Mapping[int, Sequence[tuple[bytes, bytes]]]:
        """Return ids and attributes of segments, still packed, by series."""
        found: dict[int, list[tuple[bytes, bytes]]] = {one: [] for one in series}
        for some in chunks(series):
            statement = f"SELECT series, ids, body FROM segment WHERE series IN ({marks(some)})"
            for one, ids, body in rows(self._connection, statement, *some):
                found[one].append((ids, body))
        return found

    def _in(self, segments: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[int, Told]]:
        for blob, body in segments:
            self.opened += 1
            try:
                found = list(answers(Packed(body), self._query))
            except Unreadable as exc:
                raise IndexUnavailable("the index is damaged: rebuild it") from exc
            if found:
                ids = unpack_ids(blob)
                yield from ((ids[number], told) for number, told in found)


def _in_all(heads: Sequence[Mapping[int, int]]) -> dict[int, list[int]]:
    """Return the series that are in all of them, in order, and their counts."""
    first, *others = heads
    common = set(first).intersection(*others)
    return {series: [head[series] for head in heads] for series in sorted(common)}


def _position(hit: Hit) -> Position:
    return hit.position


def on_series(scope: SearchScope) -> Condition:
    """Return the condition on a column `series`."""
    joined = {
        "p.patient_id": None if scope.patient_id is None else storable(scope.patient_id),
        "t.study_uid": storable(scope.study_instance_uid) or None,
        "s.series_uid": storable(scope.series_instance_uid) or None,
        "s.modality": storable(scope.modality) or None,
    }
    given = {column: text for column, text in joined.items() if text is not None}
    if not given:
        return "TRUE", ()
    where = " AND ".join(f"{column} = ?" for column in given)
    inside = (
        "series IN (SELECT s.id FROM patient p JOIN study t ON t.patient = p.id"
        f" JOIN series s ON s.study = t.id WHERE {where})"
    )
    return inside, tuple(given.values())
