"""Flattening: every value that pydicom reads, in any encoding, and nothing that is bulk."""

from __future__ import annotations

import copy
import warnings
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from dicomcore.attributes import (
    MAX_ATTRIBUTES,
    MAX_CHARACTERS,
    MAX_VALUES,
    is_at,
    is_bulk,
    is_numeric,
    step_text,
    tail_of,
    tail_of_steps,
    value_of,
)
from dicomcore.criteria import Value
from dicomcore.errors import Unreadable
from dicomcore.flatten import Flattened, flatten
from dicomcore.readers.collect import MAX_DEPTH, Truncated
from dicomcore.tagpath import parse_path
from tests import factories
from tests.unit import matching_oracle as oracle
from tests.unit.dicom_bytes import (
    SYNTAXES,
    even,
    explicit,
    identity,
    implicit,
    item,
    whole,
)

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "rt"


def flat(body: bytes) -> Flattened:
    flattened = flatten(body, complete=True)
    assert flattened is not None
    return flattened


def at(flattened: Flattened, text: str) -> list[tuple[tuple[int, ...], tuple[str, ...]]]:
    """Item numbers and values at a path as people write it."""
    path = parse_path(text)
    return [(a.items, a.values) for a in flattened.attributes if is_at(a.path, path)]


def by_pydicom(ds: Dataset, above: str = "", items: tuple[int, ...] = ()) -> set[object]:
    """What there is to be found, without private attributes."""
    found: set[object] = set()
    for element in ds:
        tag = int(element.tag)
        path = above + step_text(tag)
        if element.tag.is_private or is_bulk(tag):
            continue
        if element.VR == "SQ":
            for number, part in enumerate(element.value):
                found |= by_pydicom(part, f"{path}/", (*items, number))
            continue
        texts = tuple(text for text, _ in oracle.values_of(element))
        if 0 < len(texts) <= MAX_VALUES and max(map(len, texts)) <= MAX_CHARACTERS:
            found.add((path, items, texts))
    return found


def public(flattened: Flattened) -> set[object]:
    return {
        (a.path.removesuffix("#"), a.items, a.values)
        for a in flattened.attributes
        if ":" not in a.path and not a.path.startswith("0002")
        if not any(int(step[:4], 16) & 1 for step in a.path.removesuffix("#").split("/"))
    }


DATASETS = [
    factories.ct(),
    factories.plan(),
    factories.structure_set(),
    *(one.dataset for one in factories.small_twelve_plans().instances[::9]),
]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True])
def test_every_value_that_pydicom_reads_is_there_in_its_item(syntax: str, undefined: bool) -> None:
    for ds in DATASETS:
        body = whole(ds, syntax, undefined_lengths=undefined)

        flattened = flat(body)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = pydicom.dcmread(BytesIO(body), force=True)
            assert public(flattened) == by_pydicom(read)
        assert not flattened.cut


def test_file_meta_information_is_there() -> None:
    flattened = flat(whole(factories.ct(), SYNTAXES[1]))

    assert at(flattened, "TransferSyntaxUID") == [((), (SYNTAXES[1],))]


def test_of_an_image_the_beginning_is_enough_and_pixel_data_are_not_there() -> None:
    body = whole(factories.ct(), SYNTAXES[0])
    start = body.index(implicit(0x7FE00010, b"", 2 * factories.MATRIX**2))

    early = flatten(body[: start + 8], complete=False)

    assert early == flat(body)
    assert flatten(body[:start], complete=False) is None
    assert not [a for a in flat(body).attributes if a.path.startswith("7FE0")]


def test_of_a_plan_all_is_needed() -> None:
    body = whole(factories.plan(), SYNTAXES[0])

    assert all(flatten(body[:end], complete=False) is None for end in range(0, len(body), 97))


def test_what_is_deflated_is_read_when_it_is_there_whole() -> None:
    body = whole(factories.plan(), SYNTAXES[3])

    assert flatten(body, complete=False) is None
    assert public(flat(body)) == public(flat(whole(factories.plan(), SYNTAXES[1])))
    assert flat(body[:-200]).cut


