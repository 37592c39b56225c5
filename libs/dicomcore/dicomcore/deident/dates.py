"""Dates moved by whole days: every interval stays, also across midnight and with time zones."""

from __future__ import annotations

import re
from datetime import date, timedelta

_DA = re.compile(rb"(\d{4})(\.?)(\d\d)\2(\d\d)")
_TM = re.compile(rb"([01]\d|2[0-3])(:?)([0-5]\d(\2([0-5]\d|60)(\.\d{1,6})?)?)?")
_TIME_AND_ZONE = (
    rb"(([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?)?([+-](0\d|1[0-4])[0-5]\d)?"
)
_DT = re.compile(rb"(\d{8})(" + _TIME_AND_ZONE + rb")")
_DT_SHORT = re.compile(rb"\d{4}(0[1-9]|1[0-2])?([+-](0\d|1[0-4])[0-5]\d)?")
_PADDING = b" \0"


def shifted(vr: bytes, value: bytes, days: int) -> bytes | None:
    """Return a DA, DT or TM value moved by `days`, or None if it holds anything else than dates.

    Parameters
    ----------
    value
        As encoded; several values may be joined by backslashes.

    Returns
    -------
    bytes
        Of even length. A TM value is as it was, for the days are whole. A DT of a year or month only
        has no day that could be moved, and is None.

    Notes
    -----
    PS3.5 table 6.2-1; PS3.15 E.3.6: Modified Dates Option.
    """
    parts = [_shifted_one(vr, part.strip(_PADDING), days) for part in value.split(b"\\")]
    kept = [part for part in parts if part is not None]
    if len(kept) < len(parts):
        return None
    joined = b"\\".join(kept)
    return joined + b" " * (len(joined) % 2)


def valid(vr: bytes, value: bytes) -> bool:
    """Return whether a DA, DT or TM value is dates or times and nothing else."""
    return all(_valid_one(vr, part.strip(_PADDING)) for part in value.split(b"\\"))


def _valid_one(vr: bytes, value: bytes) -> bool:
    if not value or (vr == b"DT" and _DT_SHORT.fullmatch(value)):
        return True
    return _shifted_one(vr, value, 0) is not None


def _shifted_one(vr: bytes, value: bytes, days: int) -> bytes | None:
    if not value:
        return value
    if vr == b"TM":
        return value if _TM.fullmatch(value) else None
    if vr == b"DA":
        found = _DA.fullmatch(value)
        return None if found is None else _moved(b"".join(found.group(1, 3, 4)), days)
    found = _DT.fullmatch(value)
    if found is None:
        return None
    moved = _moved(found[1], days)
    return None if moved is None else moved + found[2]


def _moved(day: bytes, days: int) -> bytes | None:
    try:
        moved = date(int(day[:4]), int(day[4:6]), int(day[6:])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return moved.strftime("%Y%m%d").zfill(8).encode("ascii")
