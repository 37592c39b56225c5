"""Carry out one wave: C-MOVE or C-GET requests, watched by what lands, steered by the ladder."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import structlog

from dicomcore.errors import PeerRefused, PeerUnavailable
from dicomcore.planner import Want
from dicomcore.planner.ladder import MOVE_DESTINATION_UNKNOWN, Action, Result
from dicomcore.ports import (
    ObjectStore,
    Pacs,
    QueryLevel,
    TransferOutcome,
    TransferRequest,
)
from dicomcore.received import Received
from dicomcore.uids import InstanceUID, SeriesUID, StudyUID
from dicomio.limits import Limits
from qr_gateway.retrieval.contexts import classes_for
from qr_gateway.retrieval.model import RetrievalRequest
from qr_gateway.retrieval.shelf import Landed, Shelf
from qr_gateway.retrieval.tally import Tally

log = structlog.get_logger(__name__)

SUCCESS = 0x0000
LOOK_EVERY_S = 1.0
UNREACHABLE_LIMIT = 3
"""Requests in a row given up without any answer, after which the peer counts as gone."""


class Cancelled(Exception):
    """Somebody asked to stop."""


class PeerGone(Exception):
    """The peer no longer answers, or turns every association away; `reason` says how."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Parts:
    """What a retrieval works with."""

    pacs: Pacs
    store: ObjectStore
    receive: Callable[[Received], int]
    """C-GET: lands one instance and returns the DIMSE status that answers the sub-operation."""
    destination: str
    """C-MOVE: the AE title of the receiver, as the PACS knows it."""
    limits: Limits
    wait: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Errand:
    """One request to send, until all it is for has landed or is given up."""

    level: QueryLevel
    study: StudyUID
    series: SeriesUID
    uids: tuple[InstanceUID, ...]
    """What it is to bring; empty for a series of which the PACS lists no instances."""
    classes: Mapping[InstanceUID, str]
    modality: str
    told: int | None = None
    """Number of instances the PACS counts in a series it does not list."""
    attempt: int = 1


