"""What is read of one file: the values that a query needs, or the header of a tree."""

from __future__ import annotations

import json
import os
import struct
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple, Protocol

from dicomcore.criteria import Value, number_of
from dicomcore.errors import Rejected, Unreadable
from dicomcore.extract import (
    FIRST_WINDOW_BYTES,
    PIXEL_DATA,
    Declined,
    Plan,
    extract,
    extract_from,
    head_length,
    make_plan,
)
from dicomcore.extract_dataset import found_in
from dicomcore.query import Found
from dicomcore.tagpath import Step, parse_path

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


class Task(Protocol):
    """What is read of each file; it travels to other processes."""

    @property
    def key(self) -> str:
        """Names what is read: the same key and the same file give the same body."""
        ...

    def read(self, file: BinaryIO, first: bytes, size_bytes: int) -> bytes:
        """Return the body for a file whose first bytes are there; raises `Rejected`."""
        ...

    def from_head(self, head: bytes) -> bytes | None:
        """Return the body from what was kept of a file, or None if that is not enough."""
        ...


def perform(task: Task, path: str, *, with_head: bool) -> Outcome:
    """Carry a task out on one file; whatever the file is, there is an outcome."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path costs as much as the read
            size_bytes = os.fstat(file.fileno()).st_size
            first = file.read(FIRST_WINDOW_BYTES)
            body = task.read(file, first, size_bytes)
    except Rejected as exc:
        return Outcome(problem=exc.sentence)
    except OSError as exc:
        return Outcome(problem=exc.strerror or "cannot be read")
    length = head_length(first, size_bytes) if with_head else None
    return Outcome(body, head=b"" if length is None else zlib.compress(first[:length], 1))


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

    def read(self, file: BinaryIO, first: bytes, size_bytes: int) -> bytes:
        """Return the values of a file, encoded."""

        def window(at: int, length: int) -> bytes:
            file.seek(at)
            return file.read(length)

        try:
            found = extract_from(window, size_bytes, self.plan, first)
        except (Declined, Unreadable) as exc:
            if isinstance(exc, Unreadable) and first[128:132] != b"DICM":
                raise
            found = _by_pydicom(file, self.plan)
        return encode_found(found, self.plan)

    def from_head(self, head: bytes) -> bytes | None:
        """Return the values from what was kept, unless they are after the pixel data."""
        if self.plan.last >= PIXEL_DATA:
            return None
        try:
            return encode_found(extract(zlib.decompress(head), self.plan), self.plan)
        except (Declined, Unreadable, zlib.error):
            return None


@dataclass(frozen=True, slots=True)
class HeaderTask:
    """Reads the header that a tree is made of, as JSON."""

    @property
    def key(self) -> str:
        """A tag path never begins like this."""
        return "header"

    def read(self, file: BinaryIO, first: bytes, size_bytes: int) -> bytes:
        """Return the header of a file, as JSON."""
        from dicomcore.header import header_to_json, read_header  # its models take a while to load

        header = read_header(first, complete=len(first) >= size_bytes)
        if header is None:
            file.seek(len(first))
            header = read_header(first + file.read(), complete=True)
        if header is None:
            raise Unreadable("no header in the file")
        return header_to_json(header)

    def from_head(self, head: bytes) -> bytes | None:
        """Return the header from what was kept: nothing of it is in pixel data."""
        from dicomcore.header import header_to_json, read_header

        try:
            header = read_header(zlib.decompress(head), complete=True)
        except (Rejected, zlib.error):
            return None
        return None if header is None else header_to_json(header)


def encode_found(found: Found, plan: Plan) -> bytes:
    """Return what was found as JSON: values and items in the order of the plan."""
    return json.dumps(_packed(found, plan), ensure_ascii=False, separators=(",", ":")).encode()


def decode_found(body: bytes, plan: Plan) -> Found:
    """Return what `encode_found` wrote, with the same plan."""
    return _unpacked(json.loads(body.decode()), plan)


def _packed(found: Found, plan: Plan) -> list[object]:
    return [
        [_packed_values(found.values.get(step)) for step in _attributes(plan)],
        [
            [_packed(item, below) for item in found.items.get(step, ())]
            for step, below in plan.sequences.items()
        ],
    ]


def _packed_values(values: Sequence[Value] | None) -> object:
    """A text for one text, else a list: of texts, and for each number of a list with its text."""
    if values is None:
        return None
    if len(values) == 1 and values[0].number is None:
        return values[0].text
    return [value.text if value.number is None else [value.text] for value in values]


def _unpacked(packed: Any, plan: Plan) -> Found:
    values, items = packed
    return Found(
        {
            step: _one_text(several) if isinstance(several, str) else list(map(_value, several))
            for step, several in zip(_attributes(plan), values, strict=True)
            if several is not None
        },
        {
            step: [_unpacked(item, below) for item in several]
            for (step, below), several in zip(plan.sequences.items(), items, strict=True)
        },
    )


def _value(one: str | list[str]) -> Value:
    return Value(one) if isinstance(one, str) else Value(one[0], number_of(one[0]))


@lru_cache(maxsize=10_000)
def _one_text(text: str) -> Sequence[Value]:
    return (Value(text),)


def _attributes(plan: Plan) -> Sequence[Step]:
    return plan.attributes if plan.meta is None else (*plan.attributes, *plan.meta.attributes)


@lru_cache(maxsize=8)
def _plan(paths: tuple[str, ...]) -> Plan:
    return make_plan(parse_path(path) for path in paths)


def _by_pydicom(file: BinaryIO, plan: Plan) -> Found:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return found_in(dcmread(file, stop_before_pixels=True), plan)
    except (InvalidDicomError, *_PYDICOM_GIVES_UP) as exc:
        raise Unreadable("damaged") from exc
