"""HTTP: defaults that are kept on the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import BaseModel, Field

from dicomio.http import AnyRoute, Call, Input, Nothing, Role, Route
from qr_gateway.diagnosis import Receiver
from qr_gateway.server_settings import Defaults, LogLevel, Revised, ServerSettings

_TAGS = ("settings",)


class SettingsOrder(Input):
    """All of the defaults; what is left out is as it was delivered."""

    default_peer: str | None = Field(default=None, max_length=64)
    export_profile: str = Field(default=Defaults().export_profile, max_length=64)
    export_options: tuple[str, ...] = Field(default=Defaults().export_options, max_length=32)
    log_level: LogLevel | None = Field(default=None, description="null: as configured")
    revision: int = Field(ge=0, description="As it was read; 0: nothing was kept")


class ListeningView(BaseModel):
    """Where store-scp listens; null where this service was not told."""

    ae_title: str | None
    port: int | None


class SettingsView(BaseModel):
    """The defaults of this server."""

    default_peer: str | None
    export_profile: str
    export_options: tuple[str, ...]
    log_level: LogLevel
    listening: ListeningView = Field(description="Not to be changed here")
    revision: int


class SettingsRoutes:
    """Handlers."""

    def __init__(self, settings: ServerSettings, receiver: Callable[[], Receiver | None]) -> None:
        self._settings = settings
        self._receiver = receiver

    def routes(self) -> Sequence[AnyRoute]:
        """Return the routes."""
        return (
            Route(
                method="GET",
                template="/v1/settings",
                handler=self.get,
                operation_id="getSettings",
                role=Role.READER,
                summary="Defaults of this server",
                responses={200: SettingsView},
                errors=(503,),
                tags=_TAGS,
            ),
            Route(
                method="PUT",
                template="/v1/settings",
                handler=self.put,
                body=SettingsOrder,
                operation_id="putSettings",
                role=Role.ADMIN,
                summary="Change the defaults of this server",
                responses={200: SettingsView},
                errors=(409, 422, 503),
                tags=_TAGS,
            ),
        )

    async def get(self, _: Call) -> SettingsView:
        """Return the defaults."""
        return self._view(await self._settings.get())

    async def put(self, call: Call[Nothing, Nothing, SettingsOrder]) -> SettingsView:
        """Change the defaults."""
        order = call.body
        defaults = Defaults(**order.model_dump(exclude={"revision"}))
        return self._view(await self._settings.put(defaults, revision=order.revision))

    def _view(self, revised: Revised) -> SettingsView:
        defaults, receiver = revised.defaults, self._receiver()
        return SettingsView(
            default_peer=defaults.default_peer,
            export_profile=defaults.export_profile,
            export_options=defaults.export_options,
            log_level=defaults.log_level or self._settings.configured_level,
            listening=ListeningView(
                ae_title=None if receiver is None else receiver.ae_title,
                port=None if receiver is None else receiver.port,
            ),
            revision=revised.revision,
        )
