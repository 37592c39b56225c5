"""What the ledger of retrieval jobs promises, on the embedded key-value store and on NATS."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicomcore.errors import Conflict, InvalidRequest, NotFound, Unreadable
from dicomcore.ports import KeyValue
from dicomio.jobs import upkeep
from dicomio.jobs.chunks import (
    CHUNK_BYTES,
    delete_chunks,
    delete_value,
    read_chunks,
    write_chunks,
)
from dicomio.jobs.claims import Claims, LeaseLost
from dicomio.jobs.ledger import Ledger
from dicomio.jobs.record import ChunkRef, Job
from dicomio.jobs.records import Records
from dicomio.local_kv import LocalKeyValue
from qr_gateway.retrieval.kind import RETRIEVAL
from qr_gateway.retrieval.model import Item, Missing, Progress, Report, RetrievalRequest, State

REQUEST = RetrievalRequest(patient_id="P1", plan_label="A")
TTL_S = 20.0

OpenKeyValue = Callable[[str], AbstractAsyncContextManager[KeyValue]]


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def pass_s(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@pytest.fixture(params=["local", pytest.param("nats", marks=pytest.mark.server)])
def open_kv(request: pytest.FixtureRequest, tmp_path: Path) -> OpenKeyValue:
    if request.param == "nats":
        opened: OpenKeyValue = request.getfixturevalue("open_nats_kv")
        return opened

    @asynccontextmanager
    async def open_local(bucket: str) -> AsyncIterator[KeyValue]:
        local = await LocalKeyValue.open(tmp_path / "kv.sqlite", bucket)
        yield local
        await local.close()

    return open_local


@pytest.fixture
async def kv(open_kv: OpenKeyValue) -> AsyncIterator[KeyValue]:
    async with open_kv("retrievals") as bucket:
        yield bucket


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def records(kv: KeyValue, clock: Clock) -> Records:
    return Records(kv, RETRIEVAL, now=clock)


@pytest.fixture
def ledger(records: Records) -> Ledger:
    return Ledger(records)


@pytest.fixture
def claims(records: Records) -> Claims:
    return Claims(records)


def report(state: State = State.COMPLETE, *, items: int = 1, missing: int = 0) -> Report:
    return Report(
        progress=Progress(state=state, landed=items, expected=items + missing, bytes_moved=10),
        items=tuple(
            Item(
                study_instance_uid="1.2",
                series_instance_uid="1.2.3",
                sop_instance_uid=f"1.2.3.{number}",
                sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
                modality="CT",
                object_key=f"instances/1.2/1.2.3/1.2.3.{number}/{random.getrandbits(64):016x}.dcm",
                size_bytes=7,
                why="image of the structure set",
            )
            for number in range(items)
        ),
        missing=tuple(
            Missing(uid=f"1.9.{number}", reason="the PACS did not send it")
            for number in range(missing)
        ),
    )


async def claimed(ledger: Ledger, claims: Claims) -> Job:
    job = await ledger.submit("PACS", REQUEST)
    return await claims.claim(job.job_id, owner="a", ttl_s=TTL_S)


# ── those who ask ───────────────────────────────────────────────────────────────────────────


async def test_a_submitted_job_waits_and_holds_its_request(ledger: Ledger) -> None:
    job = await ledger.submit("PACS", REQUEST)

    seen = (await ledger.get(job.job_id)).job
    assert seen == job
    assert (seen.state, seen.peer, seen.request) == (State.QUEUED, "PACS", REQUEST)


@pytest.mark.parametrize("job_id", ["", "0" * 32, "../job", "0" * 31 + "G", "open.1"])
async def test_an_unknown_job_is_not_found(ledger: Ledger, job_id: str) -> None:
    with pytest.raises(NotFound):
        await ledger.get(job_id)


async def test_one_idempotency_key_is_one_job_also_when_used_at_once(ledger: Ledger) -> None:
    jobs = await asyncio.gather(*(ledger.submit("PACS", REQUEST, key="k1") for _ in range(8)))
    other = await ledger.submit("PACS", REQUEST, key="k2")

    assert len({job.job_id for job in jobs}) == 1
    assert other.job_id != jobs[0].job_id
    assert len(await ledger.page()) == 2


@pytest.mark.parametrize(
    ("peer", "request_"),
    [("OTHER", REQUEST), ("PACS", RetrievalRequest(patient_id="P2", plan_label="A"))],
    ids=["other peer", "other patient"],
)
async def test_an_idempotency_key_serves_one_request(
    ledger: Ledger, peer: str, request_: RetrievalRequest
) -> None:
    await ledger.submit("PACS", REQUEST, key="k")

    with pytest.raises(InvalidRequest, match="another request"):
        await ledger.submit(peer, request_, key="k")


async def test_a_key_whose_job_was_never_written_makes_it_now(ledger: Ledger, kv: KeyValue) -> None:
    # given: a crash between the key and the record
    first = await ledger.submit("PACS", REQUEST, key="k")
    await kv.delete(f"job.{first.job_id}")

    again = await ledger.submit("PACS", REQUEST, key="k")

    assert again.job_id == first.job_id
    assert (await ledger.get(first.job_id)).job.state is State.QUEUED


async def test_pages_list_every_job_once_newest_first(ledger: Ledger, clock: Clock) -> None:
    made = []
    for _ in range(7):
        made.append((await ledger.submit("PACS", REQUEST)).job_id)
        clock.pass_s(1)

    listed: list[str] = []
    while page := await ledger.page(before=listed[-1] if listed else "", limit=3):
        listed += [job.job_id for job in page]

    assert listed == made[::-1]


async def test_keys_hold_nothing_of_the_patient(ledger: Ledger, kv: KeyValue) -> None:
    await ledger.submit("PACS", RetrievalRequest(patient_id="CANARY"), key="CANARY-key")

    assert not [key for key in await kv.keys() if "CANARY" in key]


async def test_a_waiter_sees_a_change(ledger: Ledger, claims: Claims) -> None:
    job = await ledger.submit("PACS", REQUEST)
    before = await ledger.get(job.job_id)

    waiting = asyncio.create_task(ledger.changed(job.job_id, since=before.revision, timeout_s=20.0))
    await claims.claim(job.job_id, owner="a", ttl_s=TTL_S)

    seen = await waiting
    assert seen is not None
    assert seen.job.state is State.RUNNING
    assert seen.revision > before.revision


# ── cancel ──────────────────────────────────────────────────────────────────────────────────


async def test_a_waiting_job_is_cancelled_at_once(ledger: Ledger, claims: Claims) -> None:
    job = await ledger.submit("PACS", REQUEST)

    cancelled = await ledger.cancel(job.job_id)

    assert cancelled.state is State.CANCELLED
    with pytest.raises(LeaseLost):
        await claims.claim(job.job_id, owner="a", ttl_s=TTL_S)


async def test_a_running_job_is_asked_to_end_by_its_worker(ledger: Ledger, claims: Claims) -> None:
    held = await claimed(ledger, claims)

    cancelled = await ledger.cancel(held.job_id)

    assert cancelled.state is State.RUNNING
    assert (await claims.renew(held, ttl_s=TTL_S)).job.cancel_requested


async def test_a_job_whose_worker_died_is_cancelled_at_once(
    ledger: Ledger, claims: Claims, clock: Clock
) -> None:
    held = await claimed(ledger, claims)
    clock.pass_s(TTL_S + 1)

    cancelled = await ledger.cancel(held.job_id)

    assert cancelled.state is State.CANCELLED
    with pytest.raises(LeaseLost):
        await claims.finish(held, report())


async def test_an_ended_job_stays_as_it_ended(ledger: Ledger, claims: Claims) -> None:
    held = await claimed(ledger, claims)
    await claims.finish(held, report())

    assert (await ledger.cancel(held.job_id)).state is State.COMPLETE


# ── those who work ──────────────────────────────────────────────────────────────────────────


async def test_of_many_workers_one_gets_the_job(ledger: Ledger, claims: Claims) -> None:
    job = await ledger.submit("PACS", REQUEST)

    results = await asyncio.gather(
        *(claims.claim(job.job_id, owner=str(n), ttl_s=TTL_S) for n in range(8)),
        return_exceptions=True,
    )

    assert sum(isinstance(result, Job) for result in results) == 1
    assert sum(isinstance(result, LeaseLost) for result in results) == 7


async def test_a_lease_that_ran_out_can_be_taken_and_the_old_worker_writes_no_more(
    ledger: Ledger, claims: Claims, clock: Clock
) -> None:
    slow = await claimed(ledger, claims)
    await claims.save(slow, b"of the first")
    clock.pass_s(TTL_S + 1)
    quick = await claims.claim(slow.job_id, owner="b", ttl_s=TTL_S)
    await claims.save(quick, b"of the second")

    for write in (
        claims.renew(slow, ttl_s=TTL_S, progress=Progress(landed=99)),
        claims.save(slow, b"late"),
        claims.release(slow),
        claims.fail(slow, "late"),
        claims.finish(slow, report(State.PARTIAL)),
    ):
        with pytest.raises(LeaseLost):
            await write

    now = (await ledger.get(slow.job_id)).job
    assert (now.state, now.attempts, now.progress.landed) == (State.RUNNING, 2, 0)
    assert await claims.saved(now) == b"of the second"


async def test_a_lease_that_is_renewed_cannot_be_taken(
    ledger: Ledger, claims: Claims, clock: Clock
) -> None:
    held = await claimed(ledger, claims)
    clock.pass_s(TTL_S - 1)
    await claims.renew(held, ttl_s=TTL_S, progress=Progress(landed=3))
    clock.pass_s(TTL_S - 1)

    with pytest.raises(LeaseLost):
        await claims.claim(held.job_id, owner="b", ttl_s=TTL_S)

    assert (await ledger.get(held.job_id)).job.progress.landed == 3


async def test_a_saved_state_of_any_size_comes_back_and_replaces_the_one_before(
    ledger: Ledger, claims: Claims, kv: KeyValue
) -> None:
    held = await claimed(ledger, claims)
    large = random.randbytes(3 * CHUNK_BYTES)

    await claims.save(held, large)
    several = len(await kv.keys("state."))
    await claims.save(held, large)
    assert await claims.saved((await ledger.get(held.job_id)).job) == large
    await claims.save(held, b"small")

    assert several == 4
    assert await claims.saved((await ledger.get(held.job_id)).job) == b"small"
    assert len(await kv.keys("state.")) == 1


async def test_a_released_job_can_be_claimed_with_what_was_saved(
    ledger: Ledger, claims: Claims
) -> None:
    held = await claimed(ledger, claims)
    await claims.save(held, b"half way")

    released = await claims.release(held, problem="no answer from the peer")
    again = await claims.claim(held.job_id, owner="b", ttl_s=TTL_S)

    assert (released.state, released.problem) == (State.QUEUED, "no answer from the peer")
    assert (again.attempts, again.failures, again.problem) == (2, 1, "")
    assert await claims.saved(again) == b"half way"


async def test_a_worker_that_leaves_is_no_failure_of_its_job(
    ledger: Ledger, claims: Claims
) -> None:
    held = await claimed(ledger, claims)

    released = await claims.release(held)

    assert (released.attempts, released.failures, released.state) == (1, 0, State.QUEUED)


async def test_a_report_of_thousands_of_instances_comes_back(
    ledger: Ledger, claims: Claims
) -> None:
    held = await claimed(ledger, claims)
    large = report(State.PARTIAL, items=5000, missing=20)

    ended = await claims.finish(held, large)

    assert await ledger.report(ended) == large
    assert (ended.counts.items, ended.counts.missing) == (5000, 20)
    assert ended.ended_at is not None


async def test_a_failed_job_has_no_report_and_keeps_its_progress(
    ledger: Ledger, claims: Claims
) -> None:
    held = await claimed(ledger, claims)
    await claims.renew(held, ttl_s=TTL_S, progress=Progress(landed=3))

    failed = await claims.fail(held, "no such peer")

    assert (failed.state, failed.problem, failed.progress.landed) == (
        State.FAILED,
        "no such peer",
        3,
    )
    assert await ledger.report(failed) is None


async def test_an_announced_end_leaves_record_and_report_only(
    ledger: Ledger, claims: Claims, kv: KeyValue
) -> None:
    held = await claimed(ledger, claims)
    await claims.save(held, b"half way")
    await write_chunks(kv, f"state.{held.job_id}", b"left by a crash")
    await write_chunks(kv, f"report.{held.job_id}", b"left by a crash")
    written = report()
    await claims.finish(held, written)

    await claims.announced(held.job_id)

    ended = (await ledger.get(held.job_id)).job
    kinds = sorted(key.split(".")[0] for key in await kv.keys())
    assert kinds == ["job", "report"]
    assert await ledger.report(ended) == written
    assert ended.announced


# ── upkeep ──────────────────────────────────────────────────────────────────────────────────


async def test_only_jobs_that_nobody_works_on_are_forgotten(
    ledger: Ledger, claims: Claims, records: Records, clock: Clock
) -> None:
    waiting = await ledger.submit("PACS", REQUEST)
    running = await claimed(ledger, claims)
    dead = await claimed(ledger, claims)
    ended = await claimed(ledger, claims)
    await claims.finish(ended, report())
    closed = await claimed(ledger, claims)
    await claims.finish(closed, report())
    await claims.announced(closed.job_id)
    young = await upkeep.forgotten(records, idle_s=60)
    clock.pass_s(61)
    await claims.renew(running, ttl_s=TTL_S)

    old = await upkeep.forgotten(records, idle_s=60)

    assert young == []
    assert {job.job_id for job in old} == {waiting.job_id, dead.job_id, ended.job_id}


async def test_a_marker_without_a_job_is_removed_once_it_is_old(
    ledger: Ledger, records: Records, kv: KeyValue, clock: Clock
) -> None:
    job = await ledger.submit("PACS", REQUEST)
    await kv.delete(f"job.{job.job_id}")

    await upkeep.forgotten(records, idle_s=60)
    young = await kv.keys("open.")
    clock.pass_s(61)
    await upkeep.forgotten(records, idle_s=60)

    assert len(young) == 1
    assert await kv.keys("open.") == []


async def test_old_ended_jobs_are_removed_with_all_they_left(
    ledger: Ledger, claims: Claims, records: Records, kv: KeyValue, clock: Clock
) -> None:
    old = await ledger.submit("PACS", REQUEST, key="k")
    held = await claims.claim(old.job_id, owner="a", ttl_s=TTL_S)
    await claims.finish(held, report())
    await claims.announced(old.job_id)
    stuck = await ledger.submit("PACS", REQUEST)
    clock.pass_s(100)
    young = await claimed(ledger, claims)
    await claims.finish(young, report())
    await claims.announced(young.job_id)

    removed = await upkeep.prune(records, older_than_s=50)

    assert removed == 1
    assert {job.job_id for job in await ledger.page()} == {stuck.job_id, young.job_id}
    assert not [key for key in await kv.keys() if old.job_id in key or key.startswith("idem.")]


# ── chunks ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1])
async def test_a_value_of_any_size_comes_back(kv: KeyValue, size: int) -> None:
    value = random.randbytes(size)

    ref = await write_chunks(kv, "state.x", value)

    assert await read_chunks(kv, "state.x", ref) == value
    await delete_value(kv, "state.x", ref)
    assert await kv.keys() == []


async def test_chunks_of_one_prefix_are_removed_and_no_others(kv: KeyValue) -> None:
    kept = await write_chunks(kv, "state.x", b"kept")
    await write_chunks(kv, "state.x", b"gone")
    other = await write_chunks(kv, "state.xy", b"other")

    await delete_chunks(kv, "state.x", keep=kept)

    assert await read_chunks(kv, "state.x", kept) == b"kept"
    assert await read_chunks(kv, "state.xy", other) == b"other"
    assert len(await kv.keys()) == 2


async def test_a_chunk_that_is_not_what_was_written_is_unreadable(kv: KeyValue) -> None:
    ref = await write_chunks(kv, "state.x", b"value")
    (key,) = await kv.keys("state.x")
    await kv.delete(key)
    await kv.create(key, b"something else")

    with pytest.raises(Unreadable):
        await read_chunks(kv, "state.x", ref)
    with pytest.raises(NotFound):
        await read_chunks(kv, "state.x", ChunkRef(digest=ref.digest, chunks=2))


async def test_a_record_that_cannot_be_read_is_said_so(
    ledger: Ledger, kv: KeyValue, clock: Clock
) -> None:
    job = await ledger.submit("PACS", REQUEST)
    entry = await kv.get(f"job.{job.job_id}")
    await kv.update(f"job.{job.job_id}", b'{"peer": "CANARY"}', revision=entry.revision)

    with pytest.raises(Unreadable) as caught:
        await ledger.get(job.job_id)

    assert "CANARY" not in str(caught.value)


async def test_a_record_everybody_writes_is_given_up(records: Records, ledger: Ledger) -> None:
    job = await ledger.submit("PACS", REQUEST)

    class Busy:
        """A store in which somebody else is always a little quicker."""

        def __init__(self) -> None:
            self.tries = 0

        async def get(self, key: str) -> object:
            return await records.kv.get(key)

        async def update(self, key: str, value: bytes, *, revision: int) -> int:
            self.tries += 1
            raise Conflict("the key was written by somebody else")

    busy = Busy()

    with pytest.raises(Conflict, match="too many"):
        await Records(busy, RETRIEVAL, now=records.now).change(  # type: ignore[arg-type]  # two methods do
            job.job_id, lambda seen: seen.model_copy(update={"problem": "x"})
        )

    assert busy.tries > 1
