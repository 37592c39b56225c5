"""Which presentation contexts an association asks for (PS3.8 9.3.2.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from dicomcore.errors import InvalidRequest
from dicomcore.uids import uid_or_none

VERIFICATION = "1.2.840.10008.1.1"
PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"

MAX_CONTEXTS = 128
"""Context IDs are the odd numbers from 1 to 255."""
MAX_STORAGE_CLASSES = 120

UNCOMPRESSED = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
COMPRESSED = tuple(
    str(uid)
    for uid in (
        JPEGLosslessSV1,
        JPEG2000Lossless,
        RLELossless,
        JPEGLSLossless,
        JPEG2000,
        JPEGBaseline8Bit,
        JPEGExtended12Bit,
        JPEGLossless,
        JPEGLSNearLossless,
        HTJ2KLossless,
        HTJ2K,
        DeflatedExplicitVRLittleEndian,
    )
)
"""What archives hold, the most usual first."""


@dataclass(frozen=True, slots=True)
class Context:
    """One presentation context to ask for."""

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


def service_context(abstract_syntax: str) -> Context:
    """Return the context of a service whose identifiers we encode.

    Only Implicit VR Little Endian, which every peer must accept (PS3.5 10.1): in Explicit VR a
    list of more than about a thousand UIDs does not fit into the 16 bits of its length.
    """
    return Context(abstract_syntax, (str(ImplicitVRLittleEndian),))


def storage_contexts(sop_class_uids: Iterable[str]) -> Sequence[Context]:
    """Return the contexts on which a C-GET may bring instances of these SOP classes.

    The acceptor picks one transfer syntax per context. So each class has one context for
    uncompressed instances, and as many more as there is room for, each for one compressed syntax:
    the peer then sends what it holds as it holds it. Where there is no room for all, the last
    context of a class offers the rest together. What is not a UID is left out: a peer's replies may
    name such a class, and one bad reply must not cost the others.

    Raises
    ------
    InvalidRequest
        No class, or more than `MAX_STORAGE_CLASSES`.
    """
    classes = sorted({uid for text in sop_class_uids if (uid := uid_or_none(text)) is not None})
    if not 0 < len(classes) <= MAX_STORAGE_CLASSES:
        raise InvalidRequest("1 to 120 SOP classes can be asked for", number=len(classes))
    spare = (MAX_CONTEXTS - 1 - len(classes)) // len(classes)
    groups = _groups(min(spare, len(COMPRESSED)))
    return [Context(uid, syntaxes) for uid in classes for syntaxes in groups]


def _groups(number_of_compressed: int) -> Sequence[tuple[str, ...]]:
    if number_of_compressed == 0:
        return [UNCOMPRESSED + COMPRESSED]
    alone = COMPRESSED[: number_of_compressed - 1]
    together = COMPRESSED[number_of_compressed - 1 :]
    return [UNCOMPRESSED, *((syntax,) for syntax in alone), together]
