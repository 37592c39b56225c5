"""Opaque cursors: where the next page starts, as a text the caller hands back untouched."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from dicomcore.errors import InvalidRequest

M = TypeVar("M", bound=BaseModel)
MAX_LENGTH = 4096
"""A name and a Patient ID of 256 characters each, as they are kept at most, of four bytes each."""


def encode_cursor(position: BaseModel) -> str:
    """Return a position as base64url of its JSON, with the name of its model in front.

    A cursor is opaque, not secret and not signed: it grants nothing, for each request is
    authenticated and filtered anew, and whatever comes back is validated.
    """
    text = f"{type(position).__name__}:{position.model_dump_json()}"
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode("ascii")


def decode_cursor(text: str, kind: type[M]) -> M:
    """Return the position in a cursor.

    Raises
    ------
    InvalidRequest
        Not a cursor, or one of another listing.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidRequest("not a cursor of this listing")
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        name, _, body = base64.b64decode(padded, altchars=b"-_", validate=True).partition(b":")
        if name != kind.__name__.encode():
            raise InvalidRequest("not a cursor of this listing")
        return kind.model_validate_json(body)
    except (UnicodeEncodeError, binascii.Error, ValidationError):
        raise InvalidRequest("not a cursor of this listing") from None
