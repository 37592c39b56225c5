"""The tag-path language: what is understood, as what, and what is said where it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import keyword_dict

from dicomcore.criteria import (
    Asked,
    Criterion,
    Equal,
    NumberRange,
    TimeRange,
    Value,
    Wildcard,
    number_of,
    parse_criterion,
)
from dicomcore.errors import InvalidRequest
from dicomcore.query import MAX_TERM_LENGTH, Found, Query, Term, parse_term
from dicomcore.tagpath import (
    MAX_STEPS,
    Step,
    ValueClass,
    parse_path,
    path_in_words,
    print_path,
)

MACHINE = (Step(0x300A00B0), Step(0x300A00B2))
VISION = "Varian Medical Systems VISION 3253"


def criterion(text: str) -> Criterion:
    return parse_term(text).criterion


# ── tags ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "(300A,00B0)/(300A,00B2)",
        "(300a,00b0)/(300a,00b2)",
        " ( 300A , 00B0 ) / ( 300A , 00B2 ) ",
        "300A,00B0/300A,00B2",
        "BeamSequence/TreatmentMachineName",
        "beamsequence / TREATMENTMACHINENAME",
        "BeamSequence/(300A,00B2)",
    ],
)
def test_every_spelling_of_a_path_is_the_same_path(text: str) -> None:
    assert parse_path(text) == MACHINE


def test_a_private_tag_is_a_number_or_an_offset_in_its_creators_block() -> None:
    assert parse_path("(3253,1000)") == (Step(0x32531000),)
    for spelling in ("xx00", "XX00", "1000", "1100"):
        assert parse_path(f"(3253,{spelling}:{VISION})") == (Step(0x32530000, VISION),)
    assert parse_path(r"(3253,xx01:odd \) name\\)") == (Step(0x32530001, "odd ) name\\"),)


def test_a_path_is_shown_by_keywords_where_there_are_such() -> None:
    assert path_in_words((*MACHINE[:1], Step(0x32531000))) == "BeamSequence/(3253,1000)"
    assert path_in_words((Step(0x32530000, "X"),)) == "(3253,xx00:X)"


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("", 1, "a tag"),
        ("=x", 1, "a tag"),
        ("PatientID", 10, "'='"),
        ("(0010,0020", 11, "')'"),
        ("(300A,00B0/(300A,00B2)=?", 11, "')'"),
        ("(0010,00G0)=1", 2, "four hexadecimal digits"),
        ("(10,20)=1", 2, "four hexadecimal digits"),
        ("PatientId2=x", 1, "a keyword"),
        ("BeamSequence/Machine=x", 14, "a keyword"),
        ("PatientID/PatientName=x", 1, "a sequence before '/'"),
        ("BeamSequence=?", 1, "an attribute of the sequence's items"),
        ("BeamSequence/=?", 14, "a tag"),
        ("PixelData=?", 1, "an attribute whose values are text or numbers"),
        ("(FFFE,E000)=?", 1, "a tag of a data set"),
        ("(0000,0100)=?", 1, "a tag of a data set"),
        ("BeamSequence/(0002,0010)=?", 14, "a tag of a data set"),
        ("(0010,xx20:X)=?", 2, "an odd group"),
        ("(3253,xx00)=?", 11, "private creator"),
        ("(3253,xx00:)=?", 12, "a private creator"),
        ("3253,xx00=?", 6, "in parentheses"),
        ("/".join(["(3253,1000)"] * (MAX_STEPS + 1)) + "=1", 193, "at most 16"),
        ("GantryAngle=north", 13, "a number"),
        ("GantryAngle= 20..10", 14, "a number"),
        ("GantryAngle=..", 13, "a number"),
        ("StudyDate=2024-01-31", 11, "a date"),
        ("StudyDate=20240131-20240101", 11, "a date"),
        ("StudyDate=-", 11, "a date"),
        ("StudyTime=9", 11, "a time"),
        ("AcquisitionDateTime=20240101-0500", 21, "a date and time"),
        ("PatientID=" + "x" * MAX_TERM_LENGTH, 4097, "at most 4096"),
    ],
)
def test_what_is_not_understood_is_said_with_its_place(text: str, position: int, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_term(text)

    assert caught.value.facts["position"] == position
    assert said in str(caught.value.facts["expected"])


def test_an_error_never_quotes_a_value() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_term("PatientBirthDate=SECRET")

    assert "SECRET" not in f"{caught.value!s}{caught.value!r}"
    assert "SECRET" not in repr(parse_term("PatientID=SECRET"))


# ── criteria ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PatientID=?", Asked()),
        ("PatientID= ? ", Asked()),
        (r"PatientID=\?", Equal("?")),
        ("PatientID=", Equal("")),
        ("PatientID=007", Equal("007")),
        ("PatientID=1..2", Equal("1..2")),
        ("PatientID=a=b/c(d)", Equal("a=b/c(d)")),
        (r"PatientID=C:\data", Equal("C:\\data")),
        (r"PatientID=a\\b\*", Equal("a\\b*")),
        ("PatientName=DOE^J*", Wildcard("DOE^J*")),
        ("PatientName=DOE^JANE==", Equal("DOE^JANE")),
        (r"PatientName=\*?\x*", Wildcard(r"\*?\\x*")),
        ("InstanceNumber=10", Equal("10", 10.0)),
        ("InstanceNumber=1?", Wildcard("1?")),
        ("GantryAngle=-5 .. 1e2", NumberRange(-5.0, 100.0)),
        ("GantryAngle=10..", NumberRange(10.0, None)),
        ("GantryAngle=...5", NumberRange(None, 0.5)),
        ("(3253,1000)=10..20", NumberRange(10.0, 20.0)),
        ("(3253,1000)=20..10", Equal("20..10")),
        ("(3253,1000)=text", Equal("text")),
        ("StudyDate=20240131", TimeRange("20240131", "20240131")),
        ("StudyDate=2024 - 202502", TimeRange("2024", "202502")),
        ("StudyDate=2024..", TimeRange("2024", "")),
        ("StudyTime=-1030", TimeRange("", "1030")),
        ("AcquisitionDateTime=2024..20250131", TimeRange("2024", "20250131")),
    ],
)
def test_a_value_is_understood_as_its_attribute_has_it(text: str, expected: Criterion) -> None:
    assert criterion(text) == expected


@pytest.mark.parametrize(
    ("text", "fits", "fits_not"),
    [
        ("PatientID=007", ["007"], ["7", "0070", ""]),
        ("PatientID=a*", ["a", "ab", "a\nb"], ["A", "ba", ""]),
        ("PatientID=*", ["", "x"], []),
        ("PatientID=a?c", ["abc", "a?c"], ["ac", "abbc"]),
        (r"PatientID=a\?c", ["a?c"], ["abc"]),
        ("PatientID=[ab].*", ["[ab].", "[ab].x"], ["a.", "a.x"]),
        ("PatientID=", [""], ["x"]),
        (
            "StudyDate=2024",
            ["20240101", "20241231", "2024"],
            ["20231231", "20250101", "", "unknown"],
        ),
        ("StudyDate=202402-", ["20240201", "20991231"], ["20240131", "unknown", ""]),
        ("StudyDate=-2023", ["20231231", "19000101"], ["20240101", "unknown", ""]),
        ("StudyTime=10-11", ["10", "1030", "115959.999999"], ["0959", "12"]),
    ],
)
def test_texts_and_times_fit(text: str, fits: list[str], fits_not: list[str]) -> None:
    asked = criterion(text)

    assert [t for t in fits if not asked.matches(Value(t))] == []
    assert [t for t in fits_not if asked.matches(Value(t))] == []


@pytest.mark.parametrize(
    ("text", "fits", "fits_not"),
    [
        ("GantryAngle=10", ["10", "10.0", "1e1", "+10"], ["100", "", "x"]),
        ("GantryAngle=10..20", ["10", "20.0", "15"], ["9.99", "20.01", "", "x"]),
        ("GantryAngle=..0", ["0", "-1"], ["0.1"]),
        ("GantryAngle=1*", ["10", "1"], ["01"]),
        ("(3253,1000)=10", ["10", "10.0"], ["11"]),
    ],
)
def test_numbers_fit_as_numbers(text: str, fits: list[str], fits_not: list[str]) -> None:
    asked = criterion(text)

    assert [t for t in fits if not asked.matches(Value(t, number_of(t)))] == []
    assert [t for t in fits_not if asked.matches(Value(t, number_of(t)))] == []


def test_what_is_no_number_is_compared_as_text() -> None:
    assert criterion("(3253,1000)=10").matches(Value("10"))
    assert not criterion("(3253,1000)=10").matches(Value("10.0"))


def test_the_literal_beginning_of_a_pattern_is_told() -> None:
    pattern = criterion(r"PatientID=a\*b*c?")

    assert isinstance(pattern, Wildcard)
    assert pattern.prefix == "a*b"
    assert list(pattern.tokens) == ["a", "\\*", "b", "*", "c", "?"]


# ── print and parse ─────────────────────────────────────────────────────────────────────────

CREATORS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=1, max_size=12)
PUBLIC = st.sampled_from(sorted(keyword_dict.values())).map(Step)
PRIVATE = st.builds(
    lambda group, element, creator: Step(
        (2 * group + 1) << 16 | (element & 0xFF if creator else element), creator
    ),
    st.integers(5, 0x7FFE),
    st.integers(0x1000, 0xFFFF),
    st.just("") | CREATORS,
)


@st.composite
def terms(draw: st.DrawFn) -> Term:
    sequences = PUBLIC.filter(lambda s: s.value_class is ValueClass.SEQUENCE) | PRIVATE
    usable = (ValueClass.TEXT, ValueClass.NUMBER, ValueClass.TIME, ValueClass.UNKNOWN)
    last = draw((PUBLIC | PRIVATE).filter(lambda s: s.value_class in usable and s.tag > 0x30000))
    path = (*draw(st.lists(sequences, max_size=4)), last)
    words = st.text(max_size=20)
    numbers = st.floats(-1e6, 1e6).map(repr)
    times = st.integers(1900, 2099).map(str)
    forms = {
        ValueClass.TEXT: words,
        ValueClass.UNKNOWN: words | numbers | st.tuples(numbers, numbers).map("..".join),
        ValueClass.NUMBER: numbers | st.just("?") | st.just("1*"),
        ValueClass.TIME: st.just("10..1130" if last.vr == "TM" else "") | times.map("?".__add__),
    }
    kind = last.value_class
    return Term(path, parse_criterion(draw(forms[kind]), kind, last.vr))


@given(terms())
def test_a_term_is_the_same_after_printing_and_parsing(term: Term) -> None:
    assert parse_term(str(term)) == term
    assert parse_path(print_path(term.path)) == term.path


@given(st.text(max_size=60) | st.text("(300A,B2)/=?*.-xPatientID:\\ ", max_size=40))
def test_any_text_is_a_term_or_an_error_with_a_place(text: str) -> None:
    problem: InvalidRequest | None = None
    try:
        term = parse_term(text)
    except InvalidRequest as exc:
        problem = exc
    else:
        assert parse_term(str(term)) == term

    assert problem is None or 1 <= int(problem.facts["position"] or 0) <= len(text) + 1


# ── same items ──────────────────────────────────────────────────────────────────────────────

BEAMS, POINTS = Step(0x300A00B0), Step(0x300A0111)
NAME, MACHINE_NAME, ANGLE = Step(0x300A00C2), Step(0x300A00B2), Step(0x300A011E)
PLAN = Found(
    {Step(0x00100020): [Value("P1")]},
    {
        BEAMS: [
            Found(
                {NAME: [Value("AP")], MACHINE_NAME: [Value("TB1")]},
                {
                    POINTS: [
                        Found({ANGLE: [Value("0", 0.0)]}),
                        Found({ANGLE: [Value("180", 180.0)]}),
                    ]
                },
            ),
            Found(
                {NAME: [Value("PA")], MACHINE_NAME: [Value("TB2")]},
                {POINTS: [Found({ANGLE: [Value("90", 90.0)]})]},
            ),
        ]
    },
)


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["BeamSequence/BeamName=AP", "BeamSequence/TreatmentMachineName=TB1"], ()),
        (["BeamSequence/BeamName=AP", "BeamSequence/TreatmentMachineName=TB2"], None),
        (["BeamSequence/BeamName=AP", "BeamSequence/TreatmentMachineName=?"], (("TB1",),)),
        (["PatientID=P1", "BeamSequence/TreatmentMachineName=?"], (("TB1", "TB2"),)),
        (["PatientID=P2", "BeamSequence/TreatmentMachineName=?"], None),
        (["BeamSequence/BeamName=A?", "BeamSequence/BeamName=?P"], ()),
        (["BeamSequence/BeamName=AP", "BeamSequence/BeamName=PA"], None),
        (["BeamSequence/BeamName=AP", "BeamSequence/ControlPointSequence/GantryAngle=180"], ()),
        (["BeamSequence/BeamName=AP", "BeamSequence/ControlPointSequence/GantryAngle=90"], None),
        (
            ["BeamSequence/BeamName=?", "BeamSequence/ControlPointSequence/GantryAngle=?"],
            (("AP", "PA"), ("0", "180", "90")),
        ),
        (["BeamSequence/ControlPointSequence/GantryAngle=..90"] * 2, ()),
        (["FractionGroupSequence/FractionGroupNumber=?"], None),
        ([], ()),
    ],
)
def test_terms_of_one_sequence_hold_in_one_item(
    texts: list[str], told: tuple[tuple[str, ...], ...] | None
) -> None:
    assert Query(map(parse_term, texts)).answer(PLAN) == told
