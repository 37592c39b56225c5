"""Words of a tree's lines: dates, counts, values that cannot break a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

INDENT = "  "
VERSIONS = "several versions"


def date(stored: str) -> str:
    """Return YYYYMMDD as YYYY-MM-DD, and anything else as it is."""
    if len(stored) == 8 and stored.isascii() and stored.isdigit():
        return f"{stored[:4]}-{stored[4:6]}-{stored[6:]}"
    return plain(stored)


def count(number: int, noun: str) -> str:
    """Return a number and its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def plain(value: str) -> str:
    """Return a value that cannot break a line or speak to a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)


def line(*facts: str) -> str:
    """Return the facts that there are, with commas between them."""
    return ", ".join(fact for fact in facts if fact)


def below(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines one level deeper."""
    return (INDENT + text for text in lines)
