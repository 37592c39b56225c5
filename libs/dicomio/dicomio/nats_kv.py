"""KeyValue on a NATS JetStream bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import chain, repeat

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext, api
from nats.js.errors import (
    BadRequestError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NotFoundError,
)
from nats.js.kv import KV_MARKER_REASON, KV_OP
from nats.js.kv import KeyValue as Bucket

from dicomcore.errors import Conflict, KeyValueUnavailable, NotFound
from dicomcore.ports import Entry
from dicomio.key_rules import MAX_VALUE_BYTES, checked_key, checked_value
from dicomio.nats_connection import NatsConnection, NatsOptions
from dicomio.nats_listing import latest_messages

_HEADERS_BYTES = 4096
_NAME_IN_USE = 10058
_REREAD_S = 5.0
# A hint may come before the bucket has the value: the reads that follow it, seconds apart.
_SETTLE_S = (0.01, 0.05, 0.25, 1.0)


class NatsKeyValue:
    """One bucket, made at connect if it is not there; only the latest value of a key is kept."""

    def __init__(self, options: NatsOptions, bucket: str) -> None:
        self._options = options
        self._name = bucket
        self._bucket: Bucket | None = None
        self._connection = NatsConnection(options, KeyValueUnavailable, self._ensure_bucket)

    @classmethod
    async def open(
        cls, options: NatsOptions, bucket: str, *, required: bool = True
    ) -> NatsKeyValue:
        """Connect and make sure of the bucket.

        Parameters
        ----------
        required
            Without, NATS may be away now: every use is `KeyValueUnavailable` until it comes.

        Raises
        ------
        KeyValueUnavailable
            Not reached in `connect_timeout_s`, and required.
        """
        store = cls(options, bucket)
        await store._connection.open(required=required)
        return store

    async def get(self, key: str) -> Entry:
        entry = await self._latest(checked_key(key))
        if entry is None:
            raise NotFound("no such key", key=key)
        return entry

    async def create(self, key: str, value: bytes) -> int:
        checked_key(key)
        checked_value(value)
        bucket = await self._ready()
        with self._connection.mapped_errors("create a key"):
            try:
                return await bucket.create(key, value)
            except KeyWrongLastSequenceError as exc:
                raise Conflict("the key exists", key=key) from exc

    async def update(self, key: str, value: bytes, *, revision: int) -> int:
        checked_key(key)
        checked_value(value)
        bucket = await self._ready()
        with self._connection.mapped_errors("update a key"):
            try:
                return await bucket.update(key, value, last=revision)
            except KeyWrongLastSequenceError as exc:
                raise Conflict("the key was written by somebody else", key=key) from exc

    async def delete(self, key: str) -> None:
        checked_key(key)
        await self._ready()
        with self._connection.mapped_errors("delete a key"):
            # Not `bucket.delete`: it leaves a mark, which every list would meet for ever. Nobody needs
            # it: revisions are of the stream, so those of a key that is made again are higher.
            await self._connection.stream.purge_stream(
                f"KV_{self._name}", subject=f"$KV.{self._name}.{key}"
            )

    async def keys(self, prefix: str = "") -> Sequence[str]:
        await self._ready()
        subject = f"$KV.{self._name}."
        # A filter of the server's ends at a dot; what is left of the prefix is compared here.
        within, dot, _ = prefix.rpartition(".")
        with self._connection.mapped_errors("list keys"):
            messages = await latest_messages(
                self._connection.stream,
                f"KV_{self._name}",
                f"{subject}{within}{dot}>",
                timeout_s=self._options.request_timeout_s,
            )
        found = {
            message.subject.removeprefix(subject) for message in messages if _is_there(message)
        }
        return sorted(key for key in found if key.startswith(prefix))

    async def changed(self, key: str, *, since: int, timeout_s: float) -> Entry | None:
        checked_key(key)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        await self._ready()
        with self._connection.mapped_errors("wait for a change"):
            # What is written to the key passes this subject. That is a hint, nothing more: a
            # message may be missed while reconnecting, so the bucket is read again now and then.
            hints = await self._connection.client.subscribe(f"$KV.{self._name}.{key}")
            try:
                return await self._wait_for(key, since, deadline, hints)
            finally:
                await hints.unsubscribe()

    async def close(self) -> None:
        await self._connection.close()

    async def _wait_for(
        self, key: str, since: int, deadline: float, hints: Subscription
    ) -> Entry | None:
        loop = asyncio.get_running_loop()
        waits: Iterator[float] = repeat(_REREAD_S)
        while True:
            entry = await self._latest(key)
            if entry is not None and entry.revision > since:
                return entry
            remaining = deadline - loop.time()
            if remaining <= 0:
                return None
            try:
                await hints.next_msg(timeout=min(remaining, next(waits)))
            except nats.errors.TimeoutError:
                continue
            waits = chain(_SETTLE_S, repeat(_REREAD_S))

    async def _latest(self, key: str) -> Entry | None:
        bucket = await self._ready()
        with self._connection.mapped_errors("read a key"):
            try:
                entry = await bucket.get(key)
            except KeyNotFoundError:
                return None
        return Entry(value=entry.value or b"", revision=entry.revision or 0)

    async def _ready(self) -> Bucket:
        await self._connection.ready(self._options.request_timeout_s)
        if self._bucket is None:
            raise KeyValueUnavailable("the bucket is not set up")
        return self._bucket

    async def _ensure_bucket(self, stream: JetStreamContext) -> None:
        try:
            self._bucket = await stream.key_value(self._name)
        except NotFoundError:
            self._bucket = await self._make_bucket(stream)

    async def _make_bucket(self, stream: JetStreamContext) -> Bucket:
        config = api.KeyValueConfig(
            bucket=self._name,
            history=1,
            max_value_size=MAX_VALUE_BYTES + _HEADERS_BYTES,
            storage=api.StorageType.FILE,
            replicas=self._options.replicas,
            # Direct reads may come from a replica that lags: not for compare-and-set.
            direct=False,
        )
        try:
            return await stream.create_key_value(config)
        except BadRequestError as exc:
            if exc.err_code != _NAME_IN_USE:
                raise
            return await stream.key_value(self._name)  # somebody else was faster


def _is_there(message: Msg) -> bool:
    """Whether it is a value, not the mark that a deletion or the server's clean-up left."""
    headers = message.headers or {}
    return KV_OP not in headers and KV_MARKER_REASON not in headers
