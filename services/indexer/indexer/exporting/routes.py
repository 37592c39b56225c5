"""The HTTP interface of exports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from dicomcore.deident import Seal
from dicomcore.errors import Conflict, InvalidRequest, NotFound
from dicomcore.export import Manifest
from dicomcore.query import Query, parse_term
from dicomio.http import (
    AnyRoute,
    Call,
    Nothing,
    Role,
    Route,
)
from dicomio.http.audited import Notes
from dicomio.jobs.desk import JobDesk
from dicomio.jobs.record import Job
from dicomio.jobs.routes import JobRoutes, Words
from dicomio.jobs.views import JobPath, Listing
from indexer.exporting.anonymous import anonymization_of
from indexer.exporting.downloads import ZIP_TYPE, Downloads
from indexer.exporting.executor import NO_KEY, prefix_of
from indexer.exporting.model import (
    ExportOrder,
    ExportReport,
    ExportRequest,
    PatientSelection,
    PeerDestination,
    QuerySelection,
    Selection,
)
from indexer.exporting.views import (
    ExportDetail,
    ExportItemPage,
    ExportPage,
    ExportView,
    detail_of,
    view_of,
)

_TAGS = ("exports",)


class ExportRoutes(JobRoutes[ExportRequest, ExportReport, ExportOrder]):
    """Handlers over the ledger of exports; a caller sees those of the own tenant only.

    Parameters
    ----------
    key
        Of anonymised exports; None: there are none.
    known_peer
        Raises `NotFound` for a name that no peer has.
    """

    words = Words(
        path="/v1/exports",
        one="Export",
        role=Role.EXPORTER,
        create="Export plans, a patient, what a search finds, or instances; anonymised or not",
        list="The exports of the caller's tenant, newest first",
        get="How an export stands; what it lacks and why, once it has ended",
        follow="How an export goes, as Server-Sent Events `progress` and at last `end`",
        cancel="Ask for the end of an export; what it wrote is removed, what was sent is not",
    )
    order = ExportOrder
    view = ExportView
    detail = ExportDetail
    page = ExportPage

    def __init__(
        self,
        desk: JobDesk[ExportRequest, ExportReport],
        downloads: Downloads,
        *,
        key: bytes | None,
        seal: Seal | None,
        known_peer: Callable[[str], Awaitable[object]],
    ) -> None:
        super().__init__(desk)
        self._downloads = downloads
        self._key = key
        self._seal = seal
        self._known_peer = known_peer

    def routes(self) -> Sequence[AnyRoute]:
        """Return the routes."""
        return (
            *self.common(),
            Route(
                method="GET",
                template="/v1/exports/{id}/manifest",
                handler=self.manifest,
                path=JobPath,
                operation_id="getExportManifest",
                role=Role.EXPORTER,
                summary="What an export holds, with SHA-256, and what it lacks",
                responses={200: Manifest},
                errors=(404,),
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/exports/{id}/items",
                handler=self.items,
                path=JobPath,
                query=Listing,
                operation_id="listExportItems",
                role=Role.EXPORTER,
                summary="The files of an export, each with an address it can be fetched from for a time",
                responses={200: ExportItemPage},
                errors=(404,),
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/exports/{id}/zip",
                handler=self.archive,
                path=JobPath,
                operation_id="downloadExport",
                role=Role.EXPORTER,
                summary="An export as one ZIP file",
                responses={200: ZIP_TYPE},
                errors=(404, 409),
                tags=_TAGS,
            ),
        )

    async def submit(
        self, call: Call[Nothing, Nothing, ExportOrder], key: str
    ) -> Job[ExportRequest]:
        """Check what can be checked, and write the job.

        Raises
        ------
        NotFound
            No such peer.
        InvalidRequest
            A term cannot be understood, options exclude each other, or there is no key.
        """
        order = call.body
        await self._check(order)
        _note(call.notes, order.selection)
        destination = order.destination
        peer = destination.peer if isinstance(destination, PeerDestination) else ""
        request = ExportRequest(**dict(order), tenant=call.tenant)
        return await self._desk.submit(peer, request, key=key, scope=call.tenant)

    def shows(self, job: Job[ExportRequest], tenant: str) -> bool:
        return job.request.tenant == tenant

    def view_of(self, job: Job[ExportRequest]) -> ExportView:
        """Return a job without what only workers need, and without whose data it is about."""
        return view_of(job)

    def detail_of(self, job: Job[ExportRequest], report: ExportReport | None) -> ExportDetail:
        """Return a job with its report."""
        return detail_of(job, report)

    async def manifest(self, call: Call[JobPath]) -> web.StreamResponse:
        """Return the manifest."""
        job = await self._ended(call)
        return await self._downloads.manifest_response(prefix_of(job.request, job.job_id))

    async def items(self, call: Call[JobPath, Listing]) -> ExportItemPage:
        """Return a page of files."""
        job = await self._ended(call)
        return await self._downloads.items(
            prefix_of(job.request, job.job_id), call.query, with_urls=not _at_peer(job.request)
        )

    async def archive(self, call: Call[JobPath]) -> web.StreamResponse:
        """Stream the archive."""
        job = await self._ended(call)
        if _at_peer(job.request):
            raise Conflict("the files of this export are at the peer, not here")
        prefix = prefix_of(job.request, job.job_id)
        return await self._downloads.archive(call.http, prefix, f"export-{job.job_id}")

    async def _ended(self, call: Call[JobPath] | Call[JobPath, Listing]) -> Job[ExportRequest]:
        job = (await self.seen(call.path.id, call.tenant)).job
        if job.report is None:
            raise NotFound("the export has no manifest, or none yet")
        return job

    async def _check(self, order: ExportOrder) -> None:
        """Refuse at once what would fail later."""
        if isinstance(order.selection, QuerySelection):
            Query([parse_term(term) for term in order.selection.query.tag])
        if order.anonymise is not None:
            if self._key is None:
                raise InvalidRequest(NO_KEY)
            anonymization_of(order.anonymise, self._key, self._seal)
        if isinstance(order.destination, PeerDestination):
            await self._known_peer(order.destination.peer)


def _note(notes: Notes, selection: Selection) -> None:
    """Tell the audit trail whom an order is about, as far as it says."""
    if isinstance(selection, PatientSelection):
        notes.about(selection.patient)
    elif isinstance(selection, QuerySelection):
        notes.take_from(selection.query)
    else:
        for uid in next(iter(dict(selection).values())):
            notes.involving("sop_instance_uid", uid)


def _at_peer(request: ExportRequest) -> bool:
    return isinstance(request.destination, PeerDestination)
