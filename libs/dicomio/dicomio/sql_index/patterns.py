"""Texts compared without case, with wildcards: the same on both databases, for both sides are folded."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dicomcore.plan_query import folded, is_pattern
from dicomio.sql_index.texts import storable

_SPECIAL = re.compile(r"[\\%_]")
_RUN = re.compile(r"\*+")


def kept(text: str) -> str:
    """Return a text as it is kept to be compared and sorted."""
    return storable(folded(text))


def like(text: str, *, whole: bool) -> str:
    r"""Return the pattern of `LIKE … ESCAPE '\'`.

    Parameters
    ----------
    whole
        Whether the whole value has to match; if not, a text without wildcards is found anywhere in it.
    """
    escaped = _SPECIAL.sub(lambda found: "\\" + found.group(), kept(text))
    pattern = _RUN.sub("%", escaped).replace("?", "_")
    return pattern if whole or is_pattern(text) else f"%{pattern}%"


def any_like(column: str, texts: Sequence[str], *, whole: bool) -> tuple[str, tuple[str, ...]]:
    """Return a condition that holds if one of the texts, at least one, matches; and its values."""
    each = " OR ".join([rf"{column} LIKE ? ESCAPE '\'"] * len(texts))
    return f"({each})", tuple(like(text, whole=whole) for text in texts)
