"""Text freed of identifiers, dates and long numbers; its clinical words stay."""

from __future__ import annotations

import re

from dicomcore.deident.identifiers import Finder, KnownIdentifiers
from dicomcore.readers.charsets import decode

MAX_CACHED = 1 << 15
"""Values whose cleaned form is remembered."""
_MONTH = "(?:jan|feb|mar|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-z]*"
_DATES = re.compile(
    r"(?<!\d)(?:\d{4}([-./])\d{1,2}\1\d{1,2}|\d{1,2}([-./])\d{1,2}\2(?:\d{4}|\d{2}))(?!\d)"
    rf"|(?<!\d)\d{{1,2}}[. -]{{1,2}}{_MONTH}[. ,-]{{0,2}}\d{{4}}(?!\d)"
    rf"|(?<![a-z]){_MONTH}[. -]{{1,2}}\d{{1,2}}(?:st|nd|rd|th)?[ ,.-]{{1,2}}\d{{4}}(?!\d)",
    re.IGNORECASE,
)
_CONTACTS = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"  # mail
    r"|https?://\S+"
    r"|(?<![\w.])\d+(?:\.\d+){3,}(?![\w.])"  # UIDs and addresses
)
_TELEPHONES = re.compile(r"(?<![\d.,])(?:\+|0)(?:[ ()/-]{0,2}\d){7,}(?!\d)")
_LONG_NUMBERS = re.compile(r"(?<![\d.])[A-Za-z]?\d{6,}(?!\d)|(?<!\d)\d{8,}")
_LEFT_OVER = re.compile(r"([ _^=,;:/-])(?:[ _^=,;:/-])+")
_STRONG, _IDENTIFIERS, _DESCRIPTOR = range(3)
_ENDS = " _^=,;:/-"


class TextCleaner:
    """Cleans values of one patient's objects, as encoded; remembers what it has cleaned."""

    __slots__ = ("_cache", "_finder")

    def __init__(self, known: KnownIdentifiers) -> None:
        self._finder = Finder(known)
        self._cache: dict[tuple[bytes, bytes, int], bytes] = {}

    def scrub(self, value: bytes, charset: bytes, *, strong: bool = False) -> bytes:
        """Return a value without known identifiers; the same value if it has none.

        Parameters
        ----------
        strong
            Only whole IDs and dates count: for coded terms and numbers.
        """
        return self._cached(value, charset, _STRONG if strong else _IDENTIFIERS)

    def clean(self, value: bytes, charset: bytes) -> bytes:
        """Return a descriptor without identifiers, dates, addresses and long numbers.

        Notes
        -----
        PS3.15 E.3.4 (descriptors) and E.3.5 (structured content).
        """
        return self._cached(value, charset, _DESCRIPTOR)

    def _cached(self, value: bytes, charset: bytes, depth: int) -> bytes:
        key = (value, charset, depth)
        known = self._cache.get(key)
        if known is None:
            text = decode(value, charset)
            cleaned = self._without(text, strong=depth == _STRONG)
            if depth == _DESCRIPTOR:
                for pattern in (_CONTACTS, _DATES, _TELEPHONES, _LONG_NUMBERS):
                    cleaned = pattern.sub(" ", cleaned)
            known = value if cleaned == text else _encode(_tidy(cleaned), charset)
            if self._finder.contains_otherwise(known):
                known = (
                    b""  # how it is encoded is not known, so that nothing can be taken out of it
                )
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            self._cache[key] = known
        return known

    def _without(self, text: str, *, strong: bool) -> str:
        # what is left may join to an identifier again: until none is found
        while spans := list(self._finder.spans(text, strong=strong)):
            kept, at = [], 0
            for start, stop in spans:
                kept += [text[at:start], " "]
                at = stop
            text = "".join([*kept, text[at:]])
        return text


def _tidy(text: str) -> str:
    """Return text without the separators that stood around what was taken out; values stay apart."""
    values = (_LEFT_OVER.sub(r"\1", value).strip(_ENDS) for value in text.split("\\"))
    return "\\".join(values)


def _encode(text: str, charset: bytes) -> bytes:
    """Return text in its character set, padded; code extensions are not written: ASCII remains."""
    terms = charset.split(b"\\")
    single = len(terms) == 1 and b"2022" not in terms[0]
    codec = _CODECS.get(terms[0].strip(b" \0"), "ascii") if single else "ascii"
    value = text.encode(codec, "ignore")
    return value + b" " * (len(value) % 2)


_CODECS = {
    b"ISO_IR 100": "latin-1",
    b"ISO_IR 101": "iso8859-2",
    b"ISO_IR 109": "iso8859-3",
    b"ISO_IR 110": "iso8859-4",
    b"ISO_IR 144": "iso8859-5",
    b"ISO_IR 127": "iso8859-6",
    b"ISO_IR 126": "iso8859-7",
    b"ISO_IR 138": "iso8859-8",
    b"ISO_IR 148": "iso8859-9",
    b"ISO_IR 166": "tis-620",
    b"ISO_IR 192": "utf-8",
    b"GB18030": "gb18030",
}
