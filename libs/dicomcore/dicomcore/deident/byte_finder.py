"""Finds names and IDs in bytes of which nothing is known, in every usual encoding of text."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dicomcore.deident.identifiers import KnownIdentifiers

MIN_BYTES = 5
"""Shorter ones stand by chance in megabytes of pixels; text is searched for them by its words."""
MIN_DIGITS = 8
"""Of an identifier that is a number only."""
_RUN = b"a"
_OTHER = b" "


class ByteFinder:
    """Searches a value of any size: first for a run of bytes that could spell anything, then for texts.

    A look-up of each byte and a search for such a run cost a tenth of a search for the texts
    themselves, and in pixels there is hardly ever one.
    """

    __slots__ = ("pattern", "runs", "table")

    def __init__(self, known: KnownIdentifiers) -> None:
        texts = _texts(known)
        bytewise = [n for text in texts for codec in _BYTEWISE for n in _encoded(text, codec)]
        wide = [n for text in texts for codec in _WIDE for n in _encoded(text, codec)]
        self.pattern = _compiled((*bytewise, *wide))
        # in UTF-16, every other byte of what Latin-1 can spell is zero; of the rest, any byte may come
        latin = all(_is_latin(text) for text in texts)
        alternating = b"\0".join([_RUN] * min(map(len, texts), default=1))
        self.runs = (_RUN * min(map(len, bytewise), default=1), alternating) if latin else (b"",)
        """What must be among the classes of bytes wherever a text is; nothing: anywhere."""
        letters = {letter for needle in bytewise for letter in needle.lower() + needle.upper()}
        self.table = bytes(_class_of(byte, letters) for byte in range(256))

    def scan(self, data: bytes) -> Scan:
        """Return the bytes, prepared for searching in parts of them."""
        return Scan(data, self)

    def contains(self, value: bytes) -> bool:
        """Return whether a known name or ID is in a value, in any case of ASCII letters."""
        return self.scan(value).contains(0, len(value))


class Scan:
    """An object's bytes; they are looked up once, whatever is asked about them."""

    __slots__ = ("_classes", "_data", "_finder")

    def __init__(self, data: bytes, finder: ByteFinder) -> None:
        self._data = data
        self._finder = finder
        self._classes = data.translate(finder.table) if finder.pattern else b""

    def contains(self, start: int, stop: int) -> bool:
        """Return whether a known name or ID is between two offsets."""
        pattern, runs = self._finder.pattern, self._finder.runs
        if pattern is None or all(self._classes.find(run, start, stop) < 0 for run in runs):
            return False
        return pattern.search(self._data[start:stop].lower()) is not None


_BYTEWISE = ("utf-8", "latin-1")
_WIDE = ("utf-16-le", "utf-16-be")


def _texts(known: KnownIdentifiers) -> list[str]:
    texts = {text for text in known.names if len(text) >= MIN_BYTES}
    texts |= {text for text in known.ids if len(text) > MIN_BYTES and not text.isdigit()}
    texts |= {text for text in known.ids if len(text) >= MIN_DIGITS}
    return sorted(texts)


def _encoded(text: str, codec: str) -> Iterable[bytes]:
    try:
        return (text.encode(codec).lower(),)
    except UnicodeEncodeError:
        return ()


def _is_latin(text: str) -> bool:
    return all(character <= "\xff" for character in text)


def _class_of(byte: int, letters: set[int]) -> int:
    if byte == 0:
        return 0
    return _RUN[0] if byte in letters else _OTHER[0]


def _compiled(needles: Iterable[bytes]) -> re.Pattern[bytes] | None:
    patterns = sorted(map(re.escape, set(needles)))
    return re.compile(b"|".join(patterns)) if patterns else None
