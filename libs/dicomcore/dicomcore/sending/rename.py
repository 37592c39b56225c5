"""Treatment Machine Name (300A,00B2) in an encoded plan: other names, every other byte as it was."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from dicomcore.encoded import EncodedDataSet, Span
from dicomcore.errors import InvalidRequest, Unreadable
from dicomcore.readers.charsets import decode
from dicomcore.walk import UNDEFINED_LENGTH, Buffer, Encoding

MAX_NAME_LENGTH = 16
"""Characters of a value of VR SH (PS3.5 6.2)."""
_MACHINE_NAME = 0x300A00B2
_MACHINE_SEQUENCES = frozenset(
    (
        0x300A00B0,  # Beam Sequence
        0x300A0206,  # Treatment Machine Sequence, of brachy plans
        0x300A03A2,  # Ion Beam Sequence
    )
)
_CHARSET = 0x00080005
_SH = b"SH"


def check_machine_name(name: str) -> str:
    """Return a name if it can be written into any plan.

    Raises
    ------
    InvalidRequest
        Not 1 to 16 characters, or other ones than those of the default repertoire (PS3.5 6.1.3): in
        a plan of another character set they would mean something else.
    """
    if not (0 < len(name) <= MAX_NAME_LENGTH and name.isascii() and name.isprintable()):
        raise InvalidRequest("a machine name has 1 to 16 ASCII characters", length=len(name))
    if "\\" in name:
        raise InvalidRequest("a machine name has no backslash", length=len(name))
    return name


def renamed_machines(data: Buffer, encoding: Encoding, names: Mapping[str, str]) -> Buffer:
    """Return the data set of a plan with other names of treatment machines.

    Every beam, ion beam and treatment machine of a brachy plan is looked at. But for the names, and
    the lengths of the items and sequences around them where those are given, no byte changes.

    Parameters
    ----------
    names
        Name as it is, without padding, to name as it is to be; the empty one stands for a name that
        is empty or absent. Those that are not in it stay.

    Raises
    ------
    InvalidRequest
        A new name cannot be written (see `check_machine_name`).
    Unreadable
        The data set is damaged.
    """
    for name in names.values():
        check_machine_name(name)
    source = EncodedDataSet(data, encoding)
    try:
        return _Renaming(source, names).data_set()
    except struct.error as exc:
        raise Unreadable("the data set is cut off") from exc


class _Renaming:
    def __init__(self, source: EncodedDataSet, names: Mapping[str, str]) -> None:
        self._source = source
        self._names = names
        self._order = "<" if source.encoding.little_endian else ">"
        self._charset = b""

    def data_set(self) -> Buffer:
        """Return the whole; the source itself if nothing changes."""
        view = self._source.view
        out: list[Buffer] = []
        copied = 0
        for span in self._source.elements():
            if span.tag == _CHARSET:
                self._charset = bytes(view[span.start : span.stop])
            if span.tag in _MACHINE_SEQUENCES:
                replaced = self._sequence(span)
                if replaced is not None:
                    out += [view[copied : span.header], *replaced]
                    copied = span.end
        return b"".join((*out, view[copied:])) if out else view

    def _sequence(self, span: Span) -> list[Buffer] | None:
        view = self._source.view
        content: list[Buffer] = []
        changed = False
        for item in self._source.items(span):
            replaced = self._item(item)
            changed = changed or replaced is not None
            content += [view[item.header : item.end]] if replaced is None else replaced
        return self._framed(span, content) if changed else None

    def _item(self, item: Span) -> list[Buffer] | None:
        """Return an item with its machine's new name; None if it stays as it is."""
        view = self._source.view
        place, found = item.stop, None
        charset = self._charset
        for span in self._source.of_item(item):
            if span.tag == _CHARSET:
                charset = bytes(view[span.start : span.stop])
            if span.tag == _MACHINE_NAME:
                found = span
            if span.tag >= _MACHINE_NAME:
                place = span.header
                break
        raw = b"" if found is None else bytes(view[found.start : found.stop])
        name = self._names.get(decode(raw, charset).strip(" \0"))
        if name is None:
            return None
        written = self._name(name, implicit=item.implicit_inside)
        behind = place if found is None else found.end
        content: list[Buffer] = [view[item.start : place], written, view[behind : item.stop]]
        return self._framed(item, content)

    def _name(self, name: str, *, implicit: bool) -> bytes:
        value = name.encode("ascii") + b" " * (len(name) % 2)
        tag = struct.pack(f"{self._order}HH", _MACHINE_NAME >> 16, _MACHINE_NAME & 0xFFFF)
        if implicit:
            return tag + struct.pack(f"{self._order}I", len(value)) + value
        return tag + _SH + struct.pack(f"{self._order}H", len(value)) + value

    def _framed(self, span: Span, content: Iterable[Buffer]) -> list[Buffer]:
        """Return a sequence or item with other content, its length corrected where it has one."""
        view = self._source.view
        parts = list(content)
        if span.undefined:
            return [view[span.header : span.start], *parts, view[span.stop : span.end]]
        length = sum(len(part) for part in parts)
        if length >= UNDEFINED_LENGTH:
            raise Unreadable("a sequence is too long", length=length)
        # items, and sequences in either VR encoding, have their length in the last four bytes
        head = view[span.header : span.start - 4]
        return [head, struct.pack(f"{self._order}I", length), *parts]
