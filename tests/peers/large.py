"""A multi-frame instance of any size, sent without being in memory."""

from __future__ import annotations

import struct

from tests.instances import CT_IMAGE, encode, identity
from tests.peers.raw_scu import RawScu, command_set

IMPLICIT = "1.2.840.10008.1.2"
_FRAGMENT_BYTES = 128 * 1024 - 6


def send_large(port: int, number: int, *, size_bytes: int) -> int:
    """Send one instance with Pixel Data (7FE0,0010) of an even size; return the status."""
    dataset = identity(number, sop_class_uid=CT_IMAGE)
    head = encode(dataset) + struct.pack("<HHI", 0x7FE0, 0x0010, size_bytes)
    uid = str(dataset.SOPInstanceUID).encode()
    request = command_set(
        (0x0002, CT_IMAGE.encode() + b"\0" * (len(CT_IMAGE) % 2)),
        (0x0100, struct.pack("<H", 1)),
        (0x0110, struct.pack("<H", 1)),
        (0x0800, struct.pack("<H", 1)),
        (0x1000, uid + b"\0" * (len(uid) % 2)),
    )
    frame = bytes([number % 250 + 1]) * _FRAGMENT_BYTES
    with RawScu(port, [(CT_IMAGE, IMPLICIT)]) as scu:
        scu.send_fragment(1, 3, request)
        scu.send_fragment(1, 0, head)
        for start in range(0, size_bytes, len(frame)):
            last = 2 if start + len(frame) >= size_bytes else 0
            scu.send_fragment(1, last, frame[: size_bytes - start])
        status = scu.read_status()
        scu.release()
    return status
