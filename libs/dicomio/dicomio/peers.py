"""The DICOM peers that are configured: how each is reached, what it can bear, where its C-MOVE goes."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from dicomcore.errors import InvalidRequest, NotFound
from dicomio import pacs
from dicomio.limits import Limits

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_AE_TITLE = re.compile(r"[\x21-\x5b\x5d-\x7e]([\x20-\x5b\x5d-\x7e]{0,14}[\x21-\x5b\x5d-\x7e])?")


def _ae_title(text: str) -> str:
    if _AE_TITLE.fullmatch(text) is None:
        raise ValueError("not an AE title: 1 to 16 printable characters, no backslash (PS3.5 6.2)")
    return text


AeTitle = Annotated[str, AfterValidator(_ae_title)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Tls(_Settings):
    """TLS towards a peer; without `insecure` its certificate is verified."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure: bool = False


class PeerSettings(_Settings):
    """One peer, as it is configured."""

    ae_title: AeTitle
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    calling_ae_title: AeTitle = "DICOMTOOLS"
    tls: Tls | None = None
    move_destination: AeTitle | None = None
    """AE title of store-scp, as this peer knows it; None: the default of the service."""
    connect_timeout_s: float = Field(default=10.0, gt=0)
    idle_timeout_s: float = Field(default=60.0, gt=0)
    cancel_timeout_s: float = Field(default=10.0, gt=0)
    limits: Limits = Limits()
    """Quirks: how hard it may be worked."""

    def address(self, name: str) -> pacs.Peer:
        """Return what the DICOM client takes."""
        tls = None
        if self.tls is not None:
            tls = pacs.ClientTls(
                self.tls.ca_file, self.tls.cert_file, self.tls.key_file, insecure=self.tls.insecure
            )
        return pacs.Peer(
            name=name,
            ae_title=self.ae_title,
            host=self.host,
            port=self.port,
            calling_ae_title=self.calling_ae_title,
            tls=tls,
            connect_timeout_s=self.connect_timeout_s,
            idle_timeout_s=self.idle_timeout_s,
            cancel_timeout_s=self.cancel_timeout_s,
        )


class _File(_Settings):
    peers: dict[str, PeerSettings] = Field(default_factory=dict)


class Peers:
    """Peers by name.

    Parameters
    ----------
    move_destination
        For peers that do not name one.
    """

    def __init__(
        self, peers: Mapping[str, PeerSettings], *, move_destination: str | None = None
    ) -> None:
        for name in peers:
            if _NAME.fullmatch(name) is None:
                raise InvalidRequest("not a name of a peer: letters, digits, '_', '.', '-'")
        self.move_destination = move_destination
        self._peers = {
            name: peer.model_copy(
                update={"move_destination": peer.move_destination or move_destination}
            )
            for name, peer in sorted(peers.items())
        }

    def __iter__(self) -> Iterator[str]:
        return iter(self._peers)

    def __getitem__(self, name: str) -> PeerSettings:
        """Return a peer; `NotFound` if there is none of that name."""
        try:
            return self._peers[name]
        except KeyError:
            raise NotFound("no such peer") from None


def read_peers(path: Path) -> dict[str, PeerSettings]:
    """Return the peers of a file: `{"peers": {NAME: {…}}}` in JSON, or `[peers.NAME]` in TOML.

    Raises
    ------
    InvalidRequest
        It cannot be read; the sentence says where, not what stands there.
    """
    try:
        text = path.read_text("utf-8-sig")
        content = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as exc:
        raise InvalidRequest("the file of peers cannot be opened", problem=exc.strerror) from exc
    except ValueError as exc:
        raise InvalidRequest("the file of peers is neither JSON nor TOML") from exc
    return _parsed(content)


def parse_peers(text: str) -> dict[str, PeerSettings]:
    """Return the peers of a JSON text: `{NAME: {…}}`.

    Raises
    ------
    InvalidRequest
        It cannot be understood.
    """
    try:
        content = json.loads(text)
    except ValueError as exc:
        raise InvalidRequest("the peers are not JSON") from exc
    return _parsed({"peers": content})


def _parsed(content: object) -> dict[str, PeerSettings]:
    try:
        return _File.model_validate(content).peers
    except ValidationError as exc:
        where = "; ".join(
            f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
            for error in exc.errors(include_input=False, include_url=False)
        )
        raise InvalidRequest("the peers cannot be understood", where=where) from None
