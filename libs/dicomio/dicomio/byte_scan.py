"""Proves by vector arithmetic that none of many texts is among some bytes: pixels, as images have them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

_GRAM = 4
"""Bytes of a text by which it is looked for."""
_MIN_LENGTH = _GRAM + 1
_FOLD = 0x20202020
"""Makes capital letters small, and other bytes others: what is found more is looked at closely."""
_HASH = 2654435761
_TABLE_BITS = 16
_MAX_CHANCES = 1 << 10
"""Places that are looked at one by one; where there are more, nothing is said."""


class TextsRuledOut:
    """Says whether it is certain that none of some texts is between two offsets; False says nothing.

    A value of 16-bit numbers is ruled out at once if no high byte is a letter and no few numbers in a
    row are letters. Any other is looked through at every even offset for the first four bytes of each
    text and the four after its first: one of them is there wherever the text begins. Neither takes
    longer for more texts.

    Parameters
    ----------
    needles
        Texts of five bytes or more, as encoded, ASCII letters small; their case does not matter.
    """

    def __init__(self, needles: Sequence[bytes]) -> None:
        if any(len(needle) < _MIN_LENGTH for needle in needles):
            raise ValueError("a text is too short to be looked for")
        wide = [needle for needle in needles if not any(needle[1::2]) and len(needle) % 2]
        narrow = [needle for needle in needles if needle not in set(wide)]
        spelled = b"".join((*narrow, *(needle[::2] for needle in wide)))
        letters = spelled + spelled.upper()
        self._low, self._high = (min(letters), max(letters)) if letters else (0, 0)
        self._run = min((len(needle) // 2 for needle in wide), default=_GRAM)
        self._grams = _grams(needles)
        self._longest = max(map(len, needles), default=0)
        self._pattern = re.compile(b"|".join(map(re.escape, needles))) if needles else None

    def __call__(self, data: bytes, start: int, stop: int) -> bool:
        """Return it (`dicomcore.deident.RulesOut`)."""
        if self._pattern is None or self._no_letters(data, start, stop):
            return True
        for first in (start, start + _GRAM // 2):
            places = self._chances(data, first, stop)
            if len(places) > _MAX_CHANCES:
                return False
            for place in places:
                at = max(first + _GRAM * int(place) - 1, start)
                if self._pattern.search(data[at : min(at + self._longest + 1, stop)].lower()):
                    return False
        return True

    def _no_letters(self, data: bytes, start: int, stop: int) -> bool:
        """Return whether 16-bit numbers cannot spell: by their high bytes, and by runs of small ones."""
        numpy, low, high = _numpy(), self._low, self._high
        numbers = numpy.frombuffer(data, "<u2", (stop - start) // 2, start)
        # differences wrap around: what is below the range is far above it
        if ((numbers - numpy.uint16(low << 8)) <= numpy.uint16((high - low << 8) + 0xFF)).any():
            return False
        run = (numbers - numpy.uint16(low)) <= numpy.uint16(high - low)
        length = 1
        while length < self._run:  # no zero need follow the last letter
            step = min(length, self._run - length)
            run = run[:-step] & run[step:]
            length += step
        return not run.any()

    def _chances(self, data: bytes, start: int, stop: int) -> Any:
        """Return at which of every four bytes a gram is, with what follows it."""
        numpy, grams = _numpy(), self._grams
        words = numpy.frombuffer(data, "<u4", (stop - start) // _GRAM, start)
        words = words | numpy.uint32(_FOLD)
        hashes = (words * numpy.uint32(_HASH)) >> numpy.uint32(32 - _TABLE_BITS)
        places = numpy.flatnonzero(grams.table.take(hashes, mode="clip"))
        found = words[places]
        index = grams.words.searchsorted(found).clip(max=len(grams.words) - 1)
        exact = grams.words[index] == found
        places, index = places[exact], index[exact]
        after = words[(places + 1).clip(max=len(words) - 1)]
        same = ((after ^ grams.after[index]) & grams.masks[index]) == 0
        return places[same | (places + 1 == len(words))]


class _Grams:
    """Four bytes of each text in ascending order, and what of it follows them."""

    def __init__(self, following: dict[int, tuple[int, int]]) -> None:
        numpy = _numpy()
        ordered = sorted(following)
        self.words = numpy.array(ordered, "u4")
        self.after = numpy.array([following[word][0] for word in ordered], "u4")
        self.masks = numpy.array([following[word][1] for word in ordered], "u4")
        self.table = numpy.zeros(1 << _TABLE_BITS, bool)
        self.table[(self.words * numpy.uint32(_HASH)) >> numpy.uint32(32 - _TABLE_BITS)] = True


def _grams(needles: Sequence[bytes]) -> _Grams:
    following: dict[int, tuple[int, int]] = {}
    for needle in needles:
        for at in (0, 1):
            word, _ = _word(needle[at : at + _GRAM])
            after = _word(needle[at + _GRAM : at + 2 * _GRAM])
            # texts that begin alike are told apart later
            following[word] = after if following.get(word, after) == after else (0, 0)
    return _Grams(following)


def _word(part: bytes) -> tuple[int, int]:
    """Return up to four bytes as a number, folded, and which of its bits count."""
    mask = (1 << 8 * len(part)) - 1
    return (int.from_bytes(part, "little") | _FOLD) & mask, mask


@lru_cache(maxsize=1)
def _numpy() -> Any:
    """Import it where it is first needed: that takes a tenth of a second."""
    import numpy

    return numpy
