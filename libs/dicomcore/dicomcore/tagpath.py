"""Where an attribute is: `(300A,00B0)/(300A,00B2)`, by number, by keyword, private ones by creator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from dicomcore.dictionary import keyword_of_tag, tags_by_keyword, vr_of_tag
from dicomcore.errors import InvalidRequest

MAX_STEPS = 16
"""Radiotherapy objects nest fewer than ten sequences."""
_FILE_META = 0x0002
_NUMBER = re.compile(r"\s*([0-9A-Fa-f]{4})\s*,\s*([0-9A-Fa-f]{4}|[xX]{2}[0-9A-Fa-f]{2})\s*")
_KEYWORD = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*)\s*")
_CREATOR = re.compile(r":((?:[^\\)]|\\.)*)")
_TO_ESCAPE = re.compile(r"([\\)])")
_SPACES = re.compile(r"\s*")


class ValueClass(StrEnum):
    """How the values of an attribute are compared, as far as the dictionary tells (PS3.6)."""

    TEXT = "text"
    NUMBER = "number"
    """IS, DS and the binary numbers."""
    TIME = "time"
    """DA, TM and DT."""
    UNKNOWN = "unknown"
    """Private, or not in the dictionary: what an instance says counts."""
    NONE = "none"
    """Bulk values: OB, OD, OF, OL, OV, OW, UN."""
    SEQUENCE = "sequence"


_CLASSES = {
    **dict.fromkeys(("DA", "TM", "DT"), ValueClass.TIME),
    **dict.fromkeys(("IS", "DS", "US", "SS", "UL", "SL", "UV", "SV"), ValueClass.NUMBER),
    **dict.fromkeys(("FL", "FD", "US or SS", "US or SS or OW", "US or OW"), ValueClass.NUMBER),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW"), ValueClass.NONE),
    "SQ": ValueClass.SEQUENCE,
}


class Step(NamedTuple):
    """One attribute, or one sequence on the way to it; a tuple, because it is looked up so often."""

    tag: int
    """Group in the high, element in the low 16 bits; with a creator, the block's 8 bits are zero."""
    creator: str = ""
    """Private Creator that reserves the block (PS3.5 7.8.1); empty: the number as it stands."""

    def __str__(self) -> str:
        group, element = self.tag >> 16, self.tag & 0xFFFF
        if not self.creator:
            return f"({group:04X},{element:04X})"
        creator = _TO_ESCAPE.sub(r"\\\1", self.creator)
        return f"({group:04X},xx{element:02X}:{creator})"

    @property
    def vr(self) -> str:
        """The VR in the dictionary; empty if it is private or unknown there."""
        return _dictionary_vr(self.tag) if not self.creator else ""

    @property
    def value_class(self) -> ValueClass:
        """How its values are compared."""
        vr = self.vr
        return _CLASSES.get(vr, ValueClass.TEXT) if vr else ValueClass.UNKNOWN

    @property
    def keyword(self) -> str:
        """The keyword in the dictionary; empty if there is none."""
        return "" if self.creator else keyword_of_tag(self.tag)


Path = tuple[Step, ...]
"""Sequences from the data set inwards, then the attribute; never empty."""


def print_path(path: Path) -> str:
    """Return a path as `parse_path` reads it: by numbers, in upper case."""
    return "/".join(map(str, path))


def path_in_words(path: Path) -> str:
    """Return a path by keywords where there are such: `BeamSequence/TreatmentMachineName`."""
    return "/".join(step.keyword or str(step) for step in path)


def parse_path(text: str) -> Path:
    """Return the path that a text, and all of it, spells; see `read_path`.

    Raises
    ------
    InvalidRequest
        It spells none; `position` counts its characters from 1.
    """
    path, end = read_path(text)
    if end < len(text):
        raise expected("'/' and another tag, or the end", end)
    return path


