"""The HTTP interface of exports."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web

from dicomcore.errors import Conflict, InvalidRequest, NotFound
from dicomcore.export import Manifest
from dicomcore.query import Query, parse_term
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
from dicomio.http.audited import Notes
from dicomio.jobs.desk import JobDesk
from dicomio.jobs.record import Job
from dicomio.jobs.records import Snapshot
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
    ZipDestination,
)
from indexer.exporting.views import (
    ExportDetail,
    ExportItemPage,
    ExportPage,
    ExportPath,
    ExportView,
    Following,
    Listing,
    detail_of,
    view_of,
)

_TAGS = ("exports",)
_IN_BUCKET = "bucket"
_AS_ARCHIVE = "zip"


class ExportRoutes:
    """Handlers over the ledger of exports; a caller sees those of the own tenant only.

    Parameters
    ----------
    key
        Of anonymised exports; None: there are none.
    known_peer
        Raises `NotFound` for a name that no peer has.
    """

    def __init__(
        self,
        desk: JobDesk[ExportRequest, ExportReport],
        downloads: Downloads,
        *,
        key: bytes | None,
        known_peer: Callable[[str], object],
    ) -> None:
        self._desk = desk
        self._downloads = downloads
        self._key = key
        self._known_peer = known_peer

    def routes(self) -> Sequence[AnyRoute]:
        """Return the routes."""
        return (*self._of_jobs(), *self._of_content())

    def _of_jobs(self) -> Sequence[AnyRoute]:
        return (
            Route(
                method="POST",
                template="/v1/exports",
                handler=self.create,
                body=ExportOrder,
                operation_id="createExport",
                role=Role.EXPORTER,
                summary="Export plans, a patient, what a search finds, or instances; anonymised or not",
                responses={202: ExportView},
                request_headers={
                    "Idempotency-Key": "The same key with the same order is the same export"
                },
                errors=(404, 422, 503),
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/exports",
                handler=self.list,
                query=Listing,
                operation_id="listExports",
                role=Role.READER,
                summary="The caller's tenant's exports, newest first",
                responses={200: ExportPage},
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/exports/{id}",
                handler=self.get,
                path=ExportPath,
                operation_id="getExport",
                role=Role.READER,
                summary="How an export stands; what it lacks and why, once it has ended",
                responses={200: ExportDetail},
                request_headers={"If-None-Match": "Answered 304 while nothing has changed"},
                errors=(404,),
                tags=_TAGS,
            ),
            Route(
                method="GET",
                template="/v1/exports/{id}/events",
                handler=self.events,
                path=ExportPath,
                query=Following,
                operation_id="followExport",
                role=Role.READER,
                summary="How an export goes, as Server-Sent Events `progress` and at last `end`",
                responses={200: EVENT_STREAM},
                errors=(404,),
                tags=_TAGS,
            ),
            Route(
                method="POST",
                template="/v1/exports/{id}/cancel",
                handler=self.cancel,
                path=ExportPath,
                operation_id="cancelExport",
                role=Role.EXPORTER,
                summary="Ask for the end of an export; what it wrote is removed, what was sent is not",
                responses={202: ExportView},
                errors=(404,),
                tags=_TAGS,
            ),
        )

    def _of_content(self) -> Sequence[AnyRoute]:
        return (
            Route(
                method="GET",
                template="/v1/exports/{id}/manifest",
                handler=self.manifest,
                path=ExportPath,
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
                path=ExportPath,
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
                path=ExportPath,
                operation_id="downloadExport",
                role=Role.EXPORTER,
                summary="An export as one ZIP file",
                responses={200: ZIP_TYPE},
                errors=(404, 409),
                tags=_TAGS,
            ),
        )

    async def create(self, call: Call[Nothing, Nothing, ExportOrder]) -> Reply:
        """Check what can be checked, write the job, then put it into the queue."""
        order = call.body
        self._check(order)
        _note(call.notes, order.selection)
        peer = _IN_BUCKET
        if isinstance(order.destination, PeerDestination):
            peer = order.destination.peer
            call.notes.involving("peer", peer)
        elif isinstance(order.destination, ZipDestination):
            peer = _AS_ARCHIVE
        request = ExportRequest(**dict(order), tenant=call.tenant)
        key = call.http.headers.get("Idempotency-Key", "")
        job = await self._desk.submit(peer, request, key=key, scope=call.tenant)
        call.notes.involving("id", job.job_id)  # under it the end of the job is told, too
        return Reply(view_of(job), status=202, headers={"Location": f"/v1/exports/{job.job_id}"})

    async def list(self, call: Call[Nothing, Listing]) -> ExportPage:
        """Return a page of exports."""
        jobs, following = await self._desk.page(
            cursor=call.query.cursor,
            limit=call.query.limit,
            keep=lambda job: job.request.tenant == call.tenant,
        )
        return ExportPage(exports=tuple(view_of(job) for job in jobs), next=following)

    async def get(self, call: Call[ExportPath]) -> Reply:
        """Return one export."""
        snapshot = await self._own(call)
        report = await self._desk.report(snapshot.job)
        return Reply(detail_of(snapshot.job, report), etag=str(snapshot.revision))

    async def events(self, call: Call[ExportPath, Following]) -> web.StreamResponse:
        """Stream how an export goes."""
        await self._own(call)
        changes = self._desk.changes(call.path.id, view_of)
        return await stream_events(call, changes, follow=call.query.follow)

    async def cancel(self, call: Call[ExportPath]) -> Reply:
        """Ask an export to end."""
        await self._own(call)
        return Reply(view_of(await self._desk.ledger.cancel(call.path.id)), status=202)

    async def manifest(self, call: Call[ExportPath]) -> web.StreamResponse:
        """Return the manifest."""
        job = await self._ended(call)
        return await self._downloads.manifest_response(prefix_of(job.request, job.job_id))

    async def items(self, call: Call[ExportPath, Listing]) -> ExportItemPage:
        """Return a page of files."""
        job = await self._ended(call)
        return await self._downloads.items(
            prefix_of(job.request, job.job_id), call.query, with_urls=not _at_peer(job.request)
        )

    async def archive(self, call: Call[ExportPath]) -> web.StreamResponse:
        """Stream the archive."""
        job = await self._ended(call)
        if _at_peer(job.request):
            raise Conflict("the files of this export are at the peer, not here")
        prefix = prefix_of(job.request, job.job_id)
        return await self._downloads.archive(call.http, prefix, f"export-{job.job_id}")

    async def _own(
        self, call: Call[ExportPath] | Call[ExportPath, Following] | Call[ExportPath, Listing]
    ) -> Snapshot[ExportRequest]:
        """Return an export of the caller's tenant; of another's it is not even said that it is there."""
        snapshot = await self._desk.ledger.get(call.path.id)
        if snapshot.job.request.tenant != call.tenant:
            raise NotFound("no such job")
        return snapshot

    async def _ended(
        self, call: Call[ExportPath] | Call[ExportPath, Listing]
    ) -> Job[ExportRequest]:
        job = (await self._own(call)).job
        if job.report is None:
            raise NotFound("the export has no manifest, or none yet")
        return job

    def _check(self, order: ExportOrder) -> None:
        """Refuse at once what would fail later."""
        if isinstance(order.selection, QuerySelection):
            Query([parse_term(term) for term in order.selection.query.tag])
        if order.anonymise is not None:
            if self._key is None:
                raise InvalidRequest(NO_KEY)
            anonymization_of(order.anonymise, self._key)
        if isinstance(order.destination, PeerDestination):
            self._known_peer(order.destination.peer)


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
