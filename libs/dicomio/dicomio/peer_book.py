"""The peers as they are now: those of the configuration, and those that are kept on the server.

What is kept is one value in the key-value store of the jobs, so that every replica has the same; each
reads it again before it uses it. A peer of the configuration cannot be changed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dicomcore.errors import Conflict, KeyValueUnavailable, NotFound, Unreadable
from dicomcore.ports import Entry, KeyValue, Pacs
from dicomio import pacs
from dicomio.peers import Peers, PeerSettings

log = structlog.get_logger(__name__)

BUCKET = "retrievals"
"""Name of the key-value bucket that they are kept in."""
KEY = "configuration.peers"
MOST_PEERS = 500
_TRIES = 20


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """One peer, and how it is talked to."""

    settings: PeerSettings
    pacs: Pacs
    origin: Literal["file", "server"]


class _Kept(BaseModel):
    """What is kept."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)
    peers: dict[str, PeerSettings] = Field(default_factory=dict)


class PeerBook:
    """All peers by name; read from any thread, refreshed and changed on the event loop.

    Raises
    ------
    InvalidRequest
        A certificate or key of a configured peer cannot be loaded.
    """

    def __init__(
        self, configured: Peers, kv: KeyValue, connect: Callable[[pacs.Peer], Pacs]
    ) -> None:
        self._kv = kv
        self._connect = connect
        self._move_destination = configured.move_destination
        self._file: Mapping[str, KnownPeer] = {
            name: KnownPeer(configured[name], connect(configured[name].address(name)), "file")
            for name in configured
        }
        self._revision = 0
        self._all: Mapping[str, KnownPeer] = MappingProxyType(dict(self._file))

    @property
    def peers(self) -> Mapping[str, KnownPeer]:
        """The peers as of the last refresh, sorted by name."""
        return self._all

    async def refresh(self) -> Mapping[str, KnownPeer]:
        """Return the peers as they are now; as they were, while the key-value store is away."""
        try:
            self._take(await self._entry())
        except (KeyValueUnavailable, Unreadable) as exc:
            log.warning("peers_not_refreshed", problem=exc.sentence)
        return self._all

    async def known(self, name: str) -> KnownPeer:
        """Return a peer; `NotFound` if there is none of that name."""
        return self.named(name, await self.refresh())

    def named(self, name: str, peers: Mapping[str, KnownPeer] | None = None) -> KnownPeer:
        """Return a peer as of the last refresh; `NotFound` if there is none of that name."""
        try:
            return (self._all if peers is None else peers)[name]
        except KeyError:
            raise NotFound("no such peer") from None

    async def put(self, name: str, settings: PeerSettings) -> bool:
        """Keep a peer; return whether it is new.

        Raises
        ------
        Conflict
            The name belongs to the configuration, or too many wrote at once, or there are too many.
        KeyValueUnavailable
            Not kept, or nobody knows: the same call again is safe.
        """
        known = False

        def change(kept: dict[str, PeerSettings]) -> None:
            nonlocal known
            known = name in kept
            if not known and len(kept) >= MOST_PEERS:
                raise Conflict("there are too many peers", most=MOST_PEERS)
            kept[name] = settings

        await self._change(name, change)
        return not known

    async def delete(self, name: str) -> None:
        """Forget a peer.

        Raises
        ------
        NotFound
            There is none of that name.
        Conflict, KeyValueUnavailable
            As of `put`.
        """

        def change(kept: dict[str, PeerSettings]) -> None:
            if kept.pop(name, None) is None:
                raise NotFound("no such peer")

        await self._change(name, change)

    async def _change(self, name: str, change: Callable[[dict[str, PeerSettings]], None]) -> None:
        if name in self._file:
            raise Conflict("this peer belongs to the configuration of the server")
        for _ in range(_TRIES):
            entry = await self._entry()
            kept = dict(_parsed(entry))
            change(kept)
            body = _Kept(peers=dict(sorted(kept.items()))).model_dump_json().encode()
            try:
                if entry is None:
                    revision = await self._kv.create(KEY, body)
                else:
                    revision = await self._kv.update(KEY, body, revision=entry.revision)
            except Conflict:
                continue
            self._take(Entry(body, revision))
            return
        raise Conflict("the peers are written by too many at once")

    async def _entry(self) -> Entry | None:
        try:
            return await self._kv.get(KEY)
        except NotFound:
            return None

    def _take(self, entry: Entry | None) -> None:
        """Take over what is kept; a client whose peer has not changed stays as it is."""
        if entry is None or entry.revision <= self._revision:
            return
        everyone = dict(self._file)
        for name, kept in _parsed(entry).items():
            if name in self._file:  # has come into the configuration since
                continue
            settings = kept.model_copy(
                update={"move_destination": kept.move_destination or self._move_destination}
            )
            before = self._all.get(name)
            everyone[name] = (
                before
                if before is not None and before.settings == settings
                else KnownPeer(settings, self._connect(settings.address(name)), "server")
            )
        self._all = MappingProxyType(dict(sorted(everyone.items())))
        self._revision = entry.revision


def _parsed(entry: Entry | None) -> Mapping[str, PeerSettings]:
    if entry is None:
        return {}
    try:
        return _Kept.model_validate_json(entry.value).peers
    except ValidationError:
        raise Unreadable("the peers that are kept cannot be read") from None
