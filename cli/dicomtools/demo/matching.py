"""Attribute matching of C-FIND (PS3.4 C.2.2.2), as the demo PACS does it."""

from __future__ import annotations

import re
from functools import lru_cache

from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue

_WILDCARD_VRS = frozenset(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
_RANGE_VRS = frozenset(("DA", "DT", "TM"))
_NUMBER_VRS = frozenset(("DS", "IS", "FL", "FD", "SL", "SS", "UL", "US", "SV", "UV"))
# they say how to ask, not what to look for
_CONTROL = frozenset((0x00080005, 0x00080052, 0x00080053, 0x00080054, 0x00080056, 0x00080201))


def is_control(tag: int) -> bool:
    """Return whether an attribute of an identifier controls the query instead of matching."""
    return tag in _CONTROL or tag & 0xFFFF == 0


def matches(identifier: Dataset, candidate: Dataset) -> bool:
    """Return whether every key of `identifier` matches `candidate`.

    An empty key matches everything (C.2.2.2.3). A key with a value does not match an attribute
    that is absent or empty.
    """
    return all(matches_key(key, candidate) for key in identifier if not is_control(int(key.tag)))


def matches_key(key: DataElement, candidate: Dataset) -> bool:
    """Return whether one key matches."""
    if key.VR == "SQ":
        return _matches_sequence(key, candidate)
    wanted = _texts(key)
    if not any(wanted):
        return True
    if key.tag not in candidate:
        return False
    present = [text for text in _texts(candidate[key.tag]) if text]
    return any(_matches_text(key.VR, want, text) for want in wanted for text in present)


def _matches_sequence(key: DataElement, candidate: Dataset) -> bool:
    # C.2.2.2.6: one item in the key; it matches if any item of the candidate does
    if not key.value or not any(_has_value(element) for element in key.value[0]):
        return True
    if key.tag not in candidate:
        return False
    return any(matches(key.value[0], item) for item in candidate[key.tag].value)


def _has_value(element: DataElement) -> bool:
    if element.VR == "SQ":
        return any(_has_value(inner) for item in element.value for inner in item)
    return any(_texts(element))


def _texts(element: DataElement) -> list[str]:
    value = element.value
    if value is None:
        return []
    if isinstance(value, MultiValue | list | tuple):
        return [str(one) for one in value]
    return [str(value)]


def _matches_text(vr: str, want: str, text: str) -> bool:
    if vr in _RANGE_VRS and "-" in want:
        first, _, last = want.partition("-")
        return (not first or text >= first) and (not last or text[: len(last)] <= last)
    if vr in _NUMBER_VRS:
        return _number(want) == _number(text)
    if vr in _WILDCARD_VRS:
        if vr == "PN":
            # C.2.2.2.1: without case is allowed for names; trailing separators mean nothing
            want, text = want.casefold().rstrip("^="), text.casefold().rstrip("^=")
        return _pattern(want).fullmatch(text) is not None
    return want == text


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


@lru_cache(maxsize=256)
def _pattern(wildcard: str) -> re.Pattern[str]:
    signs = {"*": ".*", "?": "."}
    return re.compile("".join(signs.get(sign, re.escape(sign)) for sign in wildcard), re.DOTALL)
