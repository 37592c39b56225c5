"""A query against packed attributes: which of the instances fulfil it, and what they tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dicomcore.attributes import is_at, value_of
from dicomcore.columns import Field, Packed
from dicomcore.criteria import Criterion, Value
from dicomcore.query import Found, Query, Told
from dicomcore.tagpath import Path, Step


def answers(packed: Packed, query: Query) -> Iterator[tuple[int, Told]]:
    """Yield the instances that fulfil all terms, 0-based and in order, with what is asked for.

    Raises
    ------
    Unreadable
        The body is damaged.
    """
    fields = {path: _fields(packed, path) for path in query.paths}
    if not all(fields.values()):
        return
    if all(one.shared is not None for some in fields.values() for one in some):
        told = query.answer(_found(fields, 0))
        if told is not None:
            yield from ((number, told) for number in range(packed.count))
        return
    for number in _possible(fields, query, packed.count):
        told = query.answer(_found(fields, number))
        if told is not None:
            yield number, told


def fields_at(packed: Packed, path: Path) -> Sequence[Field]:
    """Return the attributes that a query's path names."""
    return _fields(packed, path)


def _fields(packed: Packed, path: Path) -> Sequence[Field]:
    inside = path[:-1]
    return [
        one
        for prefix in packed.prefixes
        if (is_at(prefix, inside) if inside and prefix else not inside and not prefix)
        for one in packed.fields(prefix, lambda text: is_at(text, path))
    ]


def _possible(fields: Mapping[Path, Sequence[Field]], query: Query, count: int) -> Sequence[int]:
    """Return the instances of which each term holds somewhere, before items are looked at."""
    left: Iterable[int] = range(count)
    for term in query.terms:
        fits = _Fits(term.criterion)
        for_term = fields[term.path]
        if any(one.shared is not None and fits.any(one.path, one.shared) for one in for_term):
            continue
        varying = [one for one in for_term if one.shared is None]
        left = [n for n in left if any(fits.any(one.path, one.each[n]) for one in varying)]
    return list(left)


class _Fits:
    """A criterion that remembers: the values of a column repeat."""

    def __init__(self, criterion: Criterion) -> None:
        self._criterion = criterion
        self._known: dict[tuple[str, str], bool] = {}

    def any(self, path: str, values: Sequence[str] | None) -> bool:
        return values is not None and any(self._one(path, text) for text in values)

    def _one(self, path: str, text: str) -> bool:
        key = (path, text)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._criterion.matches(value_of(path, text))
        return known


@dataclass(slots=True)
class _Node:
    values: dict[Step, list[Value]] = field(default_factory=dict)
    items: dict[Step, dict[int, _Node]] = field(default_factory=dict)

    def found(self) -> Found:
        return Found(
            self.values,
            {
                step: [items[number].found() for number in sorted(items)]
                for step, items in self.items.items()
            },
        )


def _found(fields: Mapping[Path, Sequence[Field]], number: int) -> Found:
    """Return what a query has to know of one instance."""
    root = _Node()
    for path, some in fields.items():
        for one in some:
            values = one.at(number)
            if values is None:
                continue
            node = root
            for step, item in zip(path, one.items, strict=False):
                node = node.items.setdefault(step, {}).setdefault(item, _Node())
            node.values.setdefault(path[-1], []).extend(value_of(one.path, v) for v in values)
    return root.found()
