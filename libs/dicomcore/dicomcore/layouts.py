"""How objects that were read are laid out: the next one like them is compared and not walked.

The images of a series have the same elements in the same order. A layout is what a walk looked at in one of
them: the header of every element up to the last one that is wanted. Another object in which all these
bytes are the same would be walked in the same way, so its values are where the layout says. Lengths that
differ from object to object are read and followed. Whatever is unusual has no layout, and is walked.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from dicomcore.criteria import Value
from dicomcore.errors import Unreadable
from dicomcore.extract import Plan, is_private
from dicomcore.layout_scan import Part, Skeleton, Unusual, scan
from dicomcore.readers.collect import Truncated
from dicomcore.readers.part10 import Opened, open_object
from dicomcore.values import values_of

T = TypeVar("T")

TRIED = 4
"""Layouts that an object is compared with."""
_KEPT = 32
_FREE, _HITS_FOR_ONE, _MISSES_FOR_ONE = 32, 8, 64
"""How many objects are looked at: some, and then more in proportion to how many had a known layout."""
_REMEMBERED_BYTES = 128
_REMEMBERED = 1 << 16


class Match(NamedTuple, Generic[T]):
    """What an object holds of the wanted attributes."""

    values: Sequence[T]
    """In the order of the plan's attributes, then of those of its file meta information."""
    end: int
    """Offset of the first element whose tag is greater than the last one looked at."""


class Layouts(Generic[T]):
    """The layouts of objects that one plan was carried out on.

    Parameters
    ----------
    make
        What is to be made of an attribute's values, None where it is absent. Called once for those of a
        hundred objects that are the same.
    last
        Compare up to the first tag that is greater, though less is wanted.
    """

    def __init__(
        self, plan: Plan, make: Callable[[Sequence[Value] | None], T], *, last: int = 0
    ) -> None:
        self._plan = plan
        self._last = max(plan.last, last)
        self._make = make
        self._absent = make(None)
        self._usable = not any(map(is_private, (*plan.attributes, *plan.sequences)))
        self._layouts: list[_Layout] = []
        self._made: dict[tuple[bytes, bool, bytes], dict[bytes, T]] = {}
        self._unusual: set[str] = set()
        self._hits = self._misses = self._looked_at = self._remembered = 0

    def read(self, data: bytes) -> Match[T] | None:
        """Return what the beginning of an object holds; None if it has to be walked."""
        for number, layout in enumerate(self._layouts[:TRIED]):
            found = layout.found_in(data)
            if found is not None:
                self._hits += 1
                if number:
                    self._layouts.insert(0, self._layouts.pop(number))
                return Match(self._values(layout, found[0]), found[1])
        return None

    def learn(self, data: bytes) -> None:
        """Keep the layout of an object that was walked, if it is a usual one.

        That costs as much as two or three walks. So there is a limit, which grows as long as objects turn
        out to be like others; and of a SOP class that had no layout before, the next one has none.
        """
        self._misses += 1
        allowed = _FREE + self._hits // _HITS_FOR_ONE + self._misses // _MISSES_FOR_ONE
        if not self._usable or self._looked_at >= allowed:
            return
        try:
            opened = open_object(data)
            if opened.sop_class_uid not in self._unusual:
                self._looked_at += 1
                self._learn(opened)
        except (Truncated, Unreadable):
            pass

    def _learn(self, opened: Opened) -> None:
        try:
            skeleton, scanned = scan(opened, self._plan, self._last)
        except Unusual:
            self._unusual.add(opened.sop_class_uid)
            return
        lengths: Sequence[int | None] = scanned
        for number, layout in enumerate(self._layouts):
            if layout.skeleton == skeleton:
                del self._layouts[number]
                both = zip(layout.lengths, scanned, strict=True)
                lengths = [old if old == new else None for old, new in both]
                break
        self._layouts.insert(0, _Layout(skeleton, lengths))
        del self._layouts[_KEPT:]

    def _values(self, layout: _Layout, found: Sequence[bytes]) -> Sequence[T]:
        skeleton = layout.skeleton
        charset = b"" if skeleton.charset is None else found[skeleton.charset]
        values = [self._absent] * len(self._plan.all_attributes)
        for slot, place, vr, in_meta in skeleton.slots:
            encoded = found[place]
            way = (vr, skeleton.little_endian or in_meta, b"" if in_meta else charset)
            known = self._made.get(way)
            made = None if known is None else known.get(encoded)
            values[slot] = self._decoded(way, encoded) if made is None else made
        return values

    def _decoded(self, way: tuple[bytes, bool, bytes], encoded: bytes) -> T:
        vr, little_endian, charset = way
        made = self._make(values_of(vr, encoded, charset, little_endian=little_endian))
        if len(encoded) <= _REMEMBERED_BYTES:
            if self._remembered >= _REMEMBERED:
                self._made.clear()
                self._remembered = 0
            self._made.setdefault(way, {})[encoded] = made
            self._remembered += 1
        return made


