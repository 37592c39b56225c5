"""The header of an object as rows: in place, shortened, and never a crash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicomcore.attribute_names import names_of, vr_of
from dicomcore.errors import Unreadable
from dicomcore.header_rows import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_ROWS,
    MAX_VALUES,
    HeaderRow,
    HeaderRows,
    header_rows,
)
from tests.indexer_world import image, part10, plan
from tests.unit.dicom_bytes import SYNTAXES, UNDEFINED, explicit, implicit, item, whole

REAL = Path(__file__).parents[3] / "shared" / "data" / "rt"


def rows_of(ds: Dataset) -> HeaderRows:
    found = header_rows(part10(ds), complete=True)
    assert found is not None
    return found


def row(found: HeaderRows, keyword: str) -> HeaderRow:
    [one] = [one for one in found.rows if one.keyword == keyword]
    return one


def flat(rows: Sequence[HeaderRow]) -> Iterator[HeaderRow]:
    for one in rows:
        yield one
        for rows_of_item in one.items:
            yield from flat(rows_of_item)


def test_every_attribute_is_told_in_its_place() -> None:
    found = rows_of(plan("1.2.3.30", structures="1.2.3.20", label="PROST 1"))

    label, reference = row(found, "RTPlanLabel"), row(found, "ReferencedStructureSetSequence")
    assert not found.cut
    assert (label.tag, label.vr, label.name) == (0x300A0002, "SH", "RT Plan Label")
    assert (label.values, label.length_bytes, label.truncated) == (("PROST 1",), 8, False)
    assert [(one.keyword, one.values) for one in reference.items[0]] == [
        ("ReferencedSOPClassUID", ("1.2.840.10008.5.1.4.1.1.481.3",)),
        ("ReferencedSOPInstanceUID", ("1.2.3.20",)),
    ]
    assert row(found, "TransferSyntaxUID").values == ("1.2.840.10008.1.2.1",)


def test_long_values_are_shortened_and_say_so() -> None:
    ds = image("1.2.3.10")
    ds.ImageComments = "x" * (MAX_CHARACTERS + 5)
    ds.ImageType = [f"T{n}" for n in range(MAX_VALUES + 3)]
    ds.add_new(0x30060050, "DS", [f"{n}.5" for n in range(5000)])

    found = rows_of(ds)

    assert row(found, "ImageComments").values == ("x" * MAX_CHARACTERS,)
    assert row(found, "ImageType").values == tuple(f"T{n}" for n in range(MAX_VALUES))
    assert row(found, "ContourData").values == tuple(f"{n}.5" for n in range(MAX_VALUES))
    assert all(row(found, k).truncated for k in ("ImageComments", "ImageType", "ContourData"))


def test_bulk_is_told_by_its_length_and_pixel_data_end_the_reading() -> None:
    ds = image("1.2.3.10")
    ds.add_new(0x00282000, "OB", b"\1" * 100)
    ds.add_new(0x7FE00010, "OW", b"\2" * 500)
    data = part10(ds)

    beginning = header_rows(data[:-400], complete=False)

    assert beginning == rows_of(ds)
    assert beginning is not None
    profile, pixels = row(beginning, "ICCProfile"), row(beginning, "PixelData")
    assert (profile.bulk, profile.length_bytes, profile.values) == (True, 100, ())
    assert (pixels.bulk, pixels.length_bytes) == (True, 500)


def test_a_beginning_that_does_not_reach_pixel_data_is_not_enough() -> None:
    data = part10(plan("1.2.3.30", structures="1.2.3.20"))

    assert header_rows(data, complete=False) is None
    assert header_rows(data[:140], complete=False) is None


def test_many_items_are_cut_and_the_sequence_says_so() -> None:
    ds = plan("1.2.3.30", structures="1.2.3.20")
    ds.BeamSequence = Items([_item(n) for n in range(MAX_ITEMS + 5)])

    beams = row(rows_of(ds), "BeamSequence")

    assert len(beams.items) == MAX_ITEMS
    assert beams.truncated


def _item(number: int) -> Dataset:
    ds = Dataset()
    ds.BeamNumber = number
    return ds


def test_there_is_an_end_to_rows() -> None:
    ds = plan("1.2.3.30", structures="1.2.3.20")
    ds.BeamSequence = Items([_item(n) for n in range(MAX_ITEMS)])
    for beam in ds.BeamSequence:
        beam.ControlPointSequence = Items([_item(n) for n in range(MAX_ITEMS)])

    found = rows_of(ds)

    assert found.cut
    assert sum(1 for _ in flat(found.rows)) <= MAX_ROWS


def test_depth_has_an_end() -> None:
    inner = _item(1)
    for _ in range(MAX_DEPTH + 5):
        outer = Dataset()
        outer.BeamSequence = Items([inner])
        inner = outer
    ds = plan("1.2.3.30", structures="1.2.3.20")
    ds.update(inner)

    found = rows_of(ds)

    assert any(one.truncated for one in flat(found.rows))


def test_private_attributes_are_named_where_the_dictionary_knows_their_creator() -> None:
    body = b"".join(
        (
            explicit(0x00080005, b"CS", b"ISO_IR 192"),
            explicit(0x00190010, b"LO", b"GEMS_ACQU_01"),
            explicit(0x00191002, b"SL", (7).to_bytes(4, "little")),
            explicit(0x00310010, b"LO", "Nobody ü ".encode()),
            explicit(0x00311001, b"LO", b"text"),
        )
    )

    found = header_rows(body, complete=True)

    assert found is not None
    told = {one.tag: (one.name, one.values) for one in found.rows}
    assert told[0x00191002][1] == ("7",)
    assert told[0x00191002][0]
    assert told[0x00310010] == ("Private Creator", ("Nobody ü",))
    assert told[0x00311001] == ("", ("text",))


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_encoding_says_the_same(syntax: str, *, undefined: bool) -> None:
    ds = plan("1.2.3.30", structures="1.2.3.20", label="ENCODED")

    found = header_rows(whole(ds, syntax, undefined_lengths=undefined), complete=True)

    assert found is not None
    assert row(found, "RTPlanLabel").values == ("ENCODED",)
    [reference] = row(found, "ReferencedStructureSetSequence").items
    assert reference[1].values == ("1.2.3.20",)


def test_a_deflated_data_set_is_needed_whole() -> None:
    data = whole(plan("1.2.3.30", structures="1.2.3.20"), DeflatedExplicitVRLittleEndian)

    assert header_rows(data, complete=False) is None


def test_what_comes_before_damage_is_told() -> None:
    data = part10(plan("1.2.3.30", structures="1.2.3.20"))

    found = header_rows(data[:-30], complete=True)

    assert found is not None
    assert found.cut
    assert row(found, "PatientID").values == ("P-1",)


def _sequence(tag: int, items: bytes) -> bytes:
    return explicit(0x00080005, b"CS", b"ISO_IR 192") + explicit(tag, b"SQ", items)


@pytest.mark.parametrize(
    "inside",
    [
        item(explicit(0x300A00C0, b"IS", b"1 ", length=200)),
        b"no item at all!!",
        item(explicit(0x300A00C0, b"IS", b"1 "))[:-3],
    ],
)
def test_damage_inside_a_sequence_ends_with_it(inside: bytes) -> None:
    body = _sequence(0x300A00B0, inside) + explicit(0x300E0002, b"CS", b"APPROVED")

    found = header_rows(body, complete=True)

    assert found is not None
    assert found.cut
    assert row(found, "BeamSequence").truncated
    assert row(found, "ApprovalStatus").values == ("APPROVED",)


def test_damage_inside_a_sequence_of_unknown_vr_is_told_as_well() -> None:
    nested = implicit(0x300A0111, b"no item at all!!")
    body = explicit(0x00080005, b"CS", b"ISO_IR 192") + explicit(
        0x300A00B0, b"UN", implicit(0xFFFEE000, nested)
    )

    found = header_rows(body, complete=True)

    assert found is not None
    assert found.cut
    [[points]] = row(found, "BeamSequence").items
    assert (points.keyword, points.truncated) == ("ControlPointSequence", True)


def test_the_fragments_of_an_icon_are_no_items() -> None:
    fragments = item(b"") + item(b"\xff\xd8 compressed") + implicit(0xFFFEE0DD, b"")
    pixels = explicit(0x7FE00010, b"OB", fragments, length=UNDEFINED)

    found = header_rows(_sequence(0x00880200, item(pixels)), complete=True)

    assert found is not None
    assert not found.cut
    [[icon]] = row(found, "IconImageSequence").items
    assert (icon.keyword, icon.bulk, icon.length_bytes) == ("PixelData", True, None)


@pytest.mark.parametrize("data", [b"", b"\0" * 200, b"no DICOM at all" * 20])
def test_what_is_no_dicom_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        header_rows(data, complete=True)


@settings(max_examples=300, deadline=None, database=None)
@given(data=st.data())
def test_mutations_are_told_or_refused(data: st.DataObject) -> None:
    ds = plan("1.2.3.30", structures="1.2.3.20")
    ds.BeamSequence = Items([_item(1), _item(2)])
    body = bytearray(part10(ds))
    for _ in range(data.draw(st.integers(1, 8))):
        body[data.draw(st.integers(132, len(body) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(1, len(body)))

    with suppress(Unreadable):
        found = header_rows(bytes(body[:end]), complete=True)
        assert found is not None
        assert all(one.vr.isascii() for one in flat(found.rows))


@pytest.mark.skipif(not REAL.is_dir(), reason="no folder with real objects")
def test_real_objects_are_told_from_their_beginning_as_from_all_of_them() -> None:
    told = 0
    for path in sorted(REAL.rglob("*"))[::5]:
        data = path.read_bytes() if path.is_file() else b""
        with suppress(Unreadable):
            everything = header_rows(data, complete=True)
            beginning = header_rows(data[: len(data) // 2], complete=False)
            assert beginning is None or beginning == everything
            told += 1
    assert told > 0


@pytest.mark.parametrize(
    ("tag", "creator", "vr", "keyword"),
    [
        (0x00100010, "", b"PN", "PatientName"),
        (0x00100000, "", b"UL", ""),
        (0x00190010, "", b"LO", ""),
        (0x00191099, "nobody", b"", ""),
        (0x00191099, "", b"", ""),
        (0x00080003, "", b"", ""),
        (0x7FE00010, "", b"OW", "PixelData"),
        (0x00280106, "", b"US", "SmallestImagePixelValue"),
    ],
)
def test_the_dictionary_is_asked_for_vr_and_keyword(
    tag: int, creator: str, vr: bytes, keyword: str
) -> None:
    assert vr_of(tag, creator) == vr
    assert names_of(tag, creator)[0] == keyword


def test_pixel_representation_says_what_us_or_ss_is() -> None:
    assert vr_of(0x00280106, signed=True) == b"SS"
