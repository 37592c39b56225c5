"""The indexable attributes of an instance by path: every value with the items it is in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from operator import itemgetter

from dicomcore.attributes import NUMERIC, Attribute
from dicomcore.criteria import number_of

Place = tuple[int, ...]
_MOST = 1_000_000
"""Doses, counts and energies beyond are no such."""


class Found:
    """The attributes at some paths; a path is tags of eight hexadecimal digits joined by slashes.

    Values are in the order of the items they are in, whatever the order of the attributes is: one that
    was kept as columns has another than the data set.
    """

    def __init__(self, attributes: Iterable[Attribute], wanted: Collection[str]) -> None:
        self._by_path: dict[str, list[tuple[Place, Sequence[str]]]] = {}
        for path, items, values in attributes:
            plain = path.removesuffix(NUMERIC)
            if plain in wanted:
                self._by_path.setdefault(plain, []).append((items, values))
        for found in self._by_path.values():
            found.sort(key=itemgetter(0))

    def at(self, path: str) -> Iterator[tuple[Place, str]]:
        """Yield the values at a path that are not empty, each with the items it is in."""
        for items, values in self._by_path.get(path, ()):
            for value in values:
                if value:
                    yield items, value

    def texts(self, *paths: str) -> tuple[str, ...]:
        """Return the distinct values at paths, in their order."""
        return tuple(dict.fromkeys(value for path in paths for _, value in self.at(path)))

    def first(self, path: str) -> str:
        """Return the first value at a path; empty if there is none."""
        return next((value for _, value in self.at(path)), "")

    def numbers(self, path: str) -> Iterator[tuple[Place, float]]:
        """Yield the values at a path that are numbers from 0 to a million."""
        for items, text in self.at(path):
            number = quantity(number_of(text))
            if number is not None:
                yield items, number


def quantity(number: float | None) -> float | None:
    """Return a number that can be a dose, a count or an energy, otherwise None."""
    return number if number is not None and 0 <= number <= _MOST else None


def distinct(values: Iterable[str]) -> tuple[str, ...]:
    """Return distinct texts in their order, without the empty one."""
    return tuple(dict.fromkeys(value for value in values if value))
