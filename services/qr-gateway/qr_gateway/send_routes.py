"""HTTP: jobs that send instances of the object store to a peer."""

from __future__ import annotations

from collections.abc import Sequence

from dicomio.http import AnyRoute, Call, Nothing, Role
from dicomio.jobs.desk import JobDesk
from dicomio.jobs.record import Job
from dicomio.jobs.routes import JobRoutes, Words
from dicomio.jobs.views import Listing
from dicomio.peer_book import PeerBook
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


class SendRoutes(JobRoutes[SendRequest, SendingReport, SendOrder]):
    """Handlers over the ledger of sends."""

    words = Words(
        path="/v1/sends",
        one="Send",
        role=Role.EXPORTER,
        create="Send studies to a peer, nothing before what it references",
        list="Jobs that send, newest first",
        get="How sending stands; what was not sent and why, once it has ended",
        follow="How sending goes, as Server-Sent Events `progress` and at last `end`",
        cancel="Ask for the end of sending; what was sent stays sent",
    )
    order = SendOrder
    view = SendView
    detail = SendDetail
    page = SendPage

    def __init__(self, book: PeerBook, desk: JobDesk[SendRequest, SendingReport]) -> None:
        super().__init__(desk)
        self._book = book

    def routes(self) -> Sequence[AnyRoute]:
        """Return the routes."""
        return (
            *self.common(),
            self.part(
                "items",
                SentPage,
                lambda report, _: report.sent,
                "The instances that the peer has acknowledged, with every status it gave",
                Listing,
            ),
            self.part(
                "not-sent",
                NotSentPage,
                lambda report, _: report.not_sent,
                "What failed, what was not tried, and what is held back, with reasons",
                Listing,
            ),
        )

    async def submit(self, call: Call[Nothing, Nothing, SendOrder], key: str) -> Job[SendRequest]:
        """Check an order and write the job; `NotFound` for an unknown peer."""
        order = call.body
        await self._book.known(order.peer)
        return await self._desk.submit(order.peer, order.request(), key=key)

    def view_of(self, job: Job[SendRequest]) -> SendView:
        """Return a job without what only workers need."""
        return send_view_of(job)

    def detail_of(self, job: Job[SendRequest], report: SendingReport | None) -> SendDetail:
        """Return a job with its report."""
        return send_detail_of(job, report)
