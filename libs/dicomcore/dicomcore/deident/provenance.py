"""The attributes that say that, how and how far an object was de-identified."""

from __future__ import annotations

from dicomcore.deident.identity import Pseudonym
from dicomcore.deident.options import BASIC_CODE, CODES, Option, Options
from dicomcore.deident.values import encode_element, encode_item, padded
from dicomcore.walk import Encoding

PATIENT_NAME = 0x00100010
PATIENT_ID = 0x00100020
WRITTEN = frozenset((PATIENT_NAME, PATIENT_ID, 0x00120062, 0x00120063, 0x00120064, 0x00280303))
"""Tags of what `elements` writes, whatever the original has there."""
METHOD = "DicomTools"


def elements(
    pseudonym: Pseudonym,
    profile_name: str,
    options: Options,
    encoding: Encoding,
) -> list[tuple[int, bytes]]:
    """Return tag and encoding of each element that is written, in ascending order.

    Notes
    -----
    PS3.15 E.1.1, steps 6 to 8; PS3.16 CID 7050; PS3.3 C.12.1 for (0028,0303).
    """
    label = profile_name.removesuffix(".csv")
    codes = [BASIC_CODE, *(CODES[option] for option in Option if option in options)]
    items = b"".join(
        encode_item(((0x00080100, code), (0x00080102, "DCM"), (0x00080104, meaning)), encoding)
        for code, meaning in codes
    )
    texts = (
        (PATIENT_NAME, b"PN", pseudonym.patient_name),
        (PATIENT_ID, b"LO", pseudonym.patient_id),
        (0x00120062, b"CS", "YES"),
        (0x00120063, b"LO", f"{METHOD} {label}"[:64]),
        (0x00280303, b"CS", _longitudinal(options)),
    )
    written = [(tag, encode_element(tag, vr, padded(t, vr), encoding)) for tag, vr, t in texts]
    written.append((0x00120064, encode_element(0x00120064, b"SQ", items, encoding)))
    return sorted(written)


def _longitudinal(options: Options) -> str:
    """Return Longitudinal Temporal Information Modified (0028,0303)."""
    if Option.RETAIN_LONG_FULL_DATES in options:
        return "UNMODIFIED"
    return "MODIFIED" if Option.RETAIN_LONG_MODIF_DATES in options else "REMOVED"
