"""The Part 10 header that is put before a data set when it lands: the same for the same data set."""

from __future__ import annotations

import struct

IMPLEMENTATION_CLASS_UID = "2.25.54827326992353667072719000090241557286"
"""Of this project's file writer. It is part of every object's digest: it never changes."""
IMPLEMENTATION_VERSION_NAME = "DICOMTOOLS_1"
"""Part of every object's digest as well: it does not follow the release."""


def part10_header(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return preamble, prefix and File Meta Information for a data set.

    No time, no AE title, no version of the software: equal data sets give equal objects, whoever sent
    them and whenever, so that landing twice is landing once.

    Notes
    -----
    PS3.10 7.1; the File Meta Information is in Explicit VR Little Endian.
    """
    meta = b"".join(
        (
            struct.pack("<HH2sHI", 0x0002, 0x0001, b"OB", 0, 2) + b"\x00\x01",
            _uid(0x0002, sop_class_uid),
            _uid(0x0003, sop_instance_uid),
            _uid(0x0010, transfer_syntax_uid),
            _uid(0x0012, IMPLEMENTATION_CLASS_UID),
            _short(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
        )
    )
    group_length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(meta))
    return bytes(128) + b"DICM" + group_length + meta


def _uid(element: int, uid: str) -> bytes:
    value = uid.encode("ascii")
    return _short(element, b"UI", value + b"\0" * (len(value) % 2))


def _short(element: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value
