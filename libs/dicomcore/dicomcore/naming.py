"""Names made of what others typed: folders that every file system takes, numbers for several of a kind."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


def folder_name(text: str) -> str:
    """Return a name that every file system takes; two texts never share one, but for upper case.

    A name that had to be changed carries a part of the text's digest, so that `A/1` and `A:1` stay
    apart.
    """
    name = _NOT_IN_NAMES.sub("_", text).rstrip(". ")
    if name.startswith(".") or _RESERVED.fullmatch(name):
        name = f"_{name}"
    return name if name and name == text else f"{name or '_'}-{_digest(text)}"


def folder_names(texts: Sequence[str]) -> list[str]:
    """Return a folder for each; texts that differ only in case get the digest as well (Windows)."""
    folded = [folder_name(text).casefold() for text in texts]
    return [
        folder_name(text) if folded.count(name) == 1 else f"{folder_name(text)}-{_digest(text)}"
        for text, name in zip(texts, folded, strict=True)
    ]


def numbered(name: str, count: int) -> list[str]:
    """Return the names of so many: one keeps it, several are `NEW-01`, `NEW-02` and so on.

    Notes
    -----
    The number is the place in the list: the same list gives the same names.
    """
    if count == 1:
        return [name]
    digits = max(2, len(str(count)))
    return [f"{name}-{place:0{digits}}" for place in range(1, count + 1)]


def _digest(text: str) -> str:
    # A word on the command line that is not UTF-8 comes with lone surrogates.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
