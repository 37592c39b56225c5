"""Tolerant accessors and character sets: what real data hold instead of values."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR

import dicomcore.readers
from dicomcore.readers.access import Item
from dicomcore.readers.charsets import decode
from dicomcore.readers.wanted import SEQUENCE_KEYWORDS, SEQUENCES, TEXT_KEYWORDS, TEXTS

READERS = Path(dicomcore.readers.__file__).parent


@pytest.mark.parametrize(
    ("text", "integer"),
    [
        ("12", 12),
        (" 12 ", 12),
        ("+7", 7),
        ("-3", -3),
        ("2.0", 2),
        ("1\\2", 1),
        ("2.5", None),
        ("", None),
        ("1_000", None),
        ("9" * 12, None),
        ("2147483648", None),
        ("UNKNOWN", None),
        ("\u0661", None),
    ],
)
def test_integers_are_of_32_bits_or_absent(text: str, integer: int | None) -> None:
    assert Item({"BeamNumber": text.encode()}).integer("BeamNumber") == integer


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("46", 46.0),
        (".5", 0.5),
        ("1.80E+1", 18.0),
        ("1,5", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("", None),
        ("2\\3", 2.0),
    ],
)
def test_numbers_are_finite_or_absent(text: str, number: float | None) -> None:
    assert Item({"TargetPrescriptionDose": text}).number("TargetPrescriptionDose") == number


@pytest.mark.parametrize(
    ("value", "uid"),
    [
        (b"1.2.3\0", "1.2.3"),
        (b"1.2.3 ", "1.2.3"),
        (b"1.2.3\\1.2.4", "1.2.3"),
        ("1.2.3", "1.2.3"),
        (b"UNKNOWN", None),
        (b"", None),
        (b"1.2.3\xe9", None),
        (b"1" * 65, None),
        ((), None),
    ],
)
def test_uids_are_valid_or_absent(value: bytes | str | tuple[Item, ...], uid: str | None) -> None:
    assert Item({"SOPClassUID": value}).uid("SOPClassUID") == uid


def test_absent_attributes_are_empty() -> None:
    item = Item({})

    assert item.text("RTPlanLabel") == ""
    assert item.first("RTPlanLabel") == ""
    assert item.texts("ImageType") == ()
    assert item.uid("SOPClassUID") is None
    assert item.integer("BeamNumber") is None
    assert list(item.items("BeamSequence")) == []


def test_a_sequence_where_text_is_expected_is_empty_text_and_the_other_way_round() -> None:
    item = Item({"RTPlanLabel": (Item({}),), "BeamSequence": b"text"})

    assert item.text("RTPlanLabel") == ""
    assert list(item.items("BeamSequence")) == []


def test_text_keeps_its_backslashes_and_loses_padding_and_nulls() -> None:
    item = Item({"RTPlanLabel": b" a\\b\0c \0"})

    assert item.text("RTPlanLabel") == "a\\bc"
    assert item.texts("RTPlanLabel") == ("a", "bc")
    assert item.first("RTPlanLabel") == "a"


def test_text_can_be_written_as_utf_8_whatever_it_held() -> None:
    assert Item({"RTPlanLabel": "a\udcffb"}).text("RTPlanLabel").encode() == b"a?b"


# ── character sets ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "charset", "text"),
    [
        ("Müller".encode("latin-1"), b"ISO_IR 100", "Müller"),
        ("Müller".encode(), b"ISO_IR 192", "Müller"),
        ("Müller".encode(), b"", "Müller"),
        ("Müller".encode("latin-1"), b"", "Müller"),
        ("Müller".encode("latin-1"), b"ISO_IR 6", "Müller"),
        ("Müller".encode("latin-1"), b"NO SUCH SET", "Müller"),
        ("Müller".encode("latin-1"), b"ISO-IR 100 ", "Müller"),
        ("Люкceмбypг".encode("iso8859_5"), b"ISO_IR 144", "Люкceмбypг"),
        ("王".encode("gb18030"), b"GB18030", "王"),
        (b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", b"\\ISO 2022 IR 87", None),
        (b"\x1b$)C\xb1\xe8^abc", b"\\ISO 2022 IR 149", "김^abc"),
        (b"\x1b-FD\xe9", b"ISO 2022 IR 100\\ISO 2022 IR 126", "Dι"),
        (b"\x1b-F\xe9\\\xe9", b"ISO 2022 IR 100\\ISO 2022 IR 126", "ι\\é"),
        (b"a\x1b?b", b"ISO_IR 100", "a\x1b?b"),
        (b"\xff\xfe", b"ISO_IR 192", "\ufffd\ufffd"),
        (b"plain", b"ISO_IR 13", "plain"),
    ],
)
def test_text_is_decoded(value: bytes, charset: bytes, text: str | None) -> None:
    expected = "Yamada^Tarou=山田^太郎" if text is None else text

    assert decode(value, charset) == expected


def test_every_character_set_of_the_standard_decodes_any_bytes_without_a_warning() -> None:
    every = bytes(range(256)) + b"".join(
        b"\x1b" + code for code in (b"$B\xff", b"$)C", b"-F", b"(")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for term in (*python_encoding, "ISO_IR 999"):
            assert decode(every, term.encode())


# ── what is wanted ──────────────────────────────────────────────────────────────────────────


def test_every_wanted_keyword_is_in_the_dictionary_once() -> None:
    assert len(TEXTS) == len(TEXT_KEYWORDS) == len(set(TEXT_KEYWORDS))
    assert len(SEQUENCES) == len(SEQUENCE_KEYWORDS) == len(set(SEQUENCE_KEYWORDS))
    assert not set(TEXTS) & set(SEQUENCES)


def test_wanted_attributes_are_text_or_sequences() -> None:
    assert {dictionary_VR(tag) for tag in SEQUENCES} == {"SQ"}
    characters = {"CS", "DA", "DS", "IS", "LO", "PN", "SH", "ST", "TM", "UI"}
    assert {dictionary_VR(tag) for tag in TEXTS} <= characters


def test_readers_ask_for_wanted_attributes_only() -> None:
    """A keyword that is misspelled, or not wanted, would silently be absent for ever."""
    asked: set[str] = set()
    for path in (*READERS.glob("*.py"), READERS.parent / "header.py"):
        if path.name != "wanted.py":
            asked |= set(re.findall(r'"([A-Z]+[a-z][A-Za-z]+)"', path.read_text()))

    of_meta_information = {"TransferSyntaxUID", "MediaStorageSOPClassUID"}
    assert asked - of_meta_information == {*TEXT_KEYWORDS, *SEQUENCE_KEYWORDS}
