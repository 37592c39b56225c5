"""Peers as callers see them, and as they may describe one."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from dicomio.http import Input
from dicomio.limits import Limits
from dicomio.peer_book import KnownPeer
from dicomio.peers import AeTitle, PeerSettings, Tls


class PeerPath(Input):
    """Which peer."""

    name: str = Field(max_length=64)


class PeerName(Input):
    """Under what name a peer is kept."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")


class PeerOrder(Input):
    """A peer. Certificates are files of the server: a peer that needs its own is configured there."""

    ae_title: AeTitle
    host: str = Field(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$|^[0-9A-Fa-f:.]{2,45}$",
        description="Name or IP address",
    )
    port: int = Field(ge=1, le=65535)
    calling_ae_title: AeTitle = "DICOMTOOLS"
    move_destination: AeTitle | None = Field(
        default=None, description="AE title of store-scp, as this peer knows it"
    )
    tls: Literal["none", "verified", "insecure"] = Field(
        default="none", description="`insecure`: any certificate of the peer's is taken"
    )
    connect_timeout_s: float = Field(default=10.0, gt=0, le=120)
    idle_timeout_s: float = Field(default=60.0, gt=0, le=3600)
    cancel_timeout_s: float = Field(default=10.0, gt=0, le=120)
    limits: Limits = Limits()

    def settings(self) -> PeerSettings:
        """Return what is kept."""
        plain = self.model_dump(exclude={"tls", "limits"})
        tls = None if self.tls == "none" else Tls(insecure=self.tls == "insecure")
        return PeerSettings(**plain, tls=tls, limits=self.limits)


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
    connect_timeout_s: float
    idle_timeout_s: float
    cancel_timeout_s: float
    origin: Literal["file", "server"] = Field(
        description="From the server's configuration, or kept by `putPeer`"
    )
    editable: bool


class PeerList(BaseModel):
    """All peers."""

    peers: tuple[PeerView, ...]


def view_of(name: str, known: KnownPeer) -> PeerView:
    """Return a peer without what is nobody's business."""
    peer = known.settings
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
        connect_timeout_s=peer.connect_timeout_s,
        idle_timeout_s=peer.idle_timeout_s,
        cancel_timeout_s=peer.cancel_timeout_s,
        origin=known.origin,
        editable=known.origin == "server",
    )
