"""From an object, as it is kept, to the data set that is sent: cut out of it, machines renamed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dicomcore.errors import Unreadable
from dicomcore.model import InstanceHeader
from dicomcore.ports import Outgoing
from dicomcore.readers.collect import Truncated
from dicomcore.readers.part10 import Opened, encoding_at, open_object
from dicomcore.sending.rename import renamed_machines
from dicomcore.transcode import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    UNCOMPRESSED,
    deflate,
    inflate,
)
from dicomcore.walk import Buffer

NO_NAMES: Mapping[str, str] = {}
BEGINNING_BYTES = 64 * 1024
"""So much of an object is enough to tell its transfer syntax."""


def transfer_syntax_of(beginning: bytes) -> str:
    """Return the transfer syntax in which an object really is, by its beginning.

    Of uncompressed data sets the bytes are believed, not the file meta information, which may be
    absent or wrong: they must be announced as what they are.

    Raises
    ------
    Unreadable
        Not DICOM, or less than one element of it.
    """
    opened = _opened(beginning)
    announced = opened.transfer_syntax_uid
    if announced == DEFLATED or (announced and announced not in UNCOMPRESSED):
        return announced
    return _plain_syntax(opened)


def outgoing(
    header: InstanceHeader,
    transfer_syntax_uid: str,
    load: Callable[[], bytes],
    names: Mapping[str, str] = NO_NAMES,
) -> Outgoing:
    """Return an instance as the port `Pacs` sends it.

    Parameters
    ----------
    transfer_syntax_uid
        In which the object really is: see `transfer_syntax_of`.
    load
        Returns the whole object; called when its turn comes.
    names
        Names of treatment machines, old to new; see `renamed_machines`.
    """

    def data_set() -> Buffer:
        return _data_set(load(), transfer_syntax_uid, names)

    return Outgoing(
        header.sop_class_uid, header.ref.sop_instance_uid, transfer_syntax_uid, data_set
    )


def _data_set(whole: bytes, syntax: str, names: Mapping[str, str]) -> Buffer:
    """Return the encoded data set of an object, without Part 10 header.

    Raises
    ------
    Unreadable, InvalidRequest
        It cannot be understood, or a name cannot be written.
    """
    opened = _opened(whole)
    data: Buffer = memoryview(whole)[opened.start :]
    if not names:
        return data
    plain = inflate(data) if syntax == DEFLATED else bytes(data)
    renamed = renamed_machines(plain, encoding_at(plain, 0), names)
    return deflate(renamed) if syntax == DEFLATED else renamed


def _opened(data: bytes) -> Opened:
    try:
        return open_object(data)
    except Truncated as exc:
        raise Unreadable("the object is cut off", size_bytes=len(data)) from exc


def _plain_syntax(opened: Opened) -> str:
    try:
        encoding = encoding_at(opened.data, opened.start)
    except Truncated as exc:
        raise Unreadable("the object is cut off", size_bytes=len(opened.data)) from exc
    if not encoding.little_endian:
        return EXPLICIT_BIG
    return IMPLICIT_LITTLE if encoding.implicit_vr else EXPLICIT_LITTLE
