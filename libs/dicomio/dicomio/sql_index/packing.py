"""Packing: the segments of a series that has become quiet are merged into one that is posted.

Merging is done outside of any transaction, on what was read; written is it only if those segments are
still there. New ones that came meanwhile stay pending, and are merged the next time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from dicomcore.attributes import tail_of, value_of
from dicomcore.columns import merged, packed
from dicomcore.postings import Posted, postings_of
from dicomio.sql_index.headers import merge_headers
from dicomio.sql_index.segments import Segment, insert_segments, load, pack_ids
from dicomio.sql_index.sql import change_many, chunks, marks, next_id, rows

MANY_SEGMENTS = 64
"""Of one series: it is packed though it is not quiet, for a search reads each of them."""
MANY_PENDING = 512
"""Of all series: then the oldest are packed though they are not quiet."""
_INSTANCES = 20_000
"""Packed at once: bounds the memory."""


@dataclass(frozen=True, slots=True)
class Repack:
    """A series before and after, ready to be written."""

    series: int
    replaced: tuple[tuple[int, int], ...]
    """Ids of the segments that were merged, and when they were written: after everything has been
    forgotten, ids begin anew."""
    count: int
    ids: bytes = field(repr=False)
    headers: bytes = field(repr=False)
    body: bytes = field(repr=False)
    before: Mapping[str, Posted] = field(repr=False)
    after: Mapping[str, Posted] = field(repr=False)


def due(connection: Connection, quiet_before_us: int) -> Sequence[Segment]:
    """Return all segments of the series that are to be packed now, some at a time; empty if none is.

    Parameters
    ----------
    quiet_before_us
        A series is quiet if nothing of it was written since, in microseconds since 1970.
    """
    pending = rows(
        connection,
        "SELECT series, count(*), sum(count), max(written_at_us) FROM segment WHERE packed = 0"
        " GROUP BY series ORDER BY max(written_at_us)",
    )
    excess = sum(row[1] for row in pending) - MANY_PENDING
    chosen, instances = [], 0
    for series, segments, count, written_at_us in pending:
        if excess > 0 or segments >= MANY_SEGMENTS or written_at_us <= quiet_before_us:
            chosen.append(series)
            excess -= segments
            instances += int(count)
        if instances >= _INSTANCES:
            break
    ids = [
        row[0]
        for some in chunks(chosen)
        for row in rows(
            connection, f"SELECT id FROM segment WHERE series IN ({marks(some)})", *some
        )
    ]
    return load(connection, ids)


def repacks(segments: Sequence[Segment]) -> list[Repack]:
    """Return what becomes of segments, series by series. Takes a while; to be run in a thread.

    Raises
    ------
    Unreadable
        A segment is damaged: the index has to be rebuilt.
    """
    by_series: dict[int, list[Segment]] = {}
    for segment in segments:
        by_series.setdefault(segment.series, []).append(segment)
    return [_repack(series, some) for series, some in by_series.items()]


def _repack(series: int, segments: Sequence[Segment]) -> Repack:
    parts = [segment.attributes().columns() for segment in segments]
    columns = merged(parts)
    posted = [part for part, segment in zip(parts, segments, strict=True) if segment.packed]
    return Repack(
        series=series,
        replaced=tuple((segment.id, segment.written_at_us) for segment in segments),
        count=columns.count,
        ids=pack_ids([one for segment in segments for one in segment.ids]),
        headers=merge_headers(
            [segment.headers for segment in segments], [part.count for part in parts]
        ),
        body=packed(columns),
        before=postings_of(posted[0]) if posted else {},
        after=postings_of(columns),
    )


def write_repacks(connection: Connection, all_repacks: Sequence[Repack], now_us: int) -> int:
    """Replace segments, and post what changes; return how many series were packed.

    A series whose segments are not what was merged is left out: another replica was quicker, or
    everything was forgotten meanwhile.
    """
    there: set[tuple[int, int]] = set()
    for some in chunks([one for repack in all_repacks for one, _ in repack.replaced]):
        statement = f"SELECT id, written_at_us FROM segment WHERE id IN ({marks(some)})"
        there.update((row[0], row[1]) for row in rows(connection, statement, *some))
    valid = [repack for repack in all_repacks if there.issuperset(repack.replaced)]
    if not valid:
        return 0
    number = next_id(connection, "segment")  # before the deletion: no id comes twice
    change_many(
        connection,
        "DELETE FROM segment WHERE id = ?",
        [(one,) for repack in valid for one, _ in repack.replaced],
    )
    insert_segments(
        connection,
        [
            (number + n, r.series, 1, r.count, now_us, r.ids, r.headers, r.body)
            for n, r in enumerate(valid)
        ],
    )
    _post(connection, valid)
    return len(valid)


def _post(connection: Connection, valid: Sequence[Repack]) -> None:
    paths = _path_ids(connection, {path for r in valid for path in (*r.before, *r.after)})
    changed = [
        (repack.series, path, repack.before.get(path), repack.after.get(path))
        for repack in valid
        for path in repack.before.keys() | repack.after.keys()
        if repack.before.get(path) != repack.after.get(path)
    ]
    _post_values(connection, changed, paths)
    _replace(
        connection,
        "occurrence",
        ("count",),
        [
            (paths[path], series, None if after is None else (after.count,))
            for series, path, _, after in changed
        ],
    )
    spans = []
    for series, path, before, after in changed:
        old, new = before and before.span, after and after.span
        if old != new:
            row = None if not new else (new.low, new.high, new.low_number, new.high_number)
            spans.append((paths[path], series, row))
    _replace(connection, "span", ("low", "high", "low_number", "high_number"), spans)


Changed = tuple[int, str, Posted | None, Posted | None]
"""Series, path, what was posted and what is to be."""


def _post_values(
    connection: Connection, changed: Sequence[Changed], paths: Mapping[str, int]
) -> None:
    written, removed = [], []
    texts: dict[str, set[str]] = {}
    for series, path, before, after in changed:
        old = before.values if before else {}
        new = after.values if after else {}
        written += [(path, t, series, n) for t, n in new.items() if old.get(t) != n]
        removed += [(path, t, series) for t in old.keys() - new.keys()]
        texts.setdefault(path, set()).update(old.keys() ^ new.keys(), new)
    ids = _value_ids(connection, texts, paths)
    change_many(
        connection,
        "DELETE FROM posting WHERE value = ? AND series = ?",
        [(ids[path, text], series) for path, text, series in removed],
    )
    change_many(
        connection,
        "INSERT INTO posting (value, series, count) VALUES (?, ?, ?)"
        " ON CONFLICT (value, series) DO UPDATE SET count = excluded.count",
        sorted((ids[path, text], series, count) for path, text, series, count in written),
    )


def _replace(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    found: Sequence[tuple[int, int, tuple[object, ...] | None]],
) -> None:
    """Write rows by path and series; None removes."""
    names = ", ".join(columns)
    new = ", ".join(f"{name} = excluded.{name}" for name in columns)
    gone = sorted((path, series) for path, series, row in found if row is None)
    change_many(connection, f"DELETE FROM {table} WHERE path = ? AND series = ?", gone)
    change_many(
        connection,
        f"INSERT INTO {table} (path, series, {names}) VALUES ({marks((0, 0, *columns))})"
        f" ON CONFLICT (path, series) DO UPDATE SET {new}",
        [(path, series, *row) for path, series, row in found if row is not None],
    )


def _path_ids(connection: Connection, paths: set[str]) -> dict[str, int]:
    known: dict[str, int] = {}
    for some in chunks(sorted(paths)):
        found = rows(connection, f"SELECT text, id FROM path WHERE text IN ({marks(some)})", *some)
        known.update({row[0]: row[1] for row in found})
    new = sorted(paths - known.keys())
    if new:
        first = next_id(connection, "path")
        ids = {path: first + n for n, path in enumerate(new)}
        change_many(
            connection,
            "INSERT INTO path (id, text, tail) VALUES (?, ?, ?)",
            [(one, path, tail_of(path)) for path, one in ids.items()],
        )
        known |= ids
    return known


def _value_ids(
    connection: Connection, texts: Mapping[str, set[str]], paths: Mapping[str, int]
) -> dict[tuple[str, str], int]:
    known: dict[tuple[str, str], int] = {}
    new: list[tuple[str, str]] = []
    for path, wanted in texts.items():
        for some in chunks(sorted(wanted)):
            found = rows(
                connection,
                f"SELECT text, id FROM value WHERE path = ? AND text IN ({marks(some)})",
                paths[path],
                *some,
            )
            known.update({(path, row[0]): row[1] for row in found})
        new += [(path, text) for text in sorted(wanted) if (path, text) not in known]
    first = next_id(connection, "value") if new else 0
    ids = {key: first + n for n, key in enumerate(new)}
    change_many(
        connection,
        "INSERT INTO value (id, path, text, number) VALUES (?, ?, ?, ?)",
        [(one, paths[p], text, value_of(p, text).number) for (p, text), one in ids.items()],
    )
    return known | ids
