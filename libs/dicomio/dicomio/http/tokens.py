"""Static bearer tokens: known only by their SHA-256, each with the roles it gives."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dicomcore.errors import InvalidRequest
from dicomio.http.roles import GIVEN, Role
from dicomio.http.tenants import DEFAULT_TENANT, parse_tenant

_SHA256_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", re.ASCII)
SINGLE = "token"
"""Name of the caller with the one token that is configured without a name."""


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token that is known only by its SHA-256, so that settings hold nothing to steal."""

    sha256: str = field(repr=False)
    """64 hexadecimal digits, lower case, of the token in UTF-8."""
    name: str = SINGLE
    """Who presents it; two tokens of one name are one caller, while it changes from one to the other."""
    roles: frozenset[Role] = frozenset({Role.ADMIN})
    tenant: str = DEFAULT_TENANT

    def __post_init__(self) -> None:
        if _SHA256_HEX.fullmatch(self.sha256) is None:
            raise InvalidRequest("not the SHA-256 of a token: 64 lower-case hexadecimal digits")
        if _NAME.fullmatch(self.name) is None:
            raise InvalidRequest("not a name of a token: letters, digits, '_', '.', '@', '-'")
        if not self.roles or not self.roles <= GIVEN:
            raise InvalidRequest(f"a token has one or more of the roles {', '.join(sorted(GIVEN))}")
        parse_tenant(self.tenant)

    def accepts(self, token: str) -> bool:
        """Return whether this is the token."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        return hmac.compare_digest(digest, self.sha256)


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    sha256: str | tuple[str, ...]
    roles: tuple[Role, ...] = Field(min_length=1)
    tenant: str = DEFAULT_TENANT


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    tokens: dict[str, _Entry] = Field(default_factory=dict)


def parse_tokens(text: str) -> tuple[BearerToken, ...]:
    """Return the tokens of a JSON text: `{NAME: {"sha256": "…" or ["…"], "roles": ["reader"]}}`.

    `"tenant"` may be given as well; without it, it is `default`.

    Raises
    ------
    InvalidRequest
        It cannot be understood; the sentence does not quote it.
    """
    try:
        content = json.loads(text)
    except ValueError as exc:
        raise InvalidRequest("the tokens are not JSON") from exc
    return _tokens({"tokens": content})


def read_tokens(path: Path) -> tuple[BearerToken, ...]:
    """Return the tokens of a file: `{"tokens": {NAME: {…}}}` in JSON, or `[tokens.NAME]` in TOML.

    Raises
    ------
    InvalidRequest
        It cannot be read.
    """
    try:
        text = path.read_text("utf-8-sig")
        content = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as exc:
        raise InvalidRequest("the file of tokens cannot be opened", problem=exc.strerror) from exc
    except ValueError as exc:
        raise InvalidRequest("the file of tokens is neither JSON nor TOML") from exc
    return _tokens(content)


def _tokens(content: object) -> tuple[BearerToken, ...]:
    try:
        entries: Mapping[str, _Entry] = _File.model_validate(content).tokens
    except ValidationError as exc:
        where = "; ".join(
            f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
            for error in exc.errors(include_input=False, include_url=False)
        )
        raise InvalidRequest("the tokens cannot be understood", where=where) from None
    return tuple(
        BearerToken(digest, name=name, roles=frozenset(entry.roles), tenant=entry.tenant)
        for name, entry in entries.items()
        for digest in ((entry.sha256,) if isinstance(entry.sha256, str) else entry.sha256)
    )
