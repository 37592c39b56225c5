"""Reading headers: any encoding, any beginning of an object, any damage; and JSON."""

from __future__ import annotations

import dataclasses
import math
import time
import typing
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomcore import model
from dicomcore.errors import InvalidInstance, Unreadable
from dicomcore.header import (
    header_from_json,
    header_to_json,
    read_dataset_header,
    read_header,
)
from dicomcore.model import Beam, InstanceHeader, Kind, PlanDetails, Relation
from dicomcore.readers.part10 import inflated, open_object
from dicomtools.demo.patients import twelve_plans
from dicomtools.demo.sizes import SMALL
from tests.unit.dicom_bytes import (
    SYNTAXES,
    deflated,
    encode,
    even,
    explicit,
    identity,
    implicit,
    item,
    part10,
    whole,
)

PATIENT = twelve_plans(sizes=SMALL)


def one_of_each() -> dict[str, Dataset]:
    """The largest data set of each kind and modality, without its pixel data."""
    found: dict[str, Dataset] = {}
    for instance in PATIENT.instances:
        ds = Dataset()
        ds.update({k: v for k, v in instance.dataset.items() if k < 0x7FE00000})
        header = read_dataset_header(ds)
        name = f"{header.kind} {header.modality} {instance.sop_class_uid}"
        if name not in found or len(encode(ds, ImplicitVRLittleEndian)) > len(
            encode(found[name], ImplicitVRLittleEndian)
        ):
            found[name] = ds
    return found


EACH = one_of_each()


# ── encodings ───────────────────────────────────────────────────────────────────────────────


def test_made_up_patient_has_every_kind_but_segmentations() -> None:
    kinds = {read_dataset_header(ds).kind for ds in EACH.values()}

    assert kinds == set(Kind) - {Kind.SEGMENTATION}


@pytest.mark.parametrize("undefined_lengths", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.name)
@pytest.mark.parametrize("name", EACH)
def test_every_encoding_gives_the_header_of_the_data_set(
    name: str, syntax: str, undefined_lengths: bool
) -> None:
    expected = replace(read_dataset_header(EACH[name]), transfer_syntax_uid=str(syntax))

    data = whole(EACH[name], syntax, undefined_lengths=undefined_lengths)

    assert read_header(data, complete=True) == expected


@pytest.mark.parametrize("syntax", SYNTAXES[:3], ids=lambda s: s.name)
@pytest.mark.parametrize("name", EACH)
def test_data_set_without_part_10_header_is_guessed(name: str, syntax: str) -> None:
    expected = read_dataset_header(EACH[name])

    assert read_header(encode(EACH[name], syntax), complete=True) == expected


def test_bytes_are_believed_rather_than_the_transfer_syntax() -> None:
    ds = next(iter(EACH.values()))

    lies = part10(encode(ds, ImplicitVRLittleEndian), ExplicitVRLittleEndian)

    header = read_header(lies, complete=True)
    assert header is not None
    assert header.ref == read_dataset_header(ds).ref


def test_meta_information_without_preamble_is_read() -> None:
    data = part10(identity(), ImplicitVRLittleEndian)[132:]

    header = read_header(data, complete=True)

    assert header is not None
    assert header.transfer_syntax_uid == ImplicitVRLittleEndian


def test_meta_information_with_implicit_vr_is_read() -> None:
    meta = implicit(0x00020002, even("1.2.840.10008.5.1.4.1.1.4")) + implicit(
        0x00020010, even(ImplicitVRLittleEndian)
    )

    header = read_header(bytes(128) + b"DICM" + meta + identity(), complete=True)

    assert header is not None
    assert header.transfer_syntax_uid == ImplicitVRLittleEndian


def test_preamble_may_hold_anything() -> None:
    data = part10(identity(), ImplicitVRLittleEndian, preamble=b"II*\0" + b"x" * 124)

    assert read_header(data[:60], complete=False) is None
    assert read_header(data, complete=True) is not None


def test_sop_class_comes_from_meta_information_if_the_data_set_has_none() -> None:
    ds = Dataset()
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.3", "1.1", "1.2"
    body = encode(ds, ImplicitVRLittleEndian)

    header = read_header(
        part10(body, ImplicitVRLittleEndian, sop_class="1.2.246.352.70.1.70"), complete=True
    )

    assert header is not None
    assert header.kind is Kind.PLAN


