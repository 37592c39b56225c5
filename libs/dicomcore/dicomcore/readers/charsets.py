"""Text from bytes under any Specific Character Set (0008,0005), also absent, unknown or wrong ones."""

from __future__ import annotations

import re
from functools import lru_cache

_ESCAPE = b"\x1b"
_FRAGMENTS = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_DELIMITER = re.compile(rb"[\\^=\r\n\f\t]")
_UNKNOWN = ""


def decode(value: bytes, charset: bytes) -> str:
    """Return the text of a value; what cannot be decoded becomes U+FFFD.

    Parameters
    ----------
    charset
        Specific Character Set as encoded: terms joined by backslashes, padded; empty if absent.

    Notes
    -----
    PS3.3 C.12.1.1.2, PS3.5 6.1.2. Where the set is absent or unknown and the value is not ASCII, it is
    read as UTF-8 if it is valid UTF-8, as Latin-1 otherwise: that is what such writers do.
    """
    if _ESCAPE in value:
        first = _first(charset)
        return "".join(_fragment(part, first) for part in _FRAGMENTS.findall(value))
    if value.isascii():
        return value.decode("ascii")
    return _plain(value, _first(charset))


@lru_cache(maxsize=64)
def _first(charset: bytes) -> str:
    """The codec of the first term, which holds until an escape sequence says otherwise."""
    term = charset.split(b"\\")[0].strip(b" \0").decode("latin-1")
    spelled = re.sub(r"^ISO.IR.", "ISO_IR ", re.sub(r"^ISO.2022.IR.", "ISO 2022 IR ", term))
    if term in ("", "ISO_IR 6", "ISO 2022 IR 6"):
        return _UNKNOWN
    from pydicom.charset import python_encoding  # it loads all of pydicom

    return python_encoding.get(spelled, _UNKNOWN)


def _plain(value: bytes, codec: str) -> str:
    if codec:
        return value.decode(codec, "replace")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _fragment(part: bytes, first: str) -> str:
    """The text from one escape sequence to the next; a delimiter returns to the first set."""
    if not part.startswith(_ESCAPE):
        return _plain(part, first)
    length = 4 if part[1:3] in (b"$(", b"$)") else 3
    codec = _codec_of_escape(part[:length])
    if codec is None:
        return _plain(part, first)
    if codec.startswith("iso2022_jp"):  # these codecs read the escape sequence themselves
        return part.decode(codec, "replace")
    body = part[length:]
    delimiter = _DELIMITER.search(body)
    cut = len(body) if delimiter is None else delimiter.start()
    return body[:cut].decode(codec, "replace") + _plain(body[cut:], first)


def _codec_of_escape(sequence: bytes) -> str | None:
    from pydicom.charset import CODES_TO_ENCODINGS

    return CODES_TO_ENCODINGS.get(sequence)
