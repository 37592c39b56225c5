"""What a search found, in words: files or folders with the values that were asked for, and counts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from dicomcore.query import Told
from dicomcore.tagpath import Path, path_in_words, print_path
from dicomtools.plain import count, plain

MOST_VALUES = 1000
"""So many values of an attribute are counted one by one in the statistics."""


class Listing:
    """Writes down what is found, as it is found.

    Parameters
    ----------
    asked
        The attributes whose values are told, in order.
    say
        Takes one line.
    directories
        Whether folders are listed instead of files.
    """

    def __init__(
        self, asked: Sequence[Path], say: Callable[[str], None], *, directories: bool
    ) -> None:
        self._names = [in_words(path) for path in asked]
        self._say = say
        self._directories = directories
        self._place = ""
        self._values: list[dict[str, None]] = []
        self._counts: list[Counter[str]] = [Counter() for _ in asked]
        self.number_found = 0
        """Of files, also where folders are listed."""

    def add(self, path: str, told: Told) -> None:
        """Take a file that was found; those of one folder come after one another."""
        self.number_found += 1
        place = os.path.dirname(path) if self._directories else path  # noqa: PTH120 - a text is wanted
        if not self._directories or place != self._place or not self._values_known():
            self.flush()
            self._place = place
            self._values = [{} for _ in self._names]
        for number, values in enumerate(told):
            self._values[number].update(dict.fromkeys(values))
            self._counts[number].update(values)

    def flush(self) -> None:
        """Write what was taken last."""
        if not self._place:
            return
        self._say(plain(self._place))
        for name, values in zip(self._names, self._values, strict=True):
            self._say(f"  {name} = {_joined(values)}")
        self._place = ""

    def statistics(self, total: int, what: str = "files") -> Iterator[str]:
        """Yield the lines of how many were found, and of each value that was told, how often."""
        yield f"Found {self.number_found} of {total} {what}"
        for name, counts in zip(self._names, self._counts, strict=True):
            yield f"{name}: {count(len(counts), 'different value')}"
            for value, number in counts.most_common(MOST_VALUES):
                yield f"  {number:>8}  {_shown(value)}"
            if len(counts) > MOST_VALUES:
                yield f"  and {len(counts) - MOST_VALUES} more"

    def _values_known(self) -> bool:
        return bool(self._place)


def in_words(path: Path) -> str:
    """Return keywords and numbers of a path."""
    words, numbers = path_in_words(path), print_path(path)
    return numbers if words == numbers else f"{words} {numbers}"


def _joined(values: Iterable[str]) -> str:
    """Several values as DICOM has them, with backslashes between them."""
    return "\\".join(map(_shown, values))


def _shown(value: str) -> str:
    return plain(value) or "(empty)"
