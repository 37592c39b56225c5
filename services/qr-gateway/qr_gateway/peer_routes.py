"""HTTP: the peers, C-ECHO and C-FIND."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from dicomcore.ports import Pacs, QueryLevel
from dicomio.bridge import Bridge
from dicomio.http import AnyRoute, Call, Input, Nothing, Role, Route
from dicomio.limits import Limits
from dicomio.peers import Peers, PeerSettings
from qr_gateway.matching import checked_keys, compare

_TAGS = ("peers",)
_PATIENT_ID = "00100020"
"""In the DICOM JSON Model (PS3.18 F.2.2)."""


class PeerPath(Input):
    """Which peer."""

    name: str = Field(max_length=64)


class PeerView(BaseModel):
    """A peer as callers see it: without files and keys."""

    name: str
    ae_title: str
    host: str
    port: int
    calling_ae_title: str
    tls: bool
    verified: bool = Field(description="Whether the peer's certificate is verified")
    move_destination: str | None
    limits: Limits


class PeerList(BaseModel):
    """All peers."""

    peers: tuple[PeerView, ...]


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

    def __init__(self, peers: Peers, clients: Mapping[str, Pacs], bridge: Bridge) -> None:
        self._peers = peers
        self._clients = clients
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
        return PeerList(peers=tuple(_view(name, self._peers[name]) for name in self._peers))

    async def echo(self, call: Call[PeerPath]) -> Echoed:
        """Send C-ECHO."""
        name = call.path.name
        duration_s = await self._bridge.run(self._client(name).echo)
        return Echoed(name=name, duration_s=round(duration_s, 6))

    async def find(self, call: Call[PeerPath, Nothing, FindOrder]) -> Found:
        """Send C-FIND."""
        client = self._client(call.path.name)
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

    def _client(self, name: str) -> Pacs:
        self._peers[name]  # NotFound
        return self._clients[name]


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


def _view(name: str, peer: PeerSettings) -> PeerView:
    return PeerView(
        name=name,
        ae_title=peer.ae_title,
        host=peer.host,
        port=peer.port,
        calling_ae_title=peer.calling_ae_title,
        tls=peer.tls is not None,
        verified=peer.tls is not None and not peer.tls.insecure,
        move_destination=peer.move_destination,
        limits=peer.limits,
    )
