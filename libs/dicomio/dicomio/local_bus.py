"""EventBus on one SQLite file: the embedded form of a JetStream stream with durable consumers."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from dicomcore.errors import BusUnavailable
from dicomcore.ports import Consumer, ConsumerSpec, Delivery, PastEvent
from dicomio.local_db import LocalDb, Work
from dicomio.local_stream import INSERT_NEW, PAST, PRUNE, SCHEMA, Handed, hand_out

log = structlog.get_logger(__name__)

_PRUNED_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class LocalBusOptions:
    """How long the local bus remembers, and how it notices other processes."""

    duplicate_window_s: float = 600.0
    """A message ID that comes again within this time is not published again."""
    retention_s: float = 24 * 3600.0
    """What every consumer has finished with is kept so long; never less than the window."""
    prune_every_s: float = 60.0
    poll_s: float = 1.0
    """How often a waiting consumer looks for messages of other processes."""


class LocalBus:
    """A persistent stream of messages in one file; lives on one event loop, and threads may publish.

    Everything that uses this object wakes its waiting consumers at once; another process on the
    same file is noticed within `LocalBusOptions.poll_s`. Publishing waits for the disk. Handing out
    and answering do not: a power cut may undo them, which only delivers again.
    """

    def __init__(
        self, db: LocalDb, options: LocalBusOptions, clock: Callable[[], float] = time.time
    ) -> None:
        self._db = db
        self._options = options
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._looked = False
        """Whether somebody may wait for the next change: a thread wakes the loop only then."""
        self._pruned_at = clock()

    @classmethod
    async def open(
        cls,
        path: Path,
        options: LocalBusOptions | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> LocalBus:
        """Open or make the stream in the file at `path`.

        Raises
        ------
        BusUnavailable
        """
        db = await LocalDb.open(path, SCHEMA, unavailable=BusUnavailable)
        return cls(db, options or LocalBusOptions(), clock)

    async def publish(self, subject: str, body: bytes, *, message_id: str) -> bool:
        insert = self._insertion(subject, body, message_id)
        is_new = await self._db.write(insert)
        if is_new:
            self.wake()
        if self._prune_is_due():
            await self.prune()
        return is_new

    def publish_from_thread(
        self, subject: str, body: bytes, *, message_id: str, timeout_s: float
    ) -> bool:
        """Do as `publish` does, in the thread that calls; never from the loop's own.

        It commits in place, together with whoever else publishes: no other thread is waited for.

        Raises
        ------
        BusUnavailable
            As `publish`; also when it was not this thread's turn within `timeout_s`.
        """
        insert = self._insertion(subject, body, message_id)
        is_new = self._db.write_from_thread(insert, timeout_s=timeout_s)
        if is_new and self._looked:
            with suppress(RuntimeError):  # the loop has stopped: nobody waits on it
                self._loop.call_soon_threadsafe(self.wake)
        if self._prune_is_due():
            self._db.write_from_thread(self._pruning(), durable=False, timeout_s=timeout_s)
        return is_new

    def _insertion(self, subject: str, body: bytes, message_id: str) -> Work[bool]:
        now = self._clock()
        row = (message_id, subject, body, now, message_id, now - self._options.duplicate_window_s)
        return lambda connection: connection.execute(INSERT_NEW, row).rowcount == 1

    async def consumer(self, spec: ConsumerSpec) -> Consumer:
        subjects = json.dumps(spec.subjects)

        def register(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO consumer (durable, subjects, position) VALUES (?, ?, 0)"
                " ON CONFLICT (durable) DO UPDATE SET subjects = excluded.subjects",
                (spec.durable, subjects),
            )

        await self._db.write(register)
        return _LocalConsumer(self, self._db, spec, self._clock)

    async def past(self, *, before: int | None, limit: int) -> Sequence[PastEvent]:
        rows = await self._db.read(
            lambda connection: connection.execute(PAST, (before, before, limit)).fetchall()
        )
        return [PastEvent(position, body) for position, body in rows]

    async def healthy(self) -> bool:
        try:
            await self._db.write(lambda _: None, durable=False)
        except BusUnavailable:
            return False
        return True

    async def prune(self) -> int:
        """Drop what every consumer has finished with and the retention has passed; return how many.

        With no consumer at all nothing is dropped. Called by `publish` now and then.
        """
        return await self._db.write(self._pruning(), durable=False)

    def _prune_is_due(self) -> bool:
        now = self._clock()
        if now - self._pruned_at <= self._options.prune_every_s:
            return False
        self._pruned_at = now
        return True

    def _pruning(self) -> Work[int]:
        kept_s = max(self._options.retention_s, self._options.duplicate_window_s)
        horizon = self._clock() - kept_s
        return lambda connection: connection.execute(PRUNE, (horizon, _PRUNED_AT_ONCE)).rowcount

    async def close(self) -> None:
        self.wake()  # who waits in fetch learns at once that the bus is closed
        await self._db.close()

    def wake(self) -> None:
        """Let every waiting consumer look again."""
        self._looked = False
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def changed(self) -> asyncio.Event:
        """Set at the next change; take it before looking, so that no change slips between."""
        self._looked = True
        return self._changed

    @property
    def poll_s(self) -> float:
        """How long a consumer waits at most before it looks again."""
        return self._options.poll_s


class _LocalConsumer:
    def __init__(
        self, bus: LocalBus, db: LocalDb, spec: ConsumerSpec, clock: Callable[[], float]
    ) -> None:
        self._bus = bus
        self._db = db
        self._spec = spec
        self._clock = clock
        self._closed = False

    async def fetch(self, max_messages: int, *, timeout_s: float) -> Sequence[Delivery]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            if self._closed:
                raise BusUnavailable("the consumer is closed")
            changed = self._bus.changed
            handed, next_due = await self._db.write(
                lambda connection: hand_out(connection, self._spec, max_messages, self._clock()),
                durable=False,
            )
            remaining = deadline - loop.time()
            if handed or remaining <= 0:
                return [
                    _LocalDelivery(self._bus, self._db, self._spec, h, self._clock) for h in handed
                ]
            wait_s = min(remaining, self._bus.poll_s)
            if next_due is not None:
                wait_s = min(wait_s, max(next_due - self._clock(), 0.001))
            await _wait(changed, wait_s)

    async def close(self) -> None:
        self._closed = True
        self._bus.wake()


class _LocalDelivery:
    def __init__(
        self,
        bus: LocalBus,
        db: LocalDb,
        spec: ConsumerSpec,
        handed: Handed,
        clock: Callable[[], float],
    ) -> None:
        self._bus = bus
        self._db = db
        self._spec = spec
        self._handed = handed
        self._clock = clock
        self._answered = False

    @property
    def subject(self) -> str:
        return self._handed.subject

    @property
    def body(self) -> bytes:
        return self._handed.body

    @property
    def attempt(self) -> int:
        return self._handed.attempt

    async def ack(self) -> None:
        await self._finish()

    async def nak(self, *, delay_s: float) -> None:
        if not self._answered:
            self._answered = True
            await self._due_in(delay_s)
            self._bus.wake()

    async def term(self, *, reason: str) -> None:
        if not self._answered:
            log.warning(
                "message_terminated",
                durable=self._spec.durable,
                subject=self.subject,
                attempt=self.attempt,
                reason=reason,
            )
        await self._finish()

    async def in_progress(self) -> None:
        if not self._answered:
            await self._due_in(self._spec.ack_wait_s)

    async def _finish(self) -> None:
        # Also when ack_wait has passed and somebody else has it now: what is done is done.
        if self._answered:
            return
        self._answered = True
        key = (self._spec.durable, self._handed.seq)
        await self._db.write(
            lambda connection: (
                connection.execute(
                    "DELETE FROM delivery WHERE durable = ? AND seq = ?", key
                ).rowcount
            ),
            durable=False,
        )
        self._bus.wake()  # there is room for one more in flight

    async def _due_in(self, delay_s: float) -> None:
        due_at = self._clock() + delay_s
        key = (due_at, self._spec.durable, self._handed.seq, self._handed.attempt)
        # The attempt is part of the condition: a late answer must not move somebody else's term.
        await self._db.write(
            lambda connection: (
                connection.execute(
                    "UPDATE delivery SET due_at = ? WHERE durable = ? AND seq = ? AND attempt = ?",
                    key,
                ).rowcount
            ),
            durable=False,
        )


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
