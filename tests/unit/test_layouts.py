"""Objects read by the layout of others: always what a walk finds, whatever they have become."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomcore.criteria import Value
from dicomcore.errors import Unreadable
from dicomcore.extract import PIXEL_DATA, Declined, extract, head_length, make_plan
from dicomcore.layouts import Layouts
from dicomcore.tagpath import Path as TagPath
from dicomcore.tagpath import parse_path
from tests import factories
from tests.unit.test_extract import SMALL, encoded

Values = Sequence[Value] | None
WANTED = (
    *("PatientID", "PatientName", "Modality", "SOPInstanceUID", "InstanceNumber", "Rows"),
    *(
        "TransferSyntaxUID",
        "ImagePositionPatient",
        "ImageComments",
        "ApprovalStatus",
        "SpecificCharacterSet",
    ),
    *("BeamSequence/BeamName", "ReferencedImageSequence/ReferencedSOPInstanceUID"),
)
PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)


def paths(*texts: str) -> list[TagPath]:
    return [parse_path(text) for text in texts or WANTED]


def layouts(*texts: str, last: int = PIXEL_DATA - 1) -> Layouts[Values]:
    return Layouts(make_plan(paths(*texts)), lambda values: values, last=last)


def walked(data: bytes, *texts: str) -> list[Values]:
    plan = make_plan(paths(*texts))
    found = extract(data, plan)
    assert not any(found.items.values())
    return [found.values.get(step) for step in plan.all_attributes]


def image(number: int) -> Dataset:
    """One of a series: what differs differs in length as well."""
    ds = factories.ct()
    ds.SOPInstanceUID = f"1.2.3.{10 ** (number % 5)}"
    ds.InstanceNumber = number
    ds.ImagePositionPatient = [0, 0, 2.5 * number]
    ds.PatientName = "Müller^Jürgen" if number % 3 else "Dvořák"
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageComments = f"{number % 2} long " * 40
    # not wanted, and of undefined length: a walk looks into it for its end
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "1.2.3"
    inner.is_undefined_length_sequence_item = True
    inner.PurposeOfReferenceCodeSequence = [Dataset()]
    inner["PurposeOfReferenceCodeSequence"].is_undefined_length = True
    ds.SourceImageSequence = [inner, copy.deepcopy(inner)]
    ds["SourceImageSequence"].is_undefined_length = True
    return ds


@pytest.mark.parametrize("syntax", PLAIN)
def test_a_series_is_read_by_the_layout_of_its_first_images(syntax: str) -> None:
    known = layouts()
    bodies = [encoded(image(number), syntax) for number in range(60)]
    by_layout = 0
    for body in bodies:
        match = known.read(body)
        if match is None:
            known.learn(body)
            continue
        by_layout += 1
        assert match.values == walked(body)
        assert match.end == head_length(body, len(body))

    assert by_layout > 45
    assert [match and match.values for match in map(known.read, bodies)] == list(
        map(walked, bodies)
    )


def test_the_beginning_of_an_object_is_enough_if_it_reaches_the_last_wanted_tag() -> None:
    known = layouts()
    body = encoded(image(1))
    known.learn(body)
    match = known.read(body)
    assert match is not None

    assert known.read(body[: match.end + 4]) == match
    assert known.read(body[: match.end + 3]) is None
    assert known.read(body[:300]) is None
    assert known.read(b"") is None


def test_objects_that_need_a_walk_have_no_layout() -> None:
    unusual = [
        encoded(factories.plan()),  # a wanted sequence
        encoded(factories.ct(), DeflatedExplicitVRLittleEndian),
        encoded(factories.ct())[132:],  # no preamble
        b"",
        b"no DICOM" * 100,
    ]
    for body in unusual:
        known = layouts()
        known.learn(body)
        assert known.read(body) is None


def test_private_attributes_are_left_to_the_walk_that_knows_their_creators() -> None:
    ds = image(1)
    ds.private_block(0x0019, "Vendor", create=True).add_new(0x01, "LO", "text")
    body = encoded(ds)
    for text in ("(0019,1001)", "(0019,xx01:Vendor)"):
        known = layouts(text)
        known.learn(body)
        assert known.read(body) is None
    known = layouts("Modality")  # they may be there
    known.learn(body)
    assert known.read(body) is not None


def test_what_the_dictionary_does_not_settle_is_left_to_whoever_can() -> None:
    ds = image(1)
    ds.PixelRepresentation = 1
    ds.SmallestImagePixelValue = -5
    body = encoded(ds, ImplicitVRLittleEndian)
    known = layouts("SmallestImagePixelValue")
    known.learn(body)

    assert known.read(body) is None
    with pytest.raises(Declined):
        walked(body, "SmallestImagePixelValue")


def test_what_is_there_twice_or_nested_deeply_or_in_many_pieces_is_walked() -> None:
    body = encoded(image(1))
    at = body.index(b"\x10\0\x20\0LO")
    twice = body[:at] + b"\x10\0\x20\0LO\4\0ELSE" + body[at:]
    deep = image(1)
    for _ in range(12):
        around = Dataset()
        around.SourceImageSequence = deep.SourceImageSequence
        around["SourceImageSequence"].is_undefined_length = True
        around.is_undefined_length_sequence_item = True
        deep.SourceImageSequence = [around]
        deep["SourceImageSequence"].is_undefined_length = True
    unknown = image(1)
    unknown.add_new(0x00091002, "UN", b"\xfe\xff\xdd\xe0\0\0\0\0")
    undelimited = encoded(unknown).replace(b"UN\0\0\x08\0\0\0", b"UN\0\0\xff\xff\xff\xff")
    many = image(1)
    many.SourceImageSequence = [copy.deepcopy(many.SourceImageSequence[0]) for _ in range(400)]
    many["SourceImageSequence"].is_undefined_length = True
    end_of_item = b"\xfe\xff\x0d\xe0\0\0\0\0"
    stray = body.replace(end_of_item, b"\xfe\xff\xdd\xe0\0\0\0\0" + end_of_item, 1)
    for unusual in (twice, encoded(deep), undelimited, encoded(many), stray):
        known = layouts()
        known.learn(unusual)

        assert known.read(unusual) is None
        assert walked(unusual)[2] == (Value("CT"),)


def test_values_that_are_all_different_do_not_fill_the_memory() -> None:
    body = encoded(image(1))
    at = body.index(b"\x20\0\x13\0IS\2\0") + 8
    known = layouts("InstanceNumber", "SOPInstanceUID")
    known.learn(body)
    uid = body.index(b"\x08\0\x18\0UI") + 8
    for number in range(70_000):
        other = (
            body[:uid] + f"1.{number:06d}".encode() + body[uid + 8 : at] + b"7 " + body[at + 2 :]
        )
        match = known.read(other)
        if match is None:
            known.learn(other)

    assert sum(map(len, known._made.values())) < 70_000
    match = known.read(other)
    assert match is not None
    assert match.values == walked(other, "InstanceNumber", "SOPInstanceUID")


def test_another_transfer_syntax_is_another_layout() -> None:
    known = layouts()
    body = encoded(image(1))
    known.learn(body)
    at = body.index(b"1.2.840.10008.1.2.1\0")

    # the same bytes, said to be deflated
    assert known.read(body[:at] + b"1.2.840.10008.1.2.1.99"[:20] + body[at + 20 :]) is None


# ── whatever becomes of an object ───────────────────────────────────────────────────────────

KNOWN = [(encoded(image(number), syntax), syntax) for syntax in PLAIN for number in (1, 2, 10)]


def trained(texts: tuple[str, ...], last: int) -> Layouts[Values]:
    known = layouts(*texts, last=last)
    for body, _ in KNOWN:
        known.learn(body)
    return known


SOME_WANTED = [
    WANTED,
    ("Modality", "PatientID"),
    ("SOPInstanceUID", "TransferSyntaxUID", "RescaleSlope"),
    ("BeamSequence/BeamName", "PatientName"),
]
TRAINED = {
    (texts, last): trained(texts, last) for texts in SOME_WANTED for last in (0, PIXEL_DATA - 1)
}
EDITS = st.lists(
    st.tuples(
        st.integers(0, 2000),
        st.sampled_from(["set", "insert", "delete", "copy"]),
        st.binary(min_size=1, max_size=8)
        | st.sampled_from([b"\xff\xff\xff\xff", b"\0\0", b"UN", b"SQ", b"\xfe\xff\x0d\xe0"]),
    ),
    min_size=1,
    max_size=4,
)


def edited(body: bytes, edits: Sequence[tuple[int, str, bytes]]) -> bytes:
    for at, how, what in edits:
        if how == "set":
            body = body[:at] + what + body[at + len(what) :]
        elif how == "insert":
            body = body[:at] + what + body[at:]
        elif how == "delete":
            body = body[:at] + body[at + len(what) :]
        else:
            body = body[:at] + body[at : at + 40] + body[at:]
    return body


@given(st.sampled_from(KNOWN), EDITS, st.sampled_from(sorted(TRAINED)))
@settings(max_examples=700, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_layout_tells_what_a_walk_tells_or_nothing(
    known: tuple[bytes, str],
    edits: Sequence[tuple[int, str, bytes]],
    plan: tuple[tuple[str, ...], int],
) -> None:
    body = edited(known[0], edits)

    match = TRAINED[plan].read(body)

    if match is not None:
        assert match.values == walked(body, *plan[0])


@given(st.sampled_from(KNOWN), EDITS, st.sampled_from(SOME_WANTED))
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
def test_so_does_a_layout_that_was_learned_from_damage(
    known: tuple[bytes, str], edits: Sequence[tuple[int, str, bytes]], texts: tuple[str, ...]
) -> None:
    body, fresh = edited(known[0], edits), layouts(*texts)
    fresh.learn(body)
    for other in (body, known[0], body[:-100]):
        match = fresh.read(other)
        if match is not None:
            assert match.values == walked(other, *texts)


@pytest.mark.skipif(not SMALL, reason="no real objects beside the repository")
def test_real_objects_have_layouts_that_tell_what_a_walk_tells() -> None:
    texts = ("PatientName", "Modality", "SOPInstanceUID", "TransferSyntaxUID", "PatientID")
    known, by_layout = layouts(*texts), 0
    shuffled = random.Random(1).sample(3 * SMALL, 3 * len(SMALL))
    for body in map(Path.read_bytes, shuffled):
        match = known.read(body)
        if match is None:
            known.learn(body)
            continue
        by_layout += 1
        assert match.values == walked(body, *texts)
    assert by_layout > len(SMALL) / 4


def test_little_is_spent_on_objects_that_are_all_different() -> None:
    learned = 0

    class Counted(Layouts[Values]):
        def _learn(self, opened: object) -> None:
            nonlocal learned
            learned += 1
            super()._learn(opened)  # type: ignore[arg-type] # what it is given

    known = Counted(make_plan(paths("Modality")), lambda values: values, last=PIXEL_DATA - 1)
    for number in range(200):
        ds = factories.ct()
        ds.add_new(0x00090000 + (number << 17) + 0x1001, "LO", "private")
        body = encoded(ds)
        if known.read(body) is None:
            known.learn(body)

    assert 32 <= learned < 32 + 200 / 8


def test_a_damaged_object_is_told_by_the_walk() -> None:
    known = layouts()
    body = encoded(image(1))
    known.learn(body)
    with pytest.raises(Unreadable):
        walked(body[:400])
    assert known.read(body[:400]) is None
