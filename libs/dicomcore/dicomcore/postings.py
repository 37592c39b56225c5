"""What an index says about a series: values it can be found by, and ranges of those that vary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dicomcore.attributes import is_numeric
from dicomcore.columns import Columns, Field
from dicomcore.criteria import number_of

FEW = 8
"""So many distinct values of an attribute within a series are posted, however they are spread."""
MANY = 64
"""So many are posted if one instance has half of them: beams, regions of interest."""
LONGEST = 256
"""Characters. A B-tree of PostgreSQL takes about 2,700 bytes."""


@dataclass(frozen=True, slots=True)
class Span:
    """Between what the values of an attribute lie; code point order."""

    low: str = field(repr=False)
    high: str = field(repr=False)
    low_number: float | None = None
    """Of those that are numbers, if any is."""
    high_number: float | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """One attribute of a series."""

    count: int
    """Instances that have it."""
    values: Mapping[str, int] = field(default_factory=dict, repr=False)
    """Value → instances that have it; empty if there is a span."""
    span: Span | None = None


def postings_of(columns: Columns) -> Mapping[str, Posted]:
    """Return, for every path, what the index says: the values, or the span if there are too many."""
    by_path: dict[str, list[Field]] = {}
    for one in columns.fields:
        by_path.setdefault(one.path, []).append(one)
    return {path: _posted(path, fields, columns.count) for path, fields in by_path.items()}


def _posted(path: str, fields: Sequence[Field], count: int) -> Posted:
    shared = {value for one in fields if one.shared is not None for value in one.shared}
    varying = [one for one in fields if one.shared is None]
    if not varying:
        return _decided(path, count, dict.fromkeys(shared, count), len(shared))
    if len(fields) == 1 and all(v is None or len(v) == 1 for v in varying[0].each):
        once = Counter([v[0] for v in varying[0].each if v is not None])
        return _decided(path, once.total(), once, 1)
    holders, most, values = 0, 0, Counter[str]()
    for number in range(count):
        own = set(shared)
        for one in varying:
            own.update(one.each[number] or ())
        values.update(own)
        most = max(most, len(own))
        holders += bool(own)
    return _decided(path, holders, values, most)


def _decided(path: str, count: int, values: Mapping[str, int], most: int) -> Posted:
    few = len(values) <= FEW or len(values) <= min(MANY, 2 * most)
    if few and all(len(text) <= LONGEST for text in values):
        return Posted(count, dict(values))
    return Posted(count, span=_span(path, values))


def _span(path: str, values: Iterable[str]) -> Span:
    texts = sorted(values)
    if not is_numeric(path):
        return Span(_cut(texts[0]), _cut(texts[-1]) + _above(texts[-1]))
    numbers = [n for text in texts if (n := number_of(text)) is not None]
    low, high = (min(numbers), max(numbers)) if numbers else (None, None)
    return Span(_cut(texts[0]), _cut(texts[-1]) + _above(texts[-1]), low, high)


def _cut(text: str) -> str:
    return text[:LONGEST]


def _above(text: str) -> str:
    """What makes a text that was cut at least as great as the whole one."""
    return "\U0010ffff" if len(text) > LONGEST else ""
