"""EventBus on NATS JetStream: one stream, durable pull consumers, explicit answers."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext, api
from nats.js.errors import BadRequestError, NotFoundError

from dicomcore.errors import BusUnavailable
from dicomcore.ports import Consumer, ConsumerSpec, Delivery, PastEvent
from dicomio.nats_connection import NatsConnection, NatsOptions
from dicomio.streams import DICOM, Stream
from dicomio.tracing import current_traceparent

log = structlog.get_logger(__name__)

_NAME_IN_USE = 10058
_LINGER_S = 5.0
"""A pull request is lost when the connection is; so long at most until the next one is made."""
_SHORTEST_S = 0.05
_SLACK_S = 2.0
_SILENCE_S = 0.05
_READ_AT_ONCE = 64


class NatsBus:
    """One stream; made, or brought up to date, at connect."""

    def __init__(self, options: NatsOptions, stream: Stream = DICOM) -> None:
        self._options = options
        self._stream = stream
        self._consumers: list[_NatsConsumer] = []
        self._connection = NatsConnection(options, BusUnavailable, self._ensure_stream)

    @classmethod
    async def open(
        cls, options: NatsOptions, *, stream: Stream = DICOM, required: bool = True
    ) -> NatsBus:
        """Connect and make sure of the stream.

        Parameters
        ----------
        required
            Without, NATS may be away now: every use is `BusUnavailable` until it comes.

        Raises
        ------
        BusUnavailable
            Not reached in `connect_timeout_s`, and required.
        """
        bus = cls(options, stream)
        await bus._connection.open(required=required)
        return bus

    @classmethod
    def begin(cls, options: NatsOptions, stream: Stream = DICOM) -> NatsBus:
        """Start to connect, and return at once; every use is `BusUnavailable` until it has."""
        bus = cls(options, stream)
        bus._connection.begin()
        return bus

    async def publish(self, subject: str, body: bytes, *, message_id: str) -> bool:
        # At once when NATS is away: who publishes has an outbox, and a modality that waits.
        await self._connection.ready(0)
        with self._connection.mapped_errors("publish"):
            # A request that times out here may still have arrived; the ID makes that harmless.
            ack = await self._connection.stream.publish(
                subject,
                body,
                stream=self._stream.name,
                headers=_headers(message_id),
            )
        return not ack.duplicate

    async def consumer(self, spec: ConsumerSpec) -> Consumer:
        consumer = _NatsConsumer(self._connection, spec, self._options, self._stream.name)
        await consumer.attach(self._options.request_timeout_s)
        self._consumers.append(consumer)
        return consumer

    async def past(self, *, before: int | None, limit: int) -> Sequence[PastEvent]:
        await self._connection.ready(self._options.request_timeout_s)
        stream, name = self._connection.stream, self._stream.name
        with self._connection.mapped_errors("look back"):
            state = (await stream.stream_info(name)).state
            newest = state.last_seq if before is None else min(state.last_seq, before - 1)
            oldest = max(state.first_seq, newest - limit + 1, 1)  # of an empty one it is 0
            # read by place: a consumer, even one for a moment, would be state on the server
            found: list[PastEvent | None] = []
            for start in range(newest, oldest - 1, -_READ_AT_ONCE):
                places = range(start, max(start - _READ_AT_ONCE, oldest - 1), -1)
                found += await asyncio.gather(*(self._at(place) for place in places))
        return [event for event in found if event is not None]

    async def _at(self, position: int) -> PastEvent | None:
        """Return the message of a place; None if it has gone, by age as a rule."""
        try:
            message = await self._connection.stream.get_msg(self._stream.name, seq=position)
        except NotFoundError:
            return None
        return PastEvent(position, message.data or b"")

    async def healthy(self) -> bool:
        return await self._connection.alive()

    async def close(self) -> None:
        for consumer in self._consumers:
            await consumer.close()
        await self._connection.close()

    async def _ensure_stream(self, stream: JetStreamContext) -> None:
        options, ours = self._options, self._stream
        wanted = {
            "subjects": list(ours.subjects),
            "num_replicas": options.replicas,
            "max_age": options.max_age_s if ours.max_age_s is None else ours.max_age_s,
            "duplicate_window": options.duplicate_window_s,
        }
        try:
            fresh = api.StreamConfig(
                name=ours.name,
                storage=api.StorageType.FILE,
                deny_delete=ours.append_only,
                deny_purge=ours.append_only,
            )
            await stream.add_stream(fresh.evolve(**wanted))
        except BadRequestError as exc:
            if exc.err_code != _NAME_IN_USE:
                raise
            # It is there and differs: change what is ours, keep what an operator has set.
            present = (await stream.stream_info(ours.name)).config
            await stream.update_stream(present.evolve(**wanted))


def _headers(message_id: str) -> dict[str, str]:
    headers = {api.Header.MSG_ID.value: message_id}
    traceparent = current_traceparent()
    if traceparent:
        headers["traceparent"] = traceparent
    return headers


class _NatsConsumer:
    """Fetches by pull requests of its own making.

    The SDK's `fetch(n)` waits, once the first message has come, until n have or time is up; also
    when no more than `max_ack_pending` can come.
    """

    def __init__(
        self, connection: NatsConnection, spec: ConsumerSpec, options: NatsOptions, stream: str
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._spec = spec
        self._options = options
        self._inbox = connection.client.new_inbox()
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{spec.durable}"
        self._requests = 0
        self._attached = False
        self._closed = False
        self._messages: deque[Msg] = deque()
        self._open_request = self._status = ""
        self._arrived = asyncio.Event()
        self._fetching = asyncio.Lock()
        self._subscription: Subscription | None = None

    async def attach(self, wait_s: float) -> None:
        """Make or update the durable consumer, and listen."""
        await self._connection.ready(wait_s)
        with self._connection.mapped_errors("make a consumer"):
            await self._connection.stream.add_consumer(
                self._stream,
                api.ConsumerConfig(
                    name=self._spec.durable,
                    durable_name=self._spec.durable,
                    filter_subjects=list(self._spec.subjects),
                    deliver_policy=api.DeliverPolicy.ALL,
                    ack_policy=api.AckPolicy.EXPLICIT,
                    ack_wait=self._spec.ack_wait_s,
                    max_ack_pending=self._spec.max_in_flight,
                    max_deliver=-1,
                ),
            )
            if self._subscription is None:
                self._subscription = await self._connection.client.subscribe(
                    f"{self._inbox}.*", cb=self._receive
                )
        self._attached = True

    async def fetch(self, max_messages: int, *, timeout_s: float) -> Sequence[Delivery]:
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                await self._fetching.acquire()
        except TimeoutError:
            return []
        try:
            self._require_open()
            if not self._attached:
                await self.attach(timeout_s)
            await self._connection.ready(timeout_s)
            await self._gather(max_messages, deadline)
        finally:
            self._fetching.release()
        return self._taken(max_messages)

    async def _gather(self, max_messages: int, deadline: float) -> None:
        """Wait for at least one message, unless a cancelled fetch has left some."""
        loop = asyncio.get_running_loop()
        batch = min(max_messages, self._spec.max_in_flight)
        while not self._messages:
            remaining = deadline - loop.time()
            answered = await self._pull(batch, min(max(remaining, _SHORTEST_S), _LINGER_S))
            remaining = max(0.0, deadline - loop.time())
            if not self._messages and not answered:
                await self._connection.ready(remaining)
                if remaining == 0:
                    raise BusUnavailable("NATS does not answer", doing="fetch")
            if remaining == 0:
                return

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._arrived.set()
        try:
            with self._connection.mapped_errors("stop a consumer"):
                if self._subscription is not None:
                    await self._subscription.unsubscribe()
        except BusUnavailable:
            log.debug("consumer_left_behind", durable=self._spec.durable)

    def _require_open(self) -> None:
        if self._closed:
            raise BusUnavailable("the consumer is closed")

    def _taken(self, max_messages: int) -> list[Delivery]:
        count = min(max_messages, len(self._messages))
        messages = [self._messages.popleft() for _ in range(count)]
        return [_NatsDelivery(self._connection, message) for message in messages]

    async def _pull(self, batch: int, wait_s: float) -> bool:
        """Ask once for what is there, else for the first that comes; return whether it was answered.

        `no_wait` with `expires` is that request: 404 ends it after the last message that was there,
        408 when none came. Only where messages are there and too many are in flight, no end is
        told; then silence is one.
        """
        self._requests += 1
        request = self._open_request = f"{self._inbox}.{self._requests}"
        self._status = ""
        what = {"batch": batch, "no_wait": True, "expires": int(wait_s * 1e9)}
        with self._connection.mapped_errors("fetch"):
            await self._connection.client.publish(self._subject, json.dumps(what).encode(), request)
        deadline = asyncio.get_running_loop().time() + wait_s + _SLACK_S
        while len(self._messages) < batch and not self._status:
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(deadline) as limit:
                    if self._messages:
                        limit.reschedule(asyncio.get_running_loop().time() + _SILENCE_S)
                    await self._arrived.wait()
            except TimeoutError:
                return bool(self._messages)
            self._require_open()
        self._judge(self._status)
        return True

    def _judge(self, status: str) -> None:
        if status in ("", api.StatusCode.NO_MESSAGES, api.StatusCode.REQUEST_TIMEOUT):
            return
        # The server leaves, the leader changes, the consumer or the stream is gone: make sure of
        # all of it before asking again. What came with the refusal stays for the next fetch.
        self._attached = False
        self._connection.forget_setup()
        raise BusUnavailable("NATS refused a pull request", status=status)

    async def _receive(self, message: Msg) -> None:
        status = (message.headers or {}).get(api.Header.STATUS.value)
        if status is None:
            self._messages.append(message)
        elif message.subject == self._open_request and status != api.StatusCode.CONTROL_MESSAGE:
            self._status = status
        self._arrived.set()


class _NatsDelivery:
    def __init__(self, connection: NatsConnection, message: Msg) -> None:
        self._connection = connection
        self._message = message
        self._answered = False

    @property
    def subject(self) -> str:
        return self._message.subject

    @property
    def body(self) -> bytes:
        return self._message.data

    @property
    def attempt(self) -> int:
        return self._message.metadata.num_delivered or 1

    async def ack(self) -> None:
        await self._answer(b"+ACK")

    async def nak(self, *, delay_s: float) -> None:
        await self._answer(b"-NAK " + json.dumps({"delay": int(delay_s * 1e9)}).encode())

    async def term(self, *, reason: str) -> None:
        log.warning("message_terminated", subject=self.subject, attempt=self.attempt, reason=reason)
        await self._answer(b"+TERM " + reason.encode())

    async def in_progress(self) -> None:
        await self._answer(b"+WPI", final=False)

    async def _answer(self, answer: bytes, *, final: bool = True) -> None:
        """Send an answer, not waiting for the server: one that is lost only delivers again."""
        if self._answered:
            return
        self._answered = final
        with self._connection.mapped_errors("answer"):
            # While NATS is away the client keeps it, and sends it after reconnecting.
            await self._connection.client.publish(self._message.reply, answer)