# ── beginnings ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.name)
@pytest.mark.parametrize("name", EACH)
def test_a_beginning_gives_nothing_or_the_whole_header(name: str, syntax: str) -> None:
    pixels = explicit(0x7FE00010, b"OW", bytes(5000))
    if syntax == ImplicitVRLittleEndian:
        pixels = implicit(0x7FE00010, bytes(5000))
    data = whole(EACH[name], syntax)
    if syntax in SYNTAXES[:2]:
        data += pixels
    expected = read_header(data, complete=True)

    found = {
        cut: read_header(data[:cut], complete=False)
        for cut in (*range(0, len(data), max(1, len(data) // 300)), len(data))
    }

    assert all(header in (None, expected) for header in found.values())
    if syntax in SYNTAXES[:2]:
        # pixel data are not needed
        assert found[len(data)] == expected
        assert read_header(data[: len(data) - 4000], complete=False) == expected


def test_a_whole_object_may_end_without_anything_after_what_is_wanted() -> None:
    assert read_header(identity(), complete=False) is None
    assert read_header(identity(), complete=True) is not None


def test_approval_status_is_the_last_that_is_wanted() -> None:
    data = identity() + implicit(0x300E0002, b"APPROVED")

    assert read_header(data, complete=False) is not None
    assert read_header(data[:-1], complete=False) is None


@pytest.mark.parametrize("padding", [1, 2, 7, 8, 130])
def test_zeros_after_the_data_set_are_let_through(padding: int) -> None:
    expected = read_header(identity(), complete=True)

    assert read_header(identity() + bytes(padding), complete=True) == expected


# ── what is no instance ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08",
        b"hello",
        b"hello, world\n" * 40,
        bytes(1000),
        bytes(128) + b"DICM",
        bytes(128) + b"DICM" + b"not dicom after all",
        bytes(128) + b"DICM" + explicit(0x00020010, b"UI", even(SYNTAXES[3])) + b"not deflated",
        part10(encode(EACH[next(iter(EACH))], SYNTAXES[3])[:-20], SYNTAXES[3]),
        part10(deflated(encode(EACH[next(iter(EACH))], SYNTAXES[1])[:-3]), SYNTAXES[3]),
        identity()[:-3],
        identity() + implicit(0x300A00B0, b"", 1000),
        identity() + implicit(0x300A00B0, b"no items, not even one"),
    ],
    ids=str,
)
def test_what_cannot_be_parsed_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        read_header(data, complete=True)


def test_a_small_object_that_inflates_without_end_is_unreadable() -> None:
    limit_bytes = 1 << 22
    deflater = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
    body = deflater.compress(bytes(4 * limit_bytes)) + deflater.flush()
    data = part10(body, SYNTAXES[3])
    assert len(data) < limit_bytes // 200

    inflating = inflated(open_object(data), limit_bytes=limit_bytes)

    lengths: list[int] = []
    with pytest.raises(Unreadable, match="too large"):
        lengths.extend(len(beginning) for beginning, _ in inflating)
    assert lengths == sorted(lengths)
    assert 0 < lengths[-1] <= limit_bytes


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize(
    ("value", "sentence"), [("", "missing"), ("UNKNOWN", "not a UID"), ("../../etc", "not a UID")]
)
def test_an_identity_that_is_no_uid_is_invalid(keyword: str, value: str, sentence: str) -> None:
    ds = Dataset()
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.3", "1.1", "1.2"
    ds.add_new(keyword, "LO", value)

    with pytest.raises(InvalidInstance, match=sentence) as caught:
        read_dataset_header(ds)

    assert caught.value.facts["keyword"] == keyword
    if value:
        assert value not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_damage_raises_anything_else(data: st.DataObject) -> None:
    ds = EACH[data.draw(st.sampled_from(sorted(EACH)))]
    syntax = data.draw(st.sampled_from(SYNTAXES))
    body = bytearray(whole(ds, syntax, undefined_lengths=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(128, len(body) - 1))
        body[at : at + 1] = data.draw(st.binary(max_size=3))

    for complete in (True, False):
        try:
            header = read_header(bytes(body), complete=complete)
        except (Unreadable, InvalidInstance):
            continue
        assert header is not None or not complete


# ── time ────────────────────────────────────────────────────────────────────────────────────


def test_a_structure_set_of_fifty_structures_on_two_hundred_slices_reads_in_under_a_second() -> (
    None
):
    slices = [f"1.2.9.{n}" for n in range(200)]
    points = b"\\".join(b"-123.45" for _ in range(165))

    def image(uid: str) -> bytes:
        return item(
            implicit(0x00081150, even("1.2.840.10008.5.1.4.1.1.2"))
            + implicit(0x00081155, even(uid))
        )

    contours = b"".join(
        item(
            implicit(0x30060016, image(uid))
            + implicit(0x30060042, b"CLOSED_PLANAR ")
            + implicit(0x30060050, points + b" ")
        )
        for uid in slices
    )
    rois = b"".join(item(implicit(0x30060040, contours)) for _ in range(50))
    data = identity("RTSTRUCT", "1.2.840.10008.5.1.4.1.1.481.3") + implicit(0x30060039, rois)
    assert len(data) > 13_000_000

    began = time.perf_counter()
    header = read_header(data, complete=True)
    seconds = time.perf_counter() - began

    assert header is not None
    assert header.targets(Relation.IMAGE) == tuple(slices)
    assert seconds < 1


# ── JSON ────────────────────────────────────────────────────────────────────────────────────


def values_of(annotation: object) -> st.SearchStrategy[object]:
    """A strategy for a type of the model; a dataclass gets every field drawn, but for `kind`."""
    if dataclasses.is_dataclass(annotation):
        hints = typing.get_type_hints(annotation)
        names = [f.name for f in dataclasses.fields(annotation) if f.name != "kind"]
        if annotation is InstanceHeader:
            names.append("kind")
        return st.builds(annotation, **{name: values_of(hints[name]) for name in names})
    if typing.get_origin(annotation) is tuple:
        return st.lists(values_of(typing.get_args(annotation)[0]), max_size=3).map(tuple)
    arguments = typing.get_args(annotation)
    if arguments:
        return st.one_of(*(values_of(argument) for argument in arguments))
    if isinstance(annotation, typing.NewType):
        return st.from_regex(r"[0-9.]{1,64}", fullmatch=True)
    if annotation is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    return st.from_type(typing.cast("type[object]", annotation))


@settings(max_examples=200, deadline=None)
@given(values_of(InstanceHeader))
def test_json_gives_back_an_equal_header(header: InstanceHeader) -> None:
    assert header_from_json(header_to_json(header)) == header


def test_json_of_every_kind_gives_back_its_details() -> None:
    for ds in EACH.values():
        header = read_dataset_header(ds)

        assert header_from_json(header_to_json(header)) == header
        assert type(header_from_json(header_to_json(header)).details) is type(header.details)


def test_json_leaves_out_what_is_empty() -> None:
    header = read_header(identity(), complete=True)
    assert header is not None

    assert b"patient_name" not in header_to_json(header)


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'{"patient_name": "CANARY^NAME"}'])
def test_what_is_no_header_is_unreadable_and_is_not_quoted(body: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        header_from_json(body)

    assert "CANARY" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_details_without_kind_are_refused() -> None:
    header = read_header(identity(), complete=True)
    assert header is not None
    body = header_to_json(replace(header, details=PlanDetails(beams=(Beam(number=1),))))

    with pytest.raises(Unreadable):
        header_from_json(body.replace(b'"kind":"plan",', b"").replace(b',"kind":"plan"', b""))


def test_numbers_of_a_header_are_finite() -> None:
    ds = Dataset()
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.3", "1.1", "1.2"
    ds.Modality = "RTPLAN"
    body = encode(ds, ImplicitVRLittleEndian) + implicit(
        0x300A0010, b"".join(item(implicit(0x300A0026, v)) for v in (b"inf ", b"1e999 ", b"2.5 "))
    )

    header = read_header(body, complete=True)

    assert header is not None
    assert isinstance(header.details, PlanDetails)
    doses = [p.target_dose_gy for p in header.details.prescriptions]
    assert doses == [None, None, 2.5]
    assert all(dose is None or math.isfinite(dose) for dose in doses)
    assert model.Prescription(target_dose_gy=2.5) == header.details.prescriptions[2]
