"""The walk through one object: each element is kept, replaced or left out by its rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dicomcore.deident.descriptors import TextCleaner
from dicomcore.deident.elements import MAX_DEPTH, after_undefined
from dicomcore.deident.identity import PatientIdentity
from dicomcore.deident.rules import Place, Rule
from dicomcore.deident.splice import Packs, Splice
from dicomcore.deident.tables_by_place import DELIMITER, Tables
from dicomcore.deident.uid_map import KeyedMap
from dicomcore.deident.vrs import BULK
from dicomcore.errors import Unreadable
from dicomcore.walk import UNDEFINED_LENGTH, Encoding

_ITEM = {True: b"\xfe\xff\x00\xe0", False: b"\xff\xfe\xe0\x00"}
_ITEM_DELIMITER = {True: b"\xfe\xff\x0d\xe0", False: b"\xff\xfe\xe0\x0d"}
_SEQUENCE_DELIMITER = {True: b"\xfe\xff\xdd\xe0", False: b"\xff\xfe\xe0\xdd"}
IMPLICIT = Encoding(implicit_vr=True, little_endian=True)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is the same for all objects of one patient."""

    identity: PatientIdentity
    keyed: KeyedMap
    cleaner: TextCleaner
    shift_days: int = field(repr=False)


@dataclass(slots=True)
class Creator:
    """A private creator that is written if anything of its block stays."""

    text: str
    slot: int
    element: bytes
    written: bool = False


