"""The tables of the local bus: what was published, where each consumer is, what is handed out."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from dicomcore.ports import ConsumerSpec

SCHEMA = """
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
INSERT_NEW = (
    "INSERT INTO message (message_id, subject, body, published_at) SELECT ?, ?, ?, ?"
    " WHERE NOT EXISTS (SELECT 1 FROM message WHERE message_id = ? AND published_at > ?)"
)
"""One message, unless its ID was published since a moment; `rowcount` says whether it was new."""
PAST = "SELECT seq, body FROM message WHERE ? IS NULL OR seq < ? ORDER BY seq DESC LIMIT ?"
"""What is kept, newest first, below a place or from the end."""
PRUNE = (
    "DELETE FROM message WHERE seq IN ("
    " SELECT seq FROM message"
    " WHERE seq <= (SELECT min(position) FROM consumer)"
    " AND seq < coalesce((SELECT min(seq) FROM delivery), 9223372036854775807)"
    " AND published_at < ? ORDER BY seq LIMIT ?)"
)
"""What was published before a moment and every consumer has finished with, so many at most."""
_SCAN = 500


@dataclass(frozen=True, slots=True)
class Handed:
    """One row handed out."""

    seq: int
    subject: str
    body: bytes
    attempt: int


def hand_out(
    connection: sqlite3.Connection, spec: ConsumerSpec, max_messages: int, now: float
) -> tuple[list[Handed], float | None]:
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
) -> list[Handed]:
    rows = connection.execute(
        "SELECT d.seq, m.subject, m.body, d.attempt + 1 FROM delivery d JOIN message m USING (seq)"
        " WHERE d.durable = ? AND d.due_at <= ? ORDER BY d.seq LIMIT ?",
        (spec.durable, now, limit),
    ).fetchall()
    connection.executemany(
        "UPDATE delivery SET attempt = attempt + 1, due_at = ? WHERE durable = ? AND seq = ?",
        [(now + spec.ack_wait_s, spec.durable, row[0]) for row in rows],
    )
    return [Handed(*row) for row in rows]


def _new(connection: sqlite3.Connection, spec: ConsumerSpec, room: int, now: float) -> list[Handed]:
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
    return [Handed(*connection.execute(select, (seq,)).fetchone()) for seq in found]


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
