"""What queries find, by the walk over bytes and by pydicom: made-up patients and real objects."""

from __future__ import annotations

import copy
import math
import random
import struct
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomcore.criteria import Asked, Wildcard, parse_criterion
from dicomcore.errors import InvalidRequest, Unreadable
from dicomcore.extract import Declined, extract, extract_from, head_length, make_plan
from dicomcore.extract_dataset import found_in
from dicomcore.query import Query, Term, parse_term
from dicomcore.readers.part10 import open_object
from dicomcore.tagpath import Step
from dicomcore.values import single_text
from tests import factories
from tests.unit import matching_oracle as oracle

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "rt"
SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def encoded(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    written = BytesIO()
    ds.save_as(written, enforce_file_format=True)
    return written.getvalue()


def read(data: bytes) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(BytesIO(data), force=True)


def made_up() -> list[bytes]:
    found = []
    for number, instance in enumerate(factories.small_patient(patient_id="P 1").instances):
        if number % 7 == 0 or instance.modality not in ("CT", "MR", "PT"):
            found.append(encoded(instance.dataset, SYNTAXES[number % len(SYNTAXES)]))
    return found


MADE_UP = made_up()
DATA_SETS = [read(data) for data in MADE_UP]
VALUES = [sorted(set(oracle.every_value(ds))) for ds in DATA_SETS]


def criterion_texts(vr: str, value: str) -> st.SearchStrategy[str]:
    """What somebody may ask about a value: it, something like it, a range around it, another."""
    literal = "".join(f"\\{c}" if c in "\\*?" else c for c in value)
    some = [st.just("?"), st.just("*"), st.just(literal)]
    if literal:
        some += [
            st.just(literal[:-1] + "?"),
            st.just(literal[:2] + "*"),
            st.just("*" + literal[1:]),
        ]
    if vr in oracle.NUMERIC and value:
        near = st.integers(-2, 2).map(lambda d: float(value) + d)
        some += [
            near.map(lambda n: f"{n:g}"),
            near.map(lambda n: f"{n:g}.."),
            near.map(lambda n: f"..{n:g}"),
        ]
    if vr in ("DA", "TM") and value:
        some += [st.just(value[:4]), st.just(f"{value[:4]}-"), st.just(f"-{value}")]
    return st.one_of(some)


@st.composite
def queries(draw: st.DrawFn, values: Sequence[Sequence[tuple[oracle.Prefix, str, str]]]) -> Query:
    """One to three terms about attributes of one instance; often of the same sequence."""
    of_instance = draw(st.sampled_from(values))
    path, vr, value = draw(st.sampled_from(of_instance))
    chosen = [(path, vr, value)]
    beside = [entry for entry in of_instance if entry[0][:-1] == path[:-1]]
    for _ in range(draw(st.integers(0, 2))):
        chosen.append(draw(st.sampled_from(draw(st.sampled_from([beside, of_instance])))))
    terms = []
    for path, vr, value in chosen:
        steps = tuple(Step(tag) for tag in path)
        text = draw(criterion_texts(vr, value))
        kind = steps[-1].value_class
        terms.append(Term(steps, parse_criterion(text, kind, steps[-1].vr)))
    return Query(terms)


def agrees(query: Query, data: bytes, ds: Dataset) -> None:
    plan = make_plan(query.paths)
    try:
        answer = query.answer(extract(data, plan))
    except Declined:
        answer = query.answer(found_in(ds, plan))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (answer is not None) == oracle.holds(ds, query.terms), [str(t) for t in query.terms]
        if answer is not None and query.asked:
            assert [set(one) for one in answer] == oracle.told(ds, query.terms)


@given(queries(VALUES))
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_query_finds_what_pydicom_and_brute_force_find(query: Query) -> None:
    for data, ds in zip(MADE_UP, DATA_SETS, strict=True):
        agrees(query, data, ds)


# ── every way in which an object may be written ─────────────────────────────────────────────


def values(data: bytes, *texts: str) -> list[tuple[str, ...]] | None:
    """What the terms tell of an object; None if it does not fulfil them."""
    query = Query(map(parse_term, texts))
    plan = make_plan(query.paths)
    answer = query.answer(extract(data, plan))
    assert answer == query.answer(found_in(read(data), plan))  # whoever reads it
    return None if answer is None else list(answer)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_transfer_syntax_is_read(syntax: str) -> None:
    data = encoded(factories.plan(), syntax)

    told = values(data, "TransferSyntaxUID=?", "BeamSequence/BeamNumber=?", "RTPlanLabel=?")

    assert told == [(syntax,), ("1", "2"), ("PLAN_1",)]


def test_a_bare_data_set_has_no_file_meta_information() -> None:
    ds = factories.plan()
    written = DicomBytesIO()
    written.is_little_endian, written.is_implicit_VR = True, True
    write_dataset(written, ds)

    assert values(written.getvalue(), "RTPlanLabel=?") == [("PLAN_1",)]
    assert values(written.getvalue(), "TransferSyntaxUID=?") is None


def test_private_tags_are_found_by_number_and_in_whatever_block_their_creator_has() -> None:
    ds = factories.plan()
    ds.private_block(0x3253, "Somebody else", create=True).add_new(0x01, "LO", "not this")
    block = ds.private_block(0x3253, "Vendor)", create=True)
    block.add_new(0x01, "LO", "this")
    block.add_new(0x02, "US", [3, 4])
    inner = Dataset()
    inner.private_block(0x3253, "Vendor)", create=True).add_new(0x04, "DS", "2.50")
    block.add_new(0x03, "SQ", [inner])
    for syntax in SYNTAXES[1:]:
        data = encoded(ds, syntax)

        assert values(data, r"(3253,xx01:Vendor\))=?") == [("this",)]
        assert values(data, "(3253,1101)=?", "(3253,1001)=?") == [("this",), ("not this",)]
        assert values(data, r"(3253,xx02:Vendor\))=4..5") == []
        assert values(data, r"(3253,xx03:Vendor\))/(3253,xx04:Vendor\))=2.5") == []
        assert values(data, "(3253,1103)/(3253,1004)=?") == [("2.50",)]
        assert values(data, "(3253,xx01:Nobody)=?") is None
        assert values(data, "(3253,0011)=?") == [("Vendor)",)]
    # with implicit VR nobody knows what it is: texts are found, numbers are bytes
    assert values(encoded(ds, ImplicitVRLittleEndian), r"(3253,xx01:Vendor\))=this") == []
    assert values(encoded(ds, ImplicitVRLittleEndian), r"(3253,xx02:Vendor\))=*") is None


def test_text_is_decoded_by_the_character_set_of_its_item() -> None:
    ds = factories.plan()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName = "Müller^Jürgen="
    ds.BeamSequence[0].BeamName = "für Œ"
    ds.BeamSequence[0].SpecificCharacterSet = "ISO_IR 192"
    data = encoded(ds)

    assert values(data, "PatientName=Müller^Jürgen", "SpecificCharacterSet=?") == [("ISO_IR 100",)]
    assert values(data, "BeamSequence/BeamName=*Œ", "BeamSequence/BeamNumber=?") == [("1",)]


def test_each_of_several_values_counts_also_an_empty_one() -> None:
    ds = factories.ct()
    ds.ImageType = ["ORIGINAL", "", "AXIAL"]
    ds.PatientComments = "one \\ value"
    ds.InstanceNumber = None
    data = encoded(ds)

    assert values(data, "ImageType=AXIAL", "ImageType=", "ImageType=?") == [
        ("ORIGINAL", "", "AXIAL")
    ]
    assert values(data, r"PatientComments=one \\ value", "InstanceNumber=", "InstanceNumber=?") == [
        ("",)
    ]


def test_single_precision_is_told_as_it_was_meant() -> None:
    ds = factories.plan()
    ds.BeamSequence[0].add_new(0x300A0368, "FL", 0.1)  # Final Meterset Weight of ion points
    ds.add_new(0x00189305, "FD", 1.0)

    assert values(encoded(ds), "BeamSequence/(300A,0368)=0.1", "BeamSequence/(300A,0368)=?") == [
        ("0.1",)
    ]
    assert values(encoded(ds), "(0018,9305)=?") == [("1",)]


def test_pixels_after_what_is_asked_for_may_be_cut_off_and_before_it_may_not() -> None:
    data = encoded(factories.ct())

    assert values(data[:-100], "Modality=?") == [("CT",)]
    with pytest.raises(Unreadable, match="cut off"):
        values(data[:300], "Modality=?")
    with pytest.raises(Unreadable):
        values(b"no DICOM at all, but long enough to be some" * 9, "Modality=?")


def test_only_the_parts_that_are_needed_are_fetched() -> None:
    ds = factories.structure_set()
    filler = "1\\2\\" * 60_000
    ds.ROIContourSequence[0].add_new(0x30060050, "DS", (filler + "3").split("\\"))
    ds.ApprovalStatus = "APPROVED"
    data = encoded(ds, ImplicitVRLittleEndian)
    fetched: list[tuple[int, int]] = []

    def window(at: int, length: int) -> bytes:
        fetched.append((at, length))
        return data[at : at + length]

    query = Query([parse_term("ApprovalStatus=?"), parse_term("Modality=?")])
    found = extract_from(window, len(data), make_plan(query.paths))

    assert query.answer(found) == (("APPROVED",), ("RTSTRUCT",))
    assert len(fetched) == 2  # the beginning, and what follows the contours
    assert fetched[1][0] > len(data) - 10_000


@pytest.mark.parametrize("undefined", [False, True])
def test_what_is_wanted_may_be_longer_than_a_window(undefined: bool) -> None:
    ds = factories.plan()
    ds.BeamSequence[0].BeamDescription = "x" * 1000
    beams = [copy.deepcopy(ds.BeamSequence[0]) for _ in range(200)]
    beams[-1].BeamName = "the last"
    ds.BeamSequence = beams
    ds["BeamSequence"].is_undefined_length = undefined
    for beam in beams:
        beam.is_undefined_length_sequence_item = undefined
    data = encoded(ds)

    assert len(data) > 200_000
    assert values(data, "BeamSequence/BeamName=the last", "RTPlanLabel=?") == [("PLAN_1",)]
    # not wanted, it is passed
    assert values(data, "ApprovalStatus=?") == [("APPROVED",)]


def test_the_head_of_an_image_answers_all_but_its_pixels() -> None:
    ds = factories.ct()
    data = encoded(ds)

    length = head_length(data[:4096], len(data))

    assert length == len(data) - len(ds.PixelData) - 12
    assert values(data[:length], "Modality=?", "SOPInstanceUID=?") == [
        ("CT",),
        (ds.SOPInstanceUID,),
    ]


def test_there_is_no_head_of_what_is_long_deflated_or_no_dicom() -> None:
    plan = encoded(factories.plan())

    assert head_length(plan, len(plan)) == len(plan)
    assert head_length(plan[:500], len(plan)) is None
    assert head_length(plan, len(plan) + 1) is None
    deflated = encoded(factories.plan(), DeflatedExplicitVRLittleEndian)
    assert head_length(deflated, len(deflated)) is None
    assert head_length(b"no DICOM" * 100, 800) is None


def test_what_the_bytes_do_not_tell_is_declined_and_pydicom_tells_it() -> None:
    ds = factories.ct()
    ds.PixelRepresentation = 1
    ds.SmallestImagePixelValue = -5
    data = encoded(ds, ImplicitVRLittleEndian)
    query = Query([parse_term("SmallestImagePixelValue=?"), parse_term("Modality=CT")])

    with pytest.raises(Declined):
        extract(data, make_plan(query.paths))
    assert query.answer(found_in(read(data), make_plan(query.paths))) == (("-5",),)
    assert values(encoded(ds), "SmallestImagePixelValue=-5") == []


def test_nothing_of_a_sequence_that_is_none_is_found() -> None:
    ds = factories.plan()
    block = ds.private_block(0x3253, "Vendor", create=True)
    block.add_new(0x01, "LO", "no sequence")
    block.add_new(0x02, "SQ", [])
    data = encoded(ds)

    assert values(data, "(3253,xx01:Vendor)/PatientID=*") is None
    assert values(data, "(3253,xx02:Vendor)/PatientID=*") is None
    assert values(data, "(3253,xx03:Vendor)/PatientID=*") is None
    assert values(data, "(3253,xx03:Vendor)=*") is None
    assert values(data, "BeamSequence/(3253,1001)=*") is None


def test_private_values_without_vr_have_that_of_the_dictionary() -> None:
    ds = factories.ct()
    ds.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0x03, "DS", "2.0")
    data = encoded(ds, ImplicitVRLittleEndian)

    assert values(data, "(0019,xx03:GEMS_ACQU_01)=?", "(0019,1003)=..3") is not None


