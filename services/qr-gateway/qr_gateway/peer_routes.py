"""HTTP: the peers and who may change them, C-ECHO and C-FIND."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field

from dicomcore.ports import Pacs, QueryLevel
from dicomio.bridge import Bridge
from dicomio.http import AnyRoute, Call, Input, Nothing, Reply, Role, Route
from dicomio.peer_book import PeerBook
from qr_gateway.matching import checked_keys, compare
from qr_gateway.peer_views import PeerList, PeerName, PeerOrder, PeerPath, PeerView, view_of

_TAGS = ("peers",)
_PATIENT_ID = "00100020"
"""In the DICOM JSON Model (PS3.18 F.2.2)."""


class Echoed(BaseModel):
    """The peer answered C-ECHO."""

    name: str
    duration_s: float


class FindOrder(Input):
    """One C-FIND, Study Root."""

    level: QueryLevel
    keys: dict[str, str] = Field(
        max_length=64,
        repr=False,
        description=(
            "Keyword, or path Sequence/Keyword, to value; the empty value asks for the attribute. "
            "UIDs may be a list with backslashes, dates a range."
        ),
    )
    allow_wildcards: bool = Field(
        default=False, description="Whether `*` and `?` in values are patterns; else refused"
    )
    limit: int = Field(default=1000, ge=1, le=10000)


class Found(BaseModel):
    """Replies in the DICOM JSON Model (PS3.18 F.2), compared again on our side."""

    matches: tuple[dict[str, Any], ...] = Field(repr=False)
    dropped: int = Field(description="Replies that did not match and were left out")
    unverified: tuple[str, ...] = Field(
        description="Keys that some match did not answer: the peer's word is all there is"
    )
    truncated: bool = Field(description="Whether there were more matches than the limit")


class PeerRoutes:
    """Handlers; what blocks runs in the bridge's pool."""

    def __init__(self, book: PeerBook, bridge: Bridge) -> None:
        self._book = book
        self._bridge = bridge

    def routes(self) -> Sequence[AnyRoute]:
        """Return the routes."""
        return (
            Route(
                method="GET",
                template="/v1/peers",
                handler=self.list,
                operation_id="listPeers",
                role=Role.READER,
                summary="The peers this gateway knows",
                responses={200: PeerList},
                tags=_TAGS,
            ),
            Route(
                method="PUT",
                template="/v1/peers/{name}",
                handler=self.put,
                path=PeerName,
                body=PeerOrder,
                operation_id="putPeer",
                role=Role.ADMIN,
                summary="Keep a peer on the server; those of its configuration stay as they are",
                responses={200: PeerView, 201: PeerView},
                errors=(409, 422, 503),
                tags=_TAGS,
            ),
            Route(
                method="DELETE",
                template="/v1/peers/{name}",
                handler=self.delete,
                path=PeerPath,
                operation_id="deletePeer",
                role=Role.ADMIN,
                summary="Forget a peer that is kept on the server",
                responses={204: None},
                errors=(404, 409, 503),
                tags=_TAGS,
            ),
            Route(
                method="POST",
                template="/v1/peers/{name}/echo",
                handler=self.echo,
                path=PeerPath,
                operation_id="echoPeer",
                role=Role.RETRIEVER,
                summary="C-ECHO: whether the peer answers",
                responses={200: Echoed},
                errors=(404, 502, 504),
                tags=_TAGS,
            ),
            Route(
                method="POST",
                template="/v1/peers/{name}/find",
                handler=self.find,
                path=PeerPath,
                body=FindOrder,
                operation_id="findAtPeer",
                role=Role.RETRIEVER,
                summary="C-FIND, exact unless wildcards are asked for",
                responses={200: Found},
                errors=(404, 422, 502, 504),
                tags=_TAGS,
            ),
        )

    async def list(self, _: Call) -> PeerList:
        """Return every peer."""
        peers = await self._book.refresh()
        return PeerList(peers=tuple(view_of(name, peer) for name, peer in peers.items()))

    async def put(self, call: Call[PeerName, Nothing, PeerOrder]) -> Reply:
        """Keep a peer."""
        name = call.path.name
        call.notes.involving("peer", name)
        new = await self._book.put(name, call.body.settings())
        view = view_of(name, await self._book.known(name))
        return Reply(view, status=HTTPStatus.CREATED if new else HTTPStatus.OK)

    async def delete(self, call: Call[PeerPath]) -> Reply:
        """Forget a peer."""
        await self._book.delete(call.path.name)
        call.notes.involving("peer", call.path.name)
        return Reply(status=HTTPStatus.NO_CONTENT)

    async def echo(self, call: Call[PeerPath]) -> Echoed:
        """Send C-ECHO."""
        name = call.path.name
        duration_s = await self._bridge.run((await self._book.known(name)).pacs.echo)
        return Echoed(name=name, duration_s=round(duration_s, 6))

    async def find(self, call: Call[PeerPath, Nothing, FindOrder]) -> Found:
        """Send C-FIND."""
        client = (await self._book.known(call.path.name)).pacs
        order = call.body
        call.notes.involving("peer", call.path.name)  # there is one of this name
        if order.keys.get("PatientID"):
            call.notes.about(order.keys["PatientID"])
        keys = checked_keys(order.keys, allow_wildcards=order.allow_wildcards)
        found = await self._bridge.run(_find, client, order.level, keys, order.limit)
        for match in found.matches:
            for patient_id in match.get(_PATIENT_ID, {}).get("Value", ()):
                call.notes.about(str(patient_id))
        return found


def _find(client: Pacs, level: QueryLevel, keys: Mapping[str, str], limit: int) -> Found:
    compared = compare(client.find(level, keys), keys)
    return Found(
        matches=tuple(
            # one odd element of a peer must not hide all the others
            match.to_json_dict(suppress_invalid_tags=True)
            for match in compared.matches[:limit]
        ),
        dropped=compared.dropped,
        unverified=compared.unverified,
        truncated=len(compared.matches) > limit,
    )
