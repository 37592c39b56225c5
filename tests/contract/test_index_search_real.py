"""Searches of real objects in the index, on SQLite and on PostgreSQL: what pydicom and brute force find."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from dicomcore.attributes import MAX_CHARACTERS, MAX_VALUES, is_bulk
from dicomcore.errors import DicomToolsError, InvalidRequest
from dicomcore.query import Query, parse_term
from dicomio.sql_index import SqlIndex
from tests.contract.test_index_search import (
    EVERYWHERE,
    Known,
    address,
    as_told,
    criterion,
    expected,
    index,
    known,
    pack_all,
    search_all,
)
from tests.unit import matching_oracle as oracle

__all__ = ["address", "index"]
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "rt"
DAMAGED = ("rtplan_truncated.dcm", "DICOMDIR-nooffset", "badVR.dcm")
"""Files that pydicom reads wrongly or not at all: it cannot be the oracle."""
MOST_BYTES = 1_000_000
MOST_CHOICES = 3000
"""Brute force tries every choice of items."""

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="no real objects beside the repository")


@cache
def objects() -> tuple[Known, ...]:
    """Every real object of moderate size that has an identity, in two versions now and then."""
    found: list[Known] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted(REAL.rglob("*")):
            if path.name in DAMAGED or not path.is_file() or path.stat().st_size > MOST_BYTES:
                continue
            try:
                found.append(known(path.read_bytes()))
            except (DicomToolsError, AssertionError):
                continue  # a manifest, or an object without UIDs
    return tuple({one.key: one for one in found}.values())


def not_indexed(ds: Dataset, above: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Paths of attributes that have more values, or longer ones, than are indexed."""
    for element in ds:
        path = (*above, int(element.tag))
        if element.VR == "SQ":
            for part in element.value:
                yield from not_indexed(part, path)
            continue
        values = oracle.values_of(element)
        if (
            len(values) > MAX_VALUES
            or any(len(text) > MAX_CHARACTERS for text, _ in values)
            or element.VR == "UN"
        ):
            yield path


@cache
def vocabulary() -> tuple[tuple[str, str, str], ...]:
    """Path, VR and value of what is in the objects and is indexed."""
    found, without = set(), set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in objects():
            without.update(not_indexed(one.dataset))
            found.update(oracle.every_value(one.dataset))
    return tuple(
        sorted(
            ("/".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in path), vr, text)
            for path, vr, text in found
            if path not in without and not any(map(is_bulk, path))
        )
    )


def choices(texts: tuple[str, ...]) -> int:
    """Return about how many choices of items brute force would try."""
    number = 1
    for prefix in {text.partition("=")[0].rpartition("/")[0] for text in texts}:
        number *= 12 ** (prefix.count("/") + 1) if prefix else 1
    return number


@st.composite
def queries(draw: st.DrawFn) -> tuple[str, ...]:
    """One to three terms about what is there, often about one sequence."""
    words = vocabulary()
    first = draw(st.sampled_from(words))
    chosen = [first]
    near = [word for word in words if word[0].rpartition("/")[0] == first[0].rpartition("/")[0]]
    for _ in range(draw(st.integers(0, 2))):
        chosen.append(draw(st.sampled_from(near if draw(st.booleans()) else words)))
    return tuple(f"{path}={criterion(draw, vr, text)}" for path, vr, text in chosen)


@pytest.mark.parametrize("packed", [False, True])
async def test_a_search_of_real_objects_finds_what_a_reading_of_each_finds(
    index: SqlIndex, packed: bool
) -> None:
    some = list(objects())
    random.Random(3).shuffle(some)
    for start in range(0, len(some), 24):
        await index.upsert([one.indexed for one in some[start : start + 24]])
        if packed and start % 48:
            await pack_all(index)
    await index.upsert([one.indexed for one in some[::5]])  # told again
    if packed:
        await pack_all(index)

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(texts=queries())
    def every_query(texts: tuple[str, ...]) -> None:
        asked.append(texts)

    asked: list[tuple[str, ...]] = []
    every_query()
    hits = compared = 0
    for texts in asked:
        try:
            query = Query(parse_term(text) for text in texts)
        except InvalidRequest:  # a real value that is no number or date where one belongs
            continue
        if choices(texts) > MOST_CHOICES:
            continue

        found = as_told(await search_all(index, query))

        assert found == expected(some, query.terms), texts
        assert await index.count(query, EVERYWHERE) == len(found), texts
        hits += len(found)
        compared += 1
    assert compared > len(asked) / 2
    assert hits > compared


async def test_each_real_object_is_found_by_each_of_some_of_its_values(index: SqlIndex) -> None:
    await index.upsert([one.indexed for one in objects()])
    await pack_all(index)
    of_path: dict[str, list[str]] = {}
    for path, _, text in vocabulary():
        of_path.setdefault(path, []).append(text)
    chosen = random.Random(5).sample(sorted(of_path), 60)

    for path in chosen:
        [term] = [parse_term(f"{path}=?")]
        if choices((str(term),)) > MOST_CHOICES:
            continue
        counts: dict[str, int] = {}
        for [values] in expected(objects(), [term]).values():
            for text in values:
                counts[text] = counts.get(text, 0) + 1

        listed = await index.values(term.path, None, EVERYWHERE, limit=10_000)

        assert [(one.value, one.number_of_instances) for one in listed] == sorted(counts.items())


def test_there_is_enough_to_be_asked_for() -> None:
    modalities = {one.dataset.get("Modality") for one in objects()}

    assert len(objects()) >= 60
    assert len(vocabulary()) > 1000
    assert {"RTPLAN", "RTDOSE", "RTSTRUCT", "CT"} <= modalities
