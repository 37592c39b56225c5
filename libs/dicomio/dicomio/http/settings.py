"""Settings of admission that every service has, under its own prefix: `<SERVICE>_HTTP_…`."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from dicomcore.errors import InvalidRequest
from dicomio.http.auth import Access
from dicomio.http.buckets import Rate
from dicomio.http.oidc import ALGORITHMS, OidcOptions
from dicomio.http.roles import GIVEN, Role
from dicomio.http.tokens import BearerToken, parse_tokens, read_tokens


class AccessSettings(BaseSettings):
    """Fields that a service's settings inherit; their prefix is the service's."""

    http_token_sha256: str | None = None
    """SHA-256 of the one bearer token that may do everything, hexadecimal."""
    http_tokens: SecretStr | None = None
    """JSON `{NAME: {"sha256": "…", "roles": ["reader"]}}`."""
    http_tokens_file: Path | None = None
    """The same in a file: `{"tokens": {…}}` in JSON, or TOML with `[tokens.NAME]`."""

    http_oidc_issuer: str | None = None
    """Tokens (JWT) of this OpenID Connect provider are accepted."""
    http_oidc_audience: str | None = None
    """Required with an issuer: tokens for others are refused."""
    http_oidc_jwks_url: str = ""
    """Where the provider's keys are; empty: as its discovery document says."""
    http_oidc_algorithms: str = " ".join(ALGORITHMS)
    """Separated by spaces."""
    http_oidc_roles_claim: str = "roles"
    """Claim that names the roles, with dots into objects: `realm_access.roles`."""
    http_oidc_tenant_claim: str = ""
    """Claim that names the tenant, with dots into objects; empty: everyone is of one tenant."""
    http_oidc_role_names: str = ""
    """JSON `{"what the claim says": "reader"}`; empty: the claim says our names."""
    http_oidc_ca_file: Path | None = None
    http_oidc_client_id: str = ""
    """Of the web page, a public client with PKCE; empty: the page takes tokens only."""
    http_oidc_scopes: str = "openid"
    """What the page asks the provider for, separated by spaces."""

    http_rate_per_s: float = Field(default=100.0, ge=0)
    """Requests of one caller, on average; 0: no limit. Each replica counts for itself."""
    http_burst: int = Field(default=400, ge=1)
    http_max_body_bytes: int = Field(default=1 << 20, ge=1024)
    http_cors_origins: str = ""
    """Origins whose pages may call, separated by commas; empty: only our own."""

    def access(self) -> Access:
        """Return who may call, and how much.

        Raises
        ------
        InvalidRequest
            Something of it cannot be understood.
        """
        return Access(
            tokens=self._tokens(),
            oidc=self._oidc(),
            max_body_bytes=self.http_max_body_bytes,
            rate=Rate(self.http_rate_per_s, self.http_burst) if self.http_rate_per_s else None,
            cors_origins=frozenset(_listed(self.http_cors_origins)),
        )

    def _tokens(self) -> tuple[BearerToken, ...]:
        tokens: tuple[BearerToken, ...] = ()
        if self.http_token_sha256:
            tokens = (BearerToken(self.http_token_sha256),)
        if self.http_tokens is not None and self.http_tokens.get_secret_value().strip():
            tokens += parse_tokens(self.http_tokens.get_secret_value())
        if self.http_tokens_file is not None:
            tokens += read_tokens(self.http_tokens_file)
        return tokens

    def _oidc(self) -> OidcOptions | None:
        if not self.http_oidc_issuer:
            if self.http_oidc_audience:
                raise InvalidRequest("an OIDC audience is set, and no issuer")
            return None
        return OidcOptions(
            issuer=self.http_oidc_issuer,
            audience=self.http_oidc_audience or "",
            jwks_url=self.http_oidc_jwks_url,
            algorithms=tuple(self.http_oidc_algorithms.split()),
            roles_claim=self.http_oidc_roles_claim,
            role_names=_role_names(self.http_oidc_role_names),
            tenant_claim=self.http_oidc_tenant_claim,
            ca_file=self.http_oidc_ca_file,
            client_id=self.http_oidc_client_id,
            scopes=tuple(self.http_oidc_scopes.split()),
        )


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _role_names(text: str) -> dict[str, Role]:
    if not text.strip():
        return {role.value: role for role in GIVEN}
    try:
        return {str(name): Role(role) for name, role in json.loads(text).items()}
    except (ValueError, AttributeError) as exc:
        raise InvalidRequest("names of roles are JSON {name: role}") from exc
