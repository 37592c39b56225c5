"""Tolerant access to the wanted attributes of a data set or item: odd values are absent, never fatal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from dicomcore.readers.charsets import decode
from dicomcore.uids import uid_or_none

_INTEGER = re.compile(r"[+-]?[0-9]{1,12}(\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_MAX_INTEGER = 2**31
_PADDING = " \0"


Key = str | int
"""What a value is kept under: a keyword, or a tag."""


class Item:
    """The wanted attributes of one data set, or of one item of a sequence, by keyword.

    Parameters
    ----------
    values
        Encoded values, decoded ones (several joined by backslashes), VR and encoded value, or the
        items of a sequence.
        Among them Specific Character Set (0008,0005), the inherited one if the item has none.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[Key, Stored]) -> None:
        self._values = values

    def encoded(self, key: Key) -> tuple[bytes, bytes] | None:
        """Return VR (empty if implicit) and encoded value, where both are kept under the key."""
        value = self._values.get(key)
        return value if isinstance(value, tuple) else None

    @property
    def charset(self) -> bytes:
        """Specific Character Set as encoded, also an inherited one; empty if there is none."""
        value = self._values.get("SpecificCharacterSet")
        return value if isinstance(value, bytes) else b""

    def tags(self) -> Iterator[int]:
        """Yield the tags under which something is kept."""
        return (key for key in self._values if isinstance(key, int))

    def text(self, keyword: str) -> str:
        """Return the value without padding; empty if absent. Several values keep their backslashes."""
        value = self._values.get(keyword, "")
        if isinstance(value, bytes):
            value = decode(value, self.charset)
        if not isinstance(value, str):
            return ""
        if not value.isascii():  # lone surrogates cannot be written anywhere
            value = value.encode("utf-8", "replace").decode("utf-8")
        return value.strip(_PADDING).replace("\0", "")

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return the values without padding, in order; empty if absent."""
        text = self.text(keyword)
        return tuple(part.strip(_PADDING) for part in text.split("\\")) if text else ()

    def first(self, keyword: str) -> str:
        """Return the first of the values; empty if absent."""
        return self.text(keyword).partition("\\")[0].strip(_PADDING)

    def uid(self, keyword: str) -> str | None:
        """Return the first value if it is a UID: `UNKNOWN`, empty and garbage are None."""
        value = self._values.get(keyword)
        if isinstance(value, bytes):
            return uid_or_none(value.decode("latin-1").partition("\\")[0])
        return uid_or_none(value.partition("\\")[0]) if isinstance(value, str) else None

    def integer(self, keyword: str) -> int | None:
        """Return the first value if it is an integer of 32 bits."""
        text = self.first(keyword)
        if _INTEGER.fullmatch(text) is None:
            return None
        number = int(text.partition(".")[0])
        return number if -_MAX_INTEGER <= number < _MAX_INTEGER else None

    def number(self, keyword: str) -> float | None:
        """Return the first value if it is a finite number."""
        text = self.first(keyword)
        if _NUMBER.fullmatch(text) is None:
            return None
        number = float(text)
        return number if math.isfinite(number) else None

    def items(self, keyword: Key) -> Sequence[Item]:
        """Return the items of a sequence; empty if it is absent, empty or no sequence."""
        value = self._values.get(keyword)
        return value if isinstance(value, list) else ()


Stored = bytes | str | tuple[bytes, bytes] | list[Item]
"""A value as an item keeps it."""
