"""Data sets from one uncompressed transfer syntax to another, with pydicom as the witness."""

from __future__ import annotations

import copy
import struct
import zlib
from array import array
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from dicomcore.errors import DicomToolsError, InvalidRequest, Unreadable
from dicomcore.transcode import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    UNCOMPRESSED,
    transcoded,
)
from tests import factories

OBJECTS = {
    "ct": factories.ct,
    "structure set": factories.structure_set,
    "plan": factories.plan,
    "halcyon": factories.halcyon_plan,
    "ion": factories.ion_plan,
    "brachy": factories.brachy_plan,
    "dose": factories.dose,
    "image": factories.rt_image,
    "record": factories.record,
    "registration": factories.registration,
    "deformable": lambda: factories.registration(deformable=True),
    "report": factories.report,
}


WORDS = {"OW": "H", "OF": "I", "OL": "I", "OD": "Q"}


def with_turned_words(dataset: Dataset) -> Dataset:
    """Bulk values in the other byte order: pydicom leaves those to its callers."""
    for element in dataset.iterall():
        if element.VR in WORDS and element.value:
            words = array(WORDS[element.VR], element.value)
            words.byteswap()
            element.value = words.tobytes()
    return dataset


def encoded(dataset: Dataset, syntax: str, *, undefined: bool = False) -> bytes:
    if syntax == EXPLICIT_BIG:
        dataset = with_turned_words(copy.deepcopy(dataset))
    stream = DicomBytesIO()
    stream.is_implicit_VR = UID(syntax).is_implicit_VR
    stream.is_little_endian = UID(syntax).is_little_endian
    for element in dataset.iterall() if undefined else ():
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
    write_dataset(stream, dataset)
    plain = stream.getvalue()
    if syntax != DEFLATED:
        return plain
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(plain) + deflater.flush()


def decoded(data: object, syntax: str) -> Dataset:
    assert isinstance(data, bytes | memoryview)
    body = zlib.decompress(data, -zlib.MAX_WBITS) if syntax == DEFLATED else bytes(data)
    found = read_dataset(BytesIO(body), UID(syntax).is_implicit_VR, UID(syntax).is_little_endian)
    return with_turned_words(found) if syntax == EXPLICIT_BIG else found


@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
@pytest.mark.parametrize("target", UNCOMPRESSED)
@pytest.mark.parametrize("source", UNCOMPRESSED)
@pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)
def test_pydicom_reads_the_same_after_as_before(make, source, target, undefined) -> None:
    before = make()

    after = transcoded(encoded(before, source, undefined=undefined), source, target)

    assert decoded(after, target) == decoded(encoded(make(), EXPLICIT_LITTLE), EXPLICIT_LITTLE)


@pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)
@pytest.mark.parametrize("between", [IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED])
def test_there_and_back_gives_the_same_bytes(make, between) -> None:
    before = encoded(make(), EXPLICIT_LITTLE)

    there = transcoded(before, EXPLICIT_LITTLE, between)

    assert transcoded(there, between, EXPLICIT_LITTLE) == before


def test_private_and_unknown_elements_keep_their_bytes_as_un() -> None:
    private = b"\x09\x00\x10\x00" + struct.pack("<I", 6) + b"MAKER "
    private += b"\x09\x00\x01\x10" + struct.pack("<I", 4) + b"\1\2\3\4"

    after = bytes(transcoded(private, IMPLICIT_LITTLE, EXPLICIT_LITTLE))

    assert after == (
        b"\x09\x00\x10\x00LO\x06\x00MAKER " + b"\x09\x00\x01\x10UN\0\0\4\0\0\0\1\2\3\4"
    )


def test_a_private_sequence_of_undefined_length_is_read_as_one() -> None:
    inside = b"\x08\x00\x60\x00" + struct.pack("<I", 2) + b"CT"
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + inside + b"\xfe\xff\x0d\xe0\0\0\0\0"
    private = b"\x09\x00\x01\x10\xff\xff\xff\xff" + item + b"\xfe\xff\xdd\xe0\0\0\0\0"

    after = decoded(transcoded(private, IMPLICIT_LITTLE, EXPLICIT_LITTLE), EXPLICIT_LITTLE)

    assert after[0x00091001].VR == "SQ"
    assert after[0x00091001].value[0].Modality == "CT"


