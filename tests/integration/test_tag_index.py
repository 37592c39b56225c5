"""The tag index from inside: replicas that pack at once, limits, damage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from dicomcore.attributes import Attribute
from dicomcore.errors import IndexUnavailable, InvalidRequest
from dicomcore.ports import IndexedInstance, SearchScope
from dicomcore.query import Query, parse_term
from dicomcore.tagpath import parse_path
from dicomio.sql_index import SqlIndex, listings, packing
from dicomio.sql_index.engine import Database, open_database
from tests.contract.test_index_db import version

EVERYWHERE = SearchScope()
SERIES = 600


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = open_database(tmp_path / "index.db")
    yield opened
    await opened.close()


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqlIndex]:
    opened = await SqlIndex.open(tmp_path / "index.db")
    yield opened
    await opened.close()


def made(number: int, *, series: str = "", slices: int = 1) -> list[IndexedInstance]:
    """Instances of one series: a patient of its own, and a position for each."""
    found = []
    for place in range(slices):
        one = version(
            f"1.2.{number}.{place + 1}",
            study=f"1.3.{number}",
            series=series or f"1.4.{number}",
            patient_id=f"P-{number:04d}",
        )
        attributes = (
            Attribute("00100020", (), (f"P-{number:04d}",)),
            Attribute("00201041#", (), (f"{place}.5",)),
        )
        found.append(replace(one, attributes=attributes))
    return found


async def fill(index: SqlIndex, *, slices: int = 1, series: int = SERIES) -> None:
    await index.upsert([one for n in range(series) for one in made(n, slices=slices)])
    while await index.pack(quiet_s=-1):
        pass


async def found(index: SqlIndex, *terms: str) -> list[str]:
    keys: list[str] = []
    after: tuple[int, int] | None = None
    while True:
        query = Query(map(parse_term, terms))
        page = await index.search(query, EVERYWHERE, after=after, limit=50)
        keys += [one.object_key for one in page.instances]
        if page.next is None:
            return keys
        after = page.next


async def test_more_fitting_values_than_are_listed_are_found_all_the_same(index: SqlIndex) -> None:
    await fill(index)
    query = Query([parse_term("PatientID=P-*")])

    assert len(set(await found(index, "PatientID=P-*"))) == SERIES
    assert await index.count(query, EVERYWHERE) == SERIES
    assert len(await found(index, "PatientID=P-00*")) == 100


async def test_more_series_pending_than_may_be_are_packed_before_they_are_quiet(
    index: SqlIndex,
) -> None:
    await index.upsert([one for n in range(SERIES) for one in made(n)])

    packed = await index.pack(quiet_s=3600)

    assert packed == SERIES - packing.MANY_PENDING
    assert await index.pack(quiet_s=3600) == 0
    assert len(await found(index, "PatientID=?")) == SERIES


async def test_of_two_replicas_that_packed_the_same_one_gives_way(
    index: SqlIndex, database: Database
) -> None:
    await index.upsert(made(1, slices=20))
    segments = await database.read(lambda c: packing.due(c, 2**62))
    one, other = packing.repacks(segments), packing.repacks(segments)

    first = await database.write(lambda c: packing.write_repacks(c, one, 1))
    second = await database.write(lambda c: packing.write_repacks(c, other, 2))

    assert (first, second) == (1, 0)
    assert len(await found(index, "PatientID=P-0001")) == 20


async def test_what_was_forgotten_while_it_was_packed_stays_forgotten(
    index: SqlIndex, database: Database
) -> None:
    await index.upsert(made(1))
    segments = await database.read(lambda c: packing.due(c, 2**62))
    await index.clear()
    await index.upsert(made(2))  # under the ids of what was forgotten

    written = await database.write(lambda c: packing.write_repacks(c, packing.repacks(segments), 1))

    assert written == 0
    assert await found(index, "PatientID=P-0001") == []
    assert len(await found(index, "PatientID=P-0002")) == 1


async def test_what_no_instance_says_any_more_is_not_posted(
    index: SqlIndex, database: Database
) -> None:
    """An attribute that has few values, and many when late instances have come."""
    await index.upsert(made(1, slices=3))
    while await index.pack(quiet_s=-1):
        pass
    before = await database.read(_posted_positions)
    await index.upsert(made(1, slices=40))
    while await index.pack(quiet_s=-1):
        pass

    assert before == 3
    assert await database.read(_posted_positions) == 0
    assert len(await found(index, "SliceLocation=0..")) == 40
    assert len(await found(index, "SliceLocation=2.50")) == 1


def _posted_positions(connection: Connection) -> int:
    statement = (
        "SELECT count(*) FROM posting p JOIN value v ON v.id = p.value"
        " JOIN path a ON a.id = v.path WHERE a.text = '00201041#'"
    )
    count: int = connection.exec_driver_sql(statement).scalar_one()
    return count


async def test_a_page_ends_early_rather_than_late_and_the_next_goes_on(
    index: SqlIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(index, slices=12, series=10)
    monkeypatch.setattr(listings, "MOST_OPENED", 3)
    query = Query([parse_term("SliceLocation=7.5")])

    first = await index.search(query, EVERYWHERE)

    assert 3 <= len(first.instances) < 10
    assert first.next is not None
    assert len(set(await found(index, "SliceLocation=7.5"))) == 10


async def test_values_that_differ_everywhere_want_a_narrower_scope(
    index: SqlIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(index, slices=12, series=10)
    monkeypatch.setattr(listings, "MOST_OPENED", 3)
    path = parse_path("SliceLocation")

    with pytest.raises(InvalidRequest):
        await index.values(path, None, EVERYWHERE)
    with pytest.raises(InvalidRequest):
        await index.values(path, Query([parse_term("PatientID=?")]), EVERYWHERE)
    assert len(await index.values(path, None, SearchScope(patient_id="P-0001"))) == 12


async def test_a_damaged_segment_is_no_wrong_answer(index: SqlIndex, database: Database) -> None:
    await fill(index, slices=12, series=2)
    await database.write(_damage)

    with pytest.raises(IndexUnavailable):
        await found(index, "SliceLocation=7.5")


def _damage(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE segment SET body = x'04000000deadbeef'")


async def test_listings_count_instances_once_however_many_versions(index: SqlIndex) -> None:
    one = made(1, slices=3)
    again = version("1.2.1.1", content="b", study="1.3.1", series="1.4.1", patient_id="P-0001")
    await index.upsert([*one, again, *made(2)])

    for _ in range(2):
        assert await _counts(index) == ([3, 1], [3, 1], [3, 1])
        while await index.pack(quiet_s=-1):
            pass


async def _counts(index: SqlIndex) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    return (
        [p.number_of_instances for p in (await index.patients()).patients],
        [s.number_of_instances for _, s in await index.studies(EVERYWHERE)],
        [s.number_of_instances for _, s in await index.series(EVERYWHERE)],
    )