def test_group_lengths_are_numbers() -> None:
    data = encoded(factories.ct(), ImplicitVRLittleEndian)
    start = data.index(b"\x08\x00\x08\x00")  # Image Type, the first element
    with_length = data[:start] + b"\x08\0\0\0\4\0\0\0\x2a\0\0\0" + data[start:]

    assert values(with_length, "(0008,0000)=42", "(0008,0000)=?", "Modality=CT") == [("42",)]


def test_file_meta_information_may_be_longer_than_a_window() -> None:
    ds = factories.ct()
    data = encoded(ds)
    start = open_object(data).start
    private = b"\2\0\2\1OB\0\0" + (40_000).to_bytes(4, "little") + bytes(40_000)
    data = data[:start] + private + data[start:]
    query = Query([parse_term("Modality=?"), parse_term("TransferSyntaxUID=?")])
    found = extract(data, make_plan(query.paths))

    assert query.answer(found) == (("CT",), (ExplicitVRLittleEndian,))
    with pytest.raises(Unreadable, match="cut off"):
        extract(data[:20_000], make_plan([(Step(0x00080060),)]))


def test_an_object_that_becomes_shorter_while_it_is_read_is_cut_off() -> None:
    data = encoded(factories.plan())

    with pytest.raises(Unreadable, match="cut off"):
        extract_from(
            lambda at, length: data[:500][at : at + length],
            len(data),
            make_plan([(Step(0x300E0002),)]),
        )


