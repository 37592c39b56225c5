"""What the data dictionaries say of a tag, the standard's and those of private creators."""

from __future__ import annotations

from pydicom.datadict import (
    dictionary_description,
    dictionary_VR,
    keyword_for_tag,
    private_dictionary_description,
    private_dictionary_VR,
)


def names_of(tag: int, creator: str = "") -> tuple[str, str]:
    """Return keyword and name of an attribute, empty where they are unknown.

    Parameters
    ----------
    creator
        Who reserved the block of a private tag; empty if nobody did.
    """
    if not tag & 0xFFFF:
        return "", "Group Length"
    try:
        if not tag >> 16 & 1:
            return keyword_for_tag(tag), dictionary_description(tag)
        if _is_creator(tag):
            return "", "Private Creator"
        return "", private_dictionary_description(tag, creator) if creator else ""
    except KeyError:
        return "", ""


def vr_of(tag: int, creator: str = "", *, signed: bool = False) -> bytes:
    """Return the VR of an attribute, OW where it may be that; empty if it is unknown.

    Parameters
    ----------
    signed
        Pixel Representation (0028,0103), which says what `US or SS` is.
    """
    if not tag & 0xFFFF:
        return b"UL"
    try:
        if not tag >> 16 & 1:
            vr = dictionary_VR(tag)
        else:
            vr = "LO" if _is_creator(tag) else private_dictionary_VR(tag, creator)
    except KeyError:
        return b""
    if "OW" in vr or "OB" in vr:
        return b"OW"
    if vr == "US or SS":
        return b"SS" if signed else b"US"
    return vr.encode("ascii")


def _is_creator(tag: int) -> bool:
    return 0x10 <= tag & 0xFFFF <= 0xFF
