"""Which keys and values a KeyValue takes: the same on every adapter."""

from __future__ import annotations

import re

from dicomcore.errors import InvalidRequest

MAX_VALUE_BYTES = 512 * 1024
# NATS makes a subject of the key: no empty token, so no dot at the ends and no two in a row.
_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)


def checked_key(key: str) -> str:
    """Return `key`, if it can be one.

    Raises
    ------
    InvalidRequest
    """
    if _KEY.fullmatch(key) is None:
        raise InvalidRequest("not a key of the key-value store", length=len(key))
    return key


def checked_value(value: bytes) -> bytes:
    """Return `value`, if it is small enough.

    Raises
    ------
    InvalidRequest
    """
    if len(value) > MAX_VALUE_BYTES:
        raise InvalidRequest("value too large for the key-value store", size_bytes=len(value))
    return value