def test_un_of_undefined_length_keeps_its_implicit_items() -> None:
    inside = b"\x08\x00\x60\x00" + struct.pack("<I", 2) + b"CT"
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inside)) + inside
    value = item + b"\xfe\xff\xdd\xe0\0\0\0\0"
    explicit = b"\x09\x00\x01\x10UN\0\0\xff\xff\xff\xff" + value

    after = bytes(transcoded(explicit, EXPLICIT_LITTLE, IMPLICIT_LITTLE))

    assert after == b"\x09\x00\x01\x10\xff\xff\xff\xff" + value


def test_a_text_too_long_for_sixteen_bits_becomes_un() -> None:
    long = b"x" * 70_000
    implicit = b"\x08\x00\x80\x00" + struct.pack("<I", len(long)) + long

    after = bytes(transcoded(implicit, IMPLICIT_LITTLE, EXPLICIT_LITTLE))

    assert after == b"\x08\x00\x80\x00UN\0\0" + struct.pack("<I", len(long)) + long


@pytest.mark.parametrize(("representation", "vr"), [(0, b"US"), (1, b"SS")])
def test_pixel_representation_decides_between_us_and_ss(representation: int, vr: bytes) -> None:
    implicit = struct.pack("<HHIH", 0x0028, 0x0103, 2, representation)
    implicit += struct.pack("<HHIH", 0x0028, 0x0106, 2, 7)  # Smallest Image Pixel Value

    after = bytes(transcoded(implicit, IMPLICIT_LITTLE, EXPLICIT_LITTLE))

    assert after[14:16] == vr


def test_group_lengths_are_left_out() -> None:
    explicit = b"\x08\x00\x00\x00UL\x04\x00\x0a\0\0\0" + b"\x08\x00\x60\x00CS\x02\x00CT"

    after = bytes(transcoded(explicit, EXPLICIT_LITTLE, IMPLICIT_LITTLE))

    assert after == b"\x08\x00\x60\x00\x02\0\0\0CT"


def test_the_same_syntax_is_the_same_object() -> None:
    data = encoded(factories.ct(), EXPLICIT_LITTLE)

    assert transcoded(data, EXPLICIT_LITTLE, EXPLICIT_LITTLE) is data


@pytest.mark.parametrize("position", ["source", "target"])
def test_a_compressed_syntax_is_refused(position: str) -> None:
    syntaxes = {"source": EXPLICIT_LITTLE, "target": IMPLICIT_LITTLE}
    syntaxes[position] = "1.2.840.10008.1.2.4.70"

    with pytest.raises(InvalidRequest, match="not an uncompressed transfer syntax"):
        transcoded(b"", **syntaxes)


@pytest.mark.parametrize("data", [b"\xff" * 100, b""], ids=["no deflate", "nothing"])
def test_what_is_not_deflated_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        transcoded(data, DEFLATED, IMPLICIT_LITTLE)


def test_sequences_deeper_than_any_object_are_unreadable() -> None:
    deep = b""
    for _ in range(80):
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(deep)) + deep
        deep = b"\x08\x00\x40\x11SQ\0\0" + struct.pack("<I", len(item)) + item

    with pytest.raises(Unreadable, match="too deep"):
        transcoded(deep, EXPLICIT_LITTLE, IMPLICIT_LITTLE)


PLAN = encoded(factories.plan(), EXPLICIT_LITTLE)


@given(
    cut=st.integers(0, len(PLAN)),
    flips=st.lists(st.tuples(st.integers(0, len(PLAN) - 1), st.integers(0, 255)), max_size=4),
    target=st.sampled_from([IMPLICIT_LITTLE, EXPLICIT_BIG]),
)
def test_damage_is_an_error_of_ours_or_passes(cut, flips, target) -> None:
    damaged = bytearray(PLAN)
    for position, value in flips:
        damaged[position] = value
    try:
        assert len(transcoded(bytes(damaged[:cut]), EXPLICIT_LITTLE, target)) <= 2 * len(PLAN)
    except DicomToolsError as exc:
        assert isinstance(exc, Unreadable)  # noqa: PT017 - either is fine, nothing else is
