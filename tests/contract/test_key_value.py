"""What every KeyValue promises, on the embedded adapter and on a real NATS server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import nats
import pytest

from dicomcore.errors import Conflict, InvalidRequest, KeyValueUnavailable, NotFound
from dicomcore.ports import KeyValue
from dicomio.local_kv import LocalKeyValue
from dicomio.nats_connection import NatsOptions

LONG_S = 15.0
SHORT_S = 0.3

OpenKeyValue = Callable[[str], AbstractAsyncContextManager[KeyValue]]


@pytest.fixture(params=["local", pytest.param("nats", marks=pytest.mark.server)])
def open_kv(request: pytest.FixtureRequest, tmp_path: Path) -> OpenKeyValue:
    """Opens a bucket by name; again and again, it is the same bucket."""
    if request.param == "nats":
        opened: OpenKeyValue = request.getfixturevalue("open_nats_kv")
        return opened

    @asynccontextmanager
    async def open_local(bucket: str) -> AsyncIterator[KeyValue]:
        store = await LocalKeyValue.open(tmp_path / "kv.sqlite", bucket)
        try:
            yield store
        finally:
            await store.close()

    return open_local


@pytest.fixture
async def kv(open_kv: OpenKeyValue) -> AsyncIterator[KeyValue]:
    async with open_kv("jobs") as opened:
        yield opened


async def test_what_is_created_can_be_read(kv: KeyValue) -> None:
    value = bytes(range(256))

    revision = await kv.create("job-1", value)

    entry = await kv.get("job-1")
    assert (entry.value, entry.revision) == (value, revision)


async def test_an_empty_value_is_a_value(kv: KeyValue) -> None:
    await kv.create("empty", b"")

    assert (await kv.get("empty")).value == b""


async def test_an_unknown_key_is_not_found(kv: KeyValue) -> None:
    with pytest.raises(NotFound):
        await kv.get("nothing")


async def test_a_key_is_created_once(kv: KeyValue) -> None:
    await kv.create("job-1", b"mine")

    with pytest.raises(Conflict):
        await kv.create("job-1", b"yours")

    assert (await kv.get("job-1")).value == b"mine"


async def test_of_many_who_create_one_key_one_wins(kv: KeyValue) -> None:
    results = await asyncio.gather(
        *(kv.create("race", b"%d" % n) for n in range(20)), return_exceptions=True
    )

    winners = [n for n, result in enumerate(results) if isinstance(result, int)]
    assert len(winners) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 19
    assert (await kv.get("race")).value == b"%d" % winners[0]


async def test_an_update_of_the_latest_revision_is_written_and_grows(kv: KeyValue) -> None:
    first = await kv.create("job-1", b"a")

    second = await kv.update("job-1", b"b", revision=first)

    assert second > first
    entry = await kv.get("job-1")
    assert (entry.value, entry.revision) == (b"b", second)


async def test_an_update_of_an_older_revision_is_a_conflict(kv: KeyValue) -> None:
    first = await kv.create("job-1", b"a")
    await kv.update("job-1", b"b", revision=first)

    with pytest.raises(Conflict):
        await kv.update("job-1", b"c", revision=first)

    assert (await kv.get("job-1")).value == b"b"


async def test_an_update_of_an_unknown_key_is_a_conflict(kv: KeyValue) -> None:
    with pytest.raises(Conflict):
        await kv.update("nothing", b"x", revision=7)


async def test_fifty_concurrent_increments_lose_none(kv: KeyValue) -> None:
    await kv.create("counter", b"0")

    async def increment() -> None:
        while True:
            entry = await kv.get("counter")
            try:
                await kv.update("counter", b"%d" % (int(entry.value) + 1), revision=entry.revision)
            except Conflict:
                continue
            return

    await asyncio.gather(*(increment() for _ in range(50)))

    assert (await kv.get("counter")).value == b"50"


async def test_a_deleted_key_is_not_found_and_not_listed(kv: KeyValue) -> None:
    await kv.create("job-1", b"a")

    await kv.delete("job-1")

    with pytest.raises(NotFound):
        await kv.get("job-1")
    assert list(await kv.keys()) == []


async def test_deleting_an_unknown_key_is_no_error(kv: KeyValue) -> None:
    await kv.delete("nothing")

    with pytest.raises(NotFound):
        await kv.get("nothing")


async def test_a_deleted_key_can_be_created_again_with_a_higher_revision(kv: KeyValue) -> None:
    first = await kv.create("job-1", b"a")
    await kv.delete("job-1")

    again = await kv.create("job-1", b"b")

    assert again > first
    assert (await kv.get("job-1")).value == b"b"


async def test_a_revision_from_before_the_deletion_updates_nothing(kv: KeyValue) -> None:
    first = await kv.create("job-1", b"a")
    await kv.delete("job-1")

    with pytest.raises(Conflict):
        await kv.update("job-1", b"b", revision=first)


async def test_keys_are_sorted_and_chosen_by_prefix(kv: KeyValue) -> None:
    for key in ("job.2", "job.10", "jobs", "plan_1", "Job.1", "job"):
        await kv.create(key, b"x")

    assert list(await kv.keys()) == ["Job.1", "job", "job.10", "job.2", "jobs", "plan_1"]
    assert list(await kv.keys("job.")) == ["job.10", "job.2"]
    assert list(await kv.keys("none")) == []


async def test_many_keys_are_all_listed(kv: KeyValue) -> None:
    names = [f"job-{n:04}" for n in range(600)]
    await asyncio.gather(*(kv.create(name, b"x") for name in names))

    assert list(await kv.keys()) == names


async def test_a_list_is_whole_however_often_it_is_asked_for(kv: KeyValue) -> None:
    """A list that is taken for empty now and then makes a replica forget jobs."""
    names = [f"retrieval.{n:02}" for n in range(40)]
    for name in (*names, "retrievals", "send.00"):
        await kv.create(name, b"x")
    await kv.delete("send.00")

    lists = [list(await kv.keys(prefix)) for prefix in ("retrieval.", "") * 200]

    assert lists == [names, [*names, "retrievals"]] * 200


async def test_a_list_during_writes_has_what_was_there_before(kv: KeyValue) -> None:
    names = [f"job-{n:02}" for n in range(40)]
    revisions = {name: await kv.create(name, b"") for name in names}

    async def write() -> None:
        for _ in range(20):
            for name in names:
                revisions[name] = await kv.update(name, b"x", revision=revisions[name])

    writing = asyncio.create_task(write())
    lists = [list(await kv.keys())]
    while not writing.done():
        lists.append(list(await kv.keys()))
    await writing

    assert all(listed == names for listed in lists)


async def test_a_list_during_deletions_has_what_stays(kv: KeyValue) -> None:
    kept = [f"kept-{n:02}" for n in range(20)]
    gone = [f"gone-{n:03}" for n in range(200)]
    for name in (*kept, *gone):
        await kv.create(name, b"x")

    async def delete() -> None:
        for name in gone:
            await kv.delete(name)

    deleting = asyncio.create_task(delete())
    lists = [list(await kv.keys())]
    while not deleting.done():
        lists.append(list(await kv.keys()))
    await deleting

    assert all(set(kept) <= set(listed) <= {*kept, *gone} for listed in lists)
    assert list(await kv.keys()) == kept


async def test_buckets_do_not_see_each_other(open_kv: OpenKeyValue) -> None:
    async with open_kv("jobs") as jobs, open_kv("peers") as peers:
        await jobs.create("same", b"job")
        await peers.create("same", b"peer")

        assert (await jobs.get("same")).value == b"job"
        assert (await peers.get("same")).value == b"peer"


async def test_values_and_revisions_survive_closing_and_opening(open_kv: OpenKeyValue) -> None:
    async with open_kv("jobs") as kv:
        revision = await kv.create("job-1", b"a")

    async with open_kv("jobs") as kv:
        entry = await kv.get("job-1")

        assert (entry.value, entry.revision) == (b"a", revision)


async def test_changed_returns_at_once_what_is_newer_already(kv: KeyValue) -> None:
    revision = await kv.create("job-1", b"a")

    entry = await kv.changed("job-1", since=revision - 1, timeout_s=LONG_S)

    assert entry is not None
    assert (entry.value, entry.revision) == (b"a", revision)


async def test_changed_is_woken_by_an_update(kv: KeyValue) -> None:
    revision = await kv.create("job-1", b"a")
    waiting = asyncio.create_task(kv.changed("job-1", since=revision, timeout_s=60.0))
    await asyncio.sleep(0.1)  # let it wait, so that it is woken; right also without
    started = time.monotonic()

    await kv.update("job-1", b"b", revision=revision)
    entry = await waiting

    assert entry is not None
    assert entry.value == b"b"
    assert time.monotonic() - started < LONG_S / 3


async def test_changed_is_woken_by_another_user_of_the_bucket(open_kv: OpenKeyValue) -> None:
    async with open_kv("jobs") as reader, open_kv("jobs") as writer:
        revision = await writer.create("job-1", b"a")
        waiting = asyncio.create_task(reader.changed("job-1", since=revision, timeout_s=60.0))
        await asyncio.sleep(0.1)
        started = time.monotonic()

        await writer.update("job-1", b"b", revision=revision)
        entry = await waiting

        assert entry is not None
        assert entry.value == b"b"
        assert time.monotonic() - started < LONG_S


async def test_changed_waits_for_a_key_that_is_not_there_yet(kv: KeyValue) -> None:
    waiting = asyncio.create_task(kv.changed("later", since=0, timeout_s=60.0))
    await asyncio.sleep(0.1)

    await kv.create("later", b"a")
    entry = await asyncio.wait_for(waiting, LONG_S)

    assert entry is not None
    assert entry.value == b"a"


async def test_changed_skips_a_deletion_and_returns_what_comes_after(kv: KeyValue) -> None:
    revision = await kv.create("job-1", b"a")
    waiting = asyncio.create_task(kv.changed("job-1", since=revision, timeout_s=60.0))
    await asyncio.sleep(0.1)

    await kv.delete("job-1")
    await kv.create("job-1", b"again")
    entry = await asyncio.wait_for(waiting, LONG_S)

    assert entry is not None
    assert entry.value == b"again"


async def test_changed_is_none_when_time_is_up(kv: KeyValue) -> None:
    revision = await kv.create("job-1", b"a")

    started = time.monotonic()
    entry = await kv.changed("job-1", since=revision, timeout_s=SHORT_S)

    assert entry is None
    assert SHORT_S * 0.9 < time.monotonic() - started < LONG_S


async def test_every_one_who_waits_is_woken(kv: KeyValue) -> None:
    revision = await kv.create("job-1", b"a")
    waiting = [
        asyncio.create_task(kv.changed("job-1", since=revision, timeout_s=60.0)) for _ in range(10)
    ]
    await asyncio.sleep(0.1)

    await kv.update("job-1", b"b", revision=revision)
    entries = await asyncio.wait_for(asyncio.gather(*waiting), LONG_S)

    assert {entry.value for entry in entries if entry is not None} == {b"b"}
    assert len(entries) == 10


@pytest.mark.parametrize(
    "key", ["", " ", "a b", ".a", "a.", "a..b", "a/b", "a*", "a>", "a\n", "ä", "a=b"]
)
async def test_what_cannot_be_a_key_is_refused(kv: KeyValue, key: str) -> None:
    for use in (kv.get(key), kv.create(key, b""), kv.update(key, b"", revision=1), kv.delete(key)):
        with pytest.raises(InvalidRequest):
            await use


async def test_the_largest_value_is_kept_and_a_larger_one_refused(kv: KeyValue) -> None:
    largest = bytes(512 * 1024)
    revision = await kv.create("large", largest)

    with pytest.raises(InvalidRequest):
        await kv.update("large", largest + b"x", revision=revision)

    assert len((await kv.get("large")).value) == 512 * 1024


async def test_a_closed_store_is_unavailable(open_kv: OpenKeyValue) -> None:
    async with open_kv("jobs") as kv:
        await kv.create("job-1", b"a")

    for use in (kv.get("job-1"), kv.create("job-2", b""), kv.delete("job-1"), kv.keys()):
        with pytest.raises(KeyValueUnavailable):
            await use


@pytest.mark.server
async def test_on_nats_a_deletion_leaves_nothing_that_lists_would_meet(
    open_nats_kv: OpenKeyValue, nats_options: NatsOptions
) -> None:
    async with open_nats_kv("jobs") as kv:
        for number in range(3):
            await kv.create(f"job-{number}", b"a")
            await kv.delete(f"job-{number}")

    client = await nats.connect(nats_options.servers[0])
    state = (await client.jetstream().stream_info("KV_jobs")).state
    await client.close()

    assert state.messages == 0
