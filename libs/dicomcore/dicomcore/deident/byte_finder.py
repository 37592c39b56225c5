"""Finds names and IDs in bytes of which nothing is known, in every usual encoding of text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from dicomcore.deident.identifiers import KnownIdentifiers

MIN_BYTES = 5
"""Shorter ones stand by chance in megabytes of pixels; text is searched for them by its words."""
MIN_DIGITS = 8
"""Of an identifier that is a number only."""
LARGE = 1 << 12
"""Bytes from which it pays to look at every other byte first."""
RulesOut = Callable[[bytes, int, int], bool]
"""Whether it is certain that none of some texts is between two offsets of some bytes, by fast means;
False says nothing."""
MakeRulesOut = Callable[[Sequence[bytes]], RulesOut]
"""Prepares that for texts of `MIN_BYTES` or more, as encoded, ASCII letters small."""
_MAX_CHANCES = 64
"""Places that are looked at one by one; where there are more, all bytes are searched."""
_RUN = b"a"
_OTHER = b" "
_BYTEWISE = ("utf-8", "latin-1")
_WIDE = ("utf-16-le", "utf-16-be")


class ByteFinder:
    """Searches a value of any size: first for bytes that could spell anything, then for texts.

    A search for the texts themselves costs ten times as much as the proof that there is nothing to
    search: a text is a run of letters, or, in UTF-16, of letters with a zero after each. Of 16-bit
    numbers, every other byte mostly rules out both.
    """

    __slots__ = (
        *("_alternating", "_half", "_letters", "_pattern", "_rules_out", "_run"),
        *("_table", "_zeros"),
    )

    def __init__(self, known: KnownIdentifiers, rules_out: MakeRulesOut | None = None) -> None:
        texts = _spellings(known)
        bytewise = [n for text in texts for codec in _BYTEWISE for n in _encoded(text, codec)]
        wide = [needle for text in texts for needle in _wide(text)]
        needles = sorted({*bytewise, *wide})
        self._pattern = _compiled(needles)
        self._rules_out = None if rules_out is None else rules_out(needles)
        letters = {letter for needle in bytewise for letter in needle.lower() + needle.upper()}
        self._table = bytes(_class_of(byte, letters) for byte in range(256))
        shortest = min(map(len, texts), default=MIN_BYTES)
        # in UTF-16, every other byte of what Latin-1 can spell is zero; of the rest, any byte may come
        latin = all(_is_latin(text) for text in texts)
        self._run = _RUN * min(map(len, bytewise), default=MIN_BYTES) if latin else b""
        self._half = _RUN * (len(self._run) // 2)
        self._letters = _RUN * shortest
        self._zeros = b"\0" * (shortest - 1)
        self._alternating = b"\0".join([_RUN] * shortest)

    def contains(self, data: bytes, start: int = 0, stop: int | None = None) -> bool:
        """Return whether a known name or ID is between two offsets, in any case of ASCII letters.

        Of other letters, the usual cases are found: all small, all capital, a capital first.
        """
        stop = len(data) if stop is None else stop
        if self._pattern is None or stop - start < MIN_BYTES:
            return False
        if stop - start < LARGE:
            possible = not self._run or self._possible(data, start, stop)
        elif self._rules_out is not None:
            possible = not self._rules_out(data, start, stop)
        else:
            possible = not self._run or self._possible_in_large(data, start, stop)
        return possible and self._pattern.search(data[start:stop].lower()) is not None

    def _possible(self, data: bytes, start: int, stop: int) -> bool:
        """Return whether there is a run of letters, or of letters with zeros between."""
        classes = data[start:stop].translate(self._table)
        return self._run in classes or self._alternating in classes

    def _possible_in_large(self, data: bytes, start: int, stop: int) -> bool:
        """Return the same, or True where that would be more to find out."""
        odd = data[start + 1 : stop : 2].translate(self._table)
        # every other byte of a run is a letter, too; memchr first, which is quicker by far
        if _RUN in odd and self._half in odd:
            return self._possible(data, start, stop)
        # what is left is UTF-16 with letters at even and zeros at odd offsets
        for chances, at in enumerate(_places(odd, self._zeros)):
            if chances == _MAX_CHANCES:
                return self._possible_at_even(data, start, stop, odd)
            first = start + 2 * at
            letters = data[first : first + 2 * len(self._letters) : 2].translate(self._table)
            if letters == self._letters:
                return True
        return False

    def _possible_at_even(self, data: bytes, start: int, stop: int, odd: bytes) -> bool:
        even = data[start:stop:2].translate(self._table)
        zeros = self._zeros
        for chances, at in enumerate(_places(even, self._letters)):
            if chances == _MAX_CHANCES or odd.startswith(zeros, at):
                return True
        return False


def _places(classes: bytes, run: bytes) -> Iterator[int]:
    """Yield where a run is, one that overlaps another too."""
    at = classes.find(run)
    while at >= 0:
        yield at
        at = classes.find(run, at + 1)


def _spellings(known: KnownIdentifiers) -> list[str]:
    texts = {text for text in known.names if len(text) >= MIN_BYTES}
    texts |= {text for text in known.ids if len(text) > MIN_BYTES and not text.isdigit()}
    texts |= {text for text in known.ids if len(text) >= MIN_DIGITS}
    return sorted({spelled for text in texts for spelled in (text, text.upper(), text.title())})


def _encoded(text: str, codec: str) -> Iterable[bytes]:
    try:
        return (text.encode(codec).lower(),)
    except UnicodeEncodeError:
        return ()


def _wide(text: str) -> Iterable[bytes]:
    """Return a text in UTF-16; of what Latin-1 can spell, what both byte orders have in common."""
    if _is_latin(text):
        return (b"\0".join(bytes((byte,)) for byte in text.encode("latin-1").lower()),)
    return [needle for codec in _WIDE for needle in _encoded(text, codec)]


def _is_latin(text: str) -> bool:
    return all(character <= "\xff" for character in text)


def _class_of(byte: int, letters: set[int]) -> int:
    if byte == 0:
        return 0
    return _RUN[0] if byte in letters else _OTHER[0]


def _compiled(needles: Iterable[bytes]) -> re.Pattern[bytes] | None:
    patterns = [re.escape(needle) for needle in needles]
    return re.compile(b"|".join(patterns)) if patterns else None
