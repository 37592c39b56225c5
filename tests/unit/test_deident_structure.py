"""Any nesting, any lengths, any encoding: what comes out is a valid data set of the same shape."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomcore.deident import (
    Deidentifier,
    KnownIdentifiers,
    PatientIdentity,
    parse_options,
    shipped_profile,
)
from dicomcore.deident.elements import walk
from dicomcore.deident.encoded import open_encoded

SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
SEQUENCES = (0x00081115, 0x300A00B0, 0x300A0111, 0x300C0002, 0x300C0060)
UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True)
class Item:
    """What one item holds: some text, a UID, a person, numbers, and sequences."""

    uid: int
    person: bool
    numbers: int
    below: tuple[tuple[int, bool, tuple[tuple[bool, Item], ...]], ...]
    """Which sequence, whether its length is undefined, and its items, each with the same."""


def items(below: st.SearchStrategy[Item]) -> st.SearchStrategy[Item]:
    one = st.tuples(st.booleans(), below)
    sequence = st.tuples(
        st.integers(0, len(SEQUENCES) - 1), st.booleans(), st.lists(one, max_size=3).map(tuple)
    )
    several = st.lists(sequence, max_size=3, unique_by=lambda s: s[0]).map(tuple)
    return st.builds(Item, st.integers(1, 99), st.booleans(), st.integers(0, 9), several)


TREES = st.recursive(
    st.builds(Item, st.integers(1, 99), st.booleans(), st.integers(0, 9), st.just(())),
    items,
    max_leaves=12,
)


class Encoder:
    def __init__(self, syntax: str) -> None:
        self.implicit = syntax == ImplicitVRLittleEndian
        self.order = ">" if syntax == ExplicitVRBigEndian else "<"

    def element(self, tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
        size = len(value) if length is None else length
        head = struct.pack(self.order + "HH", tag >> 16, tag & 0xFFFF)
        if self.implicit or tag >> 16 == 0xFFFE:
            return head + struct.pack(self.order + "L", size) + value
        if vr == b"SQ":
            return head + vr + struct.pack(self.order + "HL", 0, size) + value
        return head + vr + struct.pack(self.order + "H", size) + value

    def item(self, item: Item) -> bytes:
        elements = {0x00081155: (b"UI", padded(f"1.2.3.{item.uid}"))}
        if item.person:
            elements[0x00100010] = (b"PN", b"Smith^Jo")
        if item.numbers:
            elements[0x300A011C] = (b"DS", padded("\\".join(map(str, range(item.numbers))), b" "))
        made = {tag: self.element(tag, vr, value) for tag, (vr, value) in elements.items()}
        for number, undefined, below in item.below:
            made[SEQUENCES[number]] = self.sequence(SEQUENCES[number], below, undefined=undefined)
        return b"".join(element for _, element in sorted(made.items()))

    def sequence(self, tag: int, below: Sequence[tuple[bool, Item]], *, undefined: bool) -> bytes:
        content = b""
        for open_end, item in below:
            inner = self.item(item)
            if open_end:
                end = self.element(0xFFFEE00D, b"", b"")
                content += self.element(0xFFFEE000, b"", inner, UNDEFINED) + end
            else:
                content += self.element(0xFFFEE000, b"", inner)
        if undefined:
            return self.element(tag, b"SQ", content, UNDEFINED) + self.element(0xFFFEE0DD, b"", b"")
        return self.element(tag, b"SQ", content)

    def whole(self, tree: Item) -> bytes:
        identity = (
            (0x00080016, "1.2.840.10008.5.1.4.1.1.481.5"),
            (0x00080018, "1.2.3.1001"),
            (0x0020000D, "1.2.3.1002"),
            (0x0020000E, "1.2.3.1003"),
        )
        body = b"".join(self.element(tag, b"UI", padded(uid)) for tag, uid in identity)
        return body + self.sequence(0x300C0080, [(False, tree)], undefined=False)


def padded(text: str, by: bytes = b"\0") -> bytes:
    return text.encode() + by * (len(text) % 2)


def check(ds: Dataset, item: Item, new_uid: dict[str, str]) -> None:
    old = f"1.2.3.{item.uid}"
    assert new_uid.setdefault(old, ds.ReferencedSOPInstanceUID) == ds.ReferencedSOPInstanceUID
    assert not item.person or "Smith" not in str(ds.get("PatientName", ""))
    if item.numbers:
        value = ds[0x300A011C].value
        numbers = [value] if item.numbers == 1 else list(value)
        assert [int(number) for number in numbers] == list(range(item.numbers))
    for number, _, below in item.below:
        there = ds[SEQUENCES[number]].value
        assert len(there) == len(below)
        for inner, (_, wanted) in zip(there, below, strict=True):
            check(inner, wanted, new_uid)


@settings(max_examples=150, deadline=None)
@given(TREES, st.sampled_from(SYNTAXES))
def test_any_structure_keeps_its_shape_and_numbers(tree: Item, syntax: str) -> None:
    engine = Deidentifier(
        shipped_profile("BasicSecurityProfile"),
        parse_options(()),
        b"k" * 32,
        PatientIdentity("1"),
        KnownIdentifiers(),
    )

    output = engine.apply(Encoder(syntax).whole(tree)).to_bytes()

    assert b"Smith" not in output
    ds = dcmread(BytesIO(output))
    assert ds.file_meta.TransferSyntaxUID == syntax
    new_uid: dict[str, str] = {}
    check(ds[0x300C0080].value[0], tree, new_uid)
    assert len(set(new_uid.values())) == len(new_uid)
    opened = open_encoded(output)
    assert sum(1 for _ in walk(opened.data, opened.start, opened.encoding)) > 10
