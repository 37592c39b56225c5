"""What a received data set is called and kept as: any encoding, any order, no bytes changed."""

from __future__ import annotations

import hashlib
import random
import struct
from io import BytesIO

import pydicom
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomcore import landing
from dicomcore.errors import InvalidInstance, SopClassMismatch, Unreadable
from dicomcore.landing import prepare
from dicomcore.part10 import part10_header
from dicomcore.walk import Encoding, top_level
from tests.instances import (
    CT_IMAGE,
    PRIVATE_PLAN,
    ROOT,
    RT_PLAN,
    SYNTAXES,
    deflate,
    encode,
    encode_in_order,
    identity,
    instance,
    received,
)

EXPLICIT = Encoding(implicit_vr=False, little_endian=True)
IMPLICIT = Encoding(implicit_vr=True, little_endian=True)

# ── data sets of every shape ────────────────────────────────────────────────────────────────


@st.composite
def elements(draw: st.DrawFn, depth: int = 2) -> DataElement:
    """One element: text, numbers, bytes, private, unknown to the dictionary, or a sequence."""
    kinds = ["LO", "UT", "US", "OB", "FD", "UN", *(["SQ"] if depth else [])]
    vr = draw(st.sampled_from(kinds))
    group = draw(st.sampled_from([0x0008, 0x0009, 0x0019, 0x0021, 0x300A, 0x3006, 0x7FDF]))
    number = draw(st.integers(0x9F00, 0x9FFF))  # in no dictionary
    if vr == "SQ":
        element = DataElement(
            group << 16 | number, vr, draw(st.lists(data_sets(depth=depth - 1), max_size=3))
        )
        element.is_undefined_length = draw(st.booleans())
        for item in element.value:
            item.is_undefined_length_sequence_item = draw(st.booleans())
        return element
    values = {
        "LO": st.text("aZ 0^", max_size=20),
        "UT": st.text("aZ 0^", max_size=200),
        "US": st.integers(0, 65535),
        "OB": st.binary(max_size=40).map(lambda data: data + b"\0" * (len(data) % 2)),
        "FD": st.floats(allow_nan=False),
        "UN": st.binary(max_size=40).map(lambda data: data + b"\0" * (len(data) % 2)),
    }
    return DataElement(group << 16 | number, vr, draw(values[vr]))


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 2) -> Dataset:
    dataset = Dataset()
    for element in draw(st.lists(elements(depth), max_size=6)):
        dataset.add(element)
    return dataset


@st.composite
def instances(draw: st.DrawFn) -> list[DataElement]:
    """An instance as a list of elements in any order."""
    others = {element.tag: element for element in draw(st.lists(elements(), max_size=8))}
    return draw(st.permutations([*others.values(), *identity()]))


@given(instances(), st.sampled_from(SYNTAXES))
def test_identity_is_found_in_any_order_and_encoding(
    shuffled: list[DataElement], syntax: str
) -> None:
    data = encode_in_order(shuffled, syntax)

    found = prepare(received(identity(), syntax, data=data))

    assert found.key.ref.sop_instance_uid == f"{ROOT}.3.1"
    assert found.key.ref.series_instance_uid == f"{ROOT}.2"
    assert found.key.ref.study_instance_uid == f"{ROOT}.1"
    assert found.sop_class_uid == RT_PLAN
    assert found.transfer_syntax_uid == syntax
    assert bytes(found.parts[1]) == data


@given(instances(), st.sampled_from(SYNTAXES))
def test_what_is_kept_is_read_by_pydicom_as_the_same(
    shuffled: list[DataElement], syntax: str
) -> None:
    found = prepare(received(identity(), syntax, data=encode_in_order(shuffled, syntax)))

    kept = pydicom.dcmread(BytesIO(b"".join(found.parts)))

    assert kept.file_meta.TransferSyntaxUID == syntax
    assert kept.file_meta.MediaStorageSOPInstanceUID == kept.SOPInstanceUID
    assert kept.file_meta.MediaStorageSOPClassUID == RT_PLAN
    assert set(kept.keys()) == {element.tag for element in shuffled}


