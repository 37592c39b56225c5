"""Tenants: whose exports are whose, within one installation."""

from __future__ import annotations

import re

from dicomcore.errors import InvalidRequest

DEFAULT_TENANT = "default"
"""Of callers whose token names none."""
_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def parse_tenant(text: str) -> str:
    """Return the name of a tenant, which becomes part of object keys.

    Raises
    ------
    InvalidRequest
        It is not 1 to 63 small letters, digits and hyphens, with none of these at either end.
    """
    if _TENANT.fullmatch(text) is None:
        raise InvalidRequest("not a name of a tenant: small letters, digits, '-'")
    return text
