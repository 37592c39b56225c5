"""What a query has to find, by pydicom and by trying every choice of items: slow, and simple."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import product

import numpy as np
from pydicom import Dataset
from pydicom.dataelem import DataElement

from dicomcore.criteria import Asked, Criterion, Equal, NumberRange, TimeRange, Wildcard
from dicomcore.query import Term

NUMERIC = ("IS", "DS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD")
BULK = ("OB", "OD", "OF", "OL", "OV", "OW", "UN", "SQ")
PADDING = " \0\t\r\n"
Prefix = tuple[int, ...]


def holds(ds: Dataset, terms: Sequence[Term]) -> bool:
    """Whether one choice of an item for each sequence that terms go through satisfies them all."""
    return next(_fitting(ds, terms), None) is not None


def told(ds: Dataset, terms: Sequence[Term]) -> list[set[str]]:
    """The values that `=?` asks for, of every choice that satisfies all terms."""
    asked = [term for term in terms if isinstance(term.criterion, Asked)]
    found: list[set[str]] = [set() for _ in asked]
    for choice in _fitting(ds, terms):
        for values, term in zip(found, asked, strict=True):
            values |= {text for text, _ in values_at(ds, term, choice)}
    return found


def _fitting(ds: Dataset, terms: Sequence[Term]) -> Iterator[dict[Prefix, int]]:
    tags = [tuple(step.tag for step in term.path[:-1]) for term in terms]
    prefixes = sorted({way[:depth] for way in tags for depth in range(1, len(way) + 1)}, key=len)
    for choice in _choices(ds, prefixes):
        if all(
            any(_fits(term.criterion, *value) for value in values_at(ds, term, choice))
            for term in terms
        ):
            yield choice


def _choices(ds: Dataset, prefixes: Sequence[Prefix]) -> Iterator[dict[Prefix, int]]:
    longest = max((len(p) for p in prefixes), default=0)
    most = [max(_lengths(ds, prefix), default=0) for prefix in prefixes]
    assert longest < 16
    for numbers in product(*(range(count) for count in most)):
        yield dict(zip(prefixes, numbers, strict=True))


def _lengths(ds: Dataset, prefix: Prefix) -> Iterator[int]:
    element = ds.get(prefix[0])
    if element is None or element.VR != "SQ":
        return
    if len(prefix) == 1:
        yield len(element.value)
        return
    for part in element.value:
        yield from _lengths(part, prefix[1:])


def values_at(ds: Dataset, term: Term, choice: dict[Prefix, int]) -> list[tuple[str, float | None]]:
    prefix: Prefix = ()
    for step in term.path[:-1]:
        prefix = (*prefix, step.tag)
        element = ds.get(step.tag)
        if element is None or element.VR != "SQ" or choice[prefix] >= len(element.value):
            return []
        ds = element.value[choice[prefix]]
    if term.path[-1].tag not in ds:
        return []
    return values_of(ds[term.path[-1].tag])


def values_of(element: DataElement) -> list[tuple[str, float | None]]:
    if element.VR in BULK:
        return []
    value = element.value
    several = not isinstance(value, str | bytes) and hasattr(value, "__iter__")
    parts = list(value) if several and not hasattr(value, "components") else [value]
    return [_value(element.VR, part) for part in parts or [""]]


def _value(vr: str, part: object) -> tuple[str, float | None]:
    text = ("" if part is None else str(part)).strip(PADDING).replace("\0", "")
    if vr == "AT" and part not in (None, ""):
        tag = int(part)  # type: ignore[call-overload]
        return f"({tag >> 16:04X},{tag & 0xFFFF:04X})", None
    if vr not in NUMERIC or not text:
        return text.replace(":", "") if vr in ("DA", "TM", "DT") else text, None
    if vr == "FL":
        text = str(np.float32(part))  # the shortest decimal of single precision
    if vr in ("FL", "FD") and float(text).is_integer() and abs(float(text)) < 1e7:
        text = str(int(float(text)))
    number = float(text)
    return text, number if math.isfinite(number) else None


def _fits(criterion: Criterion, text: str, number: float | None) -> bool:
    match criterion:
        case Asked():
            return True
        case Equal(text=wanted, number=wanted_number):
            by_number = number is not None and wanted_number is not None
            return number == wanted_number if by_number else text == wanted
        case Wildcard(pattern=pattern):
            return fnmatchcase(text, _glob(pattern))
        case NumberRange(low=low, high=high):
            in_range = number is not None and (low is None or number >= low)
            return in_range and (high is None or (number or 0) <= high)
        case TimeRange(low=low, high=high):
            not_before = text[:1].isdigit() and text[: len(low)] >= low
            return not_before and (not high or text[: len(high)] <= high)
    raise AssertionError(criterion)


def _glob(pattern: str) -> str:
    tokens = re.findall(r"\\.|.", pattern, re.DOTALL)
    return "".join(t if t in "*?" else f"[{t[-1]}]" if t[-1] in "[*?" else t[-1] for t in tokens)


def every_value(ds: Dataset, above: Prefix = ()) -> Iterator[tuple[Prefix, str, str]]:
    """Path, VR and one value of each attribute with values, at any depth."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for element in ds:
            path = (*above, int(element.tag))
            if element.VR == "SQ":
                for part in element.value:
                    yield from every_value(part, path)
            for text, _ in values_of(element)[:3]:
                yield path, element.VR, text
