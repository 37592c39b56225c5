"""Search results and trees from a running system, over the HTTP interface of its indexer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, ValidationError

from dicomcore import render
from dicomcore.query import Term
from dicomcore.tree import PatientTree
from dicomio.http import Problem
from dicomtools.plain import plain
from dicomtools.problems import CommandProblem
from indexer.answers import Hits
from indexer.list_answers import Patients

PAGE = 500
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)
M = TypeVar("M", bound=BaseModel)
Parameters = Sequence[tuple[str, str]]


class IndexClient:
    """Questions to an indexer.

    Every method raises `CommandProblem` if the system does not answer, or refuses.
    """

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address

    async def search(self, terms: Sequence[Term]) -> AsyncIterator[Hits]:
        """Yield the pages of what fulfils all terms; the first has the statistics."""
        tags = [("tag", str(term)) for term in terms]
        more: Parameters = [("statistics", "true")]
        while True:
            page = await self._get("/v1/search", [*tags, ("limit", str(PAGE)), *more], Hits)
            yield page
            if page.next is None:
                return
            more = [("cursor", page.next)]

    async def patient_ids(self) -> AsyncIterator[str]:
        """Yield the IDs of all patients, in order."""
        more: Parameters = []
        while True:
            page = await self._get("/v1/patients", [("limit", str(PAGE)), *more], Patients)
            for patient in page.patients:
                yield patient.patient_id
            if page.next is None:
                return
            more = [("cursor", page.next)]

    async def tree(self, patient_id: str) -> PatientTree | None:
        """Return the tree of a patient, or None if there is no such patient."""
        status, body = await self._answer("/v1/trees", [("patient_id", patient_id)])
        if status == HTTPStatus.NOT_FOUND:
            return None
        self._check(status, body)
        return render.from_json(body)

    async def _get(self, path: str, parameters: Parameters, kind: type[M]) -> M:
        status, body = await self._answer(path, parameters)
        self._check(status, body)
        try:
            return kind.model_validate_json(body)
        except ValidationError:  # not `from`: its text quotes what was received
            raise CommandProblem(f"{self._address} does not answer as this program does.") from None

    async def _answer(self, path: str, parameters: Parameters) -> tuple[int, bytes]:
        try:
            async with self._session.get(path, params=parameters) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError) as exc:
            reason = type(exc).__name__
            raise CommandProblem(
                f"{self._address} does not answer ({reason}). Check --server, and that it is running."
            ) from exc

    def _check(self, status: int, body: bytes) -> None:
        if status == HTTPStatus.OK:
            return
        try:
            title = Problem.model_validate_json(body).title
        except ValidationError:
            title = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
        hint = " Give --token." if status == HTTPStatus.UNAUTHORIZED else ""
        raise CommandProblem(f"{self._address} refused: {plain(title)} ({status}).{hint}")


@asynccontextmanager
async def index_client(address: str, token: str) -> AsyncIterator[IndexClient]:
    """Yield a client for `http://host:port` or `https://…`; the server's certificate is verified.

    Raises
    ------
    CommandProblem
        The address is none.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CommandProblem("--server must be an address like http://host:8080")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    base = f"{parts.scheme}://{parts.netloc}"
    async with aiohttp.ClientSession(base, timeout=_TIMEOUT, headers=headers) as session:
        yield IndexClient(session, base)
