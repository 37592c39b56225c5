"""The indexable attributes of an instance: path, item numbers and values, and what is left out."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from dicomcore.criteria import Value, number_of
from dicomcore.tagpath import Path, Step

NUMERIC = "#"
_PRIVATE_ELEMENT = 0xFFFF00FF


class Attribute(NamedTuple):
    """One attribute of one instance, in one item where it is inside sequences."""

    path: str
    """Tags from the top level down, eight hexadecimal digits each, slashes between them; a private
    one with a colon and its creator. With a `#` at the end where the VR is one of numbers."""
    items: tuple[int, ...]
    """The item, 0-based, within each of the sequences on the way: one fewer than there are tags."""
    values: tuple[str, ...]
    """As texts, in order; one empty text if the attribute is there and empty."""


MAX_VALUES = 64
"""An attribute with more values is bulk: positions, curves, histograms."""
MAX_CHARACTERS = 1024
"""An attribute with a longer value is not indexed: it is prose (LT has up to 10,240, PS3.5 6.2)."""
MAX_BYTES = 16 * 1024
"""An attribute whose encoded value is longer is not looked at."""
MAX_ATTRIBUTES = 100_000
"""Of one instance; what follows is not indexed. A plan of twenty arcs has half of it."""

BULK = frozenset(
    (
        0x04000120,  # Signature
        0x04000310,  # CertifiedTimestamp
        0x04000520,  # EncryptedContent
        *range(0x00281201, 0x00281204),  # palette look-up tables
        *range(0x00281221, 0x00281224),
        0x00281408,  # BlendingLookupTableSequence
        0x00282000,  # ICCProfile
        0x00283006,  # LUTData
        0x00420011,  # EncapsulatedDocument
        0x00640009,  # VectorGridData
        0x00660016,  # PointCoordinatesData
        0x00660023,  # TrianglePointIndexList
        0x00700022,  # GraphicData
        0x3004000C,  # GridFrameOffsetVector
        0x30040058,  # DVHData
        0x30060040,  # ContourSequence: its images are in the references of the instance
        0x30060050,  # ContourData
        0x30080047,  # ScanSpotMetersetsDelivered
        0x300A00BE,  # LeafPositionBoundaries
        0x300A00EB,  # CompensatorTransmissionData
        0x300A00EC,  # CompensatorThicknessData
        0x300A0106,  # BlockData
        0x300A011C,  # LeafJawPositions
        0x300A0394,  # ScanSpotPositionMap
        0x300A0396,  # ScanSpotMetersetWeights
    )
)
"""Attributes that are never indexed, at any level, with everything below them."""
LAST = 0x7FDFFFFF
"""What follows at the top level is pixel data and padding: group 7FE0 and above."""


def is_bulk(tag: int) -> bool:
    """Return whether an attribute is left out by its tag.

    Beside those in `BULK`: group lengths, and the repeating groups of curves and overlays.
    """
    if tag in BULK or tag > LAST or not tag & 0xFFFF:
        return True
    group = tag >> 16
    return not group & 1 and (0x5000 <= group <= 0x50FF or 0x6000 <= group <= 0x60FF)


@lru_cache(maxsize=8192)
def step_text(tag: int, creator: str = "") -> str:
    """Return one tag as it stands in a path."""
    name = creator.replace("%", "%25").replace("/", "%2F").replace("#", "%23")
    return f"{tag:08X}:{name}" if creator else f"{tag:08X}"


def is_numeric(path: str) -> bool:
    """Return whether the values at a path are compared as numbers where they are such."""
    return path.endswith(NUMERIC)


def value_of(path: str, text: str) -> Value:
    """Return a value as criteria see it."""
    return Value(text, number_of(text) if path.endswith(NUMERIC) else None)


def tail_of(path: str) -> int:
    """Return the last tag of a path, private ones without their block: what `tail_of_steps` says."""
    return _tail(int(path.rpartition("/")[2][:8], 16))


def tail_of_steps(path: Path) -> int:
    """Return the last tag of a query's path, without its block if it is private."""
    return _tail(path[-1].tag)


def is_at(path: str, wanted: Path) -> bool:
    """Return whether an attribute's path is one that a query's path names."""
    steps = path.removesuffix(NUMERIC).split("/")
    return len(steps) == len(wanted) and all(map(_is_step, steps, wanted))


def _tail(tag: int) -> int:
    return tag & _PRIVATE_ELEMENT if tag >> 16 & 1 and tag & 0xFF00 else tag


def _is_step(text: str, wanted: Step) -> bool:
    tag = int(text[:8], 16)
    if not wanted.creator:
        return tag == wanted.tag
    return tag & _PRIVATE_ELEMENT == wanted.tag and text == step_text(tag, wanted.creator)
