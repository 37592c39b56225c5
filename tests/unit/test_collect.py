"""The walk over encoded elements: odd lengths, odd VRs, nesting."""

from __future__ import annotations

import pytest

from dicomcore.errors import Unreadable
from dicomcore.readers.access import Item
from dicomcore.readers.collect import MAX_DEPTH, Truncated, collect, collect_items
from dicomcore.walk import Encoding
from tests.unit.dicom_bytes import UNDEFINED, even, explicit, implicit, item

IMPLICIT = Encoding(implicit_vr=True, little_endian=True)
EXPLICIT = Encoding(implicit_vr=False, little_endian=True)

BEAMS = 0x300A00B0
BEAM_NAME = 0x300A00C2
CONTROL_POINTS = 0x300A0111
LABEL = 0x300A0002
SEQUENCE_END = implicit(0xFFFEE0DD, b"")


def names(found: Item) -> list[str]:
    return [beam.text("BeamName") for beam in found.items("BeamSequence")]


def implicit_beam(name: str) -> bytes:
    return item(implicit(BEAM_NAME, even(name)))


def explicit_beam(name: str) -> bytes:
    return item(explicit(BEAM_NAME, b"LO", even(name)))


def test_undefined_lengths_end_at_their_delimiters() -> None:
    beam = item(implicit(BEAM_NAME, b"AP"), undefined=True)
    data = implicit(BEAMS, beam + beam + SEQUENCE_END, UNDEFINED) + implicit(LABEL, b"after ")

    found, _ = collect(data, 0, IMPLICIT)

    assert names(found) == ["AP", "AP"]
    # out of order, and still read: only what comes after the last wanted attribute ends the walk
    assert found.text("RTPlanLabel") == "after"


def test_sequences_that_are_not_wanted_are_passed_with_all_they_nest() -> None:
    inner = item(implicit(0x300A011A, item(b"", undefined=True) + SEQUENCE_END, UNDEFINED))
    points = implicit(CONTROL_POINTS, inner + SEQUENCE_END, UNDEFINED)
    beam = item(points + implicit(BEAM_NAME, b"AP"), undefined=True)
    data = implicit(BEAMS, beam + SEQUENCE_END, UNDEFINED)

    found, _ = collect(data, 0, IMPLICIT)

    assert names(found) == ["AP"]


def test_fragments_of_an_icon_are_passed() -> None:
    fragments = item(b"") + item(b"\xff\xd8 no element at all") + SEQUENCE_END
    icon = item(explicit(0x7FE00010, b"OB", fragments, UNDEFINED), undefined=True)
    data = explicit(0x00880200, b"SQ", icon + SEQUENCE_END, UNDEFINED)
    data += explicit(LABEL, b"SH", b"after ")

    found, _ = collect(data, 0, EXPLICIT)

    assert found.text("RTPlanLabel") == "after"


@pytest.mark.parametrize("length", ["defined", "undefined"])
def test_unknown_vr_holds_implicit_items(length: str) -> None:
    beams = implicit_beam("AP")
    data = (
        explicit(BEAMS, b"UN", beams)
        if length == "defined"
        else explicit(BEAMS, b"UN", beams + SEQUENCE_END, UNDEFINED)
    )

    found, _ = collect(data, 0, EXPLICIT)

    assert names(found) == ["AP"]


def test_unknown_vr_of_undefined_length_is_passed_if_it_is_not_wanted() -> None:
    private = explicit(0x00091010, b"UN", implicit_beam("AP") + SEQUENCE_END, UNDEFINED)

    found, _ = collect(private + explicit(LABEL, b"SH", b"after "), 0, EXPLICIT)

    assert found.text("RTPlanLabel") == "after"


def test_unknown_vr_may_hold_explicit_items_against_the_standard() -> None:
    found, _ = collect(explicit(BEAMS, b"UN", explicit_beam("AP")), 0, EXPLICIT)

    assert names(found) == ["AP"]


@pytest.mark.parametrize("value", [b"not a sequence", b"", b"\xfe\xff\x00\xe0\xff\xff"])
def test_a_sequence_with_another_vr_that_is_none_is_empty(value: bytes) -> None:
    data = explicit(BEAMS, b"OB", value) + explicit(LABEL, b"SH", b"after ")

    found, _ = collect(data, 0, EXPLICIT)

    assert names(found) == []
    assert found.text("RTPlanLabel") == "after"


