"""HTTP: retrieval jobs."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TypeVar

from aiohttp import web

from dicomcore.catalogue import exact
from dicomcore.errors import InvalidRequest
from dicomcore.ports import EventBus
from dicomio.http import (
    EVENT_STREAM,
    AnyRoute,
    Call,
    Nothing,
    Reply,
    Role,
    Route,
    ServerEvent,
    decode_cursor,
    encode_cursor,
    stream_events,
)
from qr_gateway.jobs.announce import request_work
from qr_gateway.jobs.ledger import Ledger
from qr_gateway.jobs.record import Job
from qr_gateway.peers import Peers
from qr_gateway.retrieval.kind import RETRIEVAL
from qr_gateway.retrieval.model import Report, RetrievalRequest
from qr_gateway.views import (
    After,
    Following,
    ItemListing,
    ItemPage,
    JobPath,
    Listing,
    MissingPage,
    Offset,
    RetrievalDetail,
    RetrievalOrder,
    RetrievalPage,
    RetrievalView,
    detail_of,
    view_of,
)

T = TypeVar("T")
_TAGS = ("retrievals",)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_REPORTS_KEPT = 8
_WAIT_S = 30.0


class RetrievalRoutes:
    """Handlers over the ledger; the work itself is the worker's, on this replica or another."""

    def __init__(
        self, peers: Peers, ledger: Ledger[RetrievalRequest, Report], bus: EventBus
    ) -> None:
        self._peers = peers
        self._ledger = ledger
        self._bus = bus
        # who pages through a report asks for it again and again; it never changes
        self._reports: dict[tuple[str, str], Report] = {}

    def routes(self) -> Sequence[AnyRoute]:
        """Return the routes."""
        return (
            Route(
                method="POST",
                template="/v1/retrievals",
                handler=self.create,
                body=RetrievalOrder,
                operation_id="createRetrieval",
                role=Role.RETRIEVER,
                summary="Retrieve one patient's plans with everything they reference",
                responses={202: RetrievalView},
                request_headers={
                    "Idempotency-Key": "The same key with the same order is the same retrieval"
                },
                errors=(404, 422, 503),
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/retrievals",
                handler=self.list,
                query=Listing,
                operation_id="listRetrievals",
                role=Role.READER,
                summary="Retrievals, newest first",
                responses={200: RetrievalPage},
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/retrievals/{id}",
                handler=self.get,
                path=JobPath,
                operation_id="getRetrieval",
                role=Role.READER,
                summary="How a retrieval stands; what is missing and why, once it has ended",
                responses={200: RetrievalDetail},
                request_headers={"If-None-Match": "Answered 304 while nothing has changed"},
                errors=(404,),
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/retrievals/{id}/items",
                handler=self.items,
                path=JobPath,
                query=ItemListing,
                operation_id="listRetrievalItems",
                role=Role.READER,
                summary="The instances of a retrieval that has ended",
                responses={200: ItemPage},
                errors=(404,),
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/retrievals/{id}/missing",
                handler=self.missing,
                path=JobPath,
                query=Listing,
                operation_id="listRetrievalMissing",
                role=Role.READER,
                summary="What was expected and has not landed, with reasons",
                responses={200: MissingPage},
                errors=(404,),
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/retrievals/{id}/events",
                handler=self.events,
                path=JobPath,
                query=Following,
                operation_id="followRetrieval",
                role=Role.READER,
                summary="How a retrieval goes, as Server-Sent Events `progress` and at last `end`",
                responses={200: EVENT_STREAM},
                errors=(404,),
                tags=_TAGS,
            ),
            Route(
                method="POST",
                template="/v1/retrievals/{id}/cancel",
                handler=self.cancel,
                path=JobPath,
                operation_id="cancelRetrieval",
                role=Role.RETRIEVER,
                summary="Ask for a retrieval's end; what has landed stays",
                responses={202: RetrievalView},
                errors=(404,),
                tags=_TAGS,
            ),
        )

    async def create(self, call: Call[Nothing, Nothing, RetrievalOrder]) -> Reply:
        """Write the job, then put it into the queue."""
        order = call.body
        peer = self._peers[order.peer]
        exact(order.patient_id)
        if order.method == "move" and peer.move_destination is None:
            raise InvalidRequest("no move destination is configured for this peer")
        key = call.http.headers.get("Idempotency-Key", "")
        if key and _KEY.fullmatch(key) is None:
            raise InvalidRequest("Idempotency-Key: 1 to 255 visible ASCII characters")
        job = await self._ledger.submit(order.peer, order.request(), key=key)
        if not job.state.final:
            # also for a key seen before: its first request may have ended between the two
            await request_work(self._bus, RETRIEVAL, job)
        location = {"Location": f"/v1/retrievals/{job.job_id}"}
        return Reply(view_of(job), status=202, headers=location)

    async def list(self, call: Call[Nothing, Listing]) -> RetrievalPage:
        """Return a page of jobs."""
        cursor, limit = call.query.cursor, call.query.limit
        before = decode_cursor(cursor, After).job_id if cursor else ""
        jobs = await self._ledger.page(before=before, limit=limit)
        return RetrievalPage(
            retrievals=tuple(view_of(job) for job in jobs),
            next=encode_cursor(After(job_id=jobs[-1].job_id)) if len(jobs) == limit else None,
        )

    async def get(self, call: Call[JobPath]) -> Reply:
        """Return one job."""
        snapshot = await self._ledger.get(call.path.id)
        report = await self._report(snapshot.job)
        return Reply(detail_of(snapshot.job, report), etag=str(snapshot.revision))

    async def items(self, call: Call[JobPath, ItemListing]) -> ItemPage:
        """Return a page of a report's instances."""
        kind = call.query.kind
        shown, following = await self._page(
            call.path.id,
            call.query,
            lambda report: report.items if kind == "closure" else report.probed,
        )
        return ItemPage(items=shown, next=following)

    async def missing(self, call: Call[JobPath, Listing]) -> MissingPage:
        """Return a page of what a report misses."""
        shown, following = await self._page(call.path.id, call.query, lambda report: report.missing)
        return MissingPage(missing=shown, next=following)

    async def events(self, call: Call[JobPath, Following]) -> web.StreamResponse:
        """Stream a job's progress."""
        return await stream_events(call, self._changes(call.path.id), follow=call.query.follow)

    async def cancel(self, call: Call[JobPath]) -> Reply:
        """Ask a job to end."""
        job = await self._ledger.cancel(call.path.id)
        return Reply(view_of(job), status=202)

    async def _changes(self, job_id: str) -> AsyncGenerator[ServerEvent, None]:
        snapshot = await self._ledger.get(job_id)
        shown: RetrievalView | None = None
        while True:
            view = view_of(snapshot.job)
            if view != shown:  # not every change of the record is one for callers
                shown = view
                name = "end" if view.state.final else "progress"
                yield ServerEvent(view, event=name, id=str(snapshot.revision))
            if view.state.final:
                return
            seen = await self._ledger.changed(job_id, since=snapshot.revision, timeout_s=_WAIT_S)
            snapshot = seen or snapshot

    async def _page(
        self, job_id: str, listing: Listing, select: Callable[[Report], tuple[T, ...]]
    ) -> tuple[tuple[T, ...], str | None]:
        """Return a part of a report, and the cursor of the next one; empty before the end."""
        report = await self._report((await self._ledger.get(job_id)).job)
        start = decode_cursor(listing.cursor, Offset).offset if listing.cursor else 0
        every = () if report is None else select(report)
        end = start + listing.limit
        return every[start:end], encode_cursor(Offset(offset=end)) if end < len(every) else None

    async def _report(self, job: Job[RetrievalRequest]) -> Report | None:
        if job.report is None:
            return None
        key = (job.job_id, job.report.digest)
        known = self._reports.get(key)
        if known is None:
            known = await self._ledger.report(job)
            if known is None:
                return None
            while len(self._reports) >= _REPORTS_KEPT:
                self._reports.pop(next(iter(self._reports)), None)
            self._reports[key] = known
        return known
