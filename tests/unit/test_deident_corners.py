"""Rare encodings and bounds: UN, undefined lengths, values that grow, caches that are full."""

from __future__ import annotations

import struct

import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomcore.deident import (
    Deidentifier,
    KnownIdentifiers,
    PatientIdentity,
    Verifier,
    collect_identifiers,
    parse_options,
    parse_profile,
    shipped_profile,
)
from dicomcore.deident.descriptors import MAX_CACHED as TEXTS
from dicomcore.deident.descriptors import TextCleaner
from dicomcore.deident.rules import Place, Rules
from dicomcore.deident.tables_by_place import MAX_ENTRIES, Tables
from dicomcore.deident.uid_map import MAX_CACHED as UIDS
from dicomcore.deident.uid_map import KeyedMap
from dicomcore.deident.values import dummy_value
from dicomcore.errors import Unreadable
from dicomcore.walk import Encoding
from tests import factories
from tests.unit.dicom_bytes import encode, even, explicit, identity, implicit, item, part10
from tests.unit.test_deident_encodings import NOBODY, engine, explicit_ct, nested

UNDEFINED = 0xFFFFFFFF
END = implicit(0xFFFEE0DD, b"")
NAMED = implicit(0x00100010, b"Smith^Jo") + implicit(0x00081155, even("1.2.99"))
NAMED_EXPLICIT = explicit(0x00100010, b"PN", b"Smith^Jo") + explicit(
    0x00081155, b"UI", even("1.2.99")
)
KNOWN = KnownIdentifiers(names=frozenset(("smith",)))


@pytest.mark.parametrize("inside", [NAMED, NAMED_EXPLICIT])
@pytest.mark.parametrize("tag", [0x300C0002, 0x32531001, 0x00081120])
def test_a_un_is_walked_removed_and_verified_whatever_its_vrs_inside(
    tag: int, inside: bytes
) -> None:
    elements = [
        explicit(tag, b"UN", item(inside)),
        explicit(tag, b"UN", item(inside) + END, UNDEFINED),
        explicit(tag, b"UN", item(inside, undefined=True) + END, UNDEFINED),
    ]
    for element in elements:
        # with the rest of the data set after it
        data = explicit_ct(*sorted((element, explicit(0x7FE00010, b"OW", b"ab")), key=_tag))
        known = collect_identifiers([data], frozenset())

        output = engine(known=known).apply(data).to_bytes()

        assert b"Smith" not in output
        assert output.endswith(b"ab")
        assert tag == 0x32531001 or "smith" in known.names
        assert Verifier(known).findings(data, output) == []


def _tag(element: bytes) -> tuple[int, int]:
    group, number = struct.unpack_from("<HH", element)
    return group, number


def test_removed_fragments_and_documents_are_stepped_over() -> None:
    fragments = item(b"") + item(b"Smith ") + END
    private = explicit(0x32531001, b"OB", fragments, UNDEFINED)
    document = explicit(0x00420011, b"OB", fragments, UNDEFINED)

    output = engine().apply(explicit_ct(document, private)).to_bytes()

    assert b"Smith" not in output
    assert explicit(0x00420011, b"OB", b"\0\0") in output


@pytest.mark.parametrize(
    "element",
    [
        explicit(0x32531001, b"OB", item(b"x") + explicit(0x00280010, b"US", b"ab"), UNDEFINED),
        explicit(0x32531001, b"OB", item(b"xy"), UNDEFINED),
        explicit(0x32531001, b"UN", item(b"abcdefgh") + END, UNDEFINED),
        explicit(0x00081115, b"SQ", implicit(0xFFFEE000, b"", UNDEFINED) + END, UNDEFINED),
        explicit(0x00081115, b"SQ", item(END)),
        explicit(0x00081115, b"SQ", item(implicit(0xFFFEE00D, b"") + bytes(8))),
        explicit(0x00321060, b"UT", b"Smith ", UNDEFINED),
        explicit(0x00281201, b"OW", b"ab", UNDEFINED),
        explicit(0x00081115, b"SQ", item(bytes(12))),
    ],
)
def test_damage_within_what_is_removed_or_nested_is_refused(element: bytes) -> None:
    with pytest.raises(Unreadable):
        engine().apply(explicit_ct(element))


