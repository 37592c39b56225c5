"""One worker's go at one job: the executor in a thread, the lease and the delivery kept alive."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic

import structlog

from dicomcore.errors import (
    BusUnavailable,
    Conflict,
    KeyValueUnavailable,
    NotFound,
    Unavailable,
    Unreadable,
)
from dicomcore.ports import Delivery
from dicomio.bridge import Bridge
from dicomio.jobs.claims import Claims, LeaseLost
from dicomio.jobs.kind import Q, R
from dicomio.jobs.record import Job
from dicomio.jobs.records import Records
from dicomio.jobs.states import Progress
from dicomio.tasks import end

log = structlog.get_logger(__name__)

SAVE_TIMEOUT_S = 30.0
SAVE_PATIENCE_S = 120.0
"""How long a retrieval waits for a ledger that is away before it gives the job back."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the executor is given besides the request; it calls them from its own thread."""

    saved: bytes | None
    """What an earlier attempt saved."""
    save: Callable[[bytes], None]
    """Returns once it is stored. Raises `LeaseLost`, or `Unavailable`: stop, and raise it on."""
    progress: Callable[[Progress], None]
    """Never blocks."""
    cancelled: Callable[[], bool]
    job_id: str = ""


Execute = Callable[[str, Q, Hooks], R]
"""Runs a job against the peer of that name; blocks until it ends."""


class Stop(Enum):
    """Why an attempt is told to stop."""

    CANCELLED = auto()
    """Somebody asked for the job's end."""
    LOST = auto()
    """Another worker has the job."""
    LEAVING = auto()
    """This replica shuts down; another one goes on."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often what is written while a job runs."""

    lease_s: float = 20.0
    ack_wait_s: float = 30.0
    progress_every_s: float = 1.0


class Attempt(Generic[Q, R]):
    """Runs the executor once for a job that this worker holds."""

    def __init__(
        self,
        held: Job[Q],
        delivery: Delivery,
        records: Records[Q, R],
        *,
        bridge: Bridge,
        pace: Pace,
    ) -> None:
        self._held = held
        self._delivery = delivery
        self._records = records
        self._claims = Claims(records)
        self._bridge = bridge
        self._pace = pace
        # one slot written by one thread and read by another: the newest counts, none is waited for
        self._progress: Progress | None = None
        self._stop: Stop | None = None
        self._stopped = threading.Event()

    @property
    def told(self) -> Stop | None:
        """Why it was told to stop, if it was."""
        return self._stop

    def stop(self, why: Stop) -> None:
        """Tell the executor to stop; the first reason counts, but a lost lease outdoes others."""
        if self._stop is None or why is Stop.LOST:
            self._stop = why
        self._stopped.set()

    async def run(self, execute: Execute[Q, R]) -> R:
        """Return the executor's report.

        Raises
        ------
        LeaseLost
            The job is another worker's now; nothing may be written about it.
        DicomToolsError
            What the executor raised.
        """
        hooks = Hooks(
            saved=await self._saved(),
            save=self._save,
            progress=self._note,
            cancelled=self._stopped.is_set,
            job_id=self._held.job_id,
        )
        working = asyncio.ensure_future(
            self._bridge.run(execute, self._held.peer, self._held.request, hooks)
        )
        beating = asyncio.ensure_future(self._beat())
        try:
            await asyncio.wait({working, beating}, return_when=asyncio.FIRST_COMPLETED)
            if beating.done() and not working.done():
                # a thread cannot be interrupted: it sees the flag at its next look
                self.stop(Stop.LOST)
                await asyncio.wait({working})
            if self._stop is Stop.LOST:
                if beating.done():
                    beating.result()  # a fault of ours, if it did not end by itself
                raise LeaseLost("another worker has the job", job_id=self._held.job_id)
            return working.result()
        finally:
            self._stopped.set()  # the thread may still run, if this task was cancelled
            await end(working, beating)

    async def _saved(self) -> bytes | None:
        try:
            return await self._claims.saved(self._held)
        except (NotFound, Unreadable) as exc:
            # nothing is lost but time: what has landed is seen in the store
            log.warning("saved_state_unreadable", job_id=self._held.job_id, problem=exc.sentence)
            return None

    # ── in the executor's thread ────────────────────────────────────────────────────────────

    def _note(self, progress: Progress) -> None:
        self._progress = progress

    def _save(self, state: bytes) -> None:
        give_up = time.monotonic() + SAVE_PATIENCE_S
        pause_s = 0.2
        while True:
            if self._stop is Stop.LOST:
                raise LeaseLost("another worker has the job", job_id=self._held.job_id)
            try:
                self._bridge.call(self._claims.save(self._held, state), SAVE_TIMEOUT_S)
                return
            except LeaseLost:
                self.stop(Stop.LOST)
                raise
            except Unavailable:
                if self._stopped.is_set() or time.monotonic() > give_up:
                    raise
            self._stopped.wait(pause_s)
            pause_s = min(5.0, pause_s * 2)

    # ── on the loop ─────────────────────────────────────────────────────────────────────────

    async def _beat(self) -> None:
        """Renew lease and delivery, write progress, and see what others write, until cancelled."""
        loop = asyncio.get_running_loop()
        renewed_s = delivered_s = loop.time()
        revision = 0
        written: Progress | None = None
        while True:
            try:
                seen = await self._records.changed(
                    self._held.job_id, since=revision, timeout_s=self._pace.progress_every_s
                )
                if seen is not None:
                    revision = seen.revision
                    self._look(seen.job)
                due = loop.time() - renewed_s > self._pace.lease_s / 3
                progress = self._progress
                if due or progress != written:
                    snapshot = await self._claims.renew(
                        self._held, ttl_s=self._pace.lease_s, progress=progress
                    )
                    self._look(snapshot.job)
                    renewed_s, revision, written = loop.time(), snapshot.revision, progress
                    # at most so often, however fast the executor reports
                    await asyncio.sleep(self._pace.progress_every_s / 2)
                if loop.time() - delivered_s > self._pace.ack_wait_s / 3:
                    await self._delivery.in_progress()
                    delivered_s = loop.time()
            except (LeaseLost, NotFound):
                log.warning("lease_lost", job_id=self._held.job_id)
                return
            except (KeyValueUnavailable, BusUnavailable, Conflict) as exc:
                # the work goes on: until somebody else has the job, it is this worker's
                log.warning("lease_not_renewed", job_id=self._held.job_id, problem=exc.sentence)
                await asyncio.sleep(self._pace.progress_every_s)

    def _look(self, job: Job[Q]) -> None:
        mine = self._held.lease
        if job.lease is None or mine is None or job.lease.token != mine.token:
            raise LeaseLost("another worker has the job", job_id=job.job_id)
        if job.cancel_requested:
            self.stop(Stop.CANCELLED)