def read_path(text: str) -> tuple[Path, int]:
    """Return the path at the beginning of a text, and the 0-based position after it.

    A tag is written `(300A,00B2)`, `300A,00B2` or as its keyword `TreatmentMachineName`, all in any
    case. A private tag is written as the number it has, `(3253,1000)`, or with its creator,
    `(3253,xx00:Varian Medical Systems VISION 3253)`, which finds it in whatever block the creator
    reserved; a `)` or a backslash in a creator has a backslash before it. Spaces around tags,
    commas and slashes do not count.

    Raises
    ------
    InvalidRequest
        No tag where one is expected, an unknown keyword, a step through what is no sequence, an end
        at what has no comparable value.
    """
    steps: list[Step] = []
    position = 0
    while True:
        start = _SPACES.match(text, position).end()  # type: ignore[union-attr] # it always matches
        step, position = _step(text, start)
        steps.append(step)
        last = text[position : position + 1] != "/"
        _check(steps, start, last=last)
        if last:
            return tuple(steps), position
        position += 1


def expected(what: str, position: int) -> InvalidRequest:
    """Return the error for something else at a 0-based position; it does not quote the text."""
    return InvalidRequest("tag cannot be understood", position=position + 1, expected=what)


def _step(text: str, start: int) -> tuple[Step, int]:
    """Return the tag at a position that is no space, and the position after it and its spaces."""
    if text[start : start + 1] == "(":
        return _in_parentheses(text, start + 1)
    number = _NUMBER.match(text, start)
    if number is not None:
        if number[2][0] in "xX":
            raise expected("a creator, in parentheses: (gggg,xxee:creator)", number.start(2))
        return Step(int(number[1] + number[2], 16)), number.end()
    keyword = _KEYWORD.match(text, start)
    if keyword is None:
        raise expected("a tag: (gggg,eeee) or a keyword", start)
    tag = tags_by_keyword().get(keyword[1]) or _keywords().get(keyword[1].lower())
    if tag is None:
        raise expected("a keyword of the DICOM dictionary (PS3.6)", start)
    return Step(tag), keyword.end()


def _in_parentheses(text: str, start: int) -> tuple[Step, int]:
    number = _NUMBER.match(text, start)
    if number is None:
        raise expected("group and element, four hexadecimal digits each: gggg,eeee", start)
    end, creator = number.end(), _CREATOR.match(text, number.end())
    if creator is not None:
        end = creator.end()
    if text[end : end + 1] != ")":
        raise expected("')'", end)
    after = _SPACES.match(text, end + 1).end()  # type: ignore[union-attr] # it always matches
    if creator is None:
        if number[2][0] in "xX":
            raise expected("':' and the private creator", end)
        return Step(int(number[1] + number[2], 16)), after
    name = re.sub(r"\\(.)", r"\1", creator[1]).strip()
    if not name:
        raise expected("a private creator", creator.start(1))
    if int(number[1], 16) % 2 == 0:
        raise expected("an odd group, as private tags have", number.start(1))
    return Step(int(number[1] + "00" + number[2][2:], 16), name), after


def _check(steps: list[Step], position: int, *, last: bool) -> None:
    step = steps[-1]
    group = step.tag >> 16
    if len(steps) > MAX_STEPS:
        raise expected(f"at most {MAX_STEPS} tags", position)
    if group in (0x0000, 0xFFFE) or (group == _FILE_META and len(steps) > 1):
        raise expected("a tag of a data set", position)
    kind = step.value_class
    if not last and kind not in (ValueClass.SEQUENCE, ValueClass.UNKNOWN):
        raise expected("a sequence before '/'", position)
    if last and kind is ValueClass.SEQUENCE:
        raise expected("an attribute of the sequence's items: sequence/attribute", position)
    if last and kind is ValueClass.NONE:
        raise expected("an attribute whose values are text or numbers", position)


def _dictionary_vr(tag: int) -> str:
    if tag >> 16 & 1:
        # the element that names a creator (PS3.5 7.8.1)
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else ""
    return vr_of_tag(tag)


@lru_cache(maxsize=1)
def _keywords() -> Mapping[str, int]:
    return {keyword.lower(): tag for keyword, tag in tags_by_keyword().items()}