def test_values_that_are_bulk_too_many_or_too_long_are_not_there() -> None:
    ds = factories.plan()
    ds.ImageComments = "x" * (MAX_CHARACTERS + 1)
    ds.PatientComments = "x" * MAX_CHARACTERS
    ds.GridFrameOffsetVector = [1.0, 2.0]
    ds.add_new(0x00091001, "DS", ["1"] * (MAX_VALUES + 1))
    ds.add_new(0x60003000, "OW", bytes(8))

    flattened = flat(whole(ds, SYNTAXES[1]))

    assert at(flattened, "ImageComments") == []
    assert at(flattened, "PatientComments") == [((), ("x" * MAX_CHARACTERS,))]
    assert at(flattened, "GridFrameOffsetVector") == []
    assert at(flattened, "(0009,1001)") == []


def test_contours_are_left_out_and_regions_are_not() -> None:
    flattened = flat(whole(factories.structure_set(), SYNTAXES[0]))

    assert at(flattened, "StructureSetROISequence/ROIName")
    assert not [a for a in flattened.attributes if "30060040" in a.path]


@pytest.mark.parametrize("syntax", [SYNTAXES[0], SYNTAXES[1]])
def test_private_attributes_have_their_creator_wherever_the_block_is(syntax: str) -> None:
    for block in (0x10, 0x42):
        ds = factories.ct()
        ds.add_new(0x32530000 | block, "LO", "Made/Up #1 100%")
        ds.add_new(0x32530000 | block << 8 | 0x01, "LO", "hidden")

        flattened = flat(whole(ds, syntax))

        assert at(flattened, "(3253,xx01:Made/Up #1 100%)") == [((), ("hidden",))]
        assert at(flattened, f"(3253,{block:02X}01)") == [((), ("hidden",))]
        assert at(flattened, "(3253,xx01:Other)") == []


def test_signed_or_not_is_what_pixel_representation_says() -> None:
    for signed, text in ((0, "65535"), (1, "-1")):
        ds = factories.ct()
        ds.PixelRepresentation = signed
        ds.add_new("SmallestImagePixelValue", "SS" if signed else "US", -1 if signed else 65535)

        flattened = flat(whole(ds, SYNTAXES[0]))

        assert at(flattened, "SmallestImagePixelValue") == [((), (text,))]


def test_a_sequence_of_unknown_vr_is_read_with_implicit_vrs() -> None:
    inner = implicit(0x00081155, even("1.2.3"))
    sequence = item(inner)
    tag = 0x300C0002
    for value in (
        explicit(tag, b"UN", sequence),
        explicit(tag, b"UN", item(inner, undefined=True) + implicit(0xFFFEE0DD, b""), 0xFFFFFFFF),
    ):
        flattened = flat(_explicit_identity() + value)

        assert at(flattened, "ReferencedRTPlanSequence/ReferencedSOPInstanceUID") == [
            ((0,), ("1.2.3",))
        ]


def _explicit_identity() -> bytes:
    return explicit(0x00080016, b"UI", even("1.2.840")) + explicit(0x00080018, b"UI", even("1.2.3"))


@pytest.mark.parametrize("zeros", [0, 2, 8, 9, 500])
def test_zeros_after_a_data_set_are_no_damage(zeros: int) -> None:
    flattened = flat(identity() + bytes(zeros))

    assert not flattened.cut
    assert at(flattened, "Modality") == [((), ("CT",))]


def test_elements_of_odd_writers_among_explicit_ones_are_passed() -> None:
    without_vr = implicit(0x00080060, b"CT")
    newer_vr = explicit(0x00081001, b"ZZ", b"") + (4).to_bytes(4, "little") + b"text"
    older_vr = explicit(0x00081002, b"YY", b"ABCD")
    rest = explicit(0x00081030, b"LO", b"STUDY ")

    flattened = flat(_explicit_identity() + without_vr + newer_vr + older_vr + rest)

    assert at(flattened, "Modality") == [((), ("CT",))]
    assert at(flattened, "StudyDescription") == [((), ("STUDY",))]


