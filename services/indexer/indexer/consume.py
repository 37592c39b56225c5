"""The durable consumer: announcements in, headers read, one upsert, and only then the answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from dicomcore.errors import BusUnavailable, DicomToolsError, Fact, Unavailable
from dicomcore.events import InstanceStored, traceparent_of
from dicomcore.ports import (
    Consumer,
    ConsumerSpec,
    Delivery,
    EventBus,
    IndexDb,
    IndexedInstance,
    ObjectStore,
    UpsertOutcome,
)
from dicomio.tracing import NO_TRACER, Kind, Span, Tracer
from indexer.announce import Announcer
from indexer.disposition import Dead, disposition
from indexer.metrics import Metrics
from indexer.reading import announced_by_event, read_version

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConsumeOptions:
    """How much is done at once, and how long is waited."""

    batch: int = 256
    readers: int = 8
    """Objects read at once. Each may need the whole object in memory: a structure set or an RT Plan
    of up to some 100 MB, so `readers` × that must fit into the pod."""
    fetch_timeout_s: float = 1.0
    """Bounds how long a stop waits for an idle queue."""
    ack_wait_s: float = 30.0
    """A crashed replica's messages come to another one after so long."""
    reconnect_s: float = 2.0
    durable: str = "indexer"


@dataclass(frozen=True, slots=True)
class _Read:
    delivery: Delivery
    instance: IndexedInstance


