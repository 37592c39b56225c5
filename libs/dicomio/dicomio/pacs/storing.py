"""C-STORE of many instances: several associations share one queue, what fails is tried again."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

import structlog

from dicomcore.errors import DicomToolsError, PeerRefused, PeerUnavailable
from dicomcore.ports import Outgoing, StoreOutcome
from dicomio.pacs.association import associated
from dicomio.pacs.peer import Peer
from dicomio.pacs.presentation import chunks_of, contexts_for
from dicomio.pacs.store_line import Line, Parcel

log = structlog.get_logger(__name__)

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and after which pauses, something is tried again."""

    attempts: int = 5
    """For one instance, and for an association in a row."""
    first_pause_s: float = 0.5
    longest_pause_s: float = 8.0

    def pause_s(self, attempt: int) -> float:
        """Return how long to wait after the attempt of that number, 1-based."""
        return min(self.longest_pause_s, self.first_pause_s * 2.0 ** (attempt - 1))


@dataclass(frozen=True, slots=True)
class Course:
    """What the caller wants to hear, and how it is done."""

    answered: Callable[[Outgoing, StoreOutcome], None]
    cancelled: Callable[[], bool]
    associations: int = 1
    retry: Retry = field(default_factory=Retry)


class _NoLongerNeeded(Exception):
    """The others have done it all while this association was being opened."""


def store(
    instances: Sequence[Outgoing], peer: Peer, tls: SSLContext | None, course: Course
) -> None:
    """Send instances; see the port `Pacs`.

    Raises
    ------
    PeerUnavailable, PeerRefused, InvalidRequest
    """
    for chunk in chunks_of(instances):
        _Chunk(chunk, peer, tls, course).run()


class _Chunk:
    """Instances whose contexts fit on one association; what its workers share, under one lock."""

    def __init__(
        self, instances: Sequence[Outgoing], peer: Peer, tls: SSLContext | None, course: Course
    ) -> None:
        self._contexts = contexts_for(instances)
        self._peer = peer
        self._tls = tls
        self._course = course
        self._waiting = deque(Parcel(instance) for instance in instances)
        self._lock = threading.Lock()
        self._serving = 0
        """Associations that have been opened and go on."""
        self._ended = False
        self._error: BaseException | None = None

    def run(self) -> None:
        """Send all; the first worker is the caller's thread."""
        number = max(1, min(self._course.associations, len(self._waiting)))
        helpers = [
            threading.Thread(target=self._helped, name=f"c-store-{index}", daemon=True)
            for index in range(1, number)
        ]
        for helper in helpers:
            helper.start()
        try:
            self._work(alone=number == 1)
        except BaseException:
            self._ended = True
            raise
        finally:
            for helper in helpers:
                helper.join()
        if self._error is not None and (
            self._waiting or not isinstance(self._error, DicomToolsError)
        ):
            raise self._error

    # ── what the workers do ─────────────────────────────────────────────────────────────────

    def _helped(self) -> None:
        try:
            self._work(alone=False)
        except BaseException as exc:  # noqa: BLE001 - raised again in the caller's thread
            self._end(exc)

    def _work(self, *, alone: bool) -> None:
        """Serve until nothing is left; give up after as many failures in a row as are allowed."""
        retry = self._course.retry
        unopened = unanswered = 0
        while self._has_more():
            line = Line(self._peer, self._contexts, self)
            try:
                with associated(
                    self._peer, self._tls, self._contexts, waiting=self._still_needed
                ) as association:
                    unopened = 0
                    with self._counted():
                        line.serve(association)
            except _NoLongerNeeded:
                return
            except (PeerUnavailable, PeerRefused) as exc:
                if line.opened:
                    unanswered = 0 if line.answers else unanswered + 1
                else:
                    unopened += 1
                    if not alone and self._serving:
                        # the peer takes fewer associations than we would like: the others go on
                        log.info("association_not_had", peer=self._peer.name, problem=exc.sentence)
                        return
                log.warning("association_lost", peer=self._peer.name, problem=exc.sentence)
                # one instance that the peer cannot bear is given up before the association is
                lost = max(unopened, unanswered // 2)
                if lost >= retry.attempts or isinstance(exc, PeerRefused):
                    self._end(exc)
                    return
                self._pause(retry.pause_s(max(1, unopened, min(unanswered, retry.attempts))))

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._serving += 1
        try:
            yield
        finally:
            with self._lock:
                self._serving -= 1

    def _still_needed(self) -> None:
        if not self._has_more():
            raise _NoLongerNeeded

    def _has_more(self) -> bool:
        return bool(self._waiting) and not self._ended and not self._course.cancelled()

    def _end(self, error: BaseException) -> None:
        """Keep the first error; a worker that still has an association goes on without this one."""
        with self._lock:
            self._error = self._error or error
            if not isinstance(error, DicomToolsError):
                self._ended = True

    # ── what a line asks of its chunk ───────────────────────────────────────────────────────

    @property
    def attempts(self) -> int:
        """How often an instance is tried at most."""
        return self._course.retry.attempts

    def stopped(self) -> bool:
        """Whether nothing more is to be sent."""
        return self._ended or self._course.cancelled()

    def take(self) -> Parcel | None:
        """Return the next instance to send; None if there is none, or nothing more is to be sent."""
        if self.stopped():
            return None
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def put_back(self, parcels: Sequence[Parcel]) -> None:
        """Put instances back to where they came from, in their order."""
        with self._lock:
            self._waiting.extendleft(reversed(parcels))

    def answer(self, parcel: Parcel, outcome: StoreOutcome) -> None:
        """Tell what became of an instance."""
        with self._lock:
            self._course.answered(parcel.instance, outcome)

    def pause_after(self, attempt: int) -> None:
        """Wait before an instance is sent again."""
        self._pause(self._course.retry.pause_s(attempt))

    def _pause(self, seconds: float) -> None:
        """Wait, but not longer than something is to be done."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.stopped():
            time.sleep(min(_POLL_S, left))
