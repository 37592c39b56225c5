"""The retrieval worker on a real queue and ledger, with an executor that does as it is told."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from dicomcore.errors import (
    BusUnavailable,
    KeyValueUnavailable,
    PeerRefused,
    PeerUnavailable,
    Unavailable,
)
from dicomcore.events import (
    CloudEvent,
    RetrievalCompleted,
    RetrievalEnded,
    RetrievalRequested,
    decode,
    encode,
)
from dicomcore.ports import Consumer, ConsumerSpec, Delivery, Entry, EventBus, KeyValue
from dicomio.bridge import Bridge
from dicomio.jobs.announce import request_work
from dicomio.jobs.attempt import Hooks, Pace
from dicomio.jobs.claims import Claims, LeaseLost
from dicomio.jobs.ledger import Ledger
from dicomio.jobs.options import Metrics, WorkerOptions
from dicomio.jobs.record import Job
from dicomio.jobs.records import Records
from dicomio.jobs.worker import Worker
from dicomio.local_bus import LocalBus
from dicomio.local_kv import LocalKeyValue
from qr_gateway.retrieval.kind import RETRIEVAL
from qr_gateway.retrieval.model import Progress, Report, RetrievalRequest, State

DEADLINE_S = 30.0
CANARY = "CANARY-PATIENT"
QUICK = WorkerOptions(
    pace=Pace(lease_s=1.5, ack_wait_s=2.0, progress_every_s=0.05),
    retry_s=0.05,
    busy_s=0.05,
    sweep_every_s=30.0,
)
REQUEST = RetrievalRequest(patient_id="P1")


# ── surroundings that can fail ──────────────────────────────────────────────────────────────


class WatchedDelivery:
    """A delivery that counts its answers."""

    def __init__(self, inner: Delivery, answers: Counter[str]) -> None:
        self._inner = inner
        self._answers = answers

    @property
    def subject(self) -> str:
        return self._inner.subject

    @property
    def body(self) -> bytes:
        return self._inner.body

    @property
    def attempt(self) -> int:
        return self._inner.attempt

    async def ack(self) -> None:
        await self._inner.ack()
        self._answers["ack"] += 1

    async def nak(self, *, delay_s: float) -> None:
        await self._inner.nak(delay_s=delay_s)
        self._answers["nak"] += 1

    async def term(self, *, reason: str) -> None:
        await self._inner.term(reason=reason)
        self._answers["term"] += 1

    async def in_progress(self) -> None:
        await self._inner.in_progress()
        self._answers["in_progress"] += 1


class WatchedBus:
    """A bus that counts answers and refuses as many publications as it is told to."""

    def __init__(self, inner: EventBus) -> None:
        self._inner = inner
        self.answers: Counter[str] = Counter()
        self.refuse = 0

    async def publish(self, subject: str, body: bytes, *, message_id: str) -> bool:
        if self.refuse:
            self.refuse -= 1
            raise BusUnavailable("the bus does not answer")
        return await self._inner.publish(subject, body, message_id=message_id)

    async def consumer(self, spec: ConsumerSpec) -> Consumer:
        return WatchedConsumer(await self._inner.consumer(spec), self.answers)

    async def healthy(self) -> bool:
        return await self._inner.healthy()

    async def close(self) -> None:
        await self._inner.close()


class WatchedConsumer:
    def __init__(self, inner: Consumer, answers: Counter[str]) -> None:
        self._inner = inner
        self._answers = answers

    async def fetch(self, max_messages: int, *, timeout_s: float) -> Sequence[Delivery]:
        got = await self._inner.fetch(max_messages, timeout_s=timeout_s)
        return [WatchedDelivery(delivery, self._answers) for delivery in got]

    async def close(self) -> None:
        await self._inner.close()


class FailingKeyValue:
    """A key-value store that can be away."""

    def __init__(self, inner: KeyValue) -> None:
        self._inner = inner
        self.away = False
        self.before_update: Callable[[], None] = lambda: None

    def _demand(self) -> None:
        if self.away:
            raise KeyValueUnavailable("the key-value store does not answer")

    async def get(self, key: str) -> Entry:
        self._demand()
        return await self._inner.get(key)

    async def create(self, key: str, value: bytes) -> int:
        self._demand()
        return await self._inner.create(key, value)

    async def update(self, key: str, value: bytes, *, revision: int) -> int:
        self._demand()
        self.before_update()
        return await self._inner.update(key, value, revision=revision)

    async def delete(self, key: str) -> None:
        self._demand()
        await self._inner.delete(key)

    async def keys(self, prefix: str = "") -> Sequence[str]:
        self._demand()
        return await self._inner.keys(prefix)

    async def changed(self, key: str, *, since: int, timeout_s: float) -> Entry | None:
        self._demand()
        return await self._inner.changed(key, since=since, timeout_s=timeout_s)

    async def close(self) -> None:
        await self._inner.close()


# ── executors ───────────────────────────────────────────────────────────────────────────────


def ended(state: State) -> Report:
    return Report(progress=Progress(state=state, landed=2, expected=2, bytes_moved=10))


class Told:
    """An executor that saves, waits for leave to end, and ends; it counts its runs."""

    def __init__(self) -> None:
        self.leave = threading.Event()
        self.saved_state = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.runs: list[tuple[str, bytes | None]] = []
        self.seen_cancel = 0

    def __call__(self, peer: str, request: RetrievalRequest, hooks: Hooks) -> Report:
        self.runs.append((peer, hooks.saved))
        hooks.progress(Progress(step="plans", landed=1, expected=2))
        hooks.save(b"half way")
        self._loop.call_soon_threadsafe(self.saved_state.set)
        while not self.leave.wait(0.02):
            if hooks.cancelled():
                self.seen_cancel += 1
                return ended(State.CANCELLED)
        return ended(State.COMPLETE)


def at_once(peer: str, request: RetrievalRequest, hooks: Hooks) -> Report:
    return ended(State.COMPLETE)


class World:
    """A queue, a ledger, and workers on them."""

    def __init__(self, bus: WatchedBus, kv: FailingKeyValue) -> None:
        self.bus = bus
        self.kv = kv
        self.records = Records(kv, RETRIEVAL)
        self.ledger = Ledger(self.records)

    async def submit(self, peer: str = "PACS", request: RetrievalRequest = REQUEST) -> str:
        job = await self.ledger.submit(peer, request)
        await request_work(self.bus, RETRIEVAL, job)
        return job.job_id

    @asynccontextmanager
    async def worker(
        self, execute: Callable[[str, RetrievalRequest, Hooks], Report], **options: Any
    ) -> AsyncIterator[tuple[Worker, asyncio.Task[None]]]:
        bridge = Bridge(asyncio.get_running_loop(), workers=8)
        given = {name: getattr(QUICK, name) for name in WorkerOptions.__dataclass_fields__}
        worker = Worker(
            self.bus,
            self.records,
            bridge,
            execute,
            options=WorkerOptions(**{**given, **options}),
            metrics=Metrics(CollectorRegistry(), RETRIEVAL.name),
        )
        running = asyncio.create_task(worker.run())
        try:
            yield worker, running
        finally:
            worker.stop()
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(running, DEADLINE_S)
            await bridge.close()

    async def until(self, job_id: str, wanted: Callable[[Job], bool]) -> Job:
        """Return the job once it is as wanted."""
        async with asyncio.timeout(DEADLINE_S):
            revision = 0
            while True:
                seen = await self.ledger.changed(job_id, since=revision, timeout_s=1.0)
                if seen is not None:
                    if wanted(seen.job):
                        return seen.job
                    revision = seen.revision

    async def end_of(self, job_id: str) -> Job:
        return await self.until(job_id, lambda job: job.announced)

    async def events(self, count: int) -> list[tuple[str, dict[str, object]]]:
        """Return so many events about ends, as a subscriber gets them."""
        consumer = await self.bus.consumer(
            ConsumerSpec("subscriber", (RetrievalCompleted.TYPE, RetrievalEnded.TYPE))
        )
        got: list[tuple[str, dict[str, object]]] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(got) < count:
                for delivery in await consumer.fetch(10, timeout_s=1.0):
                    event = CloudEvent.model_validate_json(delivery.body)
                    got.append((delivery.subject, event.data))
                    await delivery.ack()
        await consumer.close()
        return got


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture(params=["local", pytest.param("nats", marks=pytest.mark.server)])
def open_world(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[], AbstractAsyncContextManager[World]]:
    open_nats = (
        (request.getfixturevalue("open_nats_bus"), request.getfixturevalue("open_nats_kv"))
        if request.param == "nats"
        else None
    )

    @asynccontextmanager
    async def opened() -> AsyncIterator[World]:
        if open_nats is not None:
            async with open_nats[0]() as bus, open_nats[1]("retrievals") as kv:
                yield World(WatchedBus(bus), FailingKeyValue(kv))
            return
        local_bus = await LocalBus.open(tmp_path / "bus.sqlite")
        local_kv = await LocalKeyValue.open(tmp_path / "kv.sqlite", "retrievals")
        yield World(WatchedBus(local_bus), FailingKeyValue(local_kv))
        await local_bus.close()
        await local_kv.close()

    return opened


@pytest.fixture
async def world(
    open_world: Callable[[], AbstractAsyncContextManager[World]],
) -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


# ── one job ─────────────────────────────────────────────────────────────────────────────────


async def test_a_job_is_run_its_report_kept_and_its_end_published(world: World) -> None:
    job_id = await world.submit()

    async with world.worker(at_once):
        job = await world.end_of(job_id)

    assert (job.state, job.attempts, job.lease) == (State.COMPLETE, 1, None)
    assert await world.ledger.report(job) == ended(State.COMPLETE)
    ((subject, data),) = await world.events(1)
    assert subject == RetrievalCompleted.TYPE
    assert (data["job_id"], data["bytes_moved"]) == (job_id, 10)


async def test_progress_is_seen_while_it_runs(world: World) -> None:
    job_id = await world.submit()
    execute = Told()

    async with world.worker(execute):
        job = await world.until(job_id, lambda job: job.progress.landed == 1)
        execute.leave.set()
        await world.end_of(job_id)

    assert (job.state, job.progress.step) == (State.RUNNING, "plans")
    assert job.lease is not None


async def test_a_job_that_outlasts_lease_and_delivery_is_run_once(world: World) -> None:
    job_id = await world.submit()
    execute = Told()

    async with (
        world.worker(execute, owner="a"),
        world.worker(execute, owner="b"),
    ):
        first = await world.until(job_id, lambda job: job.lease is not None)
        assert first.lease is not None
        began = first.lease.expires_at
        long = timedelta(seconds=2 * QUICK.pace.ack_wait_s)
        await world.until(
            job_id, lambda job: job.lease is not None and job.lease.expires_at > began + long
        )
        execute.leave.set()
        job = await world.end_of(job_id)

    assert (job.state, job.attempts) == (State.COMPLETE, 1)
    assert len(execute.runs) == 1
    assert world.bus.answers["in_progress"] >= 2


async def test_a_repeated_request_is_run_once(world: World) -> None:
    job_id = await world.submit()
    execute = Told()
    for number in range(3):
        again = encode(
            RetrievalRequested(job_id=job_id),
            event_id=f"again-{number}",
            source="test",
            time=datetime.now(UTC),
        )
        await world.bus.publish(RetrievalRequested.TYPE, again, message_id=f"again-{number}")

    async with world.worker(execute):
        await eventually(lambda: world.bus.answers["nak"] >= 3)
        execute.leave.set()
        await eventually(lambda: world.bus.answers["ack"] == 4)

    assert len(execute.runs) == 1
    assert len(await world.events(1)) == 1


async def test_workers_share_the_jobs(world: World) -> None:
    jobs = [await world.submit(f"PACS{number}") for number in range(6)]
    together = threading.Barrier(2, timeout=DEADLINE_S)
    runs: Counter[str] = Counter()

    def execute(peer: str, request: RetrievalRequest, hooks: Hooks) -> Report:
        runs[peer] += 1
        together.wait()  # passes only while another worker runs another job
        return ended(State.COMPLETE)

    async with (
        world.worker(execute, jobs=1, owner="a"),
        world.worker(execute, jobs=1, owner="b"),
    ):
        states = {(await world.end_of(job_id)).state for job_id in jobs}

    assert states == {State.COMPLETE}
    assert set(runs.values()) == {1}


async def test_a_peer_is_not_worked_harder_than_allowed(world: World) -> None:
    busy, other = Told(), Told()
    jobs = [await world.submit("BUSY") for _ in range(3)]
    elsewhere = await world.submit("OTHER")

    def execute(peer: str, request: RetrievalRequest, hooks: Hooks) -> Report:
        return (busy if peer == "BUSY" else other)(peer, request, hooks)

    async with world.worker(execute, jobs=4, jobs_per_peer=1):
        await busy.saved_state.wait()
        await other.saved_state.wait()
        await eventually(lambda: world.bus.answers["nak"] >= 4)
        at_a_time = len(busy.runs)
        busy.leave.set()
        other.leave.set()
        states = {(await world.end_of(job_id)).state for job_id in [*jobs, elsewhere]}

    assert at_a_time == 1
    assert states == {State.COMPLETE}
    assert len(busy.runs) == 3


# ── ends before its time ────────────────────────────────────────────────────────────────────


async def test_a_running_job_is_cancelled(world: World) -> None:
    job_id = await world.submit()
    execute = Told()

    async with world.worker(execute):
        await execute.saved_state.wait()
        await world.ledger.cancel(job_id)
        job = await world.end_of(job_id)

    assert job.state is State.CANCELLED
    assert execute.seen_cancel == 1
    ((subject, data),) = await world.events(1)
    assert (subject, data["state"]) == (RetrievalEnded.TYPE, "cancelled")


async def test_a_job_that_is_cancelled_before_it_starts_is_not_run(world: World) -> None:
    job_id = await world.submit()
    await world.ledger.cancel(job_id)
    execute = Told()

    async with world.worker(execute):
        await world.end_of(job_id)

    assert execute.runs == []
    ((_, data),) = await world.events(1)
    assert data["state"] == "cancelled"


async def test_the_job_of_a_worker_that_died_is_resumed_where_it_had_saved(world: World) -> None:
    job_id = await world.submit()
    dying, other = Told(), Told()
    other.leave.set()

    async with world.worker(dying, owner="a") as (_, running):
        await dying.saved_state.wait()
        running.cancel()  # nothing is released, nothing is answered
        with suppress(asyncio.CancelledError):
            await running
        left = (await world.ledger.get(job_id)).job
        async with world.worker(other, owner="b"):
            job = await world.end_of(job_id)

    assert left.state is State.RUNNING
    assert left.lease is not None
    assert other.runs == [("PACS", b"half way")]
    assert (job.state, job.attempts) == (State.COMPLETE, 2)


async def test_a_saved_state_that_is_lost_costs_time_and_not_the_job(world: World) -> None:
    job_id = await world.submit()
    dying, other = Told(), Told()
    other.leave.set()

    async with world.worker(dying) as (worker, running):
        await dying.saved_state.wait()
        worker.stop()
        await asyncio.wait_for(running, DEADLINE_S)
    for key in await world.kv.keys(f"state.{job_id}"):
        await world.kv.delete(key)
    async with world.worker(other):
        job = await world.end_of(job_id)

    assert other.runs == [("PACS", None)]
    assert job.state is State.COMPLETE


async def test_a_worker_that_leaves_gives_its_jobs_back(world: World) -> None:
    job_id = await world.submit()
    leaving, other = Told(), Told()
    other.leave.set()

    async with world.worker(leaving, owner="a") as (worker, running):
        await leaving.saved_state.wait()
        worker.stop()
        await asyncio.wait_for(running, DEADLINE_S)
    between = (await world.ledger.get(job_id)).job
    async with world.worker(other, owner="b"):
        job = await world.end_of(job_id)

    assert (between.state, between.lease) == (State.QUEUED, None)
    assert other.runs == [("PACS", b"half way")]
    assert job.state is State.COMPLETE


async def test_a_worker_told_to_leave_while_it_claims_a_job_gives_it_back(world: World) -> None:
    job_id = await world.submit()
    execute = Told()

    async with world.worker(execute) as (worker, running):
        world.kv.before_update = worker.stop  # the claim is the first change of the record
        await asyncio.wait_for(running, DEADLINE_S)

    job = (await world.ledger.get(job_id)).job
    assert (job.state, job.lease, job.attempts) == (State.QUEUED, None, 1)


async def test_a_worker_whose_job_was_taken_stops_and_writes_nothing(world: World) -> None:
    job_id = await world.submit()
    slow = Told()
    ahead = Records(world.kv, RETRIEVAL, now=lambda: datetime.now(UTC) + timedelta(hours=1))

    async with world.worker(slow):
        await slow.saved_state.wait()
        taken = await Claims(ahead).claim(job_id, owner="b", ttl_s=3600)
        await eventually(lambda: slow.seen_cancel == 1)
        await eventually(lambda: world.bus.answers["nak"] >= 1)
        job = (await world.ledger.get(job_id)).job

    assert job.lease == taken.lease
    assert job.state is State.RUNNING


# ── what fails ──────────────────────────────────────────────────────────────────────────────


async def test_what_is_unavailable_is_tried_again(world: World) -> None:
    job_id = await world.submit()
    tries: list[bytes | None] = []

    def execute(peer: str, request: RetrievalRequest, hooks: Hooks) -> Report:
        tries.append(hooks.saved)
        hooks.save(b"%d" % len(tries))
        if len(tries) < 3:
            raise PeerUnavailable("no answer from the peer", peer=peer)
        return ended(State.COMPLETE)

    async with world.worker(execute):
        job = await world.end_of(job_id)

    assert tries == [None, b"1", b"2"]
    assert (job.state, job.attempts, job.problem) == (State.COMPLETE, 3, "")


@pytest.mark.parametrize(
    ("error", "attempts", "problem"),
    [
        (PeerUnavailable("no answer from the peer"), 3, "no answer from the peer"),
        (PeerRefused("the peer refused"), 1, "the peer refused"),
        (RuntimeError(CANARY), 1, "unexpected error; the log has it by job ID"),
    ],
    ids=["unavailable", "refused", "unexpected"],
)
async def test_what_cannot_be_done_fails_and_says_why(
    world: World, error: Exception, attempts: int, problem: str
) -> None:
    job_id = await world.submit(request=RetrievalRequest(patient_id=CANARY))

    def execute(peer: str, request: RetrievalRequest, hooks: Hooks) -> Report:
        raise error

    with capture_logs() as lines:
        async with world.worker(execute, attempts=3):
            job = await world.end_of(job_id)

    assert (job.state, job.attempts, job.problem) == (State.FAILED, attempts, problem)
    ((_, data),) = await world.events(1)
    assert data["state"] == "failed"
    assert CANARY not in repr([line for line in lines if "exc_info" not in line])
    assert CANARY not in repr(data)


async def test_an_executor_that_ends_without_an_end_is_a_failure(world: World) -> None:
    job_id = await world.submit()

    async with world.worker(lambda *_: ended(State.RUNNING)):
        job = await world.end_of(job_id)

    assert job.state is State.FAILED


async def test_a_job_that_kills_its_workers_is_given_up(world: World) -> None:
    job_id = await world.submit()
    execute = Told()
    claims = Claims(
        Records(world.kv, RETRIEVAL, now=lambda: datetime.now(UTC) - timedelta(hours=1))
    )
    for _ in range(3):
        await claims.claim(job_id, owner="died", ttl_s=-1)

    async with world.worker(execute, claims=3):
        job = await world.end_of(job_id)

    assert job.state is State.FAILED
    assert execute.runs == []


async def test_a_ledger_that_is_away_for_a_while_is_waited_for(world: World) -> None:
    job_id = await world.submit()
    away = asyncio.Event()
    loop = asyncio.get_running_loop()
    saved: list[bytes] = []

    def execute(peer: str, request: RetrievalRequest, hooks: Hooks) -> Report:
        world.kv.away = True
        loop.call_soon_threadsafe(away.set)
        hooks.save(b"in spite of all")
        saved.append(b"in spite of all")
        return ended(State.COMPLETE)

    with capture_logs() as lines:
        async with world.worker(execute):
            await away.wait()
            await eventually(lambda: any(x["event"] == "lease_not_renewed" for x in lines))
            assert saved == []
            world.kv.away = False
            job = await world.end_of(job_id)

    assert (job.state, job.attempts) == (State.COMPLETE, 1)
    assert saved == [b"in spite of all"]


async def test_an_end_that_could_not_be_published_is_published_later(world: World) -> None:
    job_id = await world.submit()
    world.bus.refuse = 2
    execute = Told()
    execute.leave.set()

    async with world.worker(execute):
        await world.end_of(job_id)

    assert len(execute.runs) == 1
    assert len(await world.events(1)) == 1


async def test_a_job_that_never_got_into_the_queue_is_put_there(world: World) -> None:
    job = await world.ledger.submit("PACS", REQUEST)

    async with world.worker(at_once, idle_s=0.0, sweep_every_s=0.1):
        done = await world.end_of(job.job_id)

    assert done.state is State.COMPLETE


@pytest.mark.parametrize(
    "body",
    [
        b"garbage",
        encode(
            RetrievalRequested(job_id="0" * 32),
            event_id="1",
            source="test",
            time=datetime(2026, 1, 1, tzinfo=UTC),
        ),
    ],
    ids=["garbage", "unknown job"],
)
async def test_a_request_that_can_never_be_done_does_not_come_again(
    world: World, body: bytes
) -> None:
    await world.bus.publish(RetrievalRequested.TYPE, body, message_id="m")
    job_id = await world.submit()

    async with world.worker(at_once):
        await world.end_of(job_id)
        await eventually(lambda: world.bus.answers["term"] == 1)

    assert world.bus.answers["nak"] == 0


async def test_saving_after_the_job_was_taken_is_refused(world: World) -> None:
    job_id = await world.submit()
    loop = asyncio.get_running_loop()
    started, refused = asyncio.Event(), asyncio.Event()
    go_on = threading.Event()
    ahead = Records(world.kv, RETRIEVAL, now=lambda: datetime.now(UTC) + timedelta(hours=1))

    def execute(peer: str, request: RetrievalRequest, hooks: Hooks) -> Report:
        loop.call_soon_threadsafe(started.set)
        go_on.wait(DEADLINE_S)
        try:
            hooks.save(b"late")
        except LeaseLost:
            loop.call_soon_threadsafe(refused.set)
            raise
        return ended(State.COMPLETE)

    async with world.worker(execute):
        await started.wait()
        taken = await Claims(ahead).claim(job_id, owner="b", ttl_s=3600)
        go_on.set()
        await asyncio.wait_for(refused.wait(), DEADLINE_S)

    job = (await world.ledger.get(job_id)).job
    assert job.lease == taken.lease
    assert job.saved is None


def test_the_requests_subject_is_the_one_that_is_consumed() -> None:
    body = encode(RetrievalRequested(job_id="1"), event_id="1", source="t", time=datetime.now(UTC))

    assert decode(body, RetrievalRequested).job_id == "1"
    assert issubclass(PeerUnavailable, Unavailable)
