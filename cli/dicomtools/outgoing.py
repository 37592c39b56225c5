"""DICOM files as instances to be sent: each one's bytes are read when its turn comes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from dicomcore.errors import NotFound
from dicomcore.model import InstanceHeader
from dicomcore.ports import Outgoing
from dicomcore.sending.payload import BEGINNING_BYTES, NO_NAMES, outgoing


def outgoing_of_file(
    path: Path, header: InstanceHeader, names: Mapping[str, str] = NO_NAMES
) -> Outgoing:
    """Return a file as the port `Pacs` sends it.

    Parameters
    ----------
    names
        Names of treatment machines, old to new.

    Raises
    ------
    NotFound
        The file is gone, or cannot be read any more.
    Unreadable
        It is no DICOM file any more.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(BEGINNING_BYTES)
    except OSError as exc:
        raise NotFound("the file cannot be read any more", problem=exc.strerror) from exc
    return outgoing(header, beginning, partial(_whole, path), names)


def _whole(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise NotFound("the file cannot be read any more", problem=exc.strerror) from exc