def test_an_instance_has_no_end_of_attributes_and_the_index_has() -> None:
    parts = b"".join(item(implicit(0x300A00C0, b"1 ")) for _ in range(MAX_ATTRIBUTES + 10))

    flattened = flat(identity() + implicit(0x300A00B0, parts))

    assert flattened.cut
    assert len(flattened.attributes) == MAX_ATTRIBUTES


def test_sequences_nested_beyond_reason_are_left_out() -> None:
    nested = b""
    for _ in range(MAX_DEPTH + 2):
        nested = implicit(0x300A00B0, item(nested))

    flattened = flat(identity() + nested + implicit(0x300E0002, b"APPROVED"))

    assert flattened.cut
    assert at(flattened, "ApprovalStatus") == [((), ("APPROVED",))]


def test_damage_inside_a_sequence_ends_with_it() -> None:
    broken = implicit(0x300C0002, b"nonsense" * 3)
    body = identity() + broken + implicit(0x300E0002, b"APPROVED")

    flattened = flat(body)

    assert flattened.cut
    assert at(flattened, "ApprovalStatus") == [((), ("APPROVED",))]


def test_damage_at_the_top_ends_the_reading_and_keeps_what_was_read() -> None:
    flattened = flat(identity() + implicit(0x300A0002, b"LABEL ", 1 << 20))

    assert flattened.cut
    assert at(flattened, "Modality") == [((), ("CT",))]


def test_what_is_not_dicom_is_unreadable_and_what_has_no_data_set_is_truncated() -> None:
    with pytest.raises(Unreadable):
        flatten(b"GIF89a" * 100, complete=True)
    with pytest.raises(Truncated):
        flatten(b"", complete=True)
    assert flatten(b"", complete=False) is None


_PLAN = whole(factories.plan(), SYNTAXES[1])


@settings(max_examples=300, deadline=None)
@given(
    cut=st.integers(200, len(_PLAN)),
    changes=st.lists(st.tuples(st.integers(132, len(_PLAN) - 1), st.integers(0, 255)), max_size=6),
)
def test_whatever_is_damaged_there_is_an_answer(cut: int, changes: list[tuple[int, int]]) -> None:
    body = bytearray(_PLAN)
    for place, value in changes:
        body[place] = value

    with suppress(Unreadable, Truncated):
        assert flatten(bytes(body[:cut]), complete=True) is not None


def test_paths_are_matched_by_number_and_by_creator() -> None:
    assert is_at("300A00B0/300A00B2", parse_path("BeamSequence/TreatmentMachineName"))
    assert is_at("00280010#", parse_path("Rows"))
    assert not is_at("300A00B2", parse_path("BeamSequence/TreatmentMachineName"))
    assert not is_at("32531001", parse_path("(3253,xx01:Made Up)"))
    assert tail_of("300A00B0/32534201:Made Up") == tail_of_steps(parse_path("(3253,xx01:Made Up)"))
    assert tail_of("32534201:Made Up") == tail_of_steps(parse_path("(3253,4201)"))
    assert tail_of("32530042") == tail_of_steps(parse_path("(3253,0042)"))
    assert is_numeric("00280010#")
    assert value_of("00280010#", "12") == Value("12", 12.0)
    assert value_of("00080060", "12") == Value("12", None)


@pytest.mark.skipif(not REAL.exists(), reason="real objects are not part of the repository")
def test_real_objects_are_flattened_as_pydicom_reads_them() -> None:
    compared = 0
    for path in sorted(REAL.rglob("*.dcm"))[:80]:
        body = path.read_bytes()
        flattened, wanted = None, set[object]()
        # pydicom raises anything; what it cannot read is no oracle
        with suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flattened = flatten(body, complete=True)
            wanted = by_pydicom(copy.deepcopy(pydicom.dcmread(BytesIO(body), force=True)))
        if flattened is None or flattened.cut or not wanted:
            continue
        differing = public(flattened) ^ wanted
        assert len(differing) <= len(wanted) // 50, (path.name, sorted(map(str, differing))[:6])
        compared += 1
    assert compared > 10
