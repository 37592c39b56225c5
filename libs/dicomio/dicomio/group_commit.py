"""Work on one SQLite connection by many threads: whoever comes first commits for all who wait."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Generic, TypeVar

from dicomcore.errors import DicomToolsError, Unavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
"""What is done with the connection. In a transaction, one that raises an error of ours is undone alone."""

_LARGEST_GROUP = 512


class Need(IntEnum):
    """What a work needs; a group gets the most that one of its works needs."""

    READ = 0
    """No transaction."""
    WRITE = 1
    """A transaction that survives the end of this process, but perhaps not a power cut."""
    DURABLE = 2
    """A transaction that the disk holds."""


class Ticket(Generic[T]):
    """One work that waits for its group, and then its outcome."""

    __slots__ = ("_woken", "blocking", "error", "need", "promoted", "result", "settled", "work")

    def __init__(self, work: Work[T], need: Need, *, blocking: bool) -> None:
        """Take a work; `blocking` if a thread waits for it."""
        self.work = work
        self.need = need
        self.settled = self.promoted = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.blocking = blocking
        self._woken = threading.Lock()
        self._woken.acquire()

    def wait(self, timeout_s: float) -> bool:
        """Return whether it was woken in time: settled, or promoted to lead the next group."""
        return self._woken.acquire(timeout=timeout_s)

    def wake(self) -> None:
        """Let the thread that waits go on."""
        self._woken.release()

    def outcome(self) -> T:
        """Return what the work returned, or raise what became of it."""
        if self.error is not None:
            raise self.error
        result: T = self.result
        return result


class GroupCommit:
    """Commits in groups; shared by threads.

    The first thread leads: it carries out its own work and all that wait, in one transaction, and wakes
    their threads. What comes meanwhile is the next group, led by the first of it. So a hundred threads
    pay for a few commits, and one thread alone commits in place: no other is asked.

    Parameters
    ----------
    unavailable
        The error that callers are promised when SQLite fails.
    answered
        Is given settled tickets that no thread waits for; in any thread.
    promoted
        Is given a ticket that no thread waits for and that is to lead: `lead` must be called with it
        soon, in a thread that may block.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        unavailable: type[Unavailable],
        *,
        answered: Callable[[Sequence[Ticket[Any]]], None],
        promoted: Callable[[Ticket[Any]], None],
    ) -> None:
        self._connection = connection
        self._unavailable = unavailable
        self._answered = answered
        self._promoted = promoted
        self._lock = threading.Lock()
        self._waiting: deque[Ticket[Any]] = deque()
        self._led = self._closed = False
        self._synchronous = ""

    def do(self, work: Work[T], need: Need, *, timeout_s: float) -> T:
        """Return the result of `work` once its group is committed; blocks.

        Raises
        ------
        Unavailable
            As promised; after `timeout_s` (the caller's own commit is waited for longer) or when SQLite
            fails. After a time-out it is not known whether it was done.
        """
        ticket = Ticket(work, need, blocking=True)
        leading = self._join(ticket)
        if not leading and not ticket.wait(timeout_s) and not self._withdrawn_to_lead(ticket):
            raise self._unavailable("the local database is busy", timeout_s=timeout_s)
        if not ticket.settled:
            self.lead(ticket)
        return ticket.outcome()

    def submit(self, ticket: Ticket[Any], *, last: bool = False) -> None:
        """Put a ticket that no thread waits for into the next group.

        Parameters
        ----------
        last
            Nothing may be put behind it: it raises `Unavailable` from now on.
        """
        if self._join(ticket, last=last):
            self._promoted(ticket)

    def lead(self, ticket: Ticket[Any]) -> None:
        """Settle a promoted ticket's group, and hand over to the next."""
        with self._lock:
            size = min(len(self._waiting), _LARGEST_GROUP)
            group = [self._waiting.popleft() for _ in range(size)]
        self._settle(group)
        with self._lock:
            successor = self._waiting[0] if self._waiting else None
            self._led = successor is not None
            if successor is not None:
                successor.promoted = True
        if successor is not None:
            # first: it works while the others only go on
            successor.wake() if successor.blocking else self._promoted(successor)
        others = [one for one in group if one is not ticket or not one.blocking]
        for one in others:
            if one.blocking:
                one.wake()
        if unattended := [one for one in others if not one.blocking]:
            self._answered(unattended)

    def _join(self, ticket: Ticket[Any], *, last: bool = False) -> bool:
        """Put a ticket behind the others; return whether it leads."""
        with self._lock:
            if self._closed:
                raise self._unavailable("the local database is closed")
            self._closed = last
            self._waiting.append(ticket)
            leads, self._led = not self._led, True
            ticket.promoted = leads
        return leads

    def _withdrawn_to_lead(self, ticket: Ticket[Any]) -> bool:
        """Take back a ticket whose time is up; return whether that was too late: it is settled, or leads."""
        with self._lock:
            if ticket.settled or ticket.promoted:
                return True
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            return False

    def _settle(self, group: Sequence[Ticket[Any]]) -> None:
        try:
            self._carry_out(group)
        except sqlite3.Error as exc:
            for ticket in group:
                ticket.error = self._unavailable("the local database cannot be written")
                ticket.error.__cause__ = exc
        except BaseException as exc:  # noqa: BLE001 - raised in whoever waits
            for ticket in group:
                ticket.error = exc
        for ticket in group:
            ticket.settled = True

    def _carry_out(self, group: Sequence[Ticket[Any]]) -> None:
        connection = self._connection
        need = max(ticket.need for ticket in group)
        if need == Need.READ:
            for ticket in group:
                ticket.result = ticket.work(connection)
            return
        self._wait_for_disk(durable=need == Need.DURABLE)
        connection.execute("BEGIN IMMEDIATE")
        try:
            if len(group) == 1:
                _alone(connection, group[0])
            else:
                for ticket in group:
                    _attempt(connection, ticket)
            if connection.in_transaction:
                connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.rollback()

    def _wait_for_disk(self, *, durable: bool) -> None:
        # In WAL mode NORMAL writes the log without fsync; the next FULL commit syncs all before it.
        synchronous = "FULL" if durable else "NORMAL"
        if synchronous != self._synchronous:
            self._connection.execute(f"PRAGMA synchronous={synchronous}")
            self._synchronous = synchronous


def _alone(connection: sqlite3.Connection, ticket: Ticket[Any]) -> None:
    """Carry out the only work of a transaction, which is undone as a whole."""
    try:
        ticket.result = ticket.work(connection)
    except DicomToolsError as exc:
        connection.rollback()
        ticket.error = exc


def _attempt(connection: sqlite3.Connection, ticket: Ticket[Any]) -> None:
    connection.execute("SAVEPOINT work")
    try:
        ticket.result = ticket.work(connection)
    except DicomToolsError as exc:
        connection.execute("ROLLBACK TO work")
        ticket.error = exc
    connection.execute("RELEASE work")
