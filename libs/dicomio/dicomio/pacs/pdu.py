"""Protocol data units of the upper layer that need no library: PS3.8 9.3.4 to 9.3.8 and Annex E."""

from __future__ import annotations

import struct

from dicomcore.walk import Buffer

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA_TF, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
COMMAND, LAST = 0b01, 0b10
"""Bits of a message control header (PS3.8 E.2)."""
HEADER = struct.Struct(">BxI")
"""Type and length of the rest."""
VALUE_HEADER = struct.Struct(">IBB")
"""Length of the rest, presentation context ID, message control header."""
BY_USER, BY_PROVIDER = 0, 2
"""Source of an A-ABORT."""
NO_REASON, UNRECOGNIZED_PDU, UNEXPECTED_PDU, INVALID_PARAMETER = 0, 1, 2, 6
"""Reasons of an A-ABORT by the provider (PS3.8 Table 9-26)."""


def release_request() -> bytes:
    """Return an A-RELEASE-RQ."""
    return HEADER.pack(RELEASE_RQ, 4) + bytes(4)


def release_reply() -> bytes:
    """Return an A-RELEASE-RP."""
    return HEADER.pack(RELEASE_RP, 4) + bytes(4)


def abort(source: int = BY_USER, reason: int = NO_REASON) -> bytes:
    """Return an A-ABORT."""
    return HEADER.pack(ABORT, 4) + bytes((0, 0, source, reason))


def rejection(result: int, source: int, reason: int) -> bytes:
    """Return an A-ASSOCIATE-RJ; what the numbers mean is in PS3.8 Table 9-21."""
    return HEADER.pack(ASSOCIATE_RJ, 4) + bytes((0, result, source, reason))


def fragments(context_id: int, control: int, data: Buffer, *, max_pdu: int) -> list[Buffer]:
    """Return P-DATA-TF PDUs that carry a command set or a data set: headers and fragments in turn.

    Parameters
    ----------
    control
        `COMMAND` for a command set, else 0.
    max_pdu
        Longest variable field that the peer takes, bytes.
    """
    # fragments have an even length (PS3.8 Annex E.2): an odd maximum must not split a word
    size = (max_pdu - VALUE_HEADER.size) & ~1
    view = memoryview(data)
    last = max(0, len(view) - 1) // size * size
    full = _p_data_header(context_id, control, size)  # the same for all but the last
    parts: list[Buffer] = []
    for start in range(0, last, size):
        parts += (full, view[start : start + size])
    if view:
        rest = view[last:]
        parts += (_p_data_header(context_id, control | LAST, len(rest)), rest)
    return parts


def _p_data_header(context_id: int, flags: int, length: int) -> bytes:
    value = VALUE_HEADER.pack(length + 2, context_id, flags)
    return HEADER.pack(P_DATA_TF, length + VALUE_HEADER.size) + value
