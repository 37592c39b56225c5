"""A retrieval through the gateway's HTTP interface, as a program of anyone's would ask for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import TypeVar

import aiohttp
from pydantic import BaseModel

from dicomcore.errors import DicomToolsError, InvalidRequest, Unavailable
from dicomio.http import Problem
from qr_gateway.retrieval.model import Item, Progress, Report
from qr_gateway.views import ItemPage, RetrievalDetail, RetrievalOrder, RetrievalView

_PAGE = 500
_END = "end"
M = TypeVar("M", bound=BaseModel)


async def retrieve_over_http(
    url: str, order: RetrievalOrder, progress: Callable[[Progress], None]
) -> Report:
    """Order a retrieval, follow it to its end, and return its report.

    Parameters
    ----------
    url
        Of the gateway, without a slash at the end.

    Raises
    ------
    InvalidRequest
        The gateway refuses the order.
    Unavailable
        It cannot be reached, or ended the stream before the retrieval ended.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)
    try:
        async with aiohttp.ClientSession(url, timeout=timeout) as session:
            job = await _ordered(session, order)
            async for view in _followed(session, job.id):
                progress(view.progress)
            return await _reported(session, job.id)
    except aiohttp.ClientError as exc:
        raise Unavailable("the gateway does not answer") from exc


async def _ordered(session: aiohttp.ClientSession, order: RetrievalOrder) -> RetrievalView:
    body = order.model_dump_json(exclude_none=True)
    headers = {"Content-Type": "application/json"}
    async with session.post("/v1/retrievals", data=body, headers=headers) as response:
        return await _body(response, RetrievalView)


async def _followed(session: aiohttp.ClientSession, job_id: str) -> AsyncIterator[RetrievalView]:
    """Yield how it stands, until the event that says it has ended."""
    async with session.get(f"/v1/retrievals/{job_id}/events") as response:
        if response.status != HTTPStatus.OK:
            raise await _problem(response)
        event = ""
        async for raw in response.content:
            field, _, value = raw.decode().rstrip("\r\n").partition(": ")
            if field == "event":
                event = value
            elif field == "data":
                yield RetrievalView.model_validate_json(value)
                if event == _END:
                    return
    raise Unavailable("the gateway ended the stream before the retrieval had ended")


async def _reported(session: aiohttp.ClientSession, job_id: str) -> Report:
    async with session.get(f"/v1/retrievals/{job_id}") as response:
        detail = await _body(response, RetrievalDetail)
    return Report(
        progress=detail.progress,
        items=await _items(session, job_id, "closure"),
        missing=detail.missing,
        dangling=detail.dangling,
        plans=detail.plans,
        probed=await _items(session, job_id, "probed"),
        messages=detail.messages,
        catalogue_instances=detail.catalogue_instances,
    )


async def _items(session: aiohttp.ClientSession, job_id: str, kind: str) -> tuple[Item, ...]:
    items: list[Item] = []
    query = {"kind": kind, "limit": str(_PAGE)}
    while True:
        async with session.get(f"/v1/retrievals/{job_id}/items", params=query) as response:
            page = await _body(response, ItemPage)
        items += page.items
        if page.next is None:
            return tuple(items)
        query["cursor"] = page.next


async def _body(response: aiohttp.ClientResponse, kind: type[M]) -> M:
    if response.status >= HTTPStatus.BAD_REQUEST:
        raise await _problem(response)
    return kind.model_validate_json(await response.read())


async def _problem(response: aiohttp.ClientResponse) -> DicomToolsError:
    title = Problem.model_validate_json(await response.read()).title
    kind = InvalidRequest if response.status < HTTPStatus.INTERNAL_SERVER_ERROR else Unavailable
    return kind("the gateway refused", status=response.status, title=title)
