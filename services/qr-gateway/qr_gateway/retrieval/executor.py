"""Run one retrieval: carry out the planner's steps until it is finished, then report.

Blocking; runs in a worker thread. What it decides is decided in `dicomcore.planner`, what it
knows of the PACS it asks anew after a crash, and what has landed it reads from the object store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from dicomcore.errors import (
    InvalidInstance,
    InvalidRequest,
    PeerRefused,
    Rejected,
    Unavailable,
)
from dicomcore.planner import (
    Fetch,
    Finished,
    Knowledge,
    ListSeries,
    ReadHeaders,
    Selection,
    Stage,
    Step,
    next_step,
)
from dicomcore.planner.demand import UNREADABLE
from dicomcore.uids import InstanceRef
from dicomio.relanding import received_again
from dicomio.stored_header import fetch_header
from qr_gateway.retrieval.model import Progress, Report, RetrievalRequest, State
from qr_gateway.retrieval.reporting import make_report
from qr_gateway.retrieval.shelf import Shelf
from qr_gateway.retrieval.survey import Survey
from qr_gateway.retrieval.tally import Tally
from qr_gateway.retrieval.transfers import Cancelled, Parts, PeerGone, Transfers

__all__ = ["Parts", "retrieve"]

log = structlog.get_logger(__name__)

OUT_OF_RESOURCES = 0xA700

_WORDS = {
    Stage.PLANS: "plans",
    Stage.STRUCTURE_SETS: "structure sets",
    Stage.REGISTRATIONS: "registrations",
    Stage.RECORDS: "treatment records",
    Stage.RT_IMAGES: "RT images",
    Stage.PROBES: "probes of image series",
    Stage.IMAGES: "images",
    Stage.DOSES: "doses",
    Stage.REST: "everything else",
}


def retrieve(
    request: RetrievalRequest,
    parts: Parts,
    *,
    saved: bytes | None,
    save: Callable[[bytes], None],
    progress: Callable[[Progress], None],
    cancelled: Callable[[], bool],
) -> Report:
    """Return how the retrieval ended; it ends `complete` only when everything expected landed.

    Parameters
    ----------
    saved
        What `save` was last given for this job, if it is resumed.
    save
        Keeps the executor's memory; called every few seconds, blocks until it is kept.
    progress
        Told how it stands.
    cancelled
        Polled; the retrieval ends `cancelled` soon after it says so, with what has landed by then.

    Raises
    ------
    Unavailable
        The store, or whoever must hold an announcement, is away; or `save` could not. The job can be
        run again later: nothing is lost.
    """
    tally = Tally(saved, save, progress, parts.limits)
    return _Retrieval(request, parts, tally, cancelled).run()


class _Retrieval:
    def __init__(
        self,
        request: RetrievalRequest,
        parts: Parts,
        tally: Tally,
        cancelled: Callable[[], bool],
    ) -> None:
        self._request = request
        self._parts = parts
        self._tally = tally
        self._selection = Selection(request.plan_label, request.only_approved)
        self._shelf = Shelf(parts.store)
        self._transfers = Transfers(request, parts, self._shelf, tally, cancelled)
        self._survey = Survey(
            parts.pacs, tally, back_off=self._transfers.back_off, cancelled=cancelled
        )
        self._known = Knowledge()
        self._gone = ""
        """Why the peer counts as gone; from then on nothing is asked of it."""

    def run(self) -> Report:
        """Survey, then step by step."""
        try:
            self._begin()
            step = self._next()
            while not isinstance(step, Finished):
                self._carry_out(step)
                step = self._next()
        except Cancelled:
            return self._report(None, State.CANCELLED)
        except (PeerGone, PeerRefused, InvalidRequest) as exc:
            self._tally.say(exc.reason if isinstance(exc, PeerGone) else str(exc))
            return self._report(None, State.FAILED)
        return self._report(step, None)

    def _begin(self) -> None:
        self._tally.begin("query", ())
        self._doubt_an_earlier_run()
        catalogue = self._survey.patient(self._request.patient_id)
        studies = {s.study_instance_uid for s in catalogue.series.values()}
        for study in sorted(studies):
            self._shelf.look_at_study(study)
        self._tally.saved.studies |= studies
        self._tally.keep()  # before anything is asked for: a second run must know where to look
        for series in catalogue.series:
            if series in self._tally.saved.unlistable:
                catalogue = catalogue.with_unlistable(series)
        self._known = replace(self._known, catalogue=catalogue)

    def _doubt_an_earlier_run(self) -> None:
        """What landed while an earlier run was killed may not have been announced.

        It is looked for before the PACS is asked anything: that may fail, and end the job.
        """
        for study in sorted(self._tally.saved.studies):
            self._tally.saved.doubtful.update(
                landed.object_key
                for landed in self._shelf.look_at_study(study)
                if landed.ref.sop_instance_uid not in self._tally.saved.moved
            )

    def _next(self) -> Step:
        self._known = replace(
            self._known,
            landed=self._shelf.by_series,
            given_up=dict(self._tally.saved.given_up),
            moved_series=frozenset(
                s for s in self._known.catalogue.series if s in self._tally.saved.moved_series
            ),
        )
        return next_step(self._selection, self._known)

    def _carry_out(self, step: Step) -> None:
        match step:
            case ListSeries():
                self._list(step)
            case ReadHeaders():
                self._read(step)
            case Fetch():
                self._fetch(step)
            case Finished():
                pass

    def _list(self, step: ListSeries) -> None:
        catalogue = self._known.catalogue
        if not self._gone:
            try:
                catalogue = self._survey.instances(catalogue, step.series)
            except PeerGone as exc:
                self._lose(exc.reason)
        if self._gone:
            for series in step.series:
                catalogue = catalogue.with_unlistable(series)
                self._tally.saved.given_up[series] = self._gone
        self._known = replace(self._known, catalogue=catalogue)

    def _read(self, step: ReadHeaders) -> None:
        headers = dict(self._known.headers)
        for ref in step.refs:
            landed = self._shelf.find(ref.series_instance_uid, ref.sop_instance_uid)
            if landed is None:
                continue
            try:
                header = fetch_header(self._parts.store, landed.object_key, landed.size_bytes)
                _check_identity(header.ref, ref)
                headers[ref.sop_instance_uid] = header
            except Rejected as exc:
                log.warning("stored_instance_unreadable", object_key=landed.object_key)
                reason = f"{UNREADABLE}: {exc.sentence}"
                self._tally.saved.given_up[ref.sop_instance_uid] = reason
        self._known = replace(self._known, headers=headers)

    def _fetch(self, step: Fetch) -> None:
        uids = [w.sop_instance_uid for w in step.wants if w.sop_instance_uid is not None]
        self._tally.begin(_WORDS[step.stage], uids)
        counts = {
            w.series_instance_uid: self._known.catalogue.series[
                w.series_instance_uid
            ].number_of_instances
            for w in step.wants
        }
        if not self._gone:
            try:
                self._transfers.fetch(step.wants, counts)
            except PeerGone as exc:
                self._lose(exc.reason)
        if self._gone:
            for want in step.wants:
                uid = want.sop_instance_uid
                if uid is None:
                    self._tally.saved.given_up.setdefault(want.series_instance_uid, self._gone)
                elif self._shelf.find(want.series_instance_uid, uid) is None:
                    self._tally.saved.given_up.setdefault(uid, self._gone)

    def _lose(self, reason: str) -> None:
        self._gone = f"the PACS no longer answers: {reason}"
        self._tally.say(self._gone)
        log.warning("peer_lost")

    def _announce_again(self) -> None:
        """Land once more what may have landed without being announced: same object, new event."""
        for key in sorted(self._tally.saved.doubtful):
            try:
                status = self._parts.receive(received_again(self._parts.store, key))
            except Rejected as exc:
                log.warning("stored_instance_not_announced", object_key=key, problem=exc.sentence)
                continue
            if status & 0xFF00 == OUT_OF_RESOURCES:
                raise Unavailable("an instance cannot be announced now", object_key=key)
        self._tally.saved.doubtful.clear()

    def _report(self, finished: Finished | None, state: State | None) -> Report:
        self._tally.keep()
        self._announce_again()
        report = make_report(
            finished.outcome if finished else None,
            state,
            selective=self._request.selective,
            known=self._known,
            shelf=self._shelf,
            tally=self._tally,
        )
        log.info(
            "retrieval_ended",
            state=report.progress.state,
            expected=report.progress.expected,
            missing=len(report.missing),
            bytes_moved=report.progress.bytes_moved,
        )
        return report


def _check_identity(found: InstanceRef, expected: InstanceRef) -> None:
    """An object must be what its key says; one that was put there by hand may not be."""
    if found != expected:
        raise InvalidInstance("the object under this key is another instance")
