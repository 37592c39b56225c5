"""The one table from our errors to the status that answers a C-STORE request."""

from __future__ import annotations

from dicomcore.errors import (
    DicomToolsError,
    InvalidInstance,
    InvalidUid,
    SopClassMismatch,
    Unavailable,
)

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
DATA_SET_DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000

_BY_ERROR: tuple[tuple[type[DicomToolsError], int], ...] = (
    (Unavailable, OUT_OF_RESOURCES),  # the SCU should try again
    (SopClassMismatch, DATA_SET_DOES_NOT_MATCH),
    (InvalidInstance, DATA_SET_DOES_NOT_MATCH),
    (InvalidUid, DATA_SET_DOES_NOT_MATCH),
    (DicomToolsError, CANNOT_UNDERSTAND),  # Rejected, and what does not concern a C-STORE
)


def status_of(error: Exception) -> int:
    """Return the C-STORE response status for an error; never Success.

    Notes
    -----
    PS3.4 Table B.2-1. An error that is not ours is a fault of this program: "cannot understand" keeps
    the object with its sender.
    """
    for kind, status in _BY_ERROR:
        if isinstance(error, kind):
            return status
    return CANNOT_UNDERSTAND
