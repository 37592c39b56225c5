"""Names in bytes of which nothing is known: found in every encoding and place, fast or slow."""

from __future__ import annotations

import random
import re
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from dicomcore.deident import (
    Deidentifier,
    Fault,
    KnownIdentifiers,
    MakeRulesOut,
    PatientIdentity,
    Verifier,
    collect_identifiers,
    elements,
    parse_options,
    shipped_profile,
    verify,
)
from dicomcore.deident.byte_finder import LARGE, ByteFinder
from dicomcore.errors import Unreadable
from dicomcore.walk import Encoding
from dicomio.byte_scan import TextsRuledOut
from tests import factories

NAMES = frozenset(("zyxwort", "jansé", "smith", "kim"))
IDS = frozenset(("mrn-445566", "87654321", "12345", "ab-12"))
KNOWN = KnownIdentifiers(names=NAMES, ids=IDS)
FOUND = ("zyxwort", "jansé", "smith", "mrn-445566", "87654321")
"""The others are too short: they stand by chance in megabytes of pixels."""
CODECS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
WAYS = pytest.mark.parametrize("fast", [None, TextsRuledOut], ids=["pure", "vector"])


def noise(kind: str, size: int, rng: random.Random) -> bytes:
    """Bytes as values have them: pixels of several depths, nothing, compressed, text."""
    half = range(size // 2)
    made = {
        "zeros": lambda: bytes(size),
        "ones": lambda: b"\xff" * size,
        "letters": lambda: bytes(rng.choices(b"aeorstz", k=size)),
        "wide letters": lambda: "".join(rng.choices("aeorstz", k=size // 2)).encode("utf-16-le"),
        "12 bits": lambda: b"".join(rng.randrange(4096).to_bytes(2, "little") for _ in half),
        "small numbers": lambda: b"".join(rng.randrange(130).to_bytes(2, "little") for _ in half),
        "big endian": lambda: b"".join(rng.randrange(130).to_bytes(2, "big") for _ in half),
        "anything": lambda: rng.randbytes(size),
    }
    return made[kind]()


KINDS = (
    *("zeros", "ones", "letters", "wide letters", "12 bits", "small numbers", "big endian"),
    "anything",
)


@WAYS
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [40, LARGE - 2, 3 * LARGE, 9 * LARGE + 1])
def test_every_identifier_is_found_in_every_encoding_and_at_every_offset(
    kind: str, size: int, fast: MakeRulesOut | None
) -> None:
    finder = ByteFinder(KNOWN, fast)
    rng = random.Random(kind + str(size))
    around = noise(kind, size, rng)
    size = len(around)

    missed = []
    for text in FOUND:
        for spelled in (text, text.upper(), text.title()):
            for codec in CODECS:
                needle = spelled.encode(codec)
                places = [0, 1, 2, 3, size - len(needle), size - len(needle) - 1]
                for at in (*places, *(rng.randrange(size - len(needle)) for _ in range(3))):
                    value = around[:at] + needle + around[at + len(needle) :]
                    if not finder.contains(value):
                        missed.append((spelled, codec, at))

    assert not missed
    assert not finder.contains(around)


@WAYS
def test_only_what_is_between_the_offsets_counts(fast: MakeRulesOut | None) -> None:
    finder = ByteFinder(KNOWN, fast)
    body = b"\1" * 8 + b"Zyxwort" + bytes(LARGE * 3) + "SMITH".encode("utf-16-le") + b"\1" * 8

    assert finder.contains(body)
    assert finder.contains(body, 8, 15)
    assert not finder.contains(body, 9, len(body) - 10)
    assert not finder.contains(body, 9, 20)


@WAYS
def test_short_names_and_numbers_are_left_to_the_search_of_text(fast: MakeRulesOut | None) -> None:
    finder = ByteFinder(KNOWN, fast)

    assert not finder.contains(b"kim 12345 ab-12 " * LARGE)


@WAYS
def test_nothing_is_found_where_nothing_is_known(fast: MakeRulesOut | None) -> None:
    assert not ByteFinder(KnownIdentifiers(), fast).contains(b"Zyxwort" * LARGE)


@WAYS
def test_a_name_that_latin_1_cannot_spell_is_found_too(fast: MakeRulesOut | None) -> None:
    finder = ByteFinder(KnownIdentifiers(names=frozenset(("łukasiewicz", "smith"))), fast)
    for text in ("Łukasiewicz", "SMITH"):
        for codec in ("utf-8", "utf-16-le", "utf-16-be"):
            assert finder.contains(bytes(LARGE + 1) + text.encode(codec) + bytes(99))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([b"\0", b"a", b"S", b"m", b"i", b"t", b"h", b"\x05"]), max_size=40),
    st.integers(0, 3),
)
def test_fast_and_slow_agree_with_a_search_for_each(parts: list[bytes], offset: int) -> None:
    value = bytes(offset) + b"".join(parts) + bytes(LARGE)
    needles = [b"smith", b"s\0m\0i\0t\0h"]

    expected = any(re.search(re.escape(needle), value.lower()) for needle in needles)

    for fast in (None, TextsRuledOut):
        finder = ByteFinder(KnownIdentifiers(names=frozenset(("smith",))), fast)
        found = finder.contains(value)
        assert found == expected
        assert finder.contains(value[: LARGE // 2]) == expected


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-8", "latin-1"])
@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192", "ISO_IR 6"])
def test_a_label_in_another_encoding_than_its_own_loses_the_name_too(
    codec: str, charset: str
) -> None:
    secret = "Jansé Zyxwort".encode(codec)
    secret += b" " * (len(secret) % 2)
    ds = factories.ct()
    ds.PatientName, ds.PatientID = "Janse^Zyxwort", "MRN-445566"
    ds.SpecificCharacterSet = charset
    ds.SeriesDescription = "Q" * len(secret)
    original = factories.part10(ds).replace(b"Q" * len(secret), secret)
    options = parse_options(["CleanDesc"])
    known = collect_identifiers([original], options) | KnownIdentifiers(names=NAMES)
    engine = Deidentifier(
        shipped_profile("AriaSecurityProfile"),
        options,
        b"k" * 32,
        PatientIdentity("MRN-445566"),
        known,
    )

    output = engine.apply(original).to_bytes()

    assert secret in original
    assert secret not in output
    assert "Zyxwort".encode(codec) not in output
    assert Verifier(known, TextsRuledOut).findings(original, output) == []


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-8", "latin-1"])
def test_the_verification_finds_a_label_in_another_encoding_than_its_own(codec: str) -> None:
    secret = "Dr. Jansé".encode(codec)
    secret += b" " * (len(secret) % 2)
    ds = factories.ct()
    ds.PatientName, ds.PatientID = "X^Y", "MRN-445566"
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SeriesDescription = "Q" * len(secret)
    original = factories.part10(ds)
    engine = Deidentifier(
        shipped_profile("AriaSecurityProfile"),
        parse_options(["CleanDesc"]),
        b"k" * 32,
        PatientIdentity("MRN-445566"),
        KnownIdentifiers(),
    )
    output = engine.apply(original).to_bytes()
    leaking = output.replace(b"Q" * len(secret), secret)

    verifier = Verifier(KnownIdentifiers(names=NAMES), TextsRuledOut)

    assert verifier.findings(original, output) == []
    assert [finding.fault for finding in verifier.findings(original, leaking)] == [Fault.IDENTIFIER]


def test_a_text_that_is_too_short_to_be_looked_for_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="too short"):
        TextsRuledOut([b"kim"])


def test_where_many_places_could_be_one_nothing_is_said() -> None:
    scan = TextsRuledOut([b"smithersonian"])
    # it begins alike a thousand times, and each time ends otherwise
    beginnings = b"smitherso......." * 2000

    assert not scan(beginnings, 0, len(beginnings))
    assert not ByteFinder(
        KnownIdentifiers(names=frozenset(("smithersonian",))), TextsRuledOut
    ).contains(beginnings)


def test_full_caches_of_walk_and_verification_begin_anew_and_answer_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ds = factories.plan()
    ds.RTPlanDescription = "Boost twice "
    original = factories.part10(ds)
    options = parse_options(["CleanDesc"])
    known = collect_identifiers([original], options)
    engine = Deidentifier(
        shipped_profile("AriaSecurityProfile"),
        options,
        b"k" * 32,
        PatientIdentity("DEMO-1"),
        known,
    )
    output = engine.apply(original).to_bytes()
    monkeypatch.setattr(elements, "MAX_HEADS", 3)
    elements._heads.cache_clear()
    monkeypatch.setattr(verify, "MAX_CACHED", 3)
    verifier = Verifier(known, TextsRuledOut)

    assert verifier.findings(original, output) == []
    leaking = output.replace(b"Boost twice", b"for DEMO-1 ", 1)
    assert leaking != output
    assert verifier.findings(original, leaking) != []


def test_long_texts_and_numbers_of_another_length_are_compared_too() -> None:
    ds = factories.plan()
    ds.RTPlanDescription = "nothing " * 60
    original = factories.part10(ds)
    options = parse_options(["CleanDesc"])
    engine = Deidentifier(
        shipped_profile("AriaSecurityProfile"),
        options,
        b"k" * 32,
        PatientIdentity("DEMO-1"),
        KnownIdentifiers(),
    )
    output = dcmread(BytesIO(engine.apply(original).to_bytes()))
    verifier = Verifier(KnownIdentifiers(names=NAMES), TextsRuledOut)

    output.RTPlanDescription = "nothing " * 59 + "Zyxwort "
    output.BeamSequence[0].SourceAxisDistance = "1000.00001"
    stream = BytesIO()
    output.save_as(stream, enforce_file_format=True)

    found = {(one.fault, one.tag) for one in verifier.findings(original, stream.getvalue())}
    assert found == {(Fault.IDENTIFIER, "300A0004"), (Fault.BULK, "300A00B0.300A00B4")}


@pytest.mark.parametrize(
    "element",
    [
        b"\xfe\xff\x0d\xe0\0\0\0\0",  # a delimiter at the top level
        b"\0\0\x10\0\2\0\0\0\1\1",  # a command element
        b"\x10\0\x20",  # cut off
    ],
)
def test_what_is_no_element_is_seen_as_damage_or_as_what_it_is(element: bytes) -> None:
    encoding = Encoding(implicit_vr=True, little_endian=True)
    before = b"\x08\0\x16\0\2\0\0\0\x31\0"

    if element[:2] == b"\0\0":
        assert [seen.tag for seen in elements.walk(before + element, 0, encoding)] == [0x80016, 16]
    else:
        with pytest.raises(Unreadable):
            elements.walk(before + element, 0, encoding)
    assert len(elements.walk(before + bytes(3), 0, encoding)) == 1


def test_the_birth_date_in_its_own_attribute_is_found_and_another_is_not() -> None:
    ds = factories.ct()
    ds.PatientBirthDate = "19431107"
    original = factories.part10(ds)
    known = collect_identifiers([original], frozenset())
    engine = Deidentifier(
        shipped_profile("BasicSecurityProfile"),
        frozenset(),
        b"k" * 32,
        PatientIdentity("DEMO-1"),
        known,
    )
    output = dcmread(BytesIO(engine.apply(original).to_bytes()))

    for day, faults in (("19431107", {Fault.IDENTIFIER}), ("19431108", set())):
        output.PatientBirthDate = day
        stream = BytesIO()
        output.save_as(stream, enforce_file_format=True)
        findings = Verifier(known, TextsRuledOut).findings(original, stream.getvalue())
        assert {finding.fault for finding in findings} == faults
