"""What is read of one file: the values that a query needs, or the header of a tree."""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

from dicomcore.errors import Rejected, Unreadable
from dicomcore.extract import PIXEL_DATA, Declined, Plan, extract, extract_from, make_plan
from dicomcore.layouts import Layouts
from dicomcore.query import Found
from dicomcore.tagpath import parse_path
from dicomtools.folder.bodies import PutTogether, encode_found, encode_values
from dicomtools.folder.opened import OpenFile

_PYDICOM_GIVES_UP = (
    *(ValueError, KeyError, TypeError, AttributeError, NotImplementedError, EOFError),
    *(RecursionError, AssertionError, struct.error, zlib.error, OSError),
)
"""What pydicom raises on damaged files; `InvalidDicomError` is none of these, but our own prefix is."""


class Outcome(NamedTuple):
    """What came of reading one file."""

    body: bytes = b""
    """What the task made of it; empty if there is a problem."""
    problem: str = ""
    head: bytes = b""
    """The file up to its pixel data, if that is short enough to be kept."""


class Quick(Protocol):
    """A task carried out on files that are laid out like others before them."""

    def body(self, first: bytes) -> tuple[bytes, int] | None:
        """Return the body of a file that begins so, and how much of it is before its pixel data.

        None if it is like none before, or if that is not enough of it.
        """
        ...

    def learn(self, first: bytes) -> None:
        """See how a file is laid out that had to be read in another way."""
        ...


class Task(Protocol):
    """What is read of each file; it travels to other processes."""

    @property
    def key(self) -> str:
        """Names what is read: the same key and the same file give the same body."""
        ...

    def read(self, file: OpenFile) -> bytes:
        """Return the body for a file whose first bytes are there; raises `Rejected`."""
        ...

    def quick(self) -> Quick | None:
        """Return how files that are alike are read faster, if there is a way."""
        ...

    def from_head(self, head: bytes) -> bytes | None:
        """Return the body from what was kept of a file, or None if that is not enough."""
        ...


@dataclass(frozen=True, slots=True)
class ValuesTask:
    """Reads the values of tag paths, given as they are printed."""

    paths: tuple[str, ...]

    @property
    def key(self) -> str:
        """The paths."""
        return " ".join(self.paths)

    @property
    def plan(self) -> Plan:
        """What the paths mean to a walk."""
        return _plan(self.paths)

    def read(self, file: OpenFile) -> bytes:
        """Return the values of a file, encoded."""
        try:
            found = extract_from(file.part, file.size_bytes, self.plan, file.first)
        except (Declined, Unreadable) as exc:
            if isinstance(exc, Unreadable) and file.first[128:132] != b"DICM":
                raise
            found = _by_pydicom(file, self.plan)
        return encode_found(found, self.plan)

    def quick(self) -> Quick:
        """Return what reads files that are laid out alike."""
        return _QuickValues(self.plan)

    def from_head(self, head: bytes) -> bytes | None:
        """Return the values from what was kept, unless they are after the pixel data."""
        if self.plan.last >= PIXEL_DATA:
            return None
        try:
            return encode_found(extract(zlib.decompress(head), self.plan), self.plan)
        except (Declined, Unreadable, zlib.error):
            return None


class _QuickValues:
    def __init__(self, plan: Plan) -> None:
        self._put_together = PutTogether(plan)
        self._layouts = Layouts(plan, encode_values, last=PIXEL_DATA - 1)

    def body(self, first: bytes) -> tuple[bytes, int] | None:
        match = self._layouts.read(first)
        return None if match is None else (self._put_together(match.values), match.end)

    def learn(self, first: bytes) -> None:
        self._layouts.learn(first)


@dataclass(frozen=True, slots=True)
class HeaderTask:
    """Reads the header that a tree is made of, as JSON."""

    @property
    def key(self) -> str:
        """A tag path never begins like this."""
        return "header"

    def read(self, file: OpenFile) -> bytes:
        """Return the header of a file, as JSON."""
        from dicomcore.header import header_to_json, read_header  # its models take a while to load

        header = read_header(file.first, complete=len(file.first) >= file.size_bytes)
        if header is None:
            header = read_header(file.part(0, file.size_bytes), complete=True)
        if header is None:
            raise Unreadable("no header in the file")
        return header_to_json(header)

    def quick(self) -> None:
        """Return none: most of a header differs."""

    def from_head(self, head: bytes) -> bytes | None:
        """Return the header from what was kept: nothing of it is in pixel data."""
        from dicomcore.header import header_to_json, read_header

        try:
            header = read_header(zlib.decompress(head), complete=True)
        except (Rejected, zlib.error):
            return None
        return None if header is None else header_to_json(header)


@lru_cache(maxsize=8)
def _plan(paths: tuple[str, ...]) -> Plan:
    return make_plan(parse_path(path) for path in paths)


def _by_pydicom(file: OpenFile, plan: Plan) -> Found:
    from pydicom import dcmread  # it takes longer to load than a thousand files to be read
    from pydicom.errors import InvalidDicomError

    from dicomcore.extract_dataset import found_in

    try:
        with warnings.catch_warnings(), file.stream() as stream:
            warnings.simplefilter("ignore")
            return found_in(dcmread(stream, stop_before_pixels=True), plan)
    except (InvalidDicomError, *_PYDICOM_GIVES_UP) as exc:
        raise Unreadable("damaged") from exc
