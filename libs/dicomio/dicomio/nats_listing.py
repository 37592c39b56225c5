"""List what a JetStream stream holds now, the latest message of every subject, without its body."""

from __future__ import annotations

import asyncio
import contextlib

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

_BATCH = 500
_LOOK_AGAIN_S = 0.5
"""So long nothing comes before the server is asked whether anything will."""
_FORGOTTEN_AFTER_S = 60.0


async def latest_messages(
    jetstream: JetStreamContext, stream: str, subject: str, *, timeout_s: float
) -> list[Msg]:
    """Return the headers of the latest message of every subject.

    The SDK's `watch` does this too, but pushes: it takes a stream for empty when the server has
    delivered everything before the client has handled the first message (seen once in 300 lists).
    Here we ask for as many messages as the server says there are, and count what comes.

    Parameters
    ----------
    subject
        May end in `>` or hold `*`. What is written while we list may come in either version.

    Raises
    ------
    nats.errors.Error
        Nothing came for `timeout_s`, or a message was lost on the way.
    """
    consumer = await jetstream.add_consumer(
        stream,
        api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT,
            ack_policy=api.AckPolicy.NONE,
            filter_subject=subject,
            headers_only=True,
            mem_storage=True,
            inactive_threshold=_FORGOTTEN_AFTER_S,
        ),
    )
    try:
        return await _pulled(
            jetstream, stream, consumer.name, consumer.num_pending or 0, timeout_s=timeout_s
        )
    finally:
        with contextlib.suppress(nats.errors.Error):  # it goes by itself, a minute later
            await jetstream.delete_consumer(stream, consumer.name)


async def _pulled(
    jetstream: JetStreamContext, stream: str, consumer: str, pending: int, *, timeout_s: float
) -> list[Msg]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    messages: list[Msg] = []
    subscription = await jetstream.pull_subscribe_bind(stream=stream, name=consumer)
    try:
        while pending:
            try:
                batch = await subscription.fetch(min(pending, _BATCH), timeout=_LOOK_AGAIN_S)
            except nats.errors.TimeoutError:
                # What was pending may have been purged meanwhile; or it is on its way, or was lost there.
                info = await subscription.consumer_info()
                sent = info.delivered.consumer_seq if info.delivered else 0
                if sent == len(messages) and not info.num_pending:
                    break
                if loop.time() > deadline:
                    raise
                continue
            messages.extend(batch)
            last = batch[-1].metadata
            if last.sequence.consumer != len(messages):
                raise nats.errors.Error("messages were lost on the way")
            pending = last.num_pending
            deadline = loop.time() + timeout_s
    finally:
        await subscription.unsubscribe()
    return messages
