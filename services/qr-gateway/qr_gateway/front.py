"""What the web page needs before anyone has signed in: its files, and how one signs in."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, Field

from dicomio.http import (
    Access,
    AnyRoute,
    Call,
    Discovery,
    Mount,
    Onward,
    OnwardOptions,
    Principal,
    Role,
    Route,
    principal_of,
    site,
)
from dicomio.http.roles import GIVEN, granted

BANNER = "Not validated for clinical use"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src {reached}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
INDEXER_PATHS = tuple(
    f"/v1/{name}"
    for name in (
        "exports",
        "instances",
        "keywords",
        "patients",
        "plans",
        "reindex",
        "search",
        "series",
        "stats",
        "studies",
        "trees",
        "values",
    )
)
"""What the indexer answers: these, and what is below them. None of it is the gateway's own."""


class OidcSignIn(BaseModel):
    """Where the page has people signed in: authorization code with PKCE, as a public client."""

    issuer: str
    client_id: str
    authorization_endpoint: str
    token_endpoint: str
    end_session_endpoint: str
    scopes: tuple[str, ...]
    available: bool = Field(
        description="False while the provider's discovery document cannot be had"
    )


class PrincipalView(BaseModel):
    """Who calls."""

    name: str
    issuer: str
    roles: tuple[Role, ...] = Field(description="Also those that others imply")


class Session(BaseModel):
    """Whether one has to sign in, how one can, and who one is."""

    authentication: Literal["none", "required"]
    methods: tuple[Literal["token", "oidc"], ...]
    oidc: OidcSignIn | None
    principal: PrincipalView | None
    version: str
    banner: str = BANNER


class Front:
    """The page's files and its session; made on the event loop that it is used on.

    Parameters
    ----------
    version
        Of this program.
    indexer
        Where the indexer's paths are handed on to; None where they are in the same application.
    """

    def __init__(
        self, access: Access, version: str, *, indexer: OnwardOptions | None = None
    ) -> None:
        self._access = access
        self._version = version
        self._discovery = None if access.oidc is None else Discovery(access.oidc)
        self._onward = None if indexer is None else Onward(indexer)

    def routes(self) -> Sequence[AnyRoute]:
        """Return the routes."""
        return (
            Route(
                method="GET",
                template="/v1/session",
                handler=self.session,
                operation_id="getSession",
                role=Role.ANYONE,
                recognises=True,
                summary="How to sign in, and who one is",
                responses={200: Session},
                errors=(401,),
                tags=("session",),
            ),
        )

    def mounts(self) -> Sequence[Mount]:
        """Return the files of the page, and the paths that are handed on."""
        page = site(files("qr_gateway") / "web", self.policy)
        return page if self._onward is None else (*page, *self._onward.mounts(INDEXER_PATHS))

    async def policy(self) -> str:
        """Return the Content-Security-Policy of the page, which may reach us and where one signs in."""
        elsewhere = () if self._discovery is None else await self._discovery.origins()
        return POLICY.format(reached=" ".join(("'self'", *elsewhere)))

    async def session(self, call: Call) -> Session:
        """Return how one signs in; with a token, whose it is."""
        oidc = await self._sign_in()
        methods: list[Literal["token", "oidc"]] = []
        if self._access.tokens or (self._access.authenticated and oidc is None):
            methods.append("token")
        if oidc is not None:
            methods.append("oidc")
        return Session(
            authentication="required" if self._access.authenticated else "none",
            methods=tuple(methods),
            oidc=oidc,
            principal=_view(principal_of(call)),
            version=self._version,
        )

    async def close(self) -> None:
        """Release connections."""
        if self._discovery is not None:
            await self._discovery.close()
        if self._onward is not None:
            await self._onward.close()

    async def _sign_in(self) -> OidcSignIn | None:
        options = self._access.oidc
        if options is None or self._discovery is None or not options.client_id:
            return None
        known = await self._discovery.endpoints()
        return OidcSignIn(
            issuer=options.issuer,
            client_id=options.client_id,
            authorization_endpoint="" if known is None else known.authorization,
            token_endpoint="" if known is None else known.token,
            end_session_endpoint="" if known is None else known.end_session,
            scopes=options.scopes,
            available=known is not None,
        )


def _view(principal: Principal) -> PrincipalView | None:
    if not principal.name:
        return None
    held = [role for role in GIVEN if granted(principal.roles, role)]
    return PrincipalView(name=principal.name, issuer=principal.issuer, roles=tuple(sorted(held)))
