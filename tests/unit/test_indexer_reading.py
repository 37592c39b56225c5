"""What is read of an object for the index, and what is said of one that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sequence import Sequence as Items

from dicomcore.errors import InvalidRequest, NotFound, Unreadable
from dicomcore.model import PlanDetails
from dicomcore.ports import IndexedInstance, ObjectStat
from indexer.reading import announced_by_event, announced_by_listing, read_version
from tests.indexer_world import Landed, image, land, land_bytes, part10, plan

KIB = 1024


class Shelf:
    """Objects in memory; remembers how many bytes were asked of it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.bytes_read = 0

    def put(self, key: str, parts: Sequence[bytes | memoryview]) -> bool:
        is_new = key not in self.objects
        self.objects.setdefault(key, b"".join(bytes(part) for part in parts))
        return is_new

    def get(self, key: str) -> bytes:
        return self.get_range(key, 0, len(self.objects.get(key, b"")) + 1)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        if key not in self.objects:
            raise NotFound("no such object", key=key)
        body = self.objects[key][offset : offset + length]
        self.bytes_read += len(body)
        return body

    def stat(self, key: str) -> ObjectStat:
        return ObjectStat(key, len(self.objects[key]), datetime(2024, 1, 1, tzinfo=UTC))

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectStat]:
        return (
            self.stat(key)
            for key in sorted(self.objects)
            if key.startswith(prefix) and key > start_after
        )

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def presign(self, key: str, *, expires_s: int) -> str | None:
        return None

    def fill_ratio(self) -> float | None:
        return None

    def close(self) -> None:
        """Nothing to release."""


def read(shelf: Shelf, landed: Landed) -> IndexedInstance:
    return read_version(shelf, announced_by_event(landed.event))


def test_of_a_large_image_only_the_beginning_is_read() -> None:
    shelf = Shelf()
    ds = image("1.2.3.10")
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.SamplesPerPixel = 2048, 2048, 16, 1
    ds.add_new("PixelData", "OW", bytes(2048 * 2048 * 2))

    version = read(shelf, land(shelf, ds))

    assert version.header is not None
    assert shelf.bytes_read <= 64 * KIB
    assert version.size_bytes > 8000 * KIB


def test_a_header_longer_than_the_first_range_is_read_to_its_end() -> None:
    shelf = Shelf()
    ds = plan("1.2.3.30", structures="1.2.3.20", label="LONG")
    ds.DoseReferenceSequence = Items([_dose_reference(n) for n in range(3000)])

    version = read(shelf, land(shelf, ds))

    assert version.size_bytes > 2 * 64 * KIB
    assert version.header is not None
    assert isinstance(version.header.details, PlanDetails)
    assert version.header.details.approval_status == "APPROVED"  # (300E,0002): after all that


def test_an_event_that_lies_about_the_size_is_harmless() -> None:
    shelf = Shelf()
    landed = land(shelf, plan("1.2.3.30", structures="1.2.3.20"))
    size = len(shelf.objects[str(landed.key)])

    for lie in (0, 1, size * 1000):
        event = landed.event.replace(
            f'"size_bytes":{size}'.encode(), f'"size_bytes":{lie}'.encode()
        )
        assert read(shelf, Landed(landed.key, event)).header is not None


def test_a_missing_object_is_not_an_unreadable_one() -> None:
    shelf = Shelf()
    landed = land(shelf, image("1.2.3.10"))
    shelf.delete(str(landed.key))

    with pytest.raises(NotFound):
        read(shelf, landed)


def test_a_listing_knows_digest_size_and_time() -> None:
    shelf = Shelf()
    landed = land(shelf, image("1.2.3.10"))

    [stat] = shelf.list("instances/")
    announced = announced_by_listing(stat)

    assert (announced.ref, announced.sha256) == (landed.key.ref, landed.key.digest)
    assert (announced.size_bytes, announced.stored_at) == (stat.size_bytes, stat.modified_at)


def test_an_event_without_a_time_zone_is_refused() -> None:
    landed = land(Shelf(), image("1.2.3.10"))

    with pytest.raises((InvalidRequest, Unreadable)):
        announced_by_event(landed.event.replace(b'07:00:00Z"', b'07:00:00"'))


_WHOLE = part10(plan("1.2.3.30", structures="1.2.3.20"))


@given(
    cut=st.integers(0, len(_WHOLE)),
    changes=st.lists(st.tuples(st.integers(0, len(_WHOLE) - 1), st.integers(0, 255)), max_size=8),
)
def test_whatever_is_in_an_object_the_answer_is_a_header_or_a_problem(
    cut: int, changes: list[tuple[int, int]]
) -> None:
    shelf = Shelf()
    body = bytearray(_WHOLE)
    for place, value in changes:
        body[place] = value

    version = read(shelf, land_bytes(shelf, "1.2.3.30", bytes(body[:cut]), series="1.2.3.3"))

    assert (version.header is None) == bool(version.problem)


def _dose_reference(number: int) -> Dataset:
    item = Dataset()
    item.DoseReferenceNumber = number
    item.DoseReferenceDescription = "x" * 40
    return item
