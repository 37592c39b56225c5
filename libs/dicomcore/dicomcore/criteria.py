r"""What a value has to be: the right side of `tag=…`, and its rules (PS3.4 C.2.2.2, adapted).

What a text means depends on the VR that the dictionary gives the attribute:

===============  ======================================================================
``?``            any value, also an empty one; it is told. A literal one: ``\?``
nothing          the attribute is there and empty
``AP*``          text with wildcards: ``*`` any characters, also none; ``?`` one. ``\*`` is a
                 star, ``\?`` a question mark, ``\\`` a backslash; other backslashes are themselves
``10``           numbers (IS, DS, US, SS, UL, SL, UV, SV, FL, FD) are compared as numbers:
                 10 is 10.0 is 1e1. Private tags: as numbers where the value is one
``10..20``       numbers from 10 to 20, ends included; ``10..`` and ``..20``
``20240131``     dates and times (DA, TM, DT) are as precise as they are written: ``2024`` is any
                 day of that year, a time of ``10`` any time from 10:00 to 10:59
``2024-202402``  dates and times from the beginning of one to the end of the other; ``2024-``,
                 ``-2024``. ``..`` means the same; date-times (DT) take ``..`` only
===============  ======================================================================

Case counts, also in names of people. Spaces at either end count neither here nor in a value. Of an
attribute with several values each is compared by itself, and one is enough. Component groups at the
end of a person's name that are empty do not count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from dicomcore.tagpath import ValueClass, expected

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
"""A decimal string (PS3.5 6.2)."""
PADDING = " \0\t\r\n"
"""What does not count at either end of a value, and of what is typed."""
_TIMES = {
    "DA": r"[0-9]{4}([0-9]{2}){0,2}",
    "TM": r"([0-9]{2}){1,3}|[0-9]{6}\.[0-9]{1,6}",
    "DT": r"[0-9]{4}([0-9]{2}){0,5}|[0-9]{14}\.[0-9]{1,6}",
}
_FORMS = {
    "DA": "a date, YYYYMMDD, YYYYMM or YYYY, or a range of them: YYYYMMDD-YYYYMMDD",
    "TM": "a time, HHMMSS.F, HHMMSS, HHMM or HH, or a range of them: HHMM-HHMM",
    "DT": "a date and time, YYYYMMDDHHMMSS.F, as precise as you like, or a range: YYYY..YYYYMM",
}
_AFTER_DIGITS = ":"
_AFTER_TIMES = "~"


class Value(NamedTuple):
    """One value of an attribute; a tuple, because there are millions of them."""

    text: str
    """Decoded, without padding. Numbers of binary VRs in the shortest decimal form."""
    number: float | None = None
    """If the VR is one of numbers and the value is one; 64-bit floating point."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`?`: any value; it is what the caller wants to know."""

    def matches(self, value: Value) -> bool:
        """Return whether the value fits: always."""
        del value
        return True

    def __str__(self) -> str:
        return "?"


@dataclass(frozen=True, slots=True)
class Equal:
    """One value: by number where both are numbers, by characters otherwise."""

    text: str
    number: float | None = None
    """Never set where the dictionary says that the attribute is no number."""

    def matches(self, value: Value) -> bool:
        """Return whether the value is this one."""
        if self.number is not None and value.number is not None:
            return self.number == value.number
        return self.text == value.text

    def __str__(self) -> str:
        return _escaped(self.text)


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Text with `*` and `?`."""

    pattern: str
    """As written: literal `*`, `?` and backslash have a backslash before them."""

    def matches(self, value: Value) -> bool:
        """Return whether all of the value fits the pattern."""
        return _compiled(self.pattern).fullmatch(value.text) is not None

    @property
    def tokens(self) -> Sequence[str]:
        r"""The pattern's characters in order: `*` and `?` are wildcards, `\*`, `\?`, `\\` literal."""
        return _tokens(self.pattern)

    @property
    def prefix(self) -> str:
        """The literal characters before the first wildcard."""
        tokens = self.tokens
        end = next(place for place, token in enumerate(tokens) if token in ("*", "?"))
        return "".join(token[-1] for token in tokens[:end])

    def __str__(self) -> str:
        return self.pattern


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Numbers between two, ends included; not both are None."""

    low: float | None
    high: float | None

    def matches(self, value: Value) -> bool:
        """Return whether the value is a number in the range."""
        number = value.number
        if number is None:
            return False
        return (self.low is None or self.low <= number) and (
            self.high is None or number <= self.high
        )

    def __str__(self) -> str:
        return f"{_number_text(self.low)}..{_number_text(self.high)}"


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Dates or times from the beginning of one to the end of the other; not both are empty.

    Notes
    -----
    A value fits if it is `lower <= value < upper` in code point order, as text: PS3.5 writes times
    so that this is their order. Offsets from UTC are not looked at.
    """

    low: str
    high: str

    @property
    def lower(self) -> str:
        """The least text that fits."""
        return self.low or "0"

    @property
    def upper(self) -> str:
        """The least text that is too great."""
        return self.high + _AFTER_TIMES if self.high else _AFTER_DIGITS

    def matches(self, value: Value) -> bool:
        """Return whether the value is in the range."""
        return self.lower <= value.text < self.upper

    def __str__(self) -> str:
        return self.low if self.low == self.high else f"{self.low}..{self.high}"


