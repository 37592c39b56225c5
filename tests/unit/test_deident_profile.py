"""Profiles, options, actions by type: what can be written, and what is refused."""

from __future__ import annotations

import pytest

from dicomcore.deident import SHIPPED, Option, parse_options, parse_profile, shipped_profile
from dicomcore.deident.actions import Action, parse_choice, resolve
from dicomcore.deident.rules import Operation, Place, Rules
from dicomcore.deident.types import AttributeType, attribute_type, iod_of
from dicomcore.errors import InvalidRequest

EMPTY_OPTIONS = "," * 10


def row(pattern: str, action: str = "X") -> str:
    return f'"{pattern}",,{action}{EMPTY_OPTIONS}'


def test_options_are_read_in_any_case_and_basic_profile_is_no_option() -> None:
    assert parse_options(["basicprofile", "CLEANDESC"]) == {Option.CLEAN_DESC}


def test_an_unknown_option_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_options(["CleanDescription"])

    assert refused.value.facts["option"] == "CleanDescription"


def test_dates_cannot_be_kept_and_modified() -> None:
    with pytest.raises(InvalidRequest):
        parse_options(["RetainLongFullDates", "RetainLongModifDates"])


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles_are_found_with_and_without_their_ending(name: str) -> None:
    assert shipped_profile(name) is shipped_profile(name)
    assert shipped_profile(name.removesuffix(".csv")).row(0x00100010) is not None


def test_only_the_aria_profile_keeps_labels() -> None:
    assert [shipped_profile(name).keeps_labels for name in SHIPPED] == [False, True]


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        shipped_profile("../BasicSecurityProfile.csv")


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("0010,0010", 0x00100010, 0x00100020),
        ("(0010,0010)", 0x00100010, 0x00100020),
        ("50xx,xxxx", 0x50023000, 0x51023000),
        ("60XX,3000", 0x60FE3000, 0x60FE4000),
        ("50[0-9A-F]{2},[0-9A-F]{4}", 0x50FE0001, 0x60FE0001),
        ("[0-9A-F]{3}[13579BDF],[0-9A-F]{4}", 0x32530010, 0x32520010),
        ("(gggg,eeee) where gggg is odd", 0x00190001, 0x00180001),
        ("0010,00[12]0", 0x00100020, 0x00100030),
        ("0010,", 0x00109999, 0x00110010),
        ("300a,00b2", 0x300A00B2, 0x300A00B3),
    ],
)
def test_tag_patterns_match_what_they_say(pattern: str, matches: int, others: int) -> None:
    profile = parse_profile(row(pattern))

    assert profile.row(matches) is not None
    assert profile.row(others) is None


@pytest.mark.parametrize(
    "line",
    [
        '"0010,0010",Name,Z,,,,,,,,,,',
        "0010,0010,Name,Z,,,,,,,,,,",
        "0010,0010;Name;Z;;;;;;;;;;",
        "0010,0010;Z;;;;;;;;;;",
        '"(0010,0010)",Z,,,,,,,,,,',
    ],
)
def test_a_row_may_be_separated_by_commas_or_semicolons_and_have_no_name(line: str) -> None:
    found = parse_profile("\ufefftag;name\n\n# a comment\n" + line).row(0x00100010)

    assert found is not None
    assert found.basic == (Action.EMPTY,)
    assert found.line == 4


@pytest.mark.parametrize(
    "line",
    [
        row("0010,0010", "Q"),
        row("0010,0010", ""),
        row("0010,0010", "X/Q"),
        row("PatientName"),
        row("0010"),
        row("0010,00[10"),
        row("0010," + "." * 300),
        '"0010,0010",,X,,,',
        '"0010,0010",,X,,,,,,,,,,,,',
        '"0010,0010",,X,,,,,,,,,,nonsense',
    ],
)
def test_a_row_that_cannot_be_understood_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_profile("\n".join(["tag,name", row("0008,0050"), line, row("0008,0060")]))

    assert refused.value.facts["line"] == 3


def test_a_profile_without_rows_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        parse_profile("tag,name,BasicProfile\n# nothing\n")


def test_the_first_of_several_matching_rows_counts() -> None:
    narrow_first = parse_profile("\n".join((row("0010,0010", "K"), row("0010,00[0-9A-F]{2}"))))
    wide_first = parse_profile("\n".join((row("0010,00[0-9A-F]{2}"), row("0010,0010", "K"))))

    assert narrow_first.row(0x00100010).basic == (Action.KEEP,)  # type: ignore[union-attr]
    assert wide_first.row(0x00100010).basic == (Action.REMOVE,)  # type: ignore[union-attr]


def test_of_several_options_the_more_protective_cell_counts() -> None:
    profile = shipped_profile("BasicSecurityProfile")
    calibration = profile.row(0x00181200)  # kept with the device, modified as a date
    assert calibration is not None

    both = parse_options(["RetainDeviceIdent", "RetainLongModifDates"])

    assert calibration.choice(both) == (Action.CLEAN,)
    assert calibration.choice(parse_options(["RetainDeviceIdent"])) == (Action.KEEP,)
    assert calibration.choice(frozenset()) == (Action.REMOVE,)


