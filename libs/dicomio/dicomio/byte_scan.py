"""Proves by vector arithmetic that no text is among 16-bit numbers: pixels, as most images have them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


def rules_out(data: bytes, start: int, stop: int, letters: bytes, shortest: int) -> bool:
    """Return whether it is certain that no text is between two offsets (`dicomcore.deident.RulesOut`).

    False says nothing. Without letters among the high bytes there is no text of two bytes or more,
    but UTF-16 with its zeros there; and that is a run of small numbers.
    """
    numpy = _numpy()
    numbers = numpy.frombuffer(data, "<u2", (stop - start) // 2, start)
    low, high = min(letters), max(letters)
    if ((numbers - numpy.uint16(low << 8)) <= numpy.uint16((high - low << 8) + 0xFF)).any():
        return False
    # from here on, differences wrap around: what is below the range is far above it
    run = (numbers - numpy.uint16(low)) <= numpy.uint16(high - low)
    length, wanted = 1, shortest - 1  # no zero need follow the last letter
    while length < wanted:
        step = min(length, wanted - length)
        run = run[:-step] & run[step:]
        length += step
    return not run.any()


@lru_cache(maxsize=1)
def _numpy() -> Any:
    """Import it where it is first needed: that takes a tenth of a second."""
    import numpy

    return numpy
