"""EventBus on one SQLite file: the embedded form of a JetStream stream with durable consumers."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from dicomcore.errors import BusUnavailable
from dicomcore.ports import Consumer, ConsumerSpec, Delivery
from dicomio.local_db import LocalDb

log = structlog.get_logger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    body BLOB NOT NULL,
    published_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS message_by_id ON message (message_id);
-- `position` is the last message that the consumer has looked at
CREATE TABLE IF NOT EXISTS consumer (
    durable TEXT PRIMARY KEY,
    subjects TEXT NOT NULL,
    position INTEGER NOT NULL
) WITHOUT ROWID;
-- handed out and not finished: in flight until due_at, or put back until due_at
CREATE TABLE IF NOT EXISTS delivery (
    durable TEXT NOT NULL,
    seq INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    due_at REAL NOT NULL,
    PRIMARY KEY (durable, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS delivery_by_due ON delivery (durable, due_at);
"""
_SCAN = 500
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
    """A persistent stream of messages in one file.

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
        self._changed = asyncio.Event()
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
        db = await LocalDb.open(path, _SCHEMA, unavailable=BusUnavailable)
        return cls(db, options or LocalBusOptions(), clock)

    async def publish(self, subject: str, body: bytes, *, message_id: str) -> bool:
        now = self._clock()
        horizon = now - self._options.duplicate_window_s

        def insert(connection: sqlite3.Connection) -> bool:
            known = connection.execute(
                "SELECT 1 FROM message WHERE message_id = ? AND published_at > ?",
                (message_id, horizon),
            ).fetchone()
            if known is None:
                connection.execute(
                    "INSERT INTO message (message_id, subject, body, published_at)"
                    " VALUES (?, ?, ?, ?)",
                    (message_id, subject, body, now),
                )
            return known is None

        is_new = await self._db.write(insert)
        if is_new:
            self.wake()
        if now - self._pruned_at > self._options.prune_every_s:
            self._pruned_at = now
            await self.prune()
        return is_new

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
        kept_s = max(self._options.retention_s, self._options.duplicate_window_s)
        horizon = self._clock() - kept_s

        def drop(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "DELETE FROM message WHERE seq IN ("
                " SELECT seq FROM message"
                " WHERE seq <= (SELECT min(position) FROM consumer)"
                " AND seq < coalesce((SELECT min(seq) FROM delivery), 9223372036854775807)"
                " AND published_at < ? ORDER BY seq LIMIT ?)",
                (horizon, _PRUNED_AT_ONCE),
            ).rowcount

        return await self._db.write(drop, durable=False)

    async def close(self) -> None:
        self.wake()  # who waits in fetch learns at once that the bus is closed
        await self._db.close()

    def wake(self) -> None:
        """Let every waiting consumer look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def changed(self) -> asyncio.Event:
        """Set at the next change; take it before looking, so that no change slips between."""
        return self._changed

    @property
    def poll_s(self) -> float:
        """How long a consumer waits at most before it looks again."""
        return self._options.poll_s


@dataclass(frozen=True, slots=True)
class _Handed:
    """One row handed out."""

    seq: int
    subject: str
    body: bytes
    attempt: int


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
                lambda connection: _hand_out(connection, self._spec, max_messages, self._clock()),
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
        handed: _Handed,
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


def subject_matches(pattern: str, subject: str) -> bool:
    """Return whether a subject is meant: `*` is one token, `>` at the end one or more."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(tokens) <= len(wanted):
            return False
        tokens = tokens[: len(wanted)]
    return len(wanted) == len(tokens) and all(
        want in ("*", token) for want, token in zip(wanted, tokens, strict=True)
    )


def _hand_out(
    connection: sqlite3.Connection, spec: ConsumerSpec, max_messages: int, now: float
) -> tuple[list[_Handed], float | None]:
    """Take what is due, oldest first, then what is new; also say when the next one is due."""
    handed = _again(connection, spec, max_messages, now)
    (outstanding,) = connection.execute(
        "SELECT count(*) FROM delivery WHERE durable = ?", (spec.durable,)
    ).fetchone()
    room = min(max_messages - len(handed), spec.max_in_flight - outstanding)
    if room > 0:
        handed += _new(connection, spec, room, now)
    if handed:
        return handed, None
    (next_due,) = connection.execute(
        "SELECT min(due_at) FROM delivery WHERE durable = ?", (spec.durable,)
    ).fetchone()
    return [], next_due


def _again(
    connection: sqlite3.Connection, spec: ConsumerSpec, limit: int, now: float
) -> list[_Handed]:
    rows = connection.execute(
        "SELECT d.seq, m.subject, m.body, d.attempt + 1 FROM delivery d JOIN message m USING (seq)"
        " WHERE d.durable = ? AND d.due_at <= ? ORDER BY d.seq LIMIT ?",
        (spec.durable, now, limit),
    ).fetchall()
    connection.executemany(
        "UPDATE delivery SET attempt = attempt + 1, due_at = ? WHERE durable = ? AND seq = ?",
        [(now + spec.ack_wait_s, spec.durable, row[0]) for row in rows],
    )
    return [_Handed(*row) for row in rows]


def _new(
    connection: sqlite3.Connection, spec: ConsumerSpec, room: int, now: float
) -> list[_Handed]:
    (start,) = connection.execute(
        "SELECT position FROM consumer WHERE durable = ?", (spec.durable,)
    ).fetchone()
    position, found, more = start, list[int](), True
    while more and len(found) < room:
        rows = connection.execute(
            "SELECT seq, subject FROM message WHERE seq > ? ORDER BY seq LIMIT ?", (position, _SCAN)
        ).fetchall()
        more = len(rows) == _SCAN
        for seq, subject in rows:
            if len(found) == room:
                break
            position = seq
            if any(subject_matches(pattern, subject) for pattern in spec.subjects):
                found.append(seq)
    if position != start:
        connection.execute(
            "UPDATE consumer SET position = ? WHERE durable = ?", (position, spec.durable)
        )
    connection.executemany(
        "INSERT INTO delivery (durable, seq, attempt, due_at) VALUES (?, ?, 1, ?)",
        [(spec.durable, seq, now + spec.ack_wait_s) for seq in found],
    )
    select = "SELECT seq, subject, body, 1 FROM message WHERE seq = ?"
    return [_Handed(*connection.execute(select, (seq,)).fetchone()) for seq in found]


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
