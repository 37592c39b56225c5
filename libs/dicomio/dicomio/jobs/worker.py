"""The worker: takes jobs of one kind off the queue, runs each once, and says how it ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

import structlog
from structlog.contextvars import bound_contextvars

from dicomcore.errors import (
    BusUnavailable,
    DicomToolsError,
    NotFound,
    Unavailable,
    Unreadable,
)
from dicomcore.events import decode, traceparent_of
from dicomcore.ports import Consumer, ConsumerSpec, Delivery, EventBus
from dicomio.bridge import Bridge
from dicomio.jobs import upkeep
from dicomio.jobs.announce import announce_end, request_work
from dicomio.jobs.attempt import Attempt, Execute, Stop
from dicomio.jobs.audit import act_of_end
from dicomio.jobs.claims import Claims, LeaseLost
from dicomio.jobs.kind import Q, R
from dicomio.jobs.options import Metrics, WorkerOptions
from dicomio.jobs.record import Job
from dicomio.jobs.records import Records
from dicomio.jobs.states import State
from dicomio.tasks import end
from dicomio.tracing import NO_TRACER, Kind, Span

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Worker(Generic[Q, R]):
    """Consumes the requests of its kind of job; several replicas share the work."""

    def __init__(
        self,
        bus: EventBus,
        records: Records[Q, R],
        bridge: Bridge,
        execute: Execute[Q, R],
        *,
        options: WorkerOptions,
        metrics: Metrics,
    ) -> None:
        self._bus = bus
        self._records = records
        self._claims = Claims(records)
        self._bridge = bridge
        self._execute = execute
        self._options = options
        self._metrics = metrics
        self._leaving = asyncio.Event()
        self._free = asyncio.Semaphore(options.jobs)
        self._of_peer: Counter[str] = Counter()
        self._attempts: set[Attempt[Q, R]] = set()

    async def run(self) -> None:
        """Work until `stop`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sweep())
            group.create_task(self._consume(group))

    def stop(self) -> None:
        """Take no more jobs, and give back those that run; `run` returns when they are out."""
        self._leaving.set()
        for attempt in self._attempts:
            attempt.stop(Stop.LEAVING)

    # ── the queue ───────────────────────────────────────────────────────────────────────────

    async def _consume(self, group: asyncio.TaskGroup) -> None:
        consumer: Consumer | None = None
        kind = self._records.kind
        spec = ConsumerSpec(
            kind.durable, (kind.requested.TYPE,), ack_wait_s=self._options.pace.ack_wait_s
        )
        try:
            while not self._leaving.is_set() and await self._unless_leaving(self._free.acquire()):
                delivery: Delivery | None = None
                try:
                    consumer = consumer or await self._unless_leaving(self._bus.consumer(spec))
                    delivery = await self._next(consumer)
                except BusUnavailable as exc:
                    log.warning("queue_not_reached", problem=exc.sentence)
                    await self._pause(1.0)
                if delivery is None:
                    self._free.release()
                else:
                    task = group.create_task(self._dispose(delivery))
                    task.add_done_callback(lambda _: self._free.release())
        finally:
            if consumer is not None:
                await consumer.close()

    async def _next(self, consumer: Consumer | None) -> Delivery | None:
        """Return the next delivery; None when there is none for a while, or when leaving."""
        if consumer is None:
            return None
        got = await self._unless_leaving(consumer.fetch(1, timeout_s=10.0))
        return got[0] if got else None

    async def _dispose(self, delivery: Delivery) -> None:
        """Answer one delivery, whatever happens."""
        try:
            job_id = decode(delivery.body, self._records.kind.requested).job_id
            with bound_contextvars(job_id=job_id), self._span(delivery):
                await self._handle(delivery, job_id)
        except (Unreadable, NotFound) as exc:
            log.warning("request_dropped", problem=exc.sentence)
            await _answered(delivery.term(reason=exc.sentence))
        except DicomToolsError as exc:
            log.warning("request_put_back", problem=exc.sentence, attempt=delivery.attempt)
            await _answered(delivery.nak(delay_s=self._options.retry_s))
        except Exception:
            log.exception("request_failed")
            await _answered(delivery.nak(delay_s=self._options.retry_s))

    def _span(self, delivery: Delivery) -> AbstractContextManager[Span]:
        """Go on with the trace of the request that ordered the job."""
        kind, tracer = self._records.kind.name, self._options.tracer
        parent = "" if tracer is NO_TRACER else traceparent_of(delivery.body)
        return tracer.span(f"{kind} job", kind=Kind.CONSUMER, parent=parent)

    async def _handle(self, delivery: Delivery, job_id: str) -> None:
        job = (await self._records.get(job_id)).job
        if job.state.final:
            await self._close(job)
            await delivery.ack()
        elif job.leased(self._records.now()):
            # a repetition; it stays in the queue in case the other worker dies
            await delivery.nak(delay_s=self._options.pace.lease_s)
        elif self._leaving.is_set():
            await delivery.nak(delay_s=0.0)
        elif self._of_peer[job.peer] >= self._options.jobs_per_peer:
            await delivery.nak(delay_s=self._options.busy_s)
        else:
            self._of_peer[job.peer] += 1
            try:
                await self._work(delivery, job_id)
            finally:
                self._of_peer[job.peer] -= 1

    # ── one job ─────────────────────────────────────────────────────────────────────────────

    async def _work(self, delivery: Delivery, job_id: str) -> None:
        pace = self._options.pace
        try:
            held = await self._claims.claim(job_id, owner=self._options.owner, ttl_s=pace.lease_s)
            if held.attempts > self._options.claims:
                ended: Job[Q] | None = await self._claims.fail(
                    held, "given up: every worker that had it died"
                )
            else:
                ended = await self._attempted(held, delivery)
        except LeaseLost:
            log.info("job_left_to_another")
            await delivery.nak(delay_s=pace.lease_s)
            return
        if ended is None:
            await delivery.nak(delay_s=self._delay_s(held))
            return
        await self._close(ended)
        await delivery.ack()

    async def _attempted(self, held: Job[Q], delivery: Delivery) -> Job[Q] | None:
        """Return the job as it ended, or None if it went back to the queue."""
        attempt = Attempt(
            held, delivery, self._records, bridge=self._bridge, pace=self._options.pace
        )
        self._attempts.add(attempt)
        if self._leaving.is_set():  # told while the job was being claimed
            attempt.stop(Stop.LEAVING)
        self._metrics.running.inc()
        log.info("job_started", peer=held.peer, attempt=held.attempts)
        try:
            report = await attempt.run(self._execute)
            return await self._reported(held, report, attempt.told)
        except LeaseLost:
            raise
        except Unavailable as exc:
            return await self._again(held, exc.sentence, left=attempt.told is Stop.LEAVING)
        except DicomToolsError as exc:
            log.warning("job_failed", problem=exc.sentence)
            return await self._claims.fail(held, exc.sentence)
        except Exception:
            log.exception("job_failed")
            return await self._claims.fail(held, "unexpected error; the log has it by job ID")
        finally:
            self._metrics.running.dec()
            self._attempts.discard(attempt)

    async def _reported(self, held: Job[Q], report: R, told: Stop | None) -> Job[Q] | None:
        state = report.progress.state
        if told is Stop.LEAVING and state is State.CANCELLED:
            return await self._again(held, "", left=True)
        if not state.final:
            raise ValueError("the executor ended without an end")
        return await self._claims.finish(held, report)

    async def _again(self, held: Job[Q], problem: str, *, left: bool) -> Job[Q] | None:
        if left:
            problem = ""
        elif held.failures + 1 >= self._options.attempts:
            log.warning("job_failed", problem=problem, attempts=held.attempts)
            return await self._claims.fail(held, problem)
        log.info("job_put_back", problem=problem, attempt=held.attempts)
        await self._claims.release(held, problem=problem)
        return None

    async def _close(self, job: Job[Q]) -> None:
        """Publish how a job ended, once or again."""
        if job.announced:
            return
        if job.report is None:
            await self._bridge.run(self._options.clear, job.job_id, job.request)
        await announce_end(self._bus, self._records.kind, job)
        await self._claims.announced(job.job_id)
        self._options.record(act_of_end(self._records.kind, job))
        self._metrics.ended.labels(job.state).inc()
        self._metrics.bytes_moved.inc(job.progress.bytes_moved)
        log.info(
            "job_ended",
            peer=job.peer,
            state=job.state,
            instances=job.counts.items,
            missing=job.counts.missing,
            bytes_moved=job.progress.bytes_moved,
        )

    def _delay_s(self, held: Job[Q]) -> float:
        if self._leaving.is_set():
            return 0.0
        return min(300.0, self._options.retry_s * 2.0**held.failures)

    # ── upkeep ──────────────────────────────────────────────────────────────────────────────

    async def _sweep(self) -> None:
        """Put jobs back that fell out of the queue, and remove old ones, now and then."""
        while not self._leaving.is_set():
            try:
                await self._unless_leaving(self._sweep_once())
            except DicomToolsError as exc:
                log.warning("sweep_failed", problem=exc.sentence)
            await self._pause(self._options.sweep_every_s)

    async def _sweep_once(self) -> None:
        for job in await upkeep.forgotten(self._records, idle_s=self._options.idle_s):
            await request_work(self._bus, self._records.kind, job, now=self._records.now())
            log.info("job_put_into_queue_again", job_id=job.job_id)
        await upkeep.prune(self._records, older_than_s=self._options.keep_s)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._leaving.wait()
        except TimeoutError:
            return

    async def _unless_leaving(self, awaitable: Coroutine[Any, Any, T]) -> T | None:
        """Return what comes, or None if the worker is told to stop first."""
        coming = asyncio.ensure_future(awaitable)
        leaving = asyncio.ensure_future(self._leaving.wait())
        either: set[asyncio.Future[Any]] = {coming, leaving}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else None
        finally:
            await end(*either)


async def _answered(answer: Coroutine[Any, Any, None]) -> None:
    """Answer a delivery; if the bus is away, it comes again by itself."""
    try:
        await answer
    except BusUnavailable as exc:
        log.warning("delivery_not_answered", problem=exc.sentence)
