"""Profiles: which action each attribute gets under each option, read from CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from dicomcore.deident.actions import Choice, most_protective, parse_choice
from dicomcore.deident.options import Option, Options
from dicomcore.deident.tables import read_table
from dicomcore.errors import InvalidRequest

SHIPPED = ("BasicSecurityProfile.csv", "AriaSecurityProfile.csv")
_COLUMNS = tuple(Option)
_RT_PLAN_LABEL = 0x300A0002
_EXACT = re.compile(r"\(?([0-9A-F]{4}),([0-9A-F]{4})\)?", re.IGNORECASE)
_WILDCARD = re.compile(r"\(?([0-9A-Fx]{4}),([0-9A-Fx]{4})\)?", re.IGNORECASE)
_MAX_PATTERN = 200
_PRIVATE_IN_THE_STANDARD = "(gggg,eeee) where gggg is odd"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a profile."""

    line: int
    basic: Choice
    by_option: Mapping[Option, Choice]

    def choice(self, options: Options) -> Choice:
        """Return what is done under these options; the Basic action if none of them names another."""
        named = [self.by_option[option] for option in options if option in self.by_option]
        return most_protective(named) if named else self.basic


class Profile:
    """Rows by exact tag and by pattern; where several match, the first in the file counts."""

    def __init__(
        self, name: str, exact: Mapping[int, Row], patterns: Iterable[tuple[re.Pattern[str], Row]]
    ) -> None:
        self.name = name
        self._exact = exact
        self._patterns = tuple(patterns)

    def row(self, tag: int) -> Row | None:
        """Return the row for a tag, or None if the profile does not name it."""
        exact = self._exact.get(tag)
        text = f"{tag >> 16:04X},{tag & 0xFFFF:04X}"
        for pattern, row in self._patterns:
            if exact is not None and exact.line < row.line:
                return exact
            if pattern.search(text):
                return row
        return exact

    @property
    def keeps_labels(self) -> bool:
        """Whether descriptors are kept under CleanDesc, freed of identifiers, as ARIA needs them."""
        row = self.row(_RT_PLAN_LABEL)
        choice = None if row is None else row.by_option.get(Option.CLEAN_DESC)
        return choice is not None and choice == parse_choice("K")


@lru_cache(maxsize=8)
def shipped_profile(name: str) -> Profile:
    """Return a profile that comes with the package: one of `SHIPPED`, the ending may be left out.

    Raises
    ------
    InvalidRequest
        There is no such profile.
    """
    for known in SHIPPED:
        if name in (known, known.removesuffix(".csv")):
            return parse_profile(read_table(known), name=known)
    raise InvalidRequest("no such anonymisation profile", name=name[:64])


@lru_cache(maxsize=1)
def supplement() -> Profile:
    """Return what is done to attributes that no profile names, beyond what their VR says."""
    return parse_profile(read_table("Supplement.csv"), name="Supplement.csv")


def parse_profile(text: str, *, name: str = "") -> Profile:
    """Return a profile from CSV, separated by commas or semicolons.

    Columns: tag pattern; name, which may be left out; Basic action; the ten options in the order of
    `Option`. A tag pattern is a tag, a tag with `x` for any digit, or a regular expression that is
    searched for in `GGGG,EEEE`. A first line that begins with `tag`, empty lines and lines that begin with `#` are
    no rows.

    Raises
    ------
    InvalidRequest
        A row cannot be understood; its line, counted from 1, is in the facts. None is ever left out.
    """
    exact: dict[int, Row] = {}
    patterns: list[tuple[re.Pattern[str], Row]] = []
    for line, cells in _lines(text):
        pattern, row = _row(line, cells)
        tag = _EXACT.fullmatch(pattern)
        if tag is not None:
            exact.setdefault(int("".join(tag.groups()), 16), row)
        else:
            patterns.append((_compiled(line, pattern), row))
    if not exact and not patterns:
        raise InvalidRequest("anonymisation profile has no rows")
    return Profile(name, exact, patterns)


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    for line, raw in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        if not raw.strip() or raw.lstrip().startswith("#"):
            continue
        cells = next(csv.reader([raw], delimiter=";" if ";" in raw else ","))
        if line == 1 and cells[0].strip().lower().startswith("tag"):
            continue
        yield line, [cell.strip() for cell in cells]


def _row(line: int, cells: list[str]) -> tuple[str, Row]:
    """Return tag pattern and row."""
    count = len(_COLUMNS)
    if len(cells) not in (count + 2, count + 3):
        cells = _unquoted_tag(cells)
    if len(cells) not in (count + 2, count + 3):
        raise InvalidRequest("profile row has a wrong number of columns", line=line)
    basic, *options = (parse_choice(cell) if cell else () for cell in cells[-count - 1 :])
    if not basic or any(choice is None for choice in options):
        raise InvalidRequest("profile row has an unknown action", line=line)
    by_option = {option: choice for option, choice in zip(_COLUMNS, options, strict=True) if choice}
    return cells[0], Row(line, basic, by_option)


def _unquoted_tag(cells: list[str]) -> list[str]:
    """Return the cells with the first two joined, if they are a tag that was not quoted."""
    joined = ",".join(cells[:2])
    return [joined, *cells[2:]] if _WILDCARD.fullmatch(joined) else cells


def _compiled(line: int, pattern: str) -> re.Pattern[str]:
    """Return the pattern of a row as one on `GGGG,EEEE`.

    Raises
    ------
    InvalidRequest
        It is no regular expression, or it matches no tag's form.
    """
    wildcard = _WILDCARD.fullmatch(pattern)
    if wildcard is not None:
        pattern = ",".join(re.sub("[xX]", "[0-9A-F]", part) for part in wildcard.groups())
    elif pattern == _PRIVATE_IN_THE_STANDARD:
        pattern = "^[0-9A-F]{3}[13579BDF],"
    if "," not in pattern or len(pattern) > _MAX_PATTERN:
        raise InvalidRequest("profile row has no tag", line=line)
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as exc:
        raise InvalidRequest("profile row has a tag that is no pattern", line=line) from exc
