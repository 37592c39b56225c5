"""Objects in whose pixels or documents a name may be burned in: no program frees those of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from dicomcore.deident.encoded import open_encoded
from dicomcore.walk import UNDEFINED_LENGTH, top_level


class BurnedIn(StrEnum):
    """Why an object is held back unless a policy allows it."""

    DECLARED = "declared"
    """Burned In Annotation (0028,0301) is YES."""
    DOCUMENT = "document"
    """A document inside an object: PDF, CDA, STL."""
    SECONDARY_CAPTURE = "secondary_capture"
    """A screenshot or scan, by its SOP class, Conversion Type (0008,0064) or Image Type (0008,0008)."""
    SCOUT = "scout"
    """A localizer, on which consoles draw."""
    ULTRASOUND = "ultrasound"
    """An ultrasound or visible light image, whose device writes the patient into the frame."""
    RT_IMAGE = "rt_image"
    """An RT Image that does not say that nothing is burned in."""


_STORAGE = "1.2.840.10008.5.1.4.1.1."
_BY_CLASS = (
    ("7", BurnedIn.SECONDARY_CAPTURE),
    ("104", BurnedIn.DOCUMENT),
    ("3", BurnedIn.ULTRASOUND),
    ("6", BurnedIn.ULTRASOUND),
    ("77.1", BurnedIn.ULTRASOUND),
    ("481.1", BurnedIn.RT_IMAGE),
)
_WANTED = {
    0x00080008: "ImageType",
    0x00080016: "SOPClassUID",
    0x00080064: "ConversionType",
    0x00280301: "BurnedInAnnotation",
}
_SCREENS = ("SCREEN", "DOSE_INFO", "CAPTURE", "SAVE")
_LAST = 0x00280301


def burned_in(data: bytes) -> BurnedIn | None:
    """Return why an object may show a name in its pixels, or None if nothing says so.

    Raises
    ------
    Unreadable
        Not DICOM, or damaged before (0028,0301).

    Notes
    -----
    PS3.15 E.3.1, PS3.3 C.7.6.1.1.1 and C.8.6.1. An image that says NO is believed; a document is not.
    """
    found = _attributes(data)
    declared = found.get("BurnedInAnnotation", "")
    if declared == "YES":
        return BurnedIn.DECLARED
    reason = _of_class(found.get("SOPClassUID", ""))
    if declared == "NO" and reason is not BurnedIn.DOCUMENT:
        return None
    if reason in (BurnedIn.DOCUMENT, BurnedIn.RT_IMAGE):
        return reason
    return _of_image(found) or reason


def _of_image(found: Mapping[str, str]) -> BurnedIn | None:
    image_type = found.get("ImageType", "").split("\\")
    if any(word in value for value in image_type for word in _SCREENS):
        return BurnedIn.SECONDARY_CAPTURE
    if found.get("ConversionType", "") not in ("", "SYN", "DRW"):
        return BurnedIn.SECONDARY_CAPTURE
    return BurnedIn.SCOUT if "LOCALIZER" in image_type else None


def _of_class(sop_class_uid: str) -> BurnedIn | None:
    kind = sop_class_uid.removeprefix(_STORAGE)
    for prefix, reason in _BY_CLASS:
        if kind == prefix or (prefix != "481.1" and kind.startswith(prefix + ".")):
            return reason
    return None


def _attributes(data: bytes) -> dict[str, str]:
    opened = open_encoded(data)
    view = memoryview(opened.data)[opened.start :]
    found: dict[str, str] = {}
    for element in top_level(view, opened.encoding):
        keyword = _WANTED.get(element.tag)
        if keyword is not None and element.length != UNDEFINED_LENGTH:
            value = bytes(view[element.start : element.start + element.length])
            found[keyword] = value.decode("latin-1").strip(" \0").upper()
        if element.tag >= _LAST:
            break
    return found
