"""Where exports go: a bucket's prefix that is all there or says nothing, and archives made on the way."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dicomcore.errors import Conflict, NotFound, ObjectStoreUnavailable, Unreadable
from dicomcore.export import (
    MANIFEST_NAME,
    Manifest,
    ManifestCounts,
    ManifestInstance,
    ManifestRequest,
)
from dicomcore.ports import ObjectStat
from dicomio.directory_store import DirectoryStore
from dicomio.exporting.bucket import BucketDestination
from dicomio.exporting.pieces import Piece
from dicomio.exporting.publishing import publish
from dicomio.exporting.zipping import Entry, entries_of, zipped

PREFIX = "exports/default/1/"
AT = "2026-01-02T03:04:05+00:00"


def piece(number: int, body: bytes = b"") -> Piece:
    body = body or f"body {number}".encode()
    return Piece(entry(f"RP.1.2.{number}.dcm", body), body)


def entry(name: str, body: bytes) -> ManifestInstance:
    return ManifestInstance(
        file=name,
        sop_instance_uid="1.2",
        sop_class_uid="1.3",
        series_instance_uid="1.4",
        study_instance_uid="1.5",
        sha256=hashlib.sha256(body).hexdigest(),
        size_bytes=len(body),
    )


def manifest(entries: object = (), _not_taken: object = ()) -> Manifest:
    return Manifest(
        software="test",
        created_at=AT,
        state="complete",
        request=ManifestRequest(),
        counts=ManifestCounts(
            instances=0, files=0, size_bytes=0, missing=0, dangling=0, bytes_moved=0
        ),
        instances=tuple(entries),  # type: ignore[arg-type]
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DirectoryStore]:
    made = DirectoryStore(tmp_path / "store")
    yield made
    made.close()


def keys(store: DirectoryStore) -> set[str]:
    return {stat.key for stat in store.list("exports/")}


# ── a bucket ────────────────────────────────────────────────────────────────────────────────


def test_a_bucket_has_every_file_and_the_manifest_and_nothing_an_earlier_attempt_left(
    store: DirectoryStore,
) -> None:
    store.put(PREFIX + "RP.9.9.9.dcm", [b"under another key"])
    store.put(PREFIX + "RP.1.2.0.dcm", [b"cut off"])
    store.put("exports/default/12/RP.1.dcm", [b"a neighbour's"])

    publish([piece(0), piece(1)], manifest, BucketDestination(store, PREFIX))

    names = {"RP.1.2.0.dcm", "RP.1.2.1.dcm", MANIFEST_NAME}
    assert keys(store) == {PREFIX + name for name in names} | {"exports/default/12/RP.1.dcm"}
    assert store.get(PREFIX + "RP.1.2.0.dcm") == b"body 0"


def test_an_export_that_ends_before_its_manifest_leaves_nothing(store: DirectoryStore) -> None:
    def pieces() -> Iterator[Piece]:
        yield piece(0)
        raise KeyboardInterrupt

    destination = BucketDestination(store, PREFIX)
    with pytest.raises(KeyboardInterrupt):
        publish(pieces(), manifest, destination)

    assert keys(store) == set()
    assert destination.existing() is None


def test_who_was_taken_for_dead_takes_nothing_from_the_one_who_goes_on(
    store: DirectoryStore,
) -> None:
    def lost() -> None:
        raise Conflict("another worker has the job")

    publish([piece(0)], manifest, BucketDestination(store, PREFIX))
    before = keys(store)

    with pytest.raises(Conflict):
        publish([piece(0), piece(1)], manifest, BucketDestination(store, PREFIX, lost))

    # what it added too much is no part of an export: the manifest does not name it
    assert before <= keys(store)
    assert BucketDestination(store, PREFIX).existing() is not None


def test_a_store_that_goes_away_during_the_removal_hides_no_error(tmp_path: Path) -> None:
    class Away(DirectoryStore):
        def delete(self, key: str) -> None:
            raise ObjectStoreUnavailable("away")

    def pieces() -> Iterator[Piece]:
        yield piece(0)
        raise Unreadable("rotten")

    away = Away(tmp_path / "store")
    with pytest.raises(Unreadable):
        publish(pieces(), manifest, BucketDestination(away, PREFIX))
    assert BucketDestination(away, PREFIX).existing() is None
    away.close()


# ── an archive ──────────────────────────────────────────────────────────────────────────────


@dataclass
class Made:
    """A store of objects that are made while they are read, and how much of one was asked for."""

    sizes: dict[str, int]
    asked: int = 0
    most: int = 0

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        if key not in self.sizes:
            raise NotFound("no such object")
        self.most = max(self.most, length)
        self.asked += length
        return bytes(max(0, min(length, self.sizes[key] - offset)))

    def stat(self, key: str) -> ObjectStat:
        return ObjectStat(key, self.sizes[key], datetime(2026, 1, 1, tzinfo=UTC))

    def get(self, key: str) -> bytes:
        raise AssertionError("a whole object is never read")

    def put(self, key: str, parts: object, *, sha256: str = "") -> bool:
        raise AssertionError("nothing is written")

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectStat]:
        raise AssertionError("nothing is listed")

    def delete(self, key: str) -> None:
        raise AssertionError("nothing is removed")

    def presign(self, key: str, *, expires_s: int) -> str | None:
        raise AssertionError("nothing is handed out")

    def fill_ratio(self) -> float | None:
        return None

    def close(self) -> None: ...


def test_an_archive_of_half_a_gigabyte_is_made_in_a_few_megabytes() -> None:
    size = 64 << 20
    names = [f"CT.1.{number}.dcm" for number in range(8)]
    store = Made(dict.fromkeys(names, size))
    entries = [Entry(name, name, size, "") for name in names]

    sent = 0
    tracemalloc.start()
    for chunk in zipped(entries, store, at=AT, chunk_bytes=1 << 20):
        sent += len(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert sent > 8 * size
    assert peak < 16 << 20
    assert store.most <= 1 << 20


def test_what_thirty_two_and_sixteen_bits_cannot_count_is_zip64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the format's limits set lower: the real ones take minutes."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
    store = Made({"large": 5000, "small": 3})
    entries = [Entry("CT.1.dcm", "large", 5000, "")]
    entries += [Entry(f"CT.2.{n}.dcm", "small", 3, "") for n in range(20)]

    body = b"".join(zipped(entries, store, at=AT, chunk_bytes=100))

    monkeypatch.undo()
    assert b"PK\x06\x06" in body  # ZIP64 end of central directory record
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        assert [info.file_size for info in archive.infolist()] == [5000] + [3] * 20


def test_an_empty_file_is_in_the_archive() -> None:
    body = b"".join(zipped([Entry("CT.1.dcm", "none", 0, "")], Made({"none": 0}), at="odd"))

    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.read("CT.1.dcm") == b""


@pytest.mark.parametrize("size", [1, 9, 10, 11, 25])
def test_an_object_that_is_not_what_the_manifest_says_ends_the_archive(size: int) -> None:
    store = Made({"key": size})
    right = hashlib.sha256(bytes(size)).hexdigest()
    wrong = hashlib.sha256(b"others").hexdigest()

    assert list(zipped([Entry("CT.1.dcm", "key", size, right)], store, at=AT, chunk_bytes=10))
    for said, length in ((wrong, size), ("", size + 1)):
        with pytest.raises(Unreadable):
            list(zipped([Entry("CT.1.dcm", "key", length, said)], store, at=AT, chunk_bytes=10))


@pytest.mark.parametrize(
    "name",
    [
        "../x.dcm",
        "/etc/passwd",
        "RP.1/../x.dcm",
        "C:\\x.dcm",
        "RP.1.dcm\0",
        "rp.1.dcm",
        "",
        "RP..dcm.",
    ],
)
def test_a_manifest_that_names_a_way_out_of_the_folder_is_not_followed(
    store: DirectoryStore, name: str
) -> None:
    store.put(PREFIX + MANIFEST_NAME, [b"{}"])
    evil = manifest([entry(name, b"x")])

    with pytest.raises(Unreadable):
        entries_of(evil, store, PREFIX)
