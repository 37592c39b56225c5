"""Names in bytes of which nothing is known: found in every encoding and place, fast or slow."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomcore.deident import (
    Deidentifier,
    Fault,
    KnownIdentifiers,
    MakeRulesOut,
    PatientIdentity,
    Verifier,
    collect_identifiers,
    parse_options,
    shipped_profile,
)
from dicomcore.deident.byte_finder import LARGE, ByteFinder
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