@given(instances(), st.sampled_from(SYNTAXES[:3]), st.randoms(use_true_random=False))
def test_a_cut_data_set_is_refused_unless_it_ends_between_elements(
    shuffled: list[DataElement], syntax: str, chance: random.Random
) -> None:
    data = encode_in_order(shuffled, syntax)
    encoding = Encoding(syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    whole = {len(encode_in_order(shuffled[:count], syntax)) for count in range(len(shuffled) + 1)}
    cut = chance.randrange(len(data))
    last = max(end for end in whole if end <= cut)

    if data[last:cut].strip(b"\0"):
        with pytest.raises(Unreadable):
            list(top_level(data[:cut], encoding))
        with pytest.raises((Unreadable, InvalidInstance)):
            prepare(received(identity(), syntax, data=data[:cut]))
    else:  # between two elements: nobody can see that something is missing
        assert len(list(top_level(data[:cut], encoding))) == len(
            [end for end in whole if 0 < end <= cut]
        )


@given(st.binary(max_size=300), st.sampled_from([*SYNTAXES, "1.2.840.113619.5.2", "1.2.3"]))
@example(b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * 30, ImplicitVRLittleEndian)
def test_garbage_is_refused_and_nothing_else_happens(garbage: bytes, syntax: str) -> None:
    with pytest.raises((Unreadable, InvalidInstance)):
        prepare(received(identity(), syntax, data=garbage))


@given(st.integers(0), st.sampled_from(SYNTAXES), st.integers(1, 8))
def test_a_mutated_data_set_is_kept_as_it_is_or_refused(
    seed: int, syntax: str, changes: int
) -> None:
    chance = random.Random(seed)
    data = bytearray(encode(instance(), syntax))
    for _ in range(changes):
        data[chance.randrange(len(data))] = chance.randrange(256)

    try:
        found = prepare(received(identity(), syntax, data=data))
    except (Unreadable, InvalidInstance, SopClassMismatch):
        return
    assert bytes(found.parts[1]) == bytes(data)


# ── the header and the digest ───────────────────────────────────────────────────────────────


def test_the_same_data_set_is_the_same_object_whoever_sends_it() -> None:
    once = prepare(received(instance()))
    again = prepare(received(instance(), calling_ae_title="SOMEONE-ELSE"))

    assert once == again
    assert hashlib.sha256(b"".join(once.parts)).hexdigest() == once.sha256
    assert once.key.digest == once.sha256[:16]
    assert once.size_bytes == len(b"".join(once.parts))


def test_the_digest_of_an_object_never_changes_between_releases() -> None:
    landed = prepare(received(identity(), ExplicitVRLittleEndian))

    assert landed.sha256 == "08e0dca22ab4b808b50b68da2a0ec68b9745c03b68cad389f3168eecd672a044"


def test_other_bytes_are_another_version() -> None:
    assert (
        prepare(received(instance(size_bytes=64))).key
        != prepare(received(instance(size_bytes=66))).key
    )


def test_another_transfer_syntax_is_another_object() -> None:
    keys = {prepare(received(instance(), syntax)).key for syntax in SYNTAXES}

    assert len(keys) == len(SYNTAXES)


def test_the_header_is_what_pydicom_would_write() -> None:
    header = part10_header(RT_PLAN, f"{ROOT}.3.1", ExplicitVRLittleEndian)

    meta = pydicom.dcmread(BytesIO(header + encode(identity(), ExplicitVRLittleEndian))).file_meta
    buffer = BytesIO()
    write_file_meta_info(buffer, meta, enforce_standard=True)

    assert header == bytes(128) + b"DICM" + buffer.getvalue()
    assert str(meta.ImplementationClassUID).startswith("2.25.")


def test_the_data_set_is_not_copied() -> None:
    data = bytearray(encode(instance()))

    landed = prepare(received(identity(), data=memoryview(data)))

    assert landed.parts[1].obj is data


# ── what contradicts itself ─────────────────────────────────────────────────────────────────


FALSE_UIDS = [None, "", "UNKNOWN", "../../etc/passwd", "1.2/3", "1.2\\..\\3", "1..2", "1.2."]
FALSE_UIDS += ["9" * 65, "1.2 .3", "\0", "1.2\u0661", "1.2\r\n"]


@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
@pytest.mark.parametrize("value", FALSE_UIDS)
def test_a_missing_or_false_uid_is_an_invalid_instance(keyword: str, value: str | None) -> None:
    dataset = instance()
    request = received(dataset)
    del dataset[keyword]
    data = encode(dataset)
    if value is not None:
        tag = pydicom.datadict.tag_for_keyword(keyword)
        assert tag is not None
        raw = value.encode("utf-8")
        data += struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(raw)) + raw

    with pytest.raises(InvalidInstance):
        prepare(received(dataset, data=data, sop_class_uid=request.sop_class_uid))


def test_a_uid_of_64_characters_with_padding_is_kept() -> None:
    dataset = instance()
    dataset.SOPInstanceUID = "1." + "2" * 62

    landed = prepare(received(dataset, sop_instance_uid=f"{dataset.SOPInstanceUID}\0"))

    assert landed.key.ref.sop_instance_uid == "1." + "2" * 62


def test_a_uid_that_is_there_twice_counts_once_if_both_are_equal() -> None:
    dataset = instance()
    twice = encode(dataset) + encode(identity())

    assert prepare(received(dataset, data=twice)).key.ref.sop_instance_uid == f"{ROOT}.3.1"
    with pytest.raises(InvalidInstance):
        prepare(received(dataset, data=encode(dataset) + encode(identity(2))))


