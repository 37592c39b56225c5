"""The headers of DICOM files in a folder; what is no DICOM file is counted, and never fatal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from dicomcore.errors import Rejected, Unreadable
from dicomcore.export import MANIFEST_NAME
from dicomcore.header import read_header
from dicomcore.model import InstanceHeader
from dicomtools.work_folder import NAME as WORK_FOLDER

_FIRST_READ_BYTES = 64 * 1024
"""Enough for the header of an image, which is what there are many of."""
ALL = "*.*"


@dataclass(frozen=True, slots=True)
class Read:
    """What was found."""

    headers: tuple[InstanceHeader, ...]
    unreadable: tuple[tuple[Path, str], ...] = field(repr=False)
    """Files that are no DICOM, or broken, each with the reason."""
    paths: dict[str, list[str]] = field(repr=False)
    """SOP Instance UID → the files that hold it."""


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What was read of one file."""

    header: InstanceHeader
    beginning: bytes = field(repr=False)
    """Its first bytes, with all of the file meta information."""


def files_below(folder: Path, pattern: str = ALL) -> Iterator[Path]:
    """Yield the files below a folder whose name matches, in order of their paths.

    As on Windows, where the pattern comes from: `*.*` is every file, and case does not matter.
    Manifests and work folders of our own are left out.
    """
    folded = "*" if pattern == ALL else pattern.lower()
    for directory, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != WORK_FOLDER)
        for name in sorted(names):
            if name != MANIFEST_NAME and fnmatchcase(name.lower(), folded):
                yield Path(directory) / name


def read_headers(files: Iterable[Path]) -> Read:
    """Return the header of each file that has one."""
    headers: list[InstanceHeader] = []
    unreadable: list[tuple[Path, str]] = []
    paths: dict[str, list[str]] = {}
    for path in files:
        try:
            header = read_file(path).header
        except Rejected as exc:
            unreadable.append((path, exc.sentence))
        except OSError as exc:
            unreadable.append((path, exc.strerror or "cannot be read"))
        else:
            headers.append(header)
            paths.setdefault(header.ref.sop_instance_uid, []).append(str(path))
    return Read(tuple(headers), tuple(unreadable), paths)


def read_file(path: Path) -> FileHeader:
    """Return the header of one file.

    Raises
    ------
    Unreadable, InvalidInstance
        It is no DICOM instance, or broken.
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_FIRST_READ_BYTES)
        header = read_header(start, complete=len(start) < _FIRST_READ_BYTES)
        if header is None:
            header = read_header(start + file.read(), complete=True)
    if header is None:
        raise Unreadable("no header in the file")
    return FileHeader(header, start)