def test_zeros_before_the_end_are_no_padding() -> None:
    with pytest.raises(Unreadable):
        engine().apply(explicit_ct(bytes(16), explicit(0x00280010, b"US", b"\1\0")))


def test_a_command_element_in_a_data_set_goes() -> None:
    odd = part10(identity() + implicit(0x00001000, even("1.2.3")), ImplicitVRLittleEndian)

    assert b"1.2.3\0" not in engine().apply(odd).to_bytes()


def test_ge_syntax_with_its_own_pixels_stays_announced() -> None:
    syntax = "1.2.840.113619.5.2"
    data = part10(encode(factories.ct(), ImplicitVRLittleEndian), syntax)

    assert engine().apply(data).transfer_syntax_uid == syntax


def test_a_transfer_syntax_that_is_no_uid_is_refused() -> None:
    data = part10(encode(factories.ct(), ExplicitVRLittleEndian), "Smith^John")

    with pytest.raises(Unreadable):
        engine().apply(data)


def test_implicit_vrs_in_big_endian_are_refused() -> None:
    with pytest.raises(Unreadable):
        engine().apply(struct.pack(">HHL", 8, 0x16, 4) + b"1.2\0" + bytes(8))


def test_uids_that_no_longer_fit_their_length_are_refused() -> None:
    value = "\\".join(["1.2.3"] * 10000).encode()

    with pytest.raises(Unreadable):
        engine().apply(explicit_ct(explicit(0x300A0083, b"UI", value + b"\0")))


def test_a_safe_private_sequence_and_number_stay_and_its_items_are_walked() -> None:
    creator = explicit(0x20010010, b"LO", b"Philips Imaging DD 001")
    number = explicit(0x20011001, b"FL", b"\0\0\x80\x3f")
    sequence = explicit(0x2001105F, b"SQ", item(NAMED_EXPLICIT))
    unsafe = explicit(0x2001108F, b"FL", b"abcd")

    output = (
        engine("RetainSafePrivate").apply(explicit_ct(creator, number, sequence, unsafe)).to_bytes()
    )

    assert creator + number in output
    assert even(engine().new_uid("1.2.99")) in output
    assert b"Smith" not in output
    assert unsafe not in output
    with pytest.raises(Unreadable):
        engine("RetainSafePrivate").apply(
            explicit_ct(creator, explicit(0x20011001, b"FL", b"abcd", 900))
        )


def test_a_profile_may_name_attributes_that_no_dictionary_knows() -> None:
    profile = parse_profile('"0028,7777",,K,,,,,,,,,,')
    made = Deidentifier(profile, frozenset(), b"k" * 32, PatientIdentity("1"), KNOWN)

    output = made.apply(explicit_ct(explicit(0x00287777, b"LO", b"of Smith x"))).to_bytes()

    assert explicit(0x00287777, b"LO", b"of x") in output
    assert b"gone" not in made.apply(explicit_ct(explicit(0x00287777, b"UN", b"gone"))).to_bytes()


def test_a_profile_that_keeps_overlays_keeps_the_plane() -> None:
    profile = parse_profile('"60xx,3000",,K,,,,,,,,,,')
    rows, bits = explicit(0x60000010, b"US", b"\1\0"), explicit(0x60003000, b"OW", b"\xff\xff")
    made = Deidentifier(profile, frozenset(), b"k" * 32, PatientIdentity("1"), KNOWN)

    assert rows + bits in made.apply(explicit_ct(rows, bits)).to_bytes()
    assert rows not in engine().apply(explicit_ct(rows, bits)).to_bytes()


