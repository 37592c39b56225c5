"""Text from bytes under any Specific Character Set (0008,0005), also absent, unknown or wrong ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

_ESCAPE = b"\x1b"
_FRAGMENTS = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_DELIMITER = re.compile(rb"[\\^=\r\n\f\t]")
_UNKNOWN = ""
_SINGLE_BYTE = {
    6: "iso8859",
    13: "shift_jis",
    100: "latin_1",
    101: "iso8859_2",
    109: "iso8859_3",
    110: "iso8859_4",
    126: "iso_ir_126",
    127: "iso_ir_127",
    138: "iso_ir_138",
    144: "iso_ir_144",
    148: "iso_ir_148",
    166: "iso_ir_166",
}
_SEVERAL_BYTES = {58: "iso_ir_58", 87: "iso2022_jp", 149: "euc_kr", 159: "iso2022_jp_2"}
CODECS: Mapping[str, str] = {
    **{f"ISO_IR {number}": codec for number, codec in _SINGLE_BYTE.items()},
    **{f"ISO 2022 IR {n}": codec for n, codec in (_SINGLE_BYTE | _SEVERAL_BYTES).items()},
    "": "iso8859",
    "ISO_IR 192": "UTF8",
    "GB18030": "GB18030",
    "GBK": "GBK",
    "ISO 2022 GBK": "GBK",
    "ISO 2022 58": "GB2312",
}
"""Python's names for the defined terms (PS3.3 C.12.1.1.2) and usual misspellings of them. pydicom has the
same, and takes longer to load than a thousand files to read."""
CODECS_OF_ESCAPES: Mapping[bytes, str] = {
    b"\x1b(B": "iso8859",
    b"\x1b)I": "shift_jis",
    b"\x1b(J": "shift_jis",
    b"\x1b-A": "latin_1",
    b"\x1b-B": "iso8859_2",
    b"\x1b-C": "iso8859_3",
    b"\x1b-D": "iso8859_4",
    b"\x1b-F": "iso_ir_126",
    b"\x1b-G": "iso_ir_127",
    b"\x1b-H": "iso_ir_138",
    b"\x1b-L": "iso_ir_144",
    b"\x1b-M": "iso_ir_148",
    b"\x1b-T": "iso_ir_166",
    b"\x1b$B": "iso2022_jp",
    b"\x1b$(D": "iso2022_jp_2",
    b"\x1b$)C": "euc_kr",
    b"\x1b$)A": "iso_ir_58",
}


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
    return CODECS.get(spelled, _UNKNOWN)


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
    codec = CODECS_OF_ESCAPES.get(part[:length])
    if codec is None:
        return _plain(part, first)
    if codec.startswith("iso2022_jp"):  # these codecs read the escape sequence themselves
        return part.decode(codec, "replace")
    body = part[length:]
    delimiter = _DELIMITER.search(body)
    cut = len(body) if delimiter is None else delimiter.start()
    return body[:cut].decode(codec, "replace") + _plain(body[cut:], first)
