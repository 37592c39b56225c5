"""What every ObjectStore promises: on a folder, and on a real S3 server."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from uuid import uuid4

import pytest

from dicomcore.errors import (
    InvalidRequest,
    NotFound,
    ObjectStoreFull,
    ObjectStoreUnavailable,
)
from dicomcore.ports import ObjectStore
from dicomio.directory_store import DirectoryStore
from dicomio.s3_store import S3Options, S3Store
from tests.servers.ports import free_ports
from tests.servers.weed import Weed

BUCKET = "contract"


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.server)])
def opened(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[int | None], ObjectStore]]:
    """Open the same store as often as asked: `opened(capacity_bytes)`."""
    stores: list[ObjectStore] = []

    def open_store(capacity_bytes: int | None) -> ObjectStore:
        store: ObjectStore
        if request.param == "directory":
            store = DirectoryStore(tmp_path / "objects", capacity_bytes=capacity_bytes)
        else:
            weed = request.getfixturevalue("weed")
            s3 = S3Store(weed.options(BUCKET, capacity_bytes=capacity_bytes))
            s3.ensure_bucket()
            store = s3
        stores.append(store)
        return store

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[int | None], ObjectStore]) -> ObjectStore:
    return opened(None)


@pytest.fixture
def prefix() -> str:
    """A part of the store that no other test uses."""
    return f"test/{uuid4().hex}/"


def keys(store: ObjectStore, prefix: str, **options: str) -> list[str]:
    return [stat.key for stat in store.list(prefix, **options)]


def test_what_is_put_is_got_as_one(store: ObjectStore, prefix: str) -> None:
    created = store.put(prefix + "k", [b"head", memoryview(b"er|"), b"", bytes(bytearray(b"body"))])

    assert created
    assert store.get(prefix + "k") == b"header|body"
    assert store.stat(prefix + "k").size_bytes == len(b"header|body")


def test_an_object_may_be_empty(store: ObjectStore, prefix: str) -> None:
    assert store.put(prefix + "empty", [])

    assert store.get(prefix + "empty") == b""
    assert keys(store, prefix) == [prefix + "empty"]


def test_a_second_put_changes_nothing_and_says_so(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "k", [b"first"])

    assert not store.put(prefix + "k", [b"second, and longer"])
    assert store.get(prefix + "k") == b"first"


def test_of_many_writers_at_one_key_exactly_one_creates_it(store: ObjectStore, prefix: str) -> None:
    writers, rounds = 8, 2
    barrier = threading.Barrier(writers)

    def put(writer: int) -> list[bool]:
        created = []
        for round_ in range(rounds):
            barrier.wait(60)
            body = b"%d" % writer * 50_000
            created.append(store.put(f"{prefix}{round_}", [body[:10], memoryview(body)[10:]]))
        return created

    with ThreadPoolExecutor(writers) as pool:
        outcomes = list(pool.map(put, range(writers)))

    for round_ in range(rounds):
        created_by = [writer for writer in range(writers) if outcomes[writer][round_]]
        assert len(created_by) == 1
        assert store.get(f"{prefix}{round_}") == b"%d" % created_by[0] * 50_000


def test_a_big_object_is_kept_whole(store: ObjectStore, prefix: str) -> None:
    block = bytes(range(256)) * 4096  # 1 MiB
    parts = [b"odd", *[memoryview(block)] * 40]

    assert store.put(prefix + "big", parts)

    expected = hashlib.sha256(b"".join(parts)).digest()
    assert hashlib.sha256(store.get(prefix + "big")).digest() == expected
    assert store.get_range(prefix + "big", 3 + (39 << 20) + 256, 4) == b"\0\1\2\3"


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 4, b"0123"),
        (7, 2, b"78"),
        (8, 99, b"89"),
        (9, 2**40, b"9"),
        (10, 1, b""),
        (99, 1, b""),
        (0, 0, b""),
    ],
)
def test_a_range_ends_where_the_object_ends(
    store: ObjectStore, prefix: str, offset: int, length: int, expected: bytes
) -> None:
    store.put(prefix + "k", [b"0123456789"])

    assert store.get_range(prefix + "k", offset, length) == expected


def test_a_negative_range_is_an_invalid_request(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "k", [b"0123456789"])

    for offset, length in ((-1, 1), (0, -1)):
        with pytest.raises(InvalidRequest):
            store.get_range(prefix + "k", offset, length)


def test_an_absent_object_is_not_found(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "folder/k", [b"x"])

    for absent in ("no", "folder", "folder/k/deeper", "no/such/folder"):
        with pytest.raises(NotFound):
            store.get(prefix + absent)
        with pytest.raises(NotFound):
            store.get_range(prefix + absent, 0, 1)
        with pytest.raises(NotFound):
            store.stat(prefix + absent)


def test_an_absent_object_has_no_empty_range(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(NotFound):
        store.get_range(prefix + "no", 0, 0)


def test_the_time_of_an_object_is_when_it_was_put_in_utc(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "k", [b"x"])

    modified_at = store.stat(prefix + "k").modified_at

    assert modified_at.utcoffset() == timedelta(0)
    assert abs(modified_at - datetime.now(UTC)) < timedelta(minutes=2)


def test_list_yields_every_object_once_with_its_size(store: ObjectStore, prefix: str) -> None:
    names = ["a/z", "a-b/x", "a.b", "a/b/c", "A", "a/b.d", "b", "a0"]
    for name in names:
        store.put(prefix + name, [name.encode()])

    listed = list(store.list(prefix))

    assert sorted(stat.key for stat in listed) == sorted(prefix + name for name in names)
    assert [stat.size_bytes for stat in listed] == [len(stat.key) - len(prefix) for stat in listed]


def test_a_flat_list_is_in_byte_order(store: ObjectStore, prefix: str) -> None:
    names = [prefix + name for name in ("b", "a", "a0", "a-b", "A", "20260102T", "20260101T")]
    for name in names:
        store.put(name, [b"x"])

    assert keys(store, prefix) == sorted(names)


def test_list_takes_a_prefix_that_ends_anywhere(store: ObjectStore, prefix: str) -> None:
    for name in ("1.2/a", "1.2.3/a", "1.23/a", "1.3/a"):
        store.put(prefix + name, [b"x"])

    found = sorted(keys(store, prefix + "1.2"))
    assert found == [prefix + name for name in ("1.2.3/a", "1.2/a", "1.23/a")]
    assert keys(store, prefix + "1.2/") == [prefix + "1.2/a"]
    assert keys(store, prefix + "1.2/a") == [prefix + "1.2/a"]
    assert keys(store, prefix + "nothing") == []
    assert keys(store, prefix + "1.2/a/") == []


def test_list_goes_on_behind_any_key_that_it_yielded(store: ObjectStore, prefix: str) -> None:
    for name in ("a", "b/a", "b/b/c", "b-c/d", "b.c", "c/d"):
        store.put(prefix + name, [b"x"])
    listed = keys(store, prefix)

    for position, key in enumerate(listed, start=1):
        assert keys(store, prefix, start_after=key) == listed[position:]


def test_list_goes_on_beyond_a_page_of_a_thousand(store: ObjectStore, prefix: str) -> None:
    names = [f"{prefix}{number % 7}/{number:04}" for number in range(1_100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.put(name, [b"x"]), names))

    listed = keys(store, prefix)
    assert sorted(listed) == sorted(names)
    assert keys(store, prefix, start_after=listed[1_050]) == listed[1_051:]


def test_list_survives_that_objects_are_deleted_meanwhile(store: ObjectStore, prefix: str) -> None:
    names = [f"{prefix}{number:02}" for number in range(20)]
    for name in names:
        store.put(name, [b"x"])

    seen = []
    for stat in store.list(prefix):
        seen.append(stat.key)
        for name in names:
            if name > names[4]:
                store.delete(name)

    assert seen[:5] == names[:5]
    assert keys(store, prefix) == names[:5]


def test_what_is_deleted_is_gone_and_may_be_put_again(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "k", [b"old"])

    store.delete(prefix + "k")
    store.delete(prefix + "k")  # no error

    with pytest.raises(NotFound):
        store.get(prefix + "k")
    assert keys(store, prefix) == []
    assert store.put(prefix + "k", [b"new"])
    assert store.get(prefix + "k") == b"new"


@pytest.mark.parametrize(
    "name",
    [
        "with space in it",
        "plus+and%25percent%2Fand&",
        "#hash=equals@at,comma;semicolon!'()[]{}$^`~",
        "1.2.840.113619.2/1.2.840/3.dcm",
        "x" * 200,
        "deep/" * 60 + "er",
    ],
)
def test_odd_keys_come_back_as_they_were(store: ObjectStore, prefix: str, name: str) -> None:
    assert store.put(prefix + name, [b"odd"])

    assert not store.put(prefix + name, [b"again"])
    assert store.get(prefix + name) == b"odd"
    assert keys(store, prefix) == [prefix + name]
    assert keys(store, prefix, start_after=prefix + name) == []


@pytest.mark.parametrize(
    "key",
    # no such name, a way out, a hidden file, a device of Windows, what a file system cannot hold
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "../a",
        "a/../../b",
        "a/./b",
        "a\\b",
        "C:\\a",
        "c:a",
        "a\x00b",
        "a\nb",
        ".staging/x",
        "a/.hidden",
        "con",
        "a/LPT1.dcm",
        "dot.",
        "ü",
    ],
)
def test_unsafe_keys_are_invalid_requests(store: ObjectStore, key: str) -> None:
    for call in (
        lambda: store.put(key, [b"x"]),
        lambda: store.get(key),
        lambda: store.get_range(key, 0, 1),
        lambda: store.stat(key),
        lambda: store.delete(key),
        lambda: store.presign(key, expires_s=60),
    ):
        with pytest.raises(InvalidRequest):
            call()


def test_an_unsafe_prefix_is_an_invalid_request(store: ObjectStore) -> None:
    for unsafe in ("../", "a/../", "/", "a\\", "a//", ".staging/"):
        with pytest.raises(InvalidRequest):
            list(store.list(unsafe))


def test_a_full_store_says_so_and_keeps_what_it_has(
    opened: Callable[[int | None], ObjectStore], prefix: str
) -> None:
    store = opened(None)
    store.put(prefix + "before", [b"x" * 1000])
    used = sum(stat.size_bytes for stat in store.list(""))
    small = opened(used + 1000)

    assert small.put(prefix + "fits", [b"x" * 600])
    with pytest.raises(ObjectStoreFull):
        small.put(prefix + "too much", [b"x" * 600])

    assert small.get(prefix + "before") == b"x" * 1000
    assert prefix + "too much" not in keys(small, prefix)


def test_fill_ratio_is_used_bytes_per_capacity(
    opened: Callable[[int | None], ObjectStore], prefix: str
) -> None:
    opened(None).put(prefix + "k", [b"x" * 1000])
    used = sum(stat.size_bytes for stat in opened(None).list(""))

    store = opened(used * 2)

    assert store.fill_ratio() == pytest.approx(0.5)
    store.put(prefix + "more", [b"x" * 500])
    assert store.fill_ratio() == pytest.approx((used + 500) / (used * 2))


def test_without_capacity_the_ratio_is_a_share_or_unknown(store: ObjectStore) -> None:
    ratio = store.fill_ratio()

    assert ratio is None or 0 <= ratio <= 1


# ── only on a folder ────────────────────────────────────────────────────────────────────────


def test_a_folder_that_is_gone_is_unavailable_and_not_an_empty_store(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "objects")
    store.put("a/k", [b"x"])

    (tmp_path / "objects").rename(tmp_path / "elsewhere")

    for call in (
        lambda: store.put("a/new", [b"x"]),
        lambda: store.put("b/new", [b"x"]),
        lambda: store.get("a/k"),
        lambda: store.stat("a/k"),
        lambda: list(store.list("")),
        lambda: store.delete("a/k"),
    ):
        with pytest.raises(ObjectStoreUnavailable):
            call()
    assert not (tmp_path / "objects").exists()
    (tmp_path / "elsewhere").rename(tmp_path / "objects")
    assert store.get("a/k") == b"x"
    assert store.put("b/new", [b"x"])


def test_a_root_that_is_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises((ObjectStoreUnavailable, InvalidRequest)):
        DirectoryStore(tmp_path / "file")


def test_keys_that_continue_each_other_are_refused_not_lost(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/b", [b"x"])

    with pytest.raises(InvalidRequest):
        store.put("a", [b"x"])
    with pytest.raises(InvalidRequest):
        store.put("a/b/c", [b"x"])
    assert keys(store, "") == ["a/b"]


def test_a_folder_is_listed_in_byte_order_of_whole_keys(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    names = sorted(["a/z", "a-b/x", "a.b", "a/b/c", "A", "a/b.d", "b", "a0"])
    for name in names:
        store.put(name, [b"x"])

    assert keys(store, "") == names
    for name in [*names, "a", "a/", "a/b", "a/b/", "zz"]:
        assert keys(store, "", start_after=name) == [other for other in names if other > name]


# ── only on S3 ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.server
def test_a_presigned_address_gives_the_object_to_anyone(weed: Weed, prefix: str) -> None:
    store = S3Store(weed.options(BUCKET))
    store.ensure_bucket()
    store.put(prefix + "k", [b"for anyone"])

    url = store.presign(prefix + "k", expires_s=60)

    assert url is not None
    host, _, path = url.removeprefix("http://").partition("/")
    with closing(HTTPConnection(host, timeout=30)) as connection:
        connection.request("GET", f"/{path}")
        assert connection.getresponse().read() == b"for anyone"
    store.close()


@pytest.mark.server
def test_a_presigned_address_is_the_one_that_callers_reach(weed: Weed, prefix: str) -> None:
    port = weed.endpoint.rpartition(":")[2]
    public = f"localhost:{port}"  # another name of the same server: it is part of what is signed
    store = S3Store(replace(weed.options(BUCKET), public_url=f"http://{public}"))
    store.ensure_bucket()
    store.put(prefix + "k", [b"for anyone"])

    url = store.presign(prefix + "k", expires_s=60)

    assert url is not None
    assert url.startswith(f"http://{public}/")
    with closing(HTTPConnection(public, timeout=30)) as connection:
        connection.request("GET", url.removeprefix(f"http://{public}"))
        assert connection.getresponse().read() == b"for anyone"
    store.close()


@pytest.mark.parametrize("url", ["s3.example.org", "ftp://s3", "https://s3/below", "https://"])
def test_what_is_no_public_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        S3Store(S3Options("s3:9000", "bucket", "a", "s", public_url=url))


def test_an_s3_store_that_is_away_is_unavailable_at_once() -> None:
    (port,) = free_ports(1)
    store = S3Store(S3Options(f"127.0.0.1:{port}", "bucket", "a", "s", secure=False))
    started = time.monotonic()

    for call in (
        lambda: store.put("k", [b"x"]),
        lambda: store.get("k"),
        lambda: store.stat("k"),
        lambda: list(store.list("")),
        lambda: store.delete("k"),
        store.ensure_bucket,
    ):
        with pytest.raises(ObjectStoreUnavailable):
            call()

    assert time.monotonic() - started < 30
    store.close()


@pytest.mark.parametrize(
    ("endpoint", "bucket"),
    [
        ("127.0.0.1:9", "No Bucket"),
        ("127.0.0.1:9", "b"),
        ("http://host/path", "bucket"),
        ("", "bucket"),
    ],
)
def test_an_impossible_address_is_refused_when_the_store_is_made(
    endpoint: str, bucket: str
) -> None:
    with pytest.raises(InvalidRequest):
        S3Store(S3Options(endpoint, bucket, "a", "s", secure=False))


@pytest.mark.server
def test_a_wrong_secret_or_bucket_is_unavailable_until_it_is_repaired(
    weed: Weed, prefix: str
) -> None:
    for options in (
        S3Options(weed.endpoint, BUCKET, "tests", "wrong", secure=False, retries=0),
        S3Options(weed.endpoint, "no-such-bucket", "nobody", "wrong", secure=False, retries=0),
    ):
        store = S3Store(options)
        with pytest.raises(ObjectStoreUnavailable):
            store.put(prefix + "k", [b"x"])
        store.close()


@pytest.mark.server
def test_a_store_comes_back_with_its_server(own_weed: Weed, prefix: str) -> None:
    store = S3Store(own_weed.options(BUCKET))
    store.ensure_bucket()
    store.put(prefix + "k", [b"kept"])

    own_weed.stop()
    with pytest.raises(ObjectStoreUnavailable):
        store.put(prefix + "lost", [b"x"])
    own_weed.start()

    assert store.get(prefix + "k") == b"kept"
    assert store.put(prefix + "new", [b"x"])
    store.close()
