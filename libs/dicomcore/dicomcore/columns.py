"""The attributes of the instances of a series as columns: packed, merged, looked into.

A packed body holds, for each sequence path, one chunk of what all instances share and one of what
differs, compressed one by one: whoever asks for an attribute of the beams does not pay for the
control points.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from dicomcore.attributes import Attribute
from dicomcore.errors import Unreadable

Values = Sequence[str]
Key = tuple[str, tuple[int, ...]]
"""Path, and item numbers."""
_LENGTH = 4
_FIXED, _VARYING = 0, 1


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute, in one place, of all instances."""

    path: str
    items: tuple[int, ...]
    shared: Values | None
    """What every instance has; None if they differ."""
    each: Sequence[Values | None] = ()
    """By instance, None where it is absent; empty if they do not differ."""

    def at(self, instance: int) -> Values | None:
        """Return the values of an instance, 0-based; None where the attribute is absent."""
        return self.each[instance] if self.shared is None else self.shared


@dataclass(frozen=True, slots=True)
class Columns:
    """The attributes of some instances, in an order that the caller knows."""

    count: int
    fields: tuple[Field, ...]


def columns_of(instances: Sequence[Iterable[Attribute]]) -> Columns:
    """Return the attributes of instances as columns.

    Of an attribute that one instance has twice in one place, which no data set may have, the last one
    counts.
    """
    count = len(instances)
    found: dict[Key, list[Values | None]] = {}
    for number, attributes in enumerate(instances):
        for path, items, values in attributes:
            column = found.get((path, items))
            if column is None:
                column = found[(path, items)] = [None] * count
            column[number] = values
    return Columns(count, tuple(_field(key, column) for key, column in found.items()))


def merged(parts: Sequence[Columns]) -> Columns:
    """Return the columns of the instances of all parts, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    count = sum(part.count for part in parts)
    found: dict[Key, list[Values | None]] = {}
    start = 0
    for part in parts:
        stop = start + part.count
        for field in part.fields:
            key = (field.path, field.items)
            column = found.get(key)
            if column is None:
                column = found[key] = [None] * count
            column[start:stop] = field.each if field.shared is None else [field.shared] * part.count
        start = stop
    return Columns(count, tuple(_field(key, column) for key, column in found.items()))


def packed(columns: Columns, *, level: int = 6) -> bytes:
    """Return columns as `Packed` reads them; `level` is zlib's."""
    chunks: dict[str, tuple[dict[str, list[Any]], dict[str, list[Any]]]] = {}
    for field in columns.fields:
        prefix, _, _ = field.path.rpartition("/")
        both = chunks.setdefault(prefix, ({}, {}))
        if field.shared is not None:
            both[_FIXED].setdefault(field.path, []).extend((field.items, _short(field.shared)))
        else:
            each = [None if values is None else _short(values) for values in field.each]
            both[_VARYING].setdefault(field.path, []).extend((field.items, each))
    body, directory, position = [], {}, 0
    for prefix, both in chunks.items():
        entry = []
        for part in both:
            chunk = zlib.compress(to_json(part), level) if part else b""
            entry += [position, len(chunk)]
            body.append(chunk)
            position += len(chunk)
        directory[prefix] = entry
    head = zlib.compress(to_json([columns.count, directory]), level)
    return b"".join((len(head).to_bytes(_LENGTH, "little"), head, *body))


class Packed:
    """A packed body; chunks are read when they are asked for.

    Raises
    ------
    Unreadable
        From every method: not what `packed` wrote.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        length = int.from_bytes(body[:_LENGTH], "little")
        self._start = _LENGTH + length
        self.count: int
        self._directory: Mapping[str, Sequence[int]]
        self.count, self._directory = _read(body[_LENGTH : self._start])

    @property
    def prefixes(self) -> Iterable[str]:
        """The paths of the sequences that attributes are in; empty for the top level."""
        return self._directory.keys()

    def fields(
        self, prefix: str, is_wanted: Callable[[str], bool] = lambda _: True
    ) -> Iterator[Field]:
        """Yield the attributes directly in a sequence, those whose path is wanted."""
        if prefix not in self._directory:
            return
        entry = self._directory[prefix]
        for path, flat in self._chunk(entry[0], entry[1]).items():
            for items, values in _pairs(flat) if is_wanted(path) else ():
                yield Field(path, tuple(items), _long(values))
        for path, flat in self._chunk(entry[2], entry[3]).items():
            for items, each in _pairs(flat) if is_wanted(path) else ():
                column = tuple([None if v is None else _long(v) for v in each])
                yield Field(path, tuple(items), None, column)

    def columns(self) -> Columns:
        """Return everything."""
        fields = (field for prefix in self._directory for field in self.fields(prefix))
        return Columns(self.count, tuple(fields))

    def _chunk(self, position: int, length: int) -> Mapping[str, list[Any]]:
        if not length:
            return {}
        start = self._start + position
        chunk: Mapping[str, list[Any]] = _read(self._body[start : start + length])
        return chunk


def _field(key: Key, column: list[Values | None]) -> Field:
    first = column[0]
    if first is not None and column.count(first) == len(column):
        return Field(*key, first)
    return Field(*key, None, tuple(column))


def _short(values: Values) -> str | Values:
    return values[0] if len(values) == 1 else values


def _long(values: str | list[str]) -> Values:
    return (values,) if isinstance(values, str) else tuple(values)


def _pairs(flat: list[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _read(compressed: bytes) -> Any:
    try:
        return from_json(zlib.decompress(compressed), cache_strings="keys")
    except (zlib.error, ValueError) as exc:
        raise Unreadable("not packed attributes", size_bytes=len(compressed)) from exc