def test_a_deflated_object_that_is_cut_off_is_unreadable() -> None:
    data = encoded(factories.plan(), DeflatedExplicitVRLittleEndian)

    with pytest.raises(Unreadable):
        extract(data[:-200], make_plan([(Step(0x300E0002),)]))


def test_unknown_bytes_are_text_where_they_can_be_read() -> None:
    ds = factories.ct()
    ds.add_new(0x00091001, "UN", b"text \\ more")
    ds.add_new(0x00091002, "UN", b"\1\2\3\4")
    ds.add_new(0x00091003, "OB", b"text")
    ds.add_new(0x00091004, "AT", [0x300A00B0, 0x00100020])
    ds.add_new(0x00091005, "US", None)
    data = encoded(ds)

    assert values(data, "(0009,1001)=?") == [("text", "more")]
    assert values(data, "(0009,1002)=*") is None
    assert values(data, "(0009,1003)=*") is None
    assert values(data, "(0009,1004)=?") == [("(300A,00B0)", "(0010,0020)")]
    assert values(data, "(0009,1005)=") == []


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.1, "0.1"),
        (1e-10, "1e-10"),
        (16777217.0, "16777216"),
        (1 / 3, "0.33333334"),
        (-0.5, "-0.5"),
    ],
)
def test_the_shortest_decimal_of_single_precision(number: float, text: str) -> None:
    stored = struct.unpack("<f", struct.pack("<f", number))[0]

    shown = single_text(stored)

    assert shown == text
    assert struct.unpack("<f", struct.pack("<f", float(shown)))[0] == stored