class Transfers:
    """Sends the requests of one retrieval."""

    def __init__(
        self,
        request: RetrievalRequest,
        parts: Parts,
        shelf: Shelf,
        tally: Tally,
        cancelled: Callable[[], bool],
    ) -> None:
        self._request = request
        self._parts = parts
        self._shelf = shelf
        self._tally = tally
        self._cancelled = cancelled
        self._unreachable = 0
        self._looked_s = 0.0
        self._arrived: list[Landed] = []
        """What landed through the request at hand."""

    def fetch(self, wants: Iterable[Want], counts: Mapping[SeriesUID, int | None]) -> None:
        """Have every want land, or give it up with a reason in the tally.

        Raises
        ------
        Cancelled, PeerGone
        """
        queue = deque(self._errands(wants, counts))
        while queue:
            errand = queue.popleft()
            if errand.level is QueryLevel.IMAGE and len(errand.uids) > self._tally.ladder.uid_limit:
                queue.extendleft(reversed(self._chunks(errand)))
                continue
            queue.extend(self._carry_out(errand, alone=not queue))
        self._tally.keep()

    def _errands(
        self, wants: Iterable[Want], counts: Mapping[SeriesUID, int | None]
    ) -> Iterable[Errand]:
        by_series: dict[SeriesUID, list[Want]] = {}
        for want in wants:
            by_series.setdefault(want.series_instance_uid, []).append(want)
        for series, group in by_series.items():
            first = group[0]
            listed = [w for w in group if w.sop_instance_uid is not None]
            yield Errand(
                level=self._level(listed=bool(listed)),
                study=first.study_instance_uid,
                series=series,
                uids=tuple(w.sop_instance_uid for w in listed if w.sop_instance_uid is not None),
                classes={
                    w.sop_instance_uid: w.sop_class_uid
                    for w in listed
                    if w.sop_instance_uid is not None
                },
                modality=first.modality,
                told=counts.get(series),
            )

    def _level(self, *, listed: bool) -> QueryLevel:
        level = self._tally.ladder.level
        return QueryLevel.SERIES if level is QueryLevel.IMAGE and not listed else level

    def _chunks(self, errand: Errand) -> list[Errand]:
        limit = self._tally.ladder.uid_limit
        starts = range(0, len(errand.uids), limit)
        return [replace(errand, uids=errand.uids[i : i + limit], attempt=1) for i in starts]

    def _carry_out(self, errand: Errand, *, alone: bool) -> list[Errand]:
        """Send one request; return the errands that come of what is still missing."""
        missing = self._missing(errand)
        if errand.uids and not missing:
            return []
        if self._cancelled():
            raise Cancelled
        if errand.attempt > 1:
            self.back_off(errand.attempt)
        errand = replace(errand, uids=missing)
        self._arrived.clear()
        answer = self._send(errand)
        self._look(errand)
        if answer.status != SUCCESS:
            self._doubt()
        came = len(self._arrived)
        still = self._missing(errand)
        result = Result(
            level=errand.level,
            asked=max(1, len(errand.uids)),
            missing=len(still) if errand.uids else self._shortfall(errand, answer),
            came=came,
            status=answer.status,
            attempt=1 if came else errand.attempt,
            alone=alone,
        )
        if answer.final:
            action = Action.DONE if not result.missing else Action.GIVE_UP
        else:
            self._tally.ladder, action = self._tally.ladder.after(result)
        log.debug("transfer_answered", level=errand.level, came=came, action=action)
        self._watch(answer, came)
        return self._next(replace(errand, uids=still), action, result, answer)

    def _next(self, errand: Errand, action: Action, result: Result, answer: Answer) -> list[Errand]:
        match action:
            case Action.DONE:
                if not errand.uids:
                    self._tally.saved.moved_series.add(errand.series)
                return []
            case Action.AGAIN:
                return [replace(errand, attempt=result.attempt + 1)]
            case Action.SPLIT:
                limit = self._tally.ladder.uid_limit
                self._tally.say(f"The PACS refused a longer list: {limit} UIDs in a request.")
                return self._chunks(errand)
            case Action.DEFER:
                return [errand]
            case Action.CLIMB:
                above = self._tally.ladder.above(errand.level)
                self._tally.say(
                    f"The PACS refused to send at {errand.level} level; asked at {above} level."
                )
                return [replace(errand, level=above or errand.level, attempt=1)]
            case Action.GIVE_UP:
                self._give_up(errand, result, answer)
                return []

    def _give_up(self, errand: Errand, result: Result, answer: Answer) -> None:
        given_up = self._tally.saved.given_up
        for uid in errand.uids:
            given_up[uid] = answer.reason(uid, result.attempt, self._parts.destination)
        if not errand.uids:
            if result.came or answer.status == 0:
                self._tally.saved.moved_series.add(errand.series)
            else:
                reason = answer.reason("", result.attempt, self._parts.destination)
                given_up[errand.series] = reason

    def _watch(self, answer: Answer, came: int) -> None:
        """Notice a peer that has gone away, before every single instance has waited for it."""
        if answer.status is not None or came:
            self._unreachable = 0
            return
        attempts = self._tally.ladder.attempts
        self._unreachable += attempts if answer.final else 1
        if self._unreachable >= UNREACHABLE_LIMIT * attempts:
            raise PeerGone(answer.sentence)

    # ── one request ─────────────────────────────────────────────────────────────────────────

    def _send(self, errand: Errand) -> Answer:
        self._tally.saved.requests += 1
        request = TransferRequest(
            errand.level,
            self._request.patient_id,
            errand.study,
            errand.series if errand.level is not QueryLevel.STUDY else None,
            errand.uids if errand.level is QueryLevel.IMAGE else (),
        )
        try:
            if self._request.method == "move":
                outcome = self._parts.pacs.move(
                    request,
                    destination=self._parts.destination,
                    progress=lambda _: self._glance(errand),
                    cancelled=self._cancelled,
                )
            else:
                outcome = self._get(request, errand)
        except PeerRefused as exc:
            return Answer(None, sentence=str(exc), final=True)
        except PeerUnavailable as exc:
            return Answer(None, sentence=str(exc))
        if self._cancelled():
            self._look(errand)
            self._doubt()
            raise Cancelled
        return Answer(outcome.status, outcome)

    def _get(self, request: TransferRequest, errand: Errand) -> TransferOutcome:
        """C-GET, on as many associations as the SOP classes need (at most 128 contexts each)."""
        classes = classes_for(errand.classes.values(), errand.modality)
        size = self._parts.limits.sop_classes_per_association
        outcome: TransferOutcome | None = None
        for start in range(0, len(classes), size):
            outcome = self._parts.pacs.get(
                request,
                sop_class_uids=classes[start : start + size],
                receive=self._parts.receive,
                progress=lambda _: self._glance(errand),
                cancelled=self._cancelled,
            )
            self._look(errand)
            if outcome.status != SUCCESS:
                self._doubt()  # the status of a later association says nothing of this one
            if errand.uids and not self._missing(errand):
                break
        if outcome is None:
            raise PeerRefused("no SOP class to ask for")
        return outcome

    def _glance(self, errand: Errand) -> None:
        """Progress came from the peer: see what landed, now and then."""
        now = time.monotonic()
        if now - self._looked_s >= LOOK_EVERY_S:
            self._look(errand)
            self._looked_s = time.monotonic()

    def _look(self, errand: Errand) -> None:
        if errand.level is QueryLevel.STUDY:
            new = self._shelf.look_at_study(errand.study)
        else:
            new = self._shelf.look_at_series(errand.study, errand.series)
        self._arrived += new
        self._tally.came(new)

    def _doubt(self) -> None:
        """The request did not end well: what it brought may have landed without being announced.

        Whoever receives announces between the PUT and the answer. If it dies there, the object is in
        the store and the sender is told of a failure; it would send again, and the second landing would
        announce. But we ask only for what is missing, so we must see to the announcement.
        """
        self._tally.saved.doubtful.update(landed.object_key for landed in self._arrived)

    def _missing(self, errand: Errand) -> tuple[InstanceUID, ...]:
        return tuple(u for u in errand.uids if self._shelf.find(errand.series, u) is None)

    def _shortfall(self, errand: Errand, answer: Answer) -> int:
        """What is missing of a series that the PACS does not list: on its count, or its word."""
        if errand.told is not None:
            return max(0, errand.told - len(self._shelf.by_series.get(errand.series, {})))
        return 0 if answer.status in (0x0000, 0xB000) else 1

    def back_off(self, attempt: int) -> None:
        """Wait before an attempt (2-based): twice as long each time, and no longer than asked."""
        limits = self._parts.limits
        left_s = min(limits.backoff_limit_s, limits.backoff_s * 2.0 ** (attempt - 2))
        while left_s > 0:
            if self._cancelled():
                raise Cancelled
            self._parts.wait(min(left_s, LOOK_EVERY_S))
            left_s -= LOOK_EVERY_S


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered with, and how to say it."""

    status: int | None
    outcome: TransferOutcome | None = None
    sentence: str = ""
    final: bool = False
    """The peer refused the association, or every presentation context of it, for good."""

    def reason(self, uid: str, attempts: int, destination: str) -> str:
        """Return why an instance did not come, in a sentence for people."""
        if self.outcome is None or self.status is None:
            return f"no answer from the PACS: {self.sentence}"
        comment = f" ({self.outcome.comment})" if self.outcome.comment else ""
        if self.status == MOVE_DESTINATION_UNKNOWN:
            return f"the PACS does not know the move destination {destination}{comment}"
        if uid and uid in self.outcome.failed_uids:
            return f"the PACS failed to send it, status 0x{self.status:04X}{comment}"
        if self.status == 0:
            times = "once" if attempts == 1 else f"{attempts} times"
            return f"the PACS answered Success {times} and did not send it"
        return f"the PACS answered 0x{self.status:04X}{comment} and did not send it"