Criterion = Asked | Equal | Wildcard | NumberRange | TimeRange


def parse_criterion(text: str, kind: ValueClass, vr: str, position: int = 0) -> Criterion:
    """Return what a text asks of an attribute's values.

    Parameters
    ----------
    vr
        In the dictionary; empty if unknown.
    position
        0-based place of the text in what the user typed, for the error.

    Raises
    ------
    InvalidRequest
        It is no number where the attribute is one, no time where it is one.
    """
    stripped = text.strip(PADDING)
    position += len(text) - len(text.lstrip(PADDING))
    if stripped == "?":
        return Asked()
    if any(token in ("*", "?") for token in _tokens(stripped)):
        return Wildcard("".join(map(_canonical, _tokens(stripped))))
    if not stripped:
        return Equal("")
    if kind is ValueClass.TIME:
        return _time(stripped, vr, position)
    if kind is ValueClass.NUMBER:
        number = _number(stripped)
        if number is None:
            raise expected("a number, or a range of numbers: 10..20", position)
        return number
    literal = "".join(token[-1] for token in _tokens(stripped))
    if vr == "PN":
        literal = literal.rstrip("= ")
    return (kind is ValueClass.UNKNOWN and _number(stripped)) or Equal(literal)


def number_of(text: str) -> float | None:
    """Return the number that a text is, if it is a finite one."""
    if NUMBER.fullmatch(text) is None:
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _number(text: str) -> Criterion | None:
    number = number_of(text)
    if number is not None:
        return Equal(text, number)
    low, separator, high = text.partition("..")
    ends = [number_of(end.strip()) if end.strip() else None for end in (low, high)]
    unread = any(
        end is None and typed.strip() for end, typed in zip(ends, (low, high), strict=True)
    )
    if not separator or unread or ends == [None, None]:
        return None
    if None not in ends and ends[0] > ends[1]:  # type: ignore[operator] # neither is None
        return None
    return NumberRange(*ends)


def _time(text: str, vr: str, position: int) -> TimeRange:
    form = _TIMES[vr]
    separator = ".." if ".." in text or vr == "DT" else "-"
    low, _, high = text.partition(separator)
    if separator not in text:
        high = low
    low, high = low.strip(), high.strip()
    fits = all(re.fullmatch(form, end, re.ASCII) for end in (low, high) if end)
    found = TimeRange(low, high)
    if not fits or not (low or high) or found.lower >= found.upper:
        raise expected(_FORMS[vr], position)
    return found


def _number_text(number: float | None) -> str:
    if number is None:
        return ""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _tokens(pattern: str) -> Sequence[str]:
    return re.findall(r"\\[\\*?]|.", pattern, re.DOTALL)


def _canonical(part: str) -> str:
    return "\\\\" if part == "\\" else part


def _escaped(text: str) -> str:
    return re.sub(r"([\\*?])", r"\\\1", text)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    wild = {"*": ".*", "?": "."}
    parts = (wild.get(token) or re.escape(token[-1]) for token in _tokens(pattern))
    return re.compile("".join(parts), re.DOTALL)
