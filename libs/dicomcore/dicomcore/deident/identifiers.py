"""What is known of a patient and the staff, from all headers; found again in any text or bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dicomcore.deident.elements import Seen, walk
from dicomcore.deident.encoded import open_encoded
from dicomcore.deident.options import Option, Options
from dicomcore.deident.vocabulary import is_clinical
from dicomcore.readers.charsets import decode

MIN_NAME = 3
"""Letters of a part of a name; initials are in too many words."""
MIN_ID = 4
"""Characters of an identifier; shorter ones are counters (`Study ID 1`)."""
SHORT_ID = 6
"""Characters below which an identifier is found as a whole word only."""
ANYWHERE = 4
"""Letters from which a part of a name is found inside a longer word too."""

_CHARSET = 0x00080005
_BIRTH_DATES = frozenset((0x00100030,))
_IDS = frozenset(
    (
        *(0x00080050, 0x00100020, 0x00101000, 0x00100021, 0x00101005, 0x00101090, 0x00102154),
        *(0x00102155, 0x00101040, 0x00200010, 0x00380010, 0x00380060, 0x00401001, 0x00402016),
        *(0x00402017, 0x00120040, 0x00120042, 0x00321064, 0x00401006, 0x00401007, 0x00101050),
    )
)
_INSTITUTION = frozenset((0x00080080, 0x00080081, 0x00081040))
_PIXELS = 0x7FE00001
_UIDS = frozenset((0x00080018, 0x0020000D, 0x0020000E, 0x00200052, 0x00081155))
_FIRST_OF_EAST_ASIA = "\u2e80"
_LETTERS = re.compile(r"[^\W\d_]+")
_PLACEHOLDERS = frozenset(("anonymized", "anonymous", "anonymised", "unknown", "none", "anon"))


@dataclass(frozen=True, slots=True)
class KnownIdentifiers:
    """Texts by which the patient or the staff could be recognised; nothing of it shows in `repr`."""

    names: frozenset[str] = field(default=frozenset(), repr=False)
    """Parts of names, case-folded, of three letters or more."""
    ids: frozenset[str] = field(default=frozenset(), repr=False)
    """Whole values: IDs, addresses, institutions; case-folded."""
    birth_dates: frozenset[str] = field(default=frozenset(), repr=False)
    """YYYYMMDD."""
    uids: frozenset[str] = field(default=frozenset(), repr=False)
    """The original UIDs of studies, series, instances and frames of reference."""

    def __or__(self, other: KnownIdentifiers) -> KnownIdentifiers:
        return KnownIdentifiers(
            self.names | other.names,
            self.ids | other.ids,
            self.birth_dates | other.birth_dates,
            self.uids | other.uids,
        )


def collect_identifiers(objects: Iterable[bytes], options: Options) -> KnownIdentifiers:
    """Return what all objects of a patient tell of the patient and the staff, at every level.

    Parameters
    ----------
    objects
        Encoded, each whole, or at least all before the pixel data.
    options
        What an option keeps on purpose (the institution) is not among the identifiers.

    Raises
    ------
    Unreadable
        An object is not DICOM, or damaged: nothing can be promised of what it holds.
    """
    collector = IdentifierCollector(options)
    for data in objects:
        collector.read(data)
    return collector.known()


class IdentifierCollector:
    """What objects have told so far, one after another: see `collect_identifiers`."""

    def __init__(self, options: Options) -> None:
        self._names: set[str] = set()
        self._ids: set[str] = set()
        self._dates: set[str] = set()
        self._uids: set[str] = set()
        retained = Option.RETAIN_INSTITUTION_IDENT in options
        self._whole = _IDS if retained else _IDS | _INSTITUTION
        self._keep_uids = Option.RETAIN_UIDS in options

    def known(self) -> KnownIdentifiers:
        """Return it."""
        return KnownIdentifiers(
            frozenset(self._names),
            frozenset(self._ids),
            frozenset(self._dates),
            frozenset(() if self._keep_uids else self._uids),
        )

    def read(self, data: bytes) -> None:
        """Add what one object tells.

        Raises
        ------
        Unreadable
            It is not DICOM, or damaged; nothing of it is added.
        """
        opened = open_encoded(data)
        charset = b""
        for seen in walk(opened.data, opened.start, opened.encoding, before=_PIXELS):
            if seen.tag == _CHARSET:
                charset = opened.data[seen.start : seen.stop]
            elif self._wanted(seen):
                self._add(seen, opened.data[seen.start : seen.stop], charset)

    def _wanted(self, seen: Seen) -> bool:
        return seen.vr == b"PN" or seen.tag in self._whole or seen.tag in _UIDS | _BIRTH_DATES

    def _add(self, seen: Seen, value: bytes, charset: bytes) -> None:
        if seen.tag in _UIDS:
            self._uids.update(u for u in _values(value.decode("latin-1")) if u.count(".") > 1)
            return
        text = decode(value, charset)
        if seen.tag in _BIRTH_DATES:
            digits = re.sub(r"\D", "", text)
            self._dates.update((digits,) if len(digits) == 8 else ())
        elif seen.vr == b"PN":
            parts = {part.casefold() for part in _LETTERS.findall(text)} - _PLACEHOLDERS
            self._names.update(part for part in parts if _long_enough(part))
        else:
            folded = {part.casefold() for part in _values(text)} - _PLACEHOLDERS
            self._ids.update(part for part in folded if len(part) >= MIN_ID)


def _values(text: str) -> Iterator[str]:
    return (part.strip(" \0\r\n\t") for part in text.split("\\"))


def _long_enough(part: str) -> bool:
    """Return whether a part of a name can be looked for; one sign of Chinese is a whole word."""
    return len(part) >= MIN_NAME or part[0] >= _FIRST_OF_EAST_ASIA


class Finder:
    """Finds identifiers in text: names by words, the rest wherever it stands."""

    __slots__ = ("_names", "_pattern", "_strong", "known")

    def __init__(self, known: KnownIdentifiers) -> None:
        self.known = known
        self._names = known.names
        ids = [_id_pattern(text) for text in sorted(known.ids, key=len, reverse=True)]
        dates = [form for day in sorted(known.birth_dates) for form in _date_forms(day)]
        uids = [rf"(?<![0-9.]){re.escape(u)}(?![0-9.])" for u in sorted(known.uids, key=len)]
        names = [_name_pattern(text) for text in sorted(known.names, key=len, reverse=True)]
        self._strong = _compiled([*ids, *dates])
        self._pattern = _compiled([*ids, *dates, *_few(uids), *names])

    def spans(self, text: str, *, strong: bool = False) -> Iterator[tuple[int, int]]:
        """Yield where identifiers are, without overlap.

        Parameters
        ----------
        strong
            Whole IDs and dates only: for coded terms, in which a name is chance.
        """
        pattern = self._strong if strong else self._pattern
        if pattern is None:
            return
        for found in pattern.finditer(text):
            if not self._chance(text, found):
                yield found.span()

    def contains(self, text: str, *, strong: bool = False) -> bool:
        """Return whether an identifier is in the text."""
        return next(self.spans(text, strong=strong), None) is not None

    def contains_otherwise(self, value: bytes) -> bool:
        """Return whether an identifier is in a value if it is read in another encoding than its own.

        A writer that declares a character set and uses another one is no exception, and UTF-16, which
        no character set of DICOM is, hides a name from everyone who reads what is declared.
        """
        inner = value.strip(b" \0")
        others = (
            [] if value.isascii() else [value.decode("utf-8", "replace"), value.decode("latin-1")]
        )
        if b"\0" in inner:
            others += [
                value[offset:].decode(codec, "replace")
                for offset in (0, 1)
                for codec in ("utf-16-le", "utf-16-be")
            ]
        return any(self.contains(text) for text in others)

    def _chance(self, text: str, found: re.Match[str]) -> bool:
        """Return whether a name is only a part of a clinical word: `Brain` in `Brainstem`."""
        if found[0].casefold() not in self._names:
            return False
        start, stop = found.span()
        while start and text[start - 1].isalpha():
            start -= 1
        while stop < len(text) and text[stop].isalpha():
            stop += 1
        word = text[start:stop].casefold()
        return word not in self._names and is_clinical(word)


def _few(patterns: list[str]) -> list[str]:
    """UIDs are looked for in text only while they are few; `verify` compares them all by value."""
    return patterns if len(patterns) <= 64 else []


def _compiled(patterns: list[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(patterns), re.IGNORECASE) if patterns else None


def _id_pattern(text: str) -> str:
    """An ID is not a part of a longer number, or of a longer word if it is short."""
    escaped = re.escape(text)
    if text.isdigit():
        return rf"(?<![0-9]){escaped}(?![0-9])"
    if len(text) < SHORT_ID:
        return rf"(?<![0-9A-Za-z]){escaped}(?![0-9A-Za-z])"
    return escaped


def _name_pattern(text: str) -> str:
    escaped = re.escape(text)
    if len(text) >= ANYWHERE or text[0] >= _FIRST_OF_EAST_ASIA:
        return escaped
    return rf"(?<![^\W\d_]){escaped}(?![^\W\d_])"


def _date_forms(day: str) -> Iterator[str]:
    year, month, of_month = day[:4], day[4:6], day[6:]
    for first, second, third in (
        (year, month, of_month),
        (of_month, month, year),
        (month, of_month, year),
    ):
        yield rf"(?<![0-9]){first}[-./ ]?{second}[-./ ]?{third}(?![0-9])"
