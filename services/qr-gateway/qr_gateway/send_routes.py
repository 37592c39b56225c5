"""HTTP: jobs that send instances of the object store to a peer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from aiohttp import web

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
from qr_gateway.send_views import (
    NotSentPage,
    SendDetail,
    SendOrder,
    SendPage,
    SendView,
    SentPage,
    send_detail_of,
    send_view_of,
)
from qr_gateway.sending.model import SendingReport, SendRequest
from qr_gateway.views import Following, JobPath, Listing, part_of

T = TypeVar("T")
_TAGS = ("sends",)


class SendRoutes:
    """Handlers over the ledger of sends."""

    def __init__(self, peers: Peers, desk: JobDesk[SendRequest, SendingReport]) -> None:
        self._peers = peers
        self._desk = desk

    def routes(self) -> Sequence[AnyRoute]:
        """Return the routes."""
        return (
            Route(
                method="POST",
                template="/v1/sends",
                handler=self.create,
                body=SendOrder,
                operation_id="createSend",
                role=Role.EXPORTER,
                summary="Send studies to a peer, nothing before what it references",
                responses={202: SendView},
                request_headers={
                    "Idempotency-Key": "The same key with the same order is the same job"
                },
                errors=(404, 422, 503),
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/sends",
                handler=self.list,
                query=Listing,
                operation_id="listSends",
                role=Role.READER,
                summary="Jobs that send, newest first",
                responses={200: SendPage},
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/sends/{id}",
                handler=self.get,
                path=JobPath,
                operation_id="getSend",
                role=Role.READER,
                summary="How sending stands; what was not sent and why, once it has ended",
                responses={200: SendDetail},
                request_headers={"If-None-Match": "Answered 304 while nothing has changed"},
                errors=(404,),
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/sends/{id}/items",
                handler=self.items,
                path=JobPath,
                query=Listing,
                operation_id="listSendItems",
                role=Role.READER,
                summary="The instances that the peer has acknowledged, with every status it gave",
                responses={200: SentPage},
                errors=(404,),
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/sends/{id}/not-sent",
                handler=self.not_sent,
                path=JobPath,
                query=Listing,
                operation_id="listSendNotSent",
                role=Role.READER,
                summary="What failed, what was not tried, and what is held back, with reasons",
                responses={200: NotSentPage},
                errors=(404,),
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/sends/{id}/events",
                handler=self.events,
                path=JobPath,
                query=Following,
                operation_id="followSend",
                role=Role.READER,
                summary="How sending goes, as Server-Sent Events `progress` and at last `end`",
                responses={200: EVENT_STREAM},
                errors=(404,),
                tags=_TAGS,
            ),
            Route(
                method="POST",
                template="/v1/sends/{id}/cancel",
                handler=self.cancel,
                path=JobPath,
                operation_id="cancelSend",
                role=Role.EXPORTER,
                summary="Ask for the end of sending; what was sent stays sent",
                responses={202: SendView},
                errors=(404,),
                tags=_TAGS,
            ),
        )

    async def create(self, call: Call[Nothing, Nothing, SendOrder]) -> Reply:
        """Write the job, then put it into the queue."""
        order = call.body
        self._peers[order.peer]  # NotFound
        key = call.http.headers.get("Idempotency-Key", "")
        job = await self._desk.submit(order.peer, order.request(), key=key)
        call.notes.involving("peer", job.peer)
        call.notes.involving("id", job.job_id)  # under it the end of the job is told, too
        return Reply(send_view_of(job), status=202, headers={"Location": f"/v1/sends/{job.job_id}"})

    async def list(self, call: Call[Nothing, Listing]) -> SendPage:
        """Return a page of jobs."""
        jobs, following = await self._desk.page(cursor=call.query.cursor, limit=call.query.limit)
        return SendPage(sends=tuple(send_view_of(job) for job in jobs), next=following)

    async def get(self, call: Call[JobPath]) -> Reply:
        """Return one job."""
        snapshot = await self._desk.ledger.get(call.path.id)
        report = await self._desk.report(snapshot.job)
        return Reply(send_detail_of(snapshot.job, report), etag=str(snapshot.revision))

    async def items(self, call: Call[JobPath, Listing]) -> SentPage:
        """Return a page of what the peer has acknowledged."""
        report = await self._report(call.path.id)
        shown, following = part_of(() if report is None else report.sent, call.query)
        return SentPage(items=shown, next=following)

    async def not_sent(self, call: Call[JobPath, Listing]) -> NotSentPage:
        """Return a page of what the peer does not have from us."""
        report = await self._report(call.path.id)
        shown, following = part_of(() if report is None else report.not_sent, call.query)
        return NotSentPage(items=shown, next=following)

    async def events(self, call: Call[JobPath, Following]) -> web.StreamResponse:
        """Stream a job's progress."""
        changes = self._desk.changes(call.path.id, send_view_of)
        return await stream_events(call, changes, follow=call.query.follow)

    async def cancel(self, call: Call[JobPath]) -> Reply:
        """Ask a job to end."""
        return Reply(send_view_of(await self._desk.ledger.cancel(call.path.id)), status=202)

    async def _report(self, job_id: str) -> SendingReport | None:
        return await self._desk.report((await self._desk.ledger.get(job_id)).job)
