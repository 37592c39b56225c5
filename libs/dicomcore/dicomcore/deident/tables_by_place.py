"""From the first bytes of an element to what is done with it: one dictionary for each place."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from dicomcore.deident.rules import Operation, Place, Rule, Rules
from dicomcore.errors import Unreadable
from dicomcore.walk import ITEM_DELIMITER, LONG_VRS, Encoding

MAX_ENTRIES = 1 << 14
"""Elements of one place that are remembered; they come from the network."""
DELIMITER = Rule(ITEM_DELIMITER, b"", Operation.KEEP)
"""Ends the data set of an item."""
PADDING = Rule(0, b"", Operation.PADDING)
"""Zeros: where an element should be, or the padding after the last one."""

Unpack = Callable[[bytes, int], "tuple[int, ...]"]
Handler = Callable[..., int]
Entry = tuple[Unpack, int, int, Handler | None, Rule]
"""How the length is read, its offset and that of the value; what is done (None: keep), the rule."""


class Tables:
    """The dictionaries of one encoding.

    Parameters
    ----------
    handlers
        What is done for an operation; an element whose operation is not there is kept.
    special
        What is done to an attribute at the top level instead, by tag.
    """

    __slots__ = (
        "_by_place",
        "_encoding",
        "_handlers",
        "_rules",
        "_special",
        "_u16",
        "_u32",
        "width",
    )

    def __init__(
        self,
        encoding: Encoding,
        rules: Rules,
        handlers: Mapping[Operation, Handler],
        special: Mapping[int, Handler],
    ) -> None:
        order = "<" if encoding.little_endian else ">"
        self._encoding = encoding
        self._rules = rules
        self._handlers = handlers
        self._special = special
        self._u16 = struct.Struct(order + "H").unpack_from
        self._u32 = struct.Struct(order + "L").unpack_from
        self._by_place: dict[Place, Table] = {}
        self.width = 4 if encoding.implicit_vr else 6
        """Bytes of an element that are looked up: the tag, and the VR where it is explicit."""

    def table(self, place: Place) -> Table:
        """Return the dictionary of a place."""
        table = self._by_place.get(place)
        if table is None:
            table = self._by_place[place] = Table(self, place)
        return table

    def entry(self, key: bytes, place: Place) -> Entry:
        """Return what is done with an element that begins like this.

        Raises
        ------
        Unreadable
            It is cut off, or has an unknown VR, or is a delimiter where none can be.
        """
        if not any(key):
            return _no_length, 0, len(key), self._handlers[Operation.PADDING], PADDING
        if len(key) < self.width:
            raise Unreadable("element is cut off", size_bytes=len(key))
        order = "little" if self._encoding.little_endian else "big"
        group, element = (int.from_bytes(key[at : at + 2], order) for at in (0, 2))  # type: ignore[arg-type]
        tag = group << 16 | element
        if group == 0xFFFE:
            if tag != ITEM_DELIMITER:
                raise Unreadable("delimiter where an element should be", tag=f"{tag:08X}")
            return self._u32, 4, 8, None, DELIMITER
        written = key[4:6]
        rule = self._rules.rule(tag, written, place)
        handler = self._handlers.get(rule.operation)
        if not place.parent:
            handler = self._special.get(tag, handler)
        if self._encoding.implicit_vr:
            return self._u32, 4, 8, handler, rule
        if written in LONG_VRS:
            return self._u32, 8, 12, handler, rule
        return self._u16, 6, 8, handler, rule


class Table(dict[bytes, Entry]):
    """Entries of one place, made when they are first met."""

    __slots__ = ("_place", "_tables")

    def __init__(self, tables: Tables, place: Place) -> None:
        super().__init__()
        self._tables = tables
        self._place = place

    def __missing__(self, key: bytes) -> Entry:
        entry = self._tables.entry(key, self._place)
        if len(self) >= MAX_ENTRIES:
            self.clear()
        self[key] = entry
        return entry


def _no_length(_data: bytes, _position: int) -> tuple[int, ...]:
    return (0,)
