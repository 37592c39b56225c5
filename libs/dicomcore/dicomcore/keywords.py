"""Keywords of the data dictionary (PS3.6) by a part of them, for those who type one."""

from __future__ import annotations

from dataclasses import dataclass

from dicomcore.attribute_names import names_of
from dicomcore.dictionary import tags_by_keyword, vr_of_tag


@dataclass(frozen=True, slots=True)
class Keyword:
    """One attribute by its keyword."""

    keyword: str
    tag: str
    """`(300A,00B0)`."""
    name: str
    vr: str
    """`US or SS` and the like where there are several."""


def keywords_like(text: str, *, limit: int) -> tuple[Keyword, ...]:
    """Return keywords that hold `text`, in any case: those that start with it first, short ones first."""
    wanted = text.casefold()
    found = sorted(
        (not keyword.casefold().startswith(wanted), len(keyword), keyword, tag)
        for keyword, tag in tags_by_keyword().items()
        if wanted in keyword.casefold()
    )
    return tuple(
        Keyword(keyword, f"({tag >> 16:04X},{tag & 0xFFFF:04X})", names_of(tag)[1], vr_of_tag(tag))
        for _, _, keyword, tag in found[:limit]
    )