@pytest.mark.parametrize(
    ("cell", "by_type"),
    [  # of type 1, 1C, 2, 2C, 3, unknown
        ("X", "DXZXXX"),
        ("Z", "DZZZZZ"),
        ("D", "DDDDDD"),
        ("K", "KKKKKK"),
        ("C", "CCCCCC"),
        ("U", "UUUUUU"),
        ("X/Z", "DDZZXZ"),
        ("X/D", "DDDDXD"),
        ("Z/D", "DDZZZD"),
        ("X/Z/D", "DDZZXD"),
        ("X/Z/U*", "UUUUUU"),
    ],
)
def test_compounds_are_resolved_by_the_type_of_the_attribute(cell: str, by_type: str) -> None:
    choice = parse_choice(cell)
    assert choice is not None

    types = (*AttributeType, None)

    assert "".join(resolve(choice, kind).value for kind in types) == by_type


@pytest.mark.parametrize(
    ("tag", "iod", "parent", "kind"),
    [  # PS3.3, looked up by hand
        (0x300A0002, "rt-plan", 0, "1"),  # RT Plan Label
        (0x300A0003, "rt-plan", 0, "3"),  # RT Plan Name
        (0x300A0006, "rt-plan", 0, "2"),  # RT Plan Date
        (0x30060002, "rt-structure-set", 0, "1"),
        (0x30060026, "", 0x30060020, "2"),  # ROI Name
        (0x300600A6, "", 0x30060080, "2"),  # ROI Interpreter
        (0x300A00B2, "", 0x300A00B0, "2"),  # Treatment Machine Name
        (0x300A00C2, "", 0x300A00B0, "3"),  # Beam Name
        (0x30020002, "rt-image", 0, "1"),  # RT Image Label
        (0x30080250, "rt-beams-treatment-record", 0, "2"),  # Treatment Date
        (0x00100010, "ct-image", 0, "2"),
        (0x00080090, "ct-image", 0, "2"),  # Referring Physician's Name
        (0x00081010, "ct-image", 0, "3"),  # Station Name
        (0x00080023, "spatial-registration", 0, "1"),  # Content Date
        (0x00700081, "spatial-registration", 0, "2"),  # Content Description
    ],
)
def test_types_are_those_of_the_standard(tag: int, iod: str, parent: int, kind: str) -> None:
    assert attribute_type(tag, iod=iod, parent=parent) == kind


def test_nothing_is_known_of_types_in_unknown_classes_and_private_sequences() -> None:
    assert attribute_type(0x00100010, iod=iod_of("1.2.3"), parent=0) is None
    assert attribute_type(0x00100010, iod="", parent=0x32531003) is None
    assert iod_of("1.2.246.352.70.1.70") == "rt-plan"


def test_a_users_profile_rules_over_the_supplement_and_the_vr() -> None:
    profile = parse_profile("\n".join((row("300A,00C2", "K"), row("0010,21xx", "Z"))))
    rules = Rules(profile, frozenset())
    place = Place("rt-plan", 0x300A00B0)

    assert rules.rule(0x300A00C2, b"", place).operation is Operation.SCRUB
    assert rules.rule(0x001021B0, b"LT", place).operation is Operation.EMPTY
    assert rules.rule(0x30020002, b"SH", Place("rt-image")).operation is Operation.DUMMY
    assert rules.rule(0x32531001, b"LO", place).operation is Operation.REMOVE


@pytest.mark.parametrize(
    "keyword",
    [
        *("BeamName", "RTImageLabel", "RTImageName", "RTImageDescription", "DoseComment"),
        *("RadiationMachineName", "OverrideReason", "TreatmentStatusComment", "AccessoryCode"),
        *("MeasuredDoseDescription", "PatientSetupLabel", "FixationDeviceLabel"),
        "ToleranceTableLabel",
    ],
)
def test_free_text_of_radiotherapy_beyond_the_table_does_not_stay(keyword: str) -> None:
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(keyword)
    assert tag is not None
    rules = Rules(shipped_profile("BasicSecurityProfile"), frozenset())

    gone = (Operation.REMOVE, Operation.EMPTY, Operation.DUMMY)

    assert rules.rule(tag, b"", Place("rt-plan")).operation in gone
    assert rules.rule(tag, b"", Place("", 0x300A00B0)).operation in gone
    assert rules.rule(tag, b"", Place("")).operation is Operation.DUMMY


@pytest.mark.parametrize(
    "tag", [0x300A0675, 0x00209312, 0x00209313, 0x0018991E, 0x00081167, 0x00200242]
)
def test_uids_beyond_the_table_are_mapped_and_class_uids_are_not(tag: int) -> None:
    rules = Rules(shipped_profile("BasicSecurityProfile"), frozenset())
    keeping = Rules(shipped_profile("BasicSecurityProfile"), parse_options(["RetainUIDs"]))

    assert rules.rule(tag, b"UI", Place("rt-plan")).operation is Operation.UID
    assert keeping.rule(tag, b"UI", Place("rt-plan")).operation is Operation.UID_KEEP
    assert rules.rule(0x00081150, b"UI", Place("")).operation is Operation.UID_KEEP
