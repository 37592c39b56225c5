"""Derives the facts of plans in an index of an older release from its segments, some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import Connection

from dicomcore.attributes import Attribute
from dicomcore.columns import Columns, Packed
from dicomcore.errors import Unreadable
from dicomio.sql_index.headers import unpack_headers
from dicomio.sql_index.plan_search import FILLING
from dicomio.sql_index.plan_writer import Facts, write_facts
from dicomio.sql_index.rows import facts_in
from dicomio.sql_index.segments import Segment, load
from dicomio.sql_index.sql import change, change_many, chunks, marks, rows

_AT_ONCE = 16
"""Series; one of records may hold thousands."""
# kinds are told by the SOP class, which is in the headers: these modalities have none that matter
_OTHERS = (
    *(
        "CT",
        "MR",
        "PT",
        "RTDOSE",
        "RTIMAGE",
        "REG",
        "SEG",
        "US",
        "NM",
        "CR",
        "DX",
        "MG",
        "XA",
        "RF",
    ),
    *("SC", "OT", "SR", "PR", "KO"),
)
_PERSON = {"birth_date": "00100030", "sex": "00100040"}


@dataclass(frozen=True, slots=True)
class Due:
    """What comes next: segments of some series, none when all have been looked at."""

    position: int
    last: int
    segments: Sequence[Segment] = field(repr=False)
    uids: Mapping[int, str] = field(repr=False)
    """SOP Instance UIDs of every instance in the segments."""


def due(connection: Connection) -> Due | None:
    """Return what comes next; None if nothing is to be done."""
    found = rows(connection, "SELECT position FROM upkeep WHERE name = ?", FILLING)
    if not found:
        return None
    position = int(found[0][0])
    series = [
        row[0]
        for row in rows(
            connection,
            f"SELECT id FROM series WHERE id > ? AND modality NOT IN ({marks(_OTHERS)})"
            " ORDER BY id LIMIT ?",
            *(position, *_OTHERS, _AT_ONCE),
        )
    ]
    if not series:
        return Due(position, position, (), {})
    ids = rows(connection, f"SELECT id FROM segment WHERE series IN ({marks(series)})", *series)
    segments = load(connection, [row[0] for row in ids])
    uids = {
        row[0]: row[1]
        for some in chunks([one for segment in segments for one in segment.ids])
        for row in rows(
            connection, f"SELECT id, sop_uid FROM instance WHERE id IN ({marks(some)})", *some
        )
    }
    return Due(position, series[-1], segments, uids)


def derived(what: Due) -> Mapping[int, Facts]:
    """Return the facts in segments, by instance id; no database is needed.

    What is damaged is left out: one segment must not stop all others, and `reindex` repairs it.
    """
    found: dict[int, Facts] = {}
    for segment in what.segments:
        with suppress(Unreadable):
            found |= _derived(segment, what.uids)
    return found


def _derived(segment: Segment, uids: Mapping[int, str]) -> Mapping[int, Facts]:
    columns = segment.attributes().columns()
    headers = unpack_headers(segment.headers, [uids[one] for one in segment.ids])
    return {
        identity: facts
        for number, (identity, header) in enumerate(zip(segment.ids, headers, strict=True))
        if (facts := facts_in(header, _attributes(columns, number))) is not None
    }


def write(connection: Connection, what: Due, found: Mapping[int, Facts]) -> None:
    """Write what was derived, unless another replica was faster."""
    moved = change(
        connection,
        "UPDATE upkeep SET position = ? WHERE name = ? AND position = ?",
        *(what.last, FILLING, what.position),
    )
    if not moved:
        return
    if what.segments or what.last > what.position:
        write_facts(connection, found)
        return
    _persons(connection)
    change(connection, "DELETE FROM upkeep WHERE name = ?", FILLING)


def _persons(connection: Connection) -> None:
    """Give patients the least birth date and sex of all their instances, as a new index would have."""
    for column, path in _PERSON.items():
        least: dict[int, str] = {}
        for patient, text in _said_of_patients(connection, path):
            if text and (patient not in least or text < least[patient]):
                least[patient] = text
        change_many(
            connection,
            f"UPDATE patient SET {column} = ? WHERE id = ?",
            [(text, patient) for patient, text in least.items()],
        )


def _said_of_patients(connection: Connection, path: str) -> Iterator[tuple[int, str]]:
    below = " JOIN series s ON s.id = x.series JOIN study t ON t.id = s.study"
    yield from (
        (row[0], row[1])
        for row in rows(
            connection,
            "SELECT DISTINCT t.patient, v.text FROM path a JOIN value v ON v.path = a.id"
            f" JOIN posting x ON x.value = v.id{below} WHERE a.text = ?",
            path,
        )
    )
    for patient, body in rows(
        connection, f"SELECT t.patient, x.body FROM segment x{below} WHERE x.packed = 0"
    ):
        for one in Packed(bytes(body)).fields("", lambda text: text == path):
            each = one.each if one.shared is None else (one.shared,)
            yield from ((patient, values[0]) for values in each if values)


def _attributes(columns: Columns, number: int) -> Iterator[Attribute]:
    for one in columns.fields:
        values = one.at(number)
        if values is not None:
            yield Attribute(one.path, one.items, tuple(values))
