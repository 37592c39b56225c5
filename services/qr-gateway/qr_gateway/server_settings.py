"""Defaults that are kept on the server, the same for every replica."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from dicomcore.deident import SHIPPED, parse_options
from dicomcore.errors import Conflict, InvalidRequest, KeyValueUnavailable, NotFound, Unreadable
from dicomcore.ports import Entry, KeyValue
from dicomio.peer_book import PeerBook

log = structlog.get_logger(__name__)

KEY = "configuration.settings"
_WAIT_S = 30.0
_RETRY_S = 5.0

LogLevel = Literal["debug", "info", "warning", "error"]


class Defaults(BaseModel):
    """What is kept."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)
    default_peer: str | None = None
    export_profile: str = "AriaSecurityProfile.csv"
    export_options: tuple[str, ...] = ("CleanDesc", "RetainDeviceIdent")
    log_level: LogLevel | None = None
    """None: as the service is configured."""


@dataclass(frozen=True, slots=True)
class Revised:
    """What is kept, and since when; revision 0: nothing is."""

    defaults: Defaults
    revision: int


def no_change(level: LogLevel) -> None:
    """Leave the log as it is."""
    del level


class ServerSettings:
    """Reads and writes the defaults; used on one event loop.

    Parameters
    ----------
    level
        Log level where nobody has set another.
    apply
        Sets the log level of this process.
    """

    def __init__(
        self, kv: KeyValue, book: PeerBook, *, level: LogLevel, apply: Callable[[LogLevel], None]
    ) -> None:
        self._kv = kv
        self._book = book
        self.configured_level: LogLevel = level
        self._level: LogLevel = level
        self._apply = apply

    async def get(self) -> Revised:
        """Return the defaults.

        Raises
        ------
        KeyValueUnavailable
        Unreadable
            What is kept is none of ours.
        """
        try:
            entry = await self._kv.get(KEY)
        except NotFound:
            return Revised(Defaults(), 0)
        return self._taken(entry)

    async def put(self, defaults: Defaults, *, revision: int) -> Revised:
        """Keep defaults, if nobody has since `revision`.

        Raises
        ------
        Conflict
            Somebody has.
        InvalidRequest
            `pointer` says what cannot be one.
        KeyValueUnavailable
        """
        await self._check(defaults)
        body = defaults.model_dump_json().encode()
        try:
            if revision == 0:
                written = await self._kv.create(KEY, body)
            else:
                written = await self._kv.update(KEY, body, revision=revision)
        except Conflict:
            raise Conflict("the settings were changed by somebody else") from None
        return self._taken(Entry(body, written))

    async def watch(self) -> None:
        """Follow what other replicas write, until cancelled."""
        since = 0
        while True:
            try:
                entry = await self._kv.changed(KEY, since=since, timeout_s=_WAIT_S)
                if entry is not None:
                    since = entry.revision
                    self._taken(entry)
            except Unreadable as exc:
                log.warning("settings_not_read", problem=exc.sentence)
            except KeyValueUnavailable:
                await asyncio.sleep(_RETRY_S)

    def _taken(self, entry: Entry) -> Revised:
        try:
            defaults = Defaults.model_validate_json(entry.value)
        except ValidationError:
            raise Unreadable("the settings that are kept cannot be read") from None
        level = defaults.log_level or self.configured_level
        if level != self._level:
            self._level = level
            self._apply(level)
        return Revised(defaults, entry.revision)

    async def _check(self, defaults: Defaults) -> None:
        if defaults.default_peer is not None:
            try:
                await self._book.known(defaults.default_peer)
            except NotFound as exc:
                raise InvalidRequest(exc.sentence, pointer="/default_peer") from exc
        if defaults.export_profile not in SHIPPED:
            raise InvalidRequest("no such anonymisation profile", pointer="/export_profile")
        try:
            parse_options(defaults.export_options)
        except InvalidRequest as exc:
            raise InvalidRequest(exc.sentence, pointer="/export_options") from exc
