"""Texts of real data in a form that every database takes, and back.

PostgreSQL refuses NUL, and no driver encodes a lone surrogate; both occur in Patient IDs of real
files (padding, wrong character sets). The escapes keep code point order and lose nothing, so that
paging and look-up by such an ID work like by any other.
"""

from __future__ import annotations

import re

MAX_CHARACTERS = 256
"""PS3.5 6.2 allows 64 in LO; PostgreSQL indexes at most about 2,700 bytes. Garbage is cut here."""

_SURROGATES = range(0xD800, 0xE000)
_TO_STORED: dict[int, str] = {0: "\x01\x01", 1: "\x01\x02", 0xE000: "\ue000\uf000"}
_TO_STORED.update({c: "\ue000" + chr(c + 0x800) for c in _SURROGATES})
_ESCAPED = re.compile("\x01[\x01\x02]|\ue000[\ue000-\ue7ff\uf000]")
_TO_ORIGINAL = {stored: chr(code) for code, stored in _TO_STORED.items()}


def storable(text: str) -> str:
    """Return `text` as it is kept: escaped, and cut to `MAX_CHARACTERS` before that."""
    return text[:MAX_CHARACTERS].translate(_TO_STORED)


def original(stored: str) -> str:
    """Return what `storable` was given, up to the cut."""
    return _ESCAPED.sub(lambda match: _TO_ORIGINAL[match.group()], stored)
