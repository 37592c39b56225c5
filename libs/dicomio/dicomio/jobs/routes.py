"""The HTTP operations that every kind of job has: submit, list, read, page through, follow, cancel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from aiohttp import web
from pydantic import BaseModel

from dicomcore.errors import NotFound
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
from dicomio.jobs.kind import Q, R
from dicomio.jobs.record import Job
from dicomio.jobs.records import Snapshot
from dicomio.jobs.views import Following, JobPath, Listing, part_of

B = TypeVar("B", bound=BaseModel)
L = TypeVar("L", bound=Listing)


@dataclass(frozen=True, slots=True)
class Words:
    """What one kind of job is called, and what its operations do, in the API's document."""

    path: str
    """`/v1/sends`."""
    one: str
    """`Send`, as operation IDs have it."""
    role: Role
    """Who may submit and cancel."""
    create: str
    list: str
    get: str
    follow: str
    cancel: str

    @property
    def tag(self) -> str:
        """Return what the operations are grouped under: the last word of the path."""
        return self.path.rpartition("/")[2]


class JobRoutes(ABC, Generic[Q, R, B]):
    """Handlers over the ledger; the work itself is a worker's, on this replica or another.

    A kind of job gives words and models, and says how an order becomes a job.
    """

    words: ClassVar[Words]
    order: type[B]
    view: type[BaseModel]
    detail: type[BaseModel]
    page: type[BaseModel]
    """Has a field named as `words.tag`, and `next`."""

    def __init__(self, desk: JobDesk[Q, R]) -> None:
        self._desk = desk

    @abstractmethod
    async def submit(self, call: Call[Nothing, Nothing, B], key: str) -> Job[Q]:
        """Check an order and write the job.

        Raises
        ------
        NotFound, InvalidRequest
        """

    def shows(self, job: Job[Q], tenant: str) -> bool:
        """Return whether callers of a tenant see a job; of one that they do not see nothing is said."""
        del job, tenant
        return True

    @abstractmethod
    def view_of(self, job: Job[Q]) -> BaseModel:
        """Return a job without what only workers need."""

    @abstractmethod
    def detail_of(self, job: Job[Q], report: R | None) -> BaseModel:
        """Return a job with its report."""

    def common(self) -> tuple[AnyRoute, ...]:
        """Return what all kinds have."""
        words = self.words
        tags = (words.tag,)
        one = f"{words.path}/{{id}}"
        return (
            Route(
                method="POST",
                template=words.path,
                handler=self._create,
                body=self.order,
                operation_id=f"create{words.one}",
                role=words.role,
                summary=words.create,
                responses={202: self.view},
                request_headers={
                    "Idempotency-Key": "The same key with the same order is the same job"
                },
                errors=(404, 422, 503),
                tags=tags,
            ),
            Route(
                method="GET",
                template=words.path,
                handler=self._list,
                query=Listing,
                operation_id=f"list{words.one}s",
                role=Role.READER,
                summary=words.list,
                responses={200: self.page},
                tags=tags,
            ),
            Route(
                method="GET",
                template=one,
                handler=self._get,
                path=JobPath,
                operation_id=f"get{words.one}",
                role=Role.READER,
                summary=words.get,
                responses={200: self.detail},
                request_headers={"If-None-Match": "Answered 304 while nothing has changed"},
                errors=(404,),
                tags=tags,
            ),
            Route(
                method="GET",
                template=f"{one}/events",
                handler=self._events,
                path=JobPath,
                query=Following,
                operation_id=f"follow{words.one}",
                role=Role.READER,
                summary=words.follow,
                responses={200: EVENT_STREAM},
                errors=(404,),
                tags=tags,
            ),
            Route(
                method="POST",
                template=f"{one}/cancel",
                handler=self._cancel,
                path=JobPath,
                operation_id=f"cancel{words.one}",
                role=words.role,
                summary=words.cancel,
                responses={202: self.view},
                errors=(404,),
                tags=tags,
            ),
        )

    def part(
        self,
        name: str,
        page: type[BaseModel],
        select: Callable[[R, L], tuple[Any, ...]],
        summary: str,
        query: type[L],
    ) -> AnyRoute:
        """Return the route of one part of a report: pages of it, empty before the end.

        Parameters
        ----------
        name
            The last part of the path, as in `/v1/sends/{id}/not-sent`.
        page
            Has a list as its first field, and `next`.
        """
        shown_as = next(iter(page.model_fields))

        async def handler(call: Call[JobPath, L]) -> BaseModel:
            report = await self._desk.report((await self.seen(call.path.id, call.tenant)).job)
            every = () if report is None else select(report, call.query)
            shown, following = part_of(every, call.query)
            return page.model_validate({shown_as: shown, "next": following})

        spelled = "".join(word.capitalize() for word in name.split("-"))
        return Route(
            method="GET",
            template=f"{self.words.path}/{{id}}/{name}",
            handler=handler,
            path=JobPath,
            query=query,
            operation_id=f"list{self.words.one}{spelled}",
            role=Role.READER,
            summary=summary,
            responses={200: page},
            errors=(404,),
            tags=(self.words.tag,),
        )

    async def seen(self, job_id: str, tenant: str) -> Snapshot[Q]:
        """Return a job that callers of a tenant see.

        Raises
        ------
        NotFound
            There is none; one of another tenant is none.
        """
        snapshot = await self._desk.ledger.get(job_id)
        if not self.shows(snapshot.job, tenant):
            raise NotFound("no such job")
        return snapshot

    async def _create(self, call: Call[Nothing, Nothing, B]) -> Reply:
        """Write the job, then put it into the queue."""
        job = await self.submit(call, call.http.headers.get("Idempotency-Key", ""))
        if job.peer:
            call.notes.involving("peer", job.peer)
        call.notes.involving("id", job.job_id)  # under it the end of the job is told, too
        location = {"Location": f"{self.words.path}/{job.job_id}"}
        return Reply(self.view_of(job), status=202, headers=location)

    async def _list(self, call: Call[Nothing, Listing]) -> BaseModel:
        jobs, following = await self._desk.page(
            cursor=call.query.cursor,
            limit=call.query.limit,
            keep=lambda job: self.shows(job, call.tenant),
        )
        shown = tuple(self.view_of(job) for job in jobs)
        return self.page.model_validate({self.words.tag: shown, "next": following})

    async def _get(self, call: Call[JobPath]) -> Reply:
        snapshot = await self.seen(call.path.id, call.tenant)
        report = await self._desk.report(snapshot.job)
        return Reply(self.detail_of(snapshot.job, report), etag=str(snapshot.revision))

    async def _events(self, call: Call[JobPath, Following]) -> web.StreamResponse:
        await self.seen(call.path.id, call.tenant)
        changes = self._desk.changes(call.path.id, self.view_of)
        return await stream_events(call, changes, follow=call.query.follow)

    async def _cancel(self, call: Call[JobPath]) -> Reply:
        await self.seen(call.path.id, call.tenant)
        return Reply(self.view_of(await self._desk.ledger.cancel(call.path.id)), status=202)