@pytest.mark.parametrize(
    "odd",
    [
        implicit(0x00091010, b"without VR"),
        b"\x09\x00\x10\x10ZZ\x04\x00old!",
        b"\x09\x00\x10\x10ZZ\x00\x00\x04\x00\x00\x00new!",
    ],
    ids=["no VR", "16 bits", "32 bits"],
)
def test_elements_of_unknown_vr_are_passed(odd: bytes) -> None:
    found, _ = collect(odd + explicit(LABEL, b"SH", b"after "), 0, EXPLICIT)

    assert found.text("RTPlanLabel") == "after"


def test_a_delimiter_within_a_defined_length_ends_the_item() -> None:
    beam = item(implicit(BEAM_NAME, b"AP") + implicit(0xFFFEE00D, b""))
    data = implicit(BEAMS, beam + implicit_beam("PA") + SEQUENCE_END)

    found, _ = collect(data, 0, IMPLICIT)

    assert names(found) == ["AP", "PA"]


def test_stray_delimiters_at_the_top_are_passed() -> None:
    found, passed = collect(implicit(0xFFFEE00D, b"") + implicit(LABEL, b"after "), 0, IMPLICIT)

    assert found.text("RTPlanLabel") == "after"
    assert not passed


def test_nothing_after_the_last_wanted_attribute_is_looked_at() -> None:
    data = implicit(LABEL, b"before") + implicit(0x7FE00010, b"", 10**9) + b"garbage"

    found, passed = collect(data, 0, IMPLICIT)

    assert found.text("RTPlanLabel") == "before"
    assert passed


def test_the_last_of_repeated_attributes_counts() -> None:
    found, _ = collect(implicit(LABEL, b"one ") + implicit(LABEL, b"two "), 0, IMPLICIT)

    assert found.text("RTPlanLabel") == "two"


@pytest.mark.parametrize(
    "data",
    [
        implicit(LABEL, b"", 10),
        implicit(LABEL, b"ok")[:6],
        implicit(BEAMS, item(implicit(BEAM_NAME, b"AP")), UNDEFINED),
        implicit(BEAMS, implicit(0xFFFEE000, implicit(BEAM_NAME, b"AP"), UNDEFINED), UNDEFINED),
        implicit(BEAMS, implicit(0xFFFEE000, b"", 100), UNDEFINED),
    ],
    ids=["value", "header", "no sequence end", "no item end", "item"],
)
def test_data_that_end_too_early_are_truncated(data: bytes) -> None:
    with pytest.raises(Truncated):
        collect(data, 0, IMPLICIT)


@pytest.mark.parametrize(
    "beams",
    [
        implicit(0xFFFEE000, b"", 100),
        item(implicit(BEAM_NAME, b"AP", 100)),
        b"this is no item, nor a delimiter",
        implicit(0xFFFEE000, implicit(BEAM_NAME, b"AP"), UNDEFINED),
    ],
    ids=["item", "element in item", "no item", "no item end"],
)
def test_lengths_that_contradict_each_other_are_unreadable(beams: bytes) -> None:
    data = implicit(BEAMS, beams) + implicit(0x300A0230, bytes(400))

    with pytest.raises(Unreadable):
        collect(data, 0, IMPLICIT)


def test_nesting_beyond_all_reason_is_unreadable() -> None:
    nested = b""
    for _ in range(MAX_DEPTH + 1):
        nested = implicit(BEAMS, item(nested))

    with pytest.raises(Unreadable, match="nested too deep"):
        collect(nested, 0, IMPLICIT)


def test_items_alone_are_read_and_what_is_no_sequence_has_none() -> None:
    assert [b.text("BeamName") for b in collect_items(implicit_beam("AP"), IMPLICIT, b"")] == ["AP"]
    assert collect_items(b"odd", IMPLICIT, b"") == ()
    assert collect_items(implicit_beam("AP")[:-1], IMPLICIT, b"") == ()


def test_items_inherit_the_character_set_and_may_have_their_own() -> None:
    latin2 = implicit(0x00080005, b"ISO_IR 101")
    own = item(implicit(0x00080005, b"ISO_IR 192") + implicit(BEAM_NAME, "ž".encode()))
    inherited = item(implicit(BEAM_NAME, "ž ".encode("iso8859_2")))

    found, _ = collect(latin2 + implicit(BEAMS, own + inherited), 0, IMPLICIT)

    assert names(found) == ["ž", "ž"]
