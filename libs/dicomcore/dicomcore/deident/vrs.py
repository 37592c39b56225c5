"""Which value representation an element has, from what is written and what the dictionary says."""

from __future__ import annotations

from functools import lru_cache

from pydicom.datadict import dictionary_VR

from dicomcore.errors import Unreadable
from dicomcore.walk import LONG_VRS, SHORT_VRS

DATES = frozenset((b"DA", b"TM", b"DT"))
NUMBERS_AS_TEXT = frozenset((b"DS", b"IS"))
FREE_TEXT = frozenset((b"LO", b"SH", b"ST", b"LT", b"UT", b"UC", b"UR", b"AE"))
TEXT = FREE_TEXT | DATES | NUMBERS_AS_TEXT | frozenset((b"PN", b"UI", b"CS", b"AS"))
BULK = frozenset((b"OB", b"OW", b"OF", b"OD", b"OL", b"OV"))
BINARY = BULK | frozenset((b"US", b"SS", b"UL", b"SL", b"UV", b"SV", b"FL", b"FD", b"AT"))

# of PS3.15 table E.1-1, later than the dictionary that is at hand
_LATER = {
    0x00081301: b"SQ",
    0x00081302: b"SQ",
    0x00081303: b"SQ",
    0x00081304: b"SQ",
    0x00100011: b"SQ",
    0x00100012: b"LT",
    0x00100013: b"LT",
    0x00100014: b"SQ",
    0x00100015: b"SQ",
    0x00100016: b"LT",
    0x00100041: b"SQ",
    0x00100042: b"LT",
    0x00100043: b"SQ",
    0x00100044: b"SQ",
    0x00100045: b"LT",
    0x00100046: b"SQ",
    0x00100047: b"UR",
    0x00102162: b"UC",
    0x0040A034: b"DT",
    0x0040A035: b"DT",
    0x0040B034: b"DT",
    0x0040B036: b"DT",
    0x0040B03B: b"LO",
    0x0040B03F: b"LO",
    0x0040E012: b"UR",
}


@lru_cache(maxsize=16384)
def dictionary_vr(tag: int) -> bytes | None:
    """Return the VR that a standard attribute has, or the first of several; None if not known."""
    try:
        return dictionary_VR(tag)[:2].encode("ascii")
    except KeyError:
        return _LATER.get(tag)


def effective_vr(tag: int, written: bytes) -> bytes | None:
    """Return the VR by which an element is understood; None: nothing is known of its attribute.

    Parameters
    ----------
    written
        The VR in the data set; empty where VRs are implicit.

    Raises
    ------
    Unreadable
        What is written is no VR, or one whose values look altogether different from those of the
        attribute: text for numbers, a value for a sequence.

    Notes
    -----
    UN is any VR (PS3.5 6.2.2). Within text, and within numbers, the dictionary is believed: that a
    writer calls an LO an SH makes a date no less a date.
    """
    if written and written not in SHORT_VRS and written not in LONG_VRS:
        raise Unreadable("unknown value representation", tag=f"{tag:08X}")
    known = dictionary_vr(tag)
    if known is None or not written or written == b"UN":
        return known
    if _family(known) != _family(written):
        raise Unreadable(
            "value representation contradicts the attribute",
            tag=f"{tag:08X}",
            written=written.decode("ascii"),
        )
    # "OB or OW", "US or SS": what is written decides
    return known if known in TEXT else written


def _family(vr: bytes) -> str:
    if vr == b"SQ":
        return "sequence"
    return "text" if vr in TEXT else "numbers"
