"""What only the folder store has to get right: crashes, full disks, file systems without links."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dicomcore.errors import ObjectStoreFull, ObjectStoreUnavailable
from dicomcore.ports import ObjectStat
from dicomio.directory_store import LEFTOVER_AFTER_S, STAGING, DirectoryStore
from dicomio.durable import rename_absent
from dicomio.usage import UsageEstimate


def staged(root: Path) -> list[Path]:
    return list((root / STAGING).iterdir())


# ── crashes ─────────────────────────────────────────────────────────────────────────────────


def put_for_ever(root: str, started: object) -> None:
    store = DirectoryStore(root)
    block = bytes(range(256)) * 16_384  # 4 MiB
    number = 0
    while True:
        store.put(f"a/{os.getpid()}-{number}", [block])
        started.set()  # type: ignore[attr-defined]
        number += 1


@pytest.mark.faults
def test_kill_in_the_middle_of_puts_leaves_only_whole_objects(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    whole = bytes(range(256)) * 16_384
    for round_ in range(3):
        started = context.Event()
        writer = context.Process(target=put_for_ever, args=(str(tmp_path), started))
        writer.start()
        assert started.wait(60)
        writer.kill()
        writer.join(30)
        writer.close()

        store = DirectoryStore(tmp_path)
        listed = list(store.list(""))
        assert len(listed) > round_
        assert all(store.get(stat.key) == whole for stat in listed)


def test_leftovers_are_removed_when_nobody_can_be_writing_them(tmp_path: Path) -> None:
    DirectoryStore(tmp_path).put("a/k", [b"x"])
    old, young = tmp_path / STAGING / "old.part", tmp_path / STAGING / "young.part"
    for leftover in (old, young):
        leftover.write_bytes(b"half an obj")
    long_ago = time.time() - LEFTOVER_AFTER_S - 60
    os.utime(old, (long_ago, long_ago))

    store = DirectoryStore(tmp_path)

    assert staged(tmp_path) == [young]
    assert [stat.key for stat in store.list("")] == ["a/k"]


def test_leftovers_are_looked_for_while_it_runs_too(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path, leftover_after_s=0.0)
    (tmp_path / STAGING / "later.part").write_bytes(b"half an obj")

    store.put("a/k", [b"x"])

    assert staged(tmp_path) == []
    assert store.get("a/k") == b"x"


def test_a_folder_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/b/k", [b"x"])
    shutil.rmtree(tmp_path / "a")

    assert store.put("a/b/k", [b"x"])
    assert store.get("a/b/k") == b"x"


def test_a_put_leaves_nothing_staged_whether_it_creates_or_not(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)

    store.put("a/k", [b"x"])
    store.put("a/k", [b"x"])

    assert staged(tmp_path) == []


def test_objects_can_be_read_by_their_owner_only(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no such modes")
    store = DirectoryStore(tmp_path / "objects")
    store.put("a/k", [b"x"])

    assert (tmp_path / "objects/a/k").stat().st_mode & 0o077 == 0


# ── full and broken disks ───────────────────────────────────────────────────────────────────


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_no_room_left_is_full_and_leaves_nothing(tmp_path: Path) -> None:
    import resource

    store = DirectoryStore(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(ObjectStoreFull):
            store.put("a/k", [bytes(2 << 20)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert staged(tmp_path) == []
    assert list(store.list("")) == []
    assert store.put("a/k", [bytes(2 << 20)])


# ── several processes ───────────────────────────────────────────────────────────────────────


def put_many(root: str, writer: int) -> list[bool]:
    store = DirectoryStore(root)
    return [store.put(f"a/{number}", [b"%d" % writer * 1000]) for number in range(50)]


def test_of_several_processes_exactly_one_creates_each_object(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        outcomes = list(pool.map(put_many, [str(tmp_path)] * 3, range(3)))

    store = DirectoryStore(tmp_path)
    for number in range(50):
        (creator,) = [writer for writer in range(3) if outcomes[writer][number]]
        assert store.get(f"a/{number}") == b"%d" % creator * 1000


# ── file systems without hard links ─────────────────────────────────────────────────────────


def test_without_links_exactly_one_gets_the_name_and_others_hear_of_it(tmp_path: Path) -> None:
    claims = tmp_path / "claims"
    claims.mkdir()
    barrier = threading.Barrier(6)

    def take(number: int) -> bool | None:
        source = tmp_path / f"source{number}"
        source.write_bytes(b"%d" % number)
        barrier.wait(60)
        try:
            return rename_absent(source, tmp_path / "target", claims=claims)
        except BlockingIOError:
            return None  # another one is at it: try again later

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(take, range(6)))

    assert outcomes.count(True) == 1
    assert (tmp_path / "target").read_bytes() == b"%d" % outcomes.index(True)
    assert list(claims.iterdir()) == []


def test_without_links_an_existing_name_is_kept(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"new")
    (tmp_path / "target").write_bytes(b"old")

    assert not rename_absent(tmp_path / "source", tmp_path / "target", claims=tmp_path)
    assert (tmp_path / "target").read_bytes() == b"old"


def test_a_claim_that_a_crash_left_holds_the_name_only_until_it_is_cleaned(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"new")
    with pytest.raises(FileNotFoundError):  # no claims folder: the disk is gone
        rename_absent(tmp_path / "source", tmp_path / "target", claims=tmp_path / "no")
    rename_absent(tmp_path / "source", tmp_path / "target", claims=tmp_path)

    assert (tmp_path / "target").read_bytes() == b"new"


# ── how full ────────────────────────────────────────────────────────────────────────────────


class Scanned:
    """Objects that a store lists, and how many were looked at."""

    def __init__(self, count: int) -> None:
        self.sizes = {f"{number:04}": 10 for number in range(count)}
        self.looked_at = 0

    def scan(self, start_after: str) -> Iterator[ObjectStat]:
        for key in sorted(self.sizes):
            if key > start_after:
                self.looked_at += 1
                yield ObjectStat(key, self.sizes[key], datetime(2026, 1, 1, tzinfo=UTC))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_usage_is_estimated_at_a_bounded_cost_for_each_look() -> None:
    objects, clock = Scanned(25), Clock()
    usage = UsageEstimate(objects.scan, objects_per_look=10, refresh_s=60, clock=clock)

    looks = []
    for _ in range(4):
        looks.append(usage.used_bytes())
        clock.now += 2

    assert looks == [100, 200, 250, 250]
    assert objects.looked_at == 25


def test_usage_counts_own_writes_at_once_and_those_of_others_at_the_next_scan() -> None:
    objects, clock = Scanned(5), Clock()
    usage = UsageEstimate(objects.scan, objects_per_look=10, refresh_s=60, clock=clock)
    assert usage.used_bytes() == 50

    objects.sizes["own"] = 7
    usage.written(7)
    objects.sizes["other"] = 1000
    assert usage.used_bytes() == 57
    clock.now += 61

    assert usage.used_bytes() == 1057


def test_usage_never_falls_below_what_was_written_during_a_scan() -> None:
    objects, clock = Scanned(20), Clock()
    usage = UsageEstimate(objects.scan, objects_per_look=10, refresh_s=60, clock=clock)
    usage.written(3)
    usage.used_bytes()
    usage.written(50)
    clock.now += 2

    assert usage.used_bytes() >= 250


def test_two_looks_at_once_do_not_wait_for_each_other() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(_start_after: str) -> Iterator[ObjectStat]:
        entered.set()
        assert go_on.wait(60)
        yield ObjectStat("k", 10, datetime(2026, 1, 1, tzinfo=UTC))

    usage = UsageEstimate(slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(usage.used_bytes)
        assert entered.wait(60)
        assert usage.used_bytes() == 0
        go_on.set()
        assert first.result(60) == 10


def test_an_unreadable_folder_is_unavailable(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    with pytest.raises(ObjectStoreUnavailable) as caught:
        store.get("loop/k")
    assert caught.value.facts["errno"] == errno.ELOOP
