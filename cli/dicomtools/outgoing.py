"""The DICOM files below a folder as what can be sent; each one's bytes are read when its turn comes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dicomcore.errors import NotFound, Rejected
from dicomcore.model import InstanceHeader
from dicomcore.ports import Outgoing
from dicomcore.sending.payload import NO_NAMES, outgoing, transfer_syntax_of
from dicomtools.headers import read_file


@dataclass(frozen=True, slots=True)
class Source:
    """One instance, and the files that hold it, byte for byte the same."""

    header: InstanceHeader
    transfer_syntax_uid: str
    paths: tuple[Path, ...] = field(repr=False)

    def outgoing(self, names: Mapping[str, str] = NO_NAMES) -> Outgoing:
        """Return it as the port `Pacs` sends it; `names`: treatment machines, old to new."""
        load = partial(_whole, self.paths[0])
        return outgoing(self.header, self.transfer_syntax_uid, load, names)


@dataclass(frozen=True, slots=True)
class Sources:
    """What was found."""

    by_header: Mapping[InstanceHeader, Source] = field(repr=False)
    unreadable: tuple[tuple[Path, str], ...] = field(repr=False)
    """Files that are no DICOM, or broken, each with the reason."""
    other_versions: tuple[Path, ...] = field(repr=False)
    """Files whose header is that of another one and whose bytes are not: they are not sent."""


def find_sources(files: Iterable[Path]) -> Sources:
    """Return the instances in some files, in the order of the files."""
    found: dict[InstanceHeader, tuple[str, list[Path]]] = {}
    unreadable: list[tuple[Path, str]] = []
    for path in files:
        try:
            read = read_file(path)
            syntax = transfer_syntax_of(read.beginning)
        except Rejected as exc:
            unreadable.append((path, exc.sentence))
        except OSError as exc:
            unreadable.append((path, exc.strerror or "cannot be read"))
        else:
            found.setdefault(read.header, (syntax, []))[1].append(path)
    others: list[Path] = []
    sources: dict[InstanceHeader, Source] = {}
    for header, (syntax, paths) in found.items():
        same = [path for path in paths if len(paths) == 1 or _digest(path) == _digest(paths[0])]
        others += [path for path in paths if path not in same]
        sources[header] = Source(header, syntax, tuple(same))
    return Sources(sources, tuple(unreadable), tuple(others))


def _digest(path: Path) -> str:
    return hashlib.sha256(_whole(path)).hexdigest()


def _whole(path: Path) -> bytes:
    """Return a file; `NotFound` if it is gone or cannot be read any more."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise NotFound("the file cannot be read any more", problem=exc.strerror) from exc