@pytest.mark.parametrize(
    ("vr", "size"), [(b"FD", 8), (b"FL", 4), (b"AT", 4), (b"US", 2), (b"OB", 2), (b"UV", 8)]
)
def test_dummies_of_numbers_have_the_size_of_one(vr: bytes, size: int) -> None:
    assert dummy_value(vr) == bytes(size)


def test_full_caches_begin_anew_and_answer_the_same() -> None:
    keyed, cleaner = KeyedMap(b"k" * 16), TextCleaner(KNOWN)
    first = keyed.uid_value(b"1.2.3\0"), cleaner.clean(b"of Smith", b"")
    for number in range(UIDS + 1):
        keyed.uid_value(b"1.2.%d" % number)
    for number in range(TEXTS + 1):
        cleaner.clean(b"PTV %d" % number, b"")
    assert (keyed.uid_value(b"1.2.3\0"), cleaner.clean(b"of Smith", b"")) == first

    rules = Rules(shipped_profile("BasicSecurityProfile"), parse_options(()))
    table = Tables(Encoding(implicit_vr=True, little_endian=True), rules, {}, {}).table(Place(""))
    for number in range(MAX_ENTRIES + 10):
        assert table[struct.pack("<HH", 9 + 2 * (number >> 14), number & 0x3FFF | 0x4000)]
    assert len(table) < MAX_ENTRIES


def test_structured_content_is_cleaned_and_not_lost() -> None:
    content = item(
        explicit(0x0040A123, b"PN", b"Smith^Jo") + explicit(0x0040A160, b"UT", b"Smith: a lesion ")
    )
    data = explicit_ct(explicit(0x0040A730, b"SQ", content))

    cleaned = engine("CleanStructdCont", known=KNOWN).apply(data).to_bytes()
    basic = engine(known=KNOWN).apply(data).to_bytes()

    assert b"a lesion" in cleaned
    assert b"lesion" not in basic
    assert b"Smith" not in cleaned + basic


def test_an_empty_sequence_needs_no_dummy() -> None:
    empty = explicit(0x0040A730, b"SQ", b"")

    assert empty in engine().apply(explicit_ct(empty)).to_bytes()


def test_what_cannot_be_cleaned_is_replaced() -> None:
    rows = [f'"{tag}",,Z,,,,,,,,C,,' for tag in ("0040,A123", "0040,A124", "0028,0010")]
    profile = parse_profile("\n".join(rows))
    made = Deidentifier(
        profile, parse_options(["CleanDesc"]), b"k" * 32, PatientIdentity("1"), NOBODY
    )
    data = explicit_ct(
        explicit(0x00280010, b"US", b"\1\0"),
        explicit(0x0040A123, b"PN", b"Smith^Jo"),
        explicit(0x0040A124, b"UI", even("1.2.99")),
    )

    output = made.apply(data).to_bytes()

    assert explicit(0x00280010, b"US", b"") in output  # what Basic does
    assert explicit(0x0040A123, b"PN", b"ANONYMIZED") in output
    assert explicit(0x0040A124, b"UI", even(made.new_uid("1.2.99"))) in output


def test_what_is_known_of_several_objects_adds_up() -> None:
    other = KnownIdentifiers(ids=frozenset(("mrn-1",)), birth_dates=frozenset(("19610203",)))

    both = KNOWN | other

    assert (both.names, both.ids, both.birth_dates) == (KNOWN.names, other.ids, other.birth_dates)


@pytest.mark.parametrize(
    "element",
    [
        nested(40),
        implicit(0xFFFEE00D, b"") + bytes(8) + b"\1",
        implicit(0xFFFEE0DD, b""),
        explicit(0x00321060, b"UT", b"Smith ", UNDEFINED),
        explicit(0x00081115, b"SQ", item(b""), UNDEFINED),
        explicit(0x00081115, b"SQ", item(b""), 900),
    ],
)
def test_damaged_objects_tell_no_identifiers(element: bytes) -> None:
    data = explicit_ct(element)

    with pytest.raises(Unreadable):
        collect_identifiers([data], frozenset())
