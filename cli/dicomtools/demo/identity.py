"""UIDs for made-up objects: the same words give the same UID, on every machine."""

from __future__ import annotations

import uuid

_NAMESPACE = uuid.UUID("5a0b9c3e-6d1f-5e2a-8c47-19d3f2b64e70")


def made_up_uid(*words: object) -> str:
    """Return a UID under 2.25 that names `words`, at most 44 characters.

    Notes
    -----
    PS3.5 B.2: UUID-derived UIDs; RFC 9562 5.5: a name-based UUID.
    """
    name = "/".join(str(word) for word in words)
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"