class Rewrite:
    """One object on its way to the output.

    Parameters
    ----------
    tables_for
        Gives the tables of an encoding; there is a second one where a UN holds a sequence.
    """

    def __init__(
        self,
        data: bytes,
        start: int,
        subject: Subject,
        tables_for: Callable[[Encoding], Tables],
        encoding: Encoding,
    ) -> None:
        self.data = data
        self.subject = subject
        self.out = Splice(data, start)
        self.found: dict[int, bytes] = {}
        """New values of the UIDs that identify the instance, by tag."""
        self._tables_for = tables_for
        self._iod = ""
        self.charset = b""
        self.depth = 0
        self.creators: dict[int, Creator] = {}
        self._use(encoding)

    def top_level(self, start: int, place: Place, written: list[tuple[int, bytes]]) -> None:
        """Walk the whole data set and put `written` where they belong by their tags.

        Raises
        ------
        Unreadable
            The data set is damaged.
        InvalidInstance
            It is another patient's.
        """
        self._iod = place.iod
        data, end, width = self.data, len(self.data), self._tables.width
        table = self._tables.table(place)
        pending = written[::-1]
        position = start
        while position < end:
            unpack, offset, size, handler, rule = table[data[position : position + width]]
            tag = rule.tag
            while pending and tag >= pending[-1][0]:
                self.out.keep_until(position)
                self.out.write(pending.pop()[1])
            if rule is DELIMITER:
                raise Unreadable("delimiter where an element should be", offset=position)
            length = unpack(data, position + offset)[0]
            at = position + size
            if handler is None:
                position = at + length
                if position > end:
                    position = self.beyond(rule, at, length, end)
            else:
                position = handler(self, rule, position, at, length, end)
        self.out.keep_until(position)
        for _, element in reversed(pending):
            self.out.write(element)

    # ── items ───────────────────────────────────────────────────────────────────────────────

    def _dataset(self, position: int, end: int, place: Place) -> int:
        """Walk the elements of an item; return where it ends, at its delimiter if that is there."""
        data, width = self.data, self._tables.width
        table = self._tables.table(place)
        while position < end:
            unpack, offset, size, handler, rule = table[data[position : position + width]]
            length = unpack(data, position + offset)[0]
            at = position + size
            if handler is not None:
                position = handler(self, rule, position, at, length, end)
            elif rule is DELIMITER:
                break
            else:
                position = at + length
                if position > end:
                    position = self.beyond(rule, at, length, end)
        return position

    def beyond(self, rule: Rule, start: int, length: int, end: int) -> int:
        """Return the position after a value that is kept and has no defined length."""
        if length != UNDEFINED_LENGTH or rule.vr not in BULK:
            raise Unreadable("value runs past the end", offset=start, length=length)
        return after_undefined(self.data, start, end, self.encoding, rule.vr)

    def items(self, rule: Rule, position: int, start: int, length: int, end: int) -> int:
        """Walk a sequence."""
        if self.depth >= MAX_DEPTH:
            raise Unreadable("sequences are nested too deep", offset=position)
        place = Place(self._iod, rule.tag, rule.cleaned)
        if not self.is_un(position):
            return self._sequence(place, start, length, end)
        outer, mark, charset = self.encoding, self.out.mark(), self.charset
        try:
            self._use(IMPLICIT)
            return self._sequence(place, start, length, end)
        except Unreadable:
            # a UN with explicit VRs inside: some toolkits write that
            self.out.go_back(mark)
            self.charset = charset
            self._use(outer)
            return self._sequence(place, start, length, end)
        finally:
            self._use(outer)

    def _sequence(self, place: Place, start: int, length: int, end: int) -> int:
        depth = self.depth
        self.depth = depth + 1
        try:
            if length == UNDEFINED_LENGTH:
                return self._item_list(start, end, place, delimited=True)
            stop = start + length
            if stop > end:
                raise Unreadable("sequence runs past the end", offset=start, length=length)
            slot = self.out.open(start)
            self._item_list(start, stop, place, delimited=False)
            self.out.close(slot, stop, self._packs.u32)
            return stop
        finally:
            self.depth = depth

    def _item_list(self, position: int, end: int, place: Place, *, delimited: bool) -> int:
        """Walk the items of a sequence; return the position after them and their delimiter."""
        data, unpack = self.data, self._packs.u32.unpack_from
        little = self.encoding.little_endian
        item, delimiter = _ITEM[little], _SEQUENCE_DELIMITER[little]
        charset, creators = self.charset, self.creators
        while position < end:
            tag = data[position : position + 4]
            length = unpack(data, position + 4)[0]
            position += 8
            if tag == delimiter and delimited and length == 0:
                return position
            if tag != item:
                raise Unreadable("sequence holds something else than items", offset=position - 8)
            self.creators = {}
            if length == UNDEFINED_LENGTH:
                position = self._delimited_item(position, end, place)
            else:
                position = self._item(position, length, end, place)
            self.charset, self.creators = charset, creators
        if delimited:
            raise Unreadable("sequence is not delimited", offset=position)
        return position

    def _item(self, start: int, length: int, end: int, place: Place) -> int:
        stop = start + length
        if stop > end:
            raise Unreadable("item runs past the end", offset=start, length=length)
        slot = self.out.open(start)
        if self._dataset(start, stop, place) != stop:
            raise Unreadable("item ends before its length does", offset=start)
        self.out.close(slot, stop, self._packs.u32)
        return stop

    def _delimited_item(self, start: int, end: int, place: Place) -> int:
        position = self._dataset(start, end, place)
        tag = self.data[position : position + 8]
        if tag != _ITEM_DELIMITER[self.encoding.little_endian] + b"\0\0\0\0":
            raise Unreadable("item is not delimited", offset=start)
        return position + 8

    def _use(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self._packs = Packs(encoding)
        self._tables = self._tables_for(encoding)

    def is_un(self, position: int) -> bool:
        explicit = not self.encoding.implicit_vr
        return explicit and self.data[position + 4 : position + 6] == b"UN"

    # ── values ──────────────────────────────────────────────────────────────────────────────

    def stop(self, rule: Rule, position: int, start: int, length: int, end: int) -> int:
        """Return the position after an element that is not kept, whatever its length."""
        if length == UNDEFINED_LENGTH:
            vr = rule.vr
            if vr not in BULK and vr not in (b"", b"UN", b"SQ"):
                raise Unreadable("value of undefined length is no sequence", offset=start)
            known = vr if vr in BULK else b"UN" if self.is_un(position) else b"SQ"
            return after_undefined(self.data, start, end, self.encoding, known)
        stop = start + length
        if stop > end:
            raise Unreadable("value runs past the end", offset=start, length=length)
        return stop

    def put(self, position: int, start: int, stop: int, value: bytes) -> None:
        """Replace a value, unless it is the same."""
        if self.data[start:stop] != value:
            short = start - position == 8 and not self.encoding.implicit_vr
            self.out.value(start, stop, value, packs=self._packs, short=short)

    def value(self, start: int, length: int, end: int) -> bytes:
        stop = start + length
        if stop > end:
            raise Unreadable("value runs past the end", offset=start, length=length)
        return self.data[start:stop]

    def replace(self, position: int, start: int, stop: int, value: bytes) -> None:
        """Replace a value of any length, also one that delimiters end."""
        short = start - position == 8 and not self.encoding.implicit_vr
        self.out.value(start, stop, value, packs=self._packs, short=short)