def test_another_sop_class_than_announced_is_a_mismatch() -> None:
    with pytest.raises(SopClassMismatch):
        prepare(received(instance(), sop_class_uid=CT_IMAGE))


def test_another_instance_than_announced_is_a_mismatch() -> None:
    with pytest.raises(SopClassMismatch):
        prepare(received(instance(), sop_instance_uid=f"{ROOT}.3.2"))


@pytest.mark.parametrize(
    "change",
    [
        {"sop_class_uid": "../x"},
        {"sop_instance_uid": ""},
        {"sop_instance_uid": "1" * 65},
        {"transfer_syntax_uid": "one"},
    ],
)
def test_a_request_without_uids_is_an_invalid_instance(change: dict[str, str]) -> None:
    with pytest.raises(InvalidInstance):
        prepare(received(instance(), data=encode(instance(), ExplicitVRLittleEndian), **change))


# ── what real data look like ────────────────────────────────────────────────────────────────


def explicit(tag: int, vr: bytes, value: bytes, *, long: bool = False) -> bytes:
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    length = struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value))
    return head + length + value


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    return (
        struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value) if length is None else length)
        + value
    )


ITEM_END = implicit(0xFFFEE00D, b"")
SEQUENCE_END = implicit(0xFFFEE0DD, b"")
UNDEFINED = 0xFFFFFFFF


def landed(data: bytes, syntax: str = ExplicitVRLittleEndian) -> bool:
    return prepare(received(identity(), syntax, data=data)).size_bytes > len(data)


ODDITIES = {
    "an odd length": explicit(0x00081030, b"LO", b"odd"),
    "a private class of element": explicit(0x00091001, b"UN", b"any", long=True),
    "a VR of the future": explicit(0x00091001, b"ZZ", b"future", long=True),
    "a private VR with a short length": explicit(0x00091001, b"XX", b"past"),
    "no VR but a short length": explicit(0x00091001, b"??", b"past"),
    "an element with implicit VR among explicit ones": implicit(0x00091001, b"implicit"),
    "a stray item delimiter": ITEM_END,
    "a stray sequence delimiter": SEQUENCE_END,
    "a group length": explicit(0x00090000, b"UL", b"\4\0\0\0"),
    "an empty sequence": explicit(0x00081140, b"SQ", b"", long=True),
    "an empty sequence of undefined length": explicit(0x00081140, b"SQ", b"", long=True)[:-4]
    + b"\xff\xff\xff\xff"
    + SEQUENCE_END,
    "a UN of undefined length, implicit inside": explicit(0x00091010, b"UN", b"", long=True)[:-4]
    + b"\xff\xff\xff\xff"
    + implicit(0xFFFEE000, implicit(0x00091011, b"x"), UNDEFINED)
    + ITEM_END
    + SEQUENCE_END,
    "a UN of undefined length, explicit inside": explicit(0x00091010, b"UN", b"", long=True)[:-4]
    + b"\xff\xff\xff\xff"
    + implicit(0xFFFEE000, explicit(0x00091011, b"OB", b"x", long=True), UNDEFINED)
    + ITEM_END
    + SEQUENCE_END,
    "data set trailing padding": explicit(0xFFFCFFFC, b"OB", b"\0\0", long=True),
}


@pytest.mark.parametrize("oddity", ODDITIES.values(), ids=ODDITIES)
def test_oddities_of_real_data_are_kept(oddity: bytes) -> None:
    uids = encode(identity(), ExplicitVRLittleEndian)
    boundary = next(
        element.start - 8 for element in top_level(uids, EXPLICIT) if element.tag == 0x0020000D
    )
    first, rest = uids[:boundary], uids[boundary:]

    assert landed(oddity + uids)
    assert landed(first + oddity + rest)
    assert landed(uids + oddity)


@pytest.mark.parametrize("padding", [1, 2, 7, 8, 1000, 200_000])
def test_trailing_zeros_are_kept(padding: int) -> None:
    for syntax in SYNTAXES[:3]:
        assert landed(encode(identity(), syntax) + bytes(padding), syntax)


def test_zeros_alone_are_no_instance() -> None:
    with pytest.raises(InvalidInstance):
        landed(bytes(100))


def test_implicit_vrs_where_explicit_were_announced_are_kept_and_the_other_way_round() -> None:
    assert landed(encode(instance(), ImplicitVRLittleEndian), ExplicitVRLittleEndian)
    assert landed(encode(instance(), ExplicitVRLittleEndian), ImplicitVRLittleEndian)


def test_a_private_transfer_syntax_and_class_are_kept() -> None:
    dataset = instance(sop_class_uid=PRIVATE_PLAN)
    data = encode(dataset, ImplicitVRLittleEndian)

    found = prepare(received(dataset, "1.2.840.113619.5.2", data=data))

    assert found.sop_class_uid == PRIVATE_PLAN


