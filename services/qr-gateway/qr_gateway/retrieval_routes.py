"""HTTP: retrieval jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from aiohttp import web

from dicomcore.catalogue import exact
from dicomcore.errors import InvalidRequest
from dicomio.http import (
    EVENT_STREAM,
    AnyRoute,
    Call,
    Nothing,
    Reply,
    Role,
    Route,
    stream_events,
)
from dicomio.jobs.desk import JobDesk
from dicomio.peers import Peers
from qr_gateway.retrieval.model import Report, RetrievalRequest
from qr_gateway.views import (
    Following,
    ItemListing,
    ItemPage,
    JobPath,
    Listing,
    MissingPage,
    RetrievalDetail,
    RetrievalOrder,
    RetrievalPage,
    RetrievalView,
    detail_of,
    part_of,
    view_of,
)

T = TypeVar("T")
_TAGS = ("retrievals",)


class RetrievalRoutes:
    """Handlers over the ledger; the work itself is the worker's, on this replica or another."""

    def __init__(self, peers: Peers, desk: JobDesk[RetrievalRequest, Report]) -> None:
        self._peers = peers
        self._desk = desk

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
        job = await self._desk.submit(order.peer, order.request(), key=key)
        call.notes.involving("peer", job.peer)
        call.notes.involving("id", job.job_id)  # under it the end of the job is told, too
        location = {"Location": f"/v1/retrievals/{job.job_id}"}
        return Reply(view_of(job), status=202, headers=location)

    async def list(self, call: Call[Nothing, Listing]) -> RetrievalPage:
        """Return a page of jobs."""
        jobs, following = await self._desk.page(cursor=call.query.cursor, limit=call.query.limit)
        return RetrievalPage(retrievals=tuple(view_of(job) for job in jobs), next=following)

    async def get(self, call: Call[JobPath]) -> Reply:
        """Return one job."""
        snapshot = await self._desk.ledger.get(call.path.id)
        report = await self._desk.report(snapshot.job)
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
        changes = self._desk.changes(call.path.id, view_of)
        return await stream_events(call, changes, follow=call.query.follow)

    async def cancel(self, call: Call[JobPath]) -> Reply:
        """Ask a job to end."""
        job = await self._desk.ledger.cancel(call.path.id)
        return Reply(view_of(job), status=202)

    async def _page(
        self, job_id: str, listing: Listing, select: Callable[[Report], tuple[T, ...]]
    ) -> tuple[tuple[T, ...], str | None]:
        """Return a part of a report, and the cursor of the next one; empty before the end."""
        report = await self._desk.report((await self._desk.ledger.get(job_id)).job)
        return part_of(() if report is None else select(report), listing)