class StoredConsumer:
    """Takes `dicom.instance.stored.v1` from the bus to the index, until it is told to stop."""

    def __init__(
        self,
        store: ObjectStore,
        bus: EventBus,
        index: IndexDb,
        metrics: Metrics,
        options: ConsumeOptions,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._store = store
        self._bus = bus
        self._index = index
        self._metrics = metrics
        self._options = options
        self._tracer = tracer
        self._announcer = Announcer(bus)
        self._readers = asyncio.Semaphore(options.readers)
        self._stopping = asyncio.Event()
        self._unanswered: dict[int, Delivery] = {}

    def stop(self) -> None:
        """Let `run` end after the batch it is at."""
        self._stopping.set()

    async def run(self) -> None:
        """Consume until `stop`; outages of the bus are waited out."""
        consumer: Consumer | None = None
        while not self._stopping.is_set():
            try:
                if consumer is None:
                    consumer = await self._bus.consumer(self._spec())
                deliveries = await consumer.fetch(
                    self._options.batch, timeout_s=self._options.fetch_timeout_s
                )
            except BusUnavailable as exc:
                log.warning("bus_unavailable", problem=exc.sentence)
                await self._pause()
                continue
            if deliveries:
                await self.handle(deliveries)
        if consumer is not None:
            with suppress(BusUnavailable):
                await consumer.close()

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Read, write and answer one batch."""
        with self._metrics.batch_seconds.time():
            async with self._kept(deliveries):
                read = await asyncio.gather(*(self._read(delivery) for delivery in deliveries))
                await self._write([one for one in read if one is not None])

    def _spec(self) -> ConsumerSpec:
        return ConsumerSpec(
            durable=self._options.durable,
            subjects=(InstanceStored.TYPE,),
            ack_wait_s=self._options.ack_wait_s,
            # A fetch for more than may be in flight waits for its whole time-out on JetStream.
            max_in_flight=self._options.batch * 4,
        )

    async def _read(self, delivery: Delivery) -> _Read | None:
        try:
            announced = announced_by_event(delivery.body)
            async with self._readers:
                with self._span("read header", delivery):
                    instance = await asyncio.to_thread(read_version, self._store, announced)
        except Exception as exc:  # noqa: BLE001  # the edge: the table decides
            await self._refuse(delivery, exc)
            return None
        return _Read(delivery, instance)

    async def _write(self, batch: Sequence[_Read]) -> None:
        if not batch:
            return
        try:
            outcomes = await self._index.upsert([one.instance for one in batch])
        except Exception as exc:  # noqa: BLE001  # the edge: the table decides
            if isinstance(exc, Unavailable) or len(batch) == 1:
                await asyncio.gather(*(self._refuse(one.delivery, exc) for one in batch))
                return
            # One of them can never be written; the others must not fail with it.
            for one in batch:
                await self._write([one])
        else:
            await asyncio.gather(*map(self._finish, batch, outcomes))

    async def _finish(self, one: _Read, outcome: UpsertOutcome) -> None:
        """Publish what follows from an upsert, then acknowledge."""
        instance = one.instance
        try:
            with self._span("index instance", one.delivery) as span:
                span.note({"dicomtools.outcome": outcome.value})
                await self._tell(one, outcome)
        except Exception as exc:  # noqa: BLE001  # the edge: the table decides
            await self._refuse(one.delivery, exc)
            return
        await self._answer(one.delivery, "ack")
        self._metrics.instances.labels(outcome.value).inc()
        log.info("instance_indexed", object_key=instance.object_key, outcome=outcome.value)

    async def _tell(self, one: _Read, outcome: UpsertOutcome) -> None:
        if one.instance.header is None:
            self._metrics.unreadable.inc()
            log.warning(
                "instance_unreadable",
                object_key=one.instance.object_key,
                problem=one.instance.problem,
            )
            await self._announcer.unreadable(one.instance)
        # A redelivery may be of a version that was written, and whose event was lost in a crash.
        again = outcome is UpsertOutcome.SAME and one.delivery.attempt > 1
        if outcome is UpsertOutcome.VERSION or again:
            versions = await self._index.versions(one.instance.ref.sop_instance_uid)
            if len(versions) > 1:
                await self._announcer.conflict(versions)

    def _span(self, name: str, delivery: Delivery) -> AbstractContextManager[Span]:
        """Go on with the trace that the announcement is part of."""
        if self._tracer is NO_TRACER:
            return self._tracer.span(name)
        parent = traceparent_of(delivery.body)
        facts: dict[str, Fact] = {"messaging.attempt": delivery.attempt}
        return self._tracer.span(name, kind=Kind.CONSUMER, parent=parent, facts=facts)

    async def _refuse(self, delivery: Delivery, error: Exception) -> None:
        """Nak, or dead-letter and term, as the table says; a fault of ours is logged with its place."""
        if not isinstance(error, DicomToolsError):
            log.error("delivery_failed", exc_info=error)
        decision = disposition(error, delivery.attempt)
        if isinstance(decision, Dead):
            log.error("message_dead", reason=decision.reason, attempt=delivery.attempt)
            try:
                await self._announcer.dead(delivery.subject, delivery.body, decision.reason)
            except Unavailable as exc:
                decision = disposition(exc, delivery.attempt)
            except DicomToolsError as exc:
                log.exception("dead_letter_refused", problem=exc.sentence)
        if isinstance(decision, Dead):
            await self._answer(delivery, "term", reason=decision.reason)
            return
        log.warning(
            "message_deferred",
            problem=type(error).__name__,
            attempt=delivery.attempt,
            delay_s=decision.delay_s,
        )
        await self._answer(delivery, "nak", delay_s=decision.delay_s)

    async def _answer(
        self, delivery: Delivery, answer: str, *, delay_s: float = 0.0, reason: str = ""
    ) -> None:
        self._unanswered.pop(id(delivery), None)
        try:
            if answer == "ack":
                await delivery.ack()
            elif answer == "nak":
                await delivery.nak(delay_s=delay_s)
            else:
                await delivery.term(reason=reason)
        except BusUnavailable as exc:
            # It comes again after ack_wait, and everything done for it is idempotent.
            log.warning("answer_lost", answer=answer, problem=exc.sentence)
        else:
            self._metrics.deliveries.labels(answer).inc()

    @asynccontextmanager
    async def _kept(self, deliveries: Iterable[Delivery]) -> AsyncIterator[None]:
        """Say every third of `ack_wait_s` that the batch is still being worked on."""
        self._unanswered = {id(delivery): delivery for delivery in deliveries}

        async def keep() -> None:
            while True:
                await asyncio.sleep(self._options.ack_wait_s / 3)
                for delivery in list(self._unanswered.values()):
                    with suppress(BusUnavailable):
                        await delivery.in_progress()

        async with asyncio.TaskGroup() as group:
            keeper = group.create_task(keep())
            try:
                yield
            finally:
                keeper.cancel()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.reconnect_s):
                await self._stopping.wait()