@given(st.floats(width=32))
def test_every_number_of_single_precision_is_read_back(number: float) -> None:
    back = struct.pack("<f", float(single_text(number)))

    assert struct.unpack("<f", back)[0] == number or math.isnan(number)


# ── real objects ────────────────────────────────────────────────────────────────────────────

DAMAGED = ("rtplan_truncated.dcm", "DICOMDIR-nooffset", "nested_priv_SQ.dcm", "badVR.dcm")
SMALL = (
    sorted(
        p
        for p in REAL.rglob("*")
        if p.is_file() and p.stat().st_size < 60_000 and p.name not in DAMAGED
        if p.suffix not in (".csv", ".v1")
    )
    if REAL.is_dir()
    else []
)


@pytest.mark.skipif(not SMALL, reason="no real objects beside the repository")
@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.name)
def test_queries_on_real_objects_find_what_pydicom_finds(path: Path) -> None:
    data = path.read_bytes()
    of_object = sorted(set(oracle.every_value(read(data))))
    chosen = random.Random(path.name).sample(of_object, min(12, len(of_object)))
    for way, _, value in chosen:
        steps = tuple(Step(tag) for tag in way)
        literal = "".join(f"\\{c}" if c in "\\*?" else c for c in value)
        try:
            exact = parse_criterion(literal, steps[-1].value_class, steps[-1].vr)
        except InvalidRequest:  # a number or date that is none
            exact = Wildcard(f"{literal}*")
        query = Query([Term(steps, exact), Term(steps, Asked())])
        agrees(query, data, read(data))
        plan = make_plan(query.paths)
        try:
            found = extract(data, plan)
        except Declined:
            continue
        assert query.answer(found_in(read(data), plan)) == query.answer(found)