@dataclass(frozen=True, slots=True)
class _Run:
    """Parts up to one whose length differs, or to the end."""

    fixed: Callable[[bytes, int], tuple[bytes, ...]]
    """Reads what has to be as expected."""
    expected: tuple[bytes, ...]
    kept: struct.Struct
    """Reads wanted values, and at the end the length that differs."""
    open_end: bool
    """Whether a value follows whose length was read last."""
    wanted_end: bool
    """Whether that value is wanted."""


class _Layout:
    """A skeleton with lengths: those that are None differ."""

    def __init__(self, skeleton: Skeleton, lengths: Sequence[int | None]) -> None:
        self.skeleton = skeleton
        self.lengths = lengths
        self._runs: list[_Run] = []
        parts: list[tuple[Part, int | None]] = []
        for part, length in zip(skeleton.parts, lengths, strict=True):
            parts.append((part, length))
            if length is None:
                self._runs.append(_run(parts))
                parts = []
        self._runs.append(_run(parts))

    def found_in(self, data: bytes) -> tuple[Sequence[bytes], int] | None:
        """Return the encoded values and where the last part begins; None if the layout is another."""
        position = 0
        found: list[bytes] = []
        try:
            for run in self._runs:
                if run.fixed(data, position) != run.expected:
                    return None
                kept = run.kept.unpack_from(data, position)
                position += run.kept.size
                if not run.open_end:
                    found += kept
                    continue
                length = kept[-1]
                found += kept[:-1]
                if run.wanted_end:
                    found.append(data[position : position + length])
                position += length
        except struct.error:
            return None  # it ends before the layout does
        return found, position - len(self.skeleton.parts[-1].head)


def _run(parts: Sequence[tuple[Part, int | None]]) -> _Run:
    """Return the run over these parts; of the last one the length may differ, of no other."""
    fixed, kept, literal = "", "", b""
    expected: list[bytes] = []
    for part, length in parts:
        literal += part.head
        kept += f"{len(part.head)}x"
        if length is None:
            kept += part.length_format[1:]
            break
        if part.length_format:
            literal += struct.pack(part.length_format, length)
            kept += f"{struct.calcsize(part.length_format)}x"
        kept += f"{length}{'s' if part.wanted else 'x'}"
        if part.fixed_value is not None:
            literal += part.fixed_value
        elif length:
            if literal:
                fixed += f"{len(literal)}s"
                expected.append(literal)
            fixed, literal = f"{fixed}{length}x", b""
    fixed += f"{len(literal)}s"
    expected.append(literal)
    last, last_length = parts[-1]
    order = "<" if last_length is not None else last.length_format[0]
    return _Run(
        struct.Struct("<" + fixed).unpack_from,
        tuple(expected),
        struct.Struct(order + kept),
        last_length is None,
        last_length is None and last.wanted,
    )
