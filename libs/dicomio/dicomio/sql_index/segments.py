"""Segments: headers and attributes of instances of one series, as they are written and read."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from pydantic_core import from_json
from sqlalchemy import Connection

from dicomcore.columns import Packed, columns_of, packed
from dicomio.sql_index.headers import pack_headers
from dicomio.sql_index.rows import Content, Row
from dicomio.sql_index.sql import change_many, chunks, marks, next_id, rows

_QUICK = 1
"""Of zlib, for segments that will soon be merged."""

PENDING = "packed = 0 AND written_at_us >= 0"
"""On a row of `segment`: not in the postings yet. The second half always holds; without it SQLite walks
an index of all segments instead of the one of these few."""

Place = tuple[str, str, str]
"""Patient ID, Study and Series Instance UID: what a series hangs below."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Instances of one series, encoded before it is known which of them are new."""

    object_keys: tuple[str, ...]
    headers: bytes = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """A row of `segment`."""

    id: int
    series: int
    packed: bool
    written_at_us: int
    ids: tuple[int, ...]
    headers: bytes = field(repr=False)
    body: bytes = field(repr=False)

    def attributes(self) -> Packed:
        """Return the attributes, to be looked into."""
        return Packed(self.body)


def place_of(content: Content) -> Place:
    """Return where an instance belongs."""
    ref = content.header.ref
    return content.patient_id, ref.study_instance_uid, ref.series_instance_uid


def by_place(contents: Mapping[str, Content]) -> Mapping[Place, dict[str, Content]]:
    """Return contents by series, then by object key."""
    found: dict[Place, dict[str, Content]] = {}
    for key, content in contents.items():
        found.setdefault(place_of(content), {})[key] = content
    return found


def encode(batch: Sequence[Row]) -> Mapping[Place, Encoded]:
    """Return a segment for each series of a batch, as if all of it were new: it mostly is.

    Raises
    ------
    InvalidRequest
        A header cannot be encoded.
    """
    contents: dict[str, Content] = {}
    for row in batch:
        if row.content is not None:
            contents.setdefault(row.facts.object_key, row.content)
    return {place: _encoded(some) for place, some in by_place(contents).items()}


def _encoded(contents: Mapping[str, Content]) -> Encoded:
    columns = columns_of([content.attributes for content in contents.values()])
    return Encoded(
        tuple(contents),
        pack_headers([content.header for content in contents.values()], level=_QUICK),
        packed(columns, level=_QUICK),
    )


def write_pending(
    connection: Connection,
    contents: Mapping[str, Content],
    encoded: Mapping[Place, Encoded],
    series_ids: Mapping[Place, int],
    ids: Mapping[str, int],
    now_us: int,
) -> None:
    """Write what is new of a batch, by object key, to segments that are not packed yet."""
    written = []
    number = next_id(connection, "segment")
    for place, some in by_place(contents).items():
        ready = encoded[place]
        if ready.object_keys != tuple(some):  # part of the batch was known
            ready = _encoded(some)
        own = pack_ids([ids[key] for key in ready.object_keys])
        written.append(
            (number, series_ids[place], 0, len(some), now_us, own, ready.headers, ready.body)
        )
        number += 1
    insert_segments(connection, written)


def insert_segments(connection: Connection, values: Sequence[tuple[object, ...]]) -> None:
    """Write rows: id, series, packed, count, time, ids, headers, body."""
    change_many(
        connection,
        "INSERT INTO segment (id, series, packed, count, written_at_us, ids, headers, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )


def load(connection: Connection, segment_ids: Sequence[int]) -> list[Segment]:
    """Return segments by id, those that are still there, in order of series and id."""
    found = []
    for some in chunks(segment_ids):
        found += [
            Segment(row[0], row[1], bool(row[2]), row[3], unpack_ids(row[4]), row[5], row[6])
            for row in rows(
                connection,
                "SELECT id, series, packed, written_at_us, ids, headers, body FROM segment"
                f" WHERE id IN ({marks(some)})",
                *some,
            )
        ]
    return sorted(found, key=lambda segment: (segment.series, segment.id))


def pack_ids(ids: Sequence[int]) -> bytes:
    """Return ids, mostly consecutive ones, in few bytes."""
    steps = [after - before for before, after in zip((0, *ids), ids, strict=False)]
    return zlib.compress(json.dumps(steps, separators=(",", ":")).encode())


def unpack_ids(blob: bytes) -> tuple[int, ...]:
    """Return the ids that `pack_ids` wrote."""
    return tuple(accumulate(from_json(zlib.decompress(blob))))
