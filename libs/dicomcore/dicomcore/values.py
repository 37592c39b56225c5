"""From an encoded value to the values that are compared: decoded, without padding, numbers as numbers."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence

from dicomcore.criteria import PADDING, Value, number_of
from dicomcore.readers.charsets import decode

EMPTY = (Value(""),)
"""What an attribute has that is there and empty."""
_DECIMALS = frozenset((b"DS", b"IS"))
_TIMES = frozenset((b"DA", b"TM", b"DT"))
_PLAIN = frozenset((b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"TM", b"UI", b"UR"))
"""Specific Character Set does not hold for these (PS3.5 6.1.2.3)."""
_ONE = frozenset((b"LT", b"ST", b"UR", b"UT"))
"""A backslash in these is a backslash (PS3.5 6.4)."""
_TEXTS = _PLAIN | _ONE | frozenset((b"LO", b"PN", b"SH", b"UC"))
_BINARY: Mapping[bytes, tuple[str, int]] = {
    b"US": ("H", 2),
    b"SS": ("h", 2),
    b"UL": ("I", 4),
    b"SL": ("i", 4),
    b"UV": ("Q", 8),
    b"SV": ("q", 8),
    b"FL": ("f", 4),
    b"FD": ("d", 8),
}
NUMBER_VRS = _DECIMALS | frozenset(_BINARY)
"""Values are compared as numbers."""
BULK_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ"))
"""No comparable values; UN has them where its bytes are text."""


def values_of(vr: bytes, encoded: bytes, charset: bytes, *, little_endian: bool) -> Sequence[Value]:
    """Return the values of one attribute; one empty text if it is empty, none if its VR has none.

    Parameters
    ----------
    vr
        Two capital letters. Unknown ones, and UN, have values where their bytes are printable text.
    charset
        Specific Character Set (0008,0005) that holds here, as encoded; empty if there is none.

    Notes
    -----
    PS3.5 6.2 (padding: spaces, and NUL in UI and by mistake elsewhere), 6.4 (several values). Numbers
    whose bytes do not come out even lose the rest.
    """
    if vr in BULK_VRS:
        return ()
    if not encoded:
        return EMPTY
    if vr in _BINARY:
        return _numbers(vr, encoded, little_endian=little_endian)
    if vr == b"AT":
        return _tags(encoded, little_endian=little_endian)
    if vr in _TEXTS:
        return _texts(vr, encoded, charset)
    text = decode(encoded, charset).strip(PADDING)
    return _parts(text, Value) if all(map(_readable, text)) else ()


def _texts(vr: bytes, encoded: bytes, charset: bytes) -> Sequence[Value]:
    text = encoded.decode("latin-1") if vr in _PLAIN else decode(encoded, charset)
    if not text.isascii():  # lone surrogates cannot be written anywhere
        text = text.encode("utf-8", "replace").decode("utf-8")
    if vr in _ONE:
        return (Value(_stripped(text)),)
    if vr in _DECIMALS:
        return _parts(text, _decimal)
    if vr == b"PN":  # groups that are empty at the end may as well be absent (PS3.5 6.2.1.1)
        return _parts(text, lambda name: Value(name.rstrip("= ")))
    return _parts(text, _time if vr in _TIMES else Value)


def _parts(text: str, value: Callable[[str], Value]) -> Sequence[Value]:
    if "\\" not in text:
        return (value(_stripped(text)),)
    return tuple(value(_stripped(part)) for part in text.split("\\"))


def _stripped(text: str) -> str:
    return text.strip(PADDING).replace("\0", "")


def _decimal(text: str) -> Value:
    return Value(text, number_of(text))


def _time(text: str) -> Value:
    # 2024.01.31 and 10:20:30 are how ACR-NEMA wrote them (PS3.5 6.2, notes)
    date_with_dots = len(text) == 10 and text[4] == text[7] == "."
    return Value(text.replace(".", "") if date_with_dots else text.replace(":", ""))


def _numbers(vr: bytes, encoded: bytes, *, little_endian: bool) -> Sequence[Value]:
    code, size = _BINARY[vr]
    count = len(encoded) // size
    order = "<" if little_endian else ">"
    numbers = struct.unpack(f"{order}{count}{code}", encoded[: count * size])
    if code == "f":
        return tuple(_decimal(single_text(number)) for number in numbers) or EMPTY
    return tuple(_decimal(decimal_text(number)) for number in numbers) or EMPTY


def decimal_text(number: float) -> str:
    """Return the shortest decimal that is read as this number."""
    if isinstance(number, int):
        return str(number)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def single_text(number: float) -> str:
    """Return the shortest decimal that is read as this number of single precision."""
    if not math.isfinite(number) or (number.is_integer() and abs(number) < 1e7):
        return decimal_text(number) if math.isfinite(number) else repr(number)
    for digits in range(6, 9):
        text = f"{number:.{digits}g}"
        if struct.unpack("<f", struct.pack("<f", float(text)))[0] == number:
            return decimal_text(float(text))
    return decimal_text(float(f"{number:.9g}"))


def _tags(encoded: bytes, *, little_endian: bool) -> Sequence[Value]:
    count = len(encoded) // 4
    words = struct.unpack(f"{'<' if little_endian else '>'}{2 * count}H", encoded[: 4 * count])
    pairs = zip(words[::2], words[1::2], strict=True)
    return tuple(Value(f"({group:04X},{element:04X})") for group, element in pairs) or EMPTY


def _readable(character: str) -> bool:
    return character.isprintable() or character in "\t\r\n\f"
