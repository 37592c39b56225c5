"""HTTP: retrieval jobs."""

from __future__ import annotations

from collections.abc import Sequence

from dicomcore.catalogue import exact
from dicomcore.errors import InvalidRequest
from dicomio.http import AnyRoute, Call, Nothing, Role
from dicomio.jobs.desk import JobDesk
from dicomio.jobs.record import Job
from dicomio.jobs.routes import JobRoutes, Words
from dicomio.jobs.views import Listing
from dicomio.peer_book import PeerBook
from qr_gateway.retrieval.model import Item, Report, RetrievalRequest
from qr_gateway.views import (
    ItemListing,
    ItemPage,
    MissingPage,
    RetrievalDetail,
    RetrievalOrder,
    RetrievalPage,
    RetrievalView,
    detail_of,
    view_of,
)


class RetrievalRoutes(JobRoutes[RetrievalRequest, Report, RetrievalOrder]):
    """Handlers over the ledger of retrievals."""

    words = Words(
        path="/v1/retrievals",
        one="Retrieval",
        role=Role.RETRIEVER,
        create="Retrieve one patient's plans with everything they reference",
        list="Retrievals, newest first",
        get="How a retrieval stands; what is missing and why, once it has ended",
        follow="How a retrieval goes, as Server-Sent Events `progress` and at last `end`",
        cancel="Ask for a retrieval's end; what has landed stays",
    )
    order = RetrievalOrder
    view = RetrievalView
    detail = RetrievalDetail
    page = RetrievalPage

    def __init__(self, book: PeerBook, desk: JobDesk[RetrievalRequest, Report]) -> None:
        super().__init__(desk)
        self._book = book

    def routes(self) -> Sequence[AnyRoute]:
        """Return the routes."""
        return (
            *self.common(),
            self.part(
                "items",
                ItemPage,
                _items,
                "The instances of a retrieval that has ended",
                ItemListing,
            ),
            self.part(
                "missing",
                MissingPage,
                lambda report, _: report.missing,
                "What was expected and has not landed, with reasons",
                Listing,
            ),
        )

    async def submit(
        self, call: Call[Nothing, Nothing, RetrievalOrder], key: str
    ) -> Job[RetrievalRequest]:
        """Check an order and write the job.

        Raises
        ------
        NotFound
            No such peer.
        InvalidRequest
            A wildcard in the Patient ID, or nowhere for C-MOVE to deliver to.
        """
        order = call.body
        peer = (await self._book.known(order.peer)).settings
        exact(order.patient_id)
        if order.method == "move" and peer.move_destination is None:
            raise InvalidRequest("no move destination is configured for this peer")
        return await self._desk.submit(order.peer, order.request(), key=key)

    def view_of(self, job: Job[RetrievalRequest]) -> RetrievalView:
        """Return a job without what only workers need."""
        return view_of(job)

    def detail_of(self, job: Job[RetrievalRequest], report: Report | None) -> RetrievalDetail:
        """Return a job with its report."""
        return detail_of(job, report)


def _items(report: Report, listing: ItemListing) -> tuple[Item, ...]:
    return report.items if listing.kind == "closure" else report.probed