def encapsulated(*fragments: bytes) -> bytes:
    items = b"".join(implicit(0xFFFEE000, fragment) for fragment in fragments)
    return explicit(0x7FE00010, b"OB", b"", long=True)[:-4] + b"\xff\xff\xff\xff" + items


def test_encapsulated_pixel_data_are_walked_to_their_delimiter() -> None:
    uids = encode(identity(), ExplicitVRLittleEndian)
    pixels = encapsulated(b"", b"\xff\xd8jpeg", b"more\xff\xd9")

    assert landed(uids + pixels + SEQUENCE_END, "1.2.840.10008.1.2.4.50")
    for cut in (pixels, pixels[:-1], encapsulated(b"")[:-1]):
        with pytest.raises(Unreadable):
            landed(uids + cut, "1.2.840.10008.1.2.4.50")


BROKEN = {
    "a value that runs past the end": explicit(0x00081030, b"LO", b"abc")[:-1],
    "a long value that runs past the end": explicit(0x7FE00010, b"OW", b"abcd", long=True)[:-1],
    "half a header": explicit(0x00081030, b"LO", b"")[:5],
    "half a long header": explicit(0x7FE00010, b"OW", b"", long=True)[:10],
    "a sequence without end": explicit(0x00081140, b"SQ", b"", long=True)[:-4]
    + b"\xff\xff\xff\xff",
    "an item without end": explicit(0x00081140, b"SQ", b"", long=True)[:-4]
    + b"\xff\xff\xff\xff"
    + implicit(0xFFFEE000, b"", UNDEFINED)
    + SEQUENCE_END,
    "a sequence of something else": explicit(0x00081140, b"SQ", b"", long=True)[:-4]
    + b"\xff\xff\xff\xff"
    + explicit(0x00081150, b"UI", b"1.2\0")
    + SEQUENCE_END,
    "a delimiter of undefined length": implicit(0xFFFEE0DD, b"", UNDEFINED),
    "an unknown VR without a length that fits": explicit(0x00091001, b"\xff\xff", b"\xff" * 4)[:8]
    + b"\xff" * 30,
    "an unknown VR at the very end": b"\x09\x00\x01\x10ZZ\xff\xff",
    "an unknown VR that leaves a few bytes": explicit(0x00091001, b"ZZ", b"ab") + b"tail",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_broken_ends_are_unreadable_although_the_identity_is_there(broken: bytes) -> None:
    uids = encode(identity(), ExplicitVRLittleEndian)

    with pytest.raises(Unreadable):
        landed(uids + broken)


def test_deep_nesting_takes_no_stack_and_little_time() -> None:
    depth = 100_000
    opening = implicit(0x00081140, b"", UNDEFINED) + implicit(0xFFFEE000, b"", UNDEFINED)
    data = encode(identity()) + opening * depth

    with pytest.raises(Unreadable):
        landed(data, ImplicitVRLittleEndian)
    assert landed(data + (ITEM_END + SEQUENCE_END) * depth, ImplicitVRLittleEndian)


def test_a_sequence_of_undefined_length_does_not_give_its_uids_away_as_ours() -> None:
    nested = implicit(0x00081140, b"", UNDEFINED) + implicit(0xFFFEE000, b"", UNDEFINED)
    nested += implicit(0x0020000E, b"6.6.6\0") + ITEM_END + SEQUENCE_END

    found = prepare(received(identity(), data=nested + encode(identity())))

    assert found.key.ref.series_instance_uid == f"{ROOT}.2"


def test_a_uid_element_of_undefined_length_is_no_uid() -> None:
    data = implicit(0x0020000E, b"", UNDEFINED) + SEQUENCE_END
    dataset = identity()
    del dataset.SeriesInstanceUID

    with pytest.raises(InvalidInstance):
        prepare(received(identity(), data=data + encode(dataset)))


def test_a_deflated_data_set_is_kept_deflated() -> None:
    data = encode(instance(), DeflatedExplicitVRLittleEndian)

    found = prepare(received(instance(), DeflatedExplicitVRLittleEndian, data=data))

    assert bytes(found.parts[1]) == data


def test_a_broken_deflated_data_set_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = encode(instance(size_bytes=50_000), ExplicitVRLittleEndian)
    deflated = deflate(plain)

    for broken in (deflated[: len(deflated) // 2], b"\xff" + deflated[1:], deflate(plain[:-10])):
        with pytest.raises(Unreadable):
            landed(broken, DeflatedExplicitVRLittleEndian)
    monkeypatch.setattr(landing, "MAX_INFLATED_BYTES", 10_000)
    with pytest.raises(Unreadable):
        landed(deflated, DeflatedExplicitVRLittleEndian)
