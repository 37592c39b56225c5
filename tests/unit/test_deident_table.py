"""Every row of the table under every option and legal pair, at four depths, against the CSV itself.

The oracle knows the cells of the table and what each action leaves; pydicom walks the output. It
knows nothing of the engine: where a compound lets the type decide, the place is chosen so that the
type is plain (not known at the top level, type 3 in the items).
"""

from __future__ import annotations

import csv
import itertools
import random
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomcore.deident import (
    Deidentifier,
    KnownIdentifiers,
    PatientIdentity,
    parse_options,
    shipped_profile,
)
from dicomcore.deident.rules import Operation, Place, Rules

OPTIONS = (
    *("RetainSafePrivate", "RetainUIDs", "RetainDeviceIdent", "RetainInstitutionIdent"),
    *("RetainPatientChars", "RetainLongFullDates", "RetainLongModifDates"),
    *("CleanDesc", "CleanStructdCont", "CleanGraph"),
)
DATES = {"RetainLongFullDates", "RetainLongModifDates"}
BASIC, ARIA = "BasicSecurityProfile.csv", "AriaSecurityProfile.csv"
CHOSEN = [
    (),
    *itertools.combinations(OPTIONS, 1),
    *(pair for pair in itertools.combinations(OPTIONS, 2) if set(pair) != DATES),
]
LATER_VRS = {
    **dict.fromkeys(("0008,1301", "0008,1302", "0008,1303", "0008,1304", "0010,0011"), "SQ"),
    **dict.fromkeys(("0010,0014", "0010,0015", "0010,0041", "0010,0043", "0010,0044"), "SQ"),
    **dict.fromkeys(("0010,0012", "0010,0013", "0010,0016", "0010,0042", "0010,0045"), "LT"),
    **dict.fromkeys(("0040,A034", "0040,A035", "0040,B034", "0040,B036"), "DT"),
    **dict.fromkeys(("0040,B03B", "0040,B03F"), "LO"),
    "0010,0046": "SQ",
    "0010,0047": "UR",
    "0010,2162": "UC",
    "0040,E012": "UR",
}
INSTANCES = {"50xx,xxxx": "5002,3000", "60xx,3000": "6002,3000", "60xx,4000": "6002,4000"}
NEST = Tag(0x0008, 0x1115)  # Referenced Series Sequence: not in the table, knows none of its tags
SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
DEPTHS = 4
TEXTS = {"LO", "LT", "ST", "UT", "UC"}
SHORT_TEXTS = {"SH", "AE"}
DAY = date(2024, 1, 15)
SECRET = b"Smith"


class Row:
    def __init__(self, number: int, cells: dict[str, str]) -> None:
        self.number = number
        self.text = INSTANCES.get(cells["tag"], cells["tag"])
        self.tag = Tag(int(self.text.replace(",", ""), 16))
        self.vr = LATER_VRS.get(self.text) or dictionary_VR(self.tag)[:2]
        self.basic = cells["BasicProfile"].rstrip("*").split("/")
        self.cells = {option: cells[option] for option in OPTIONS if cells[option]}

    def action(self, options: tuple[str, ...], depth: int) -> str:
        """The letter that the table asks for here."""
        cells = {self.cells[option] for option in options if option in self.cells}
        basic = "U" if "U" in self.basic else self.basic[0 if depth else -1]
        chosen = "C" if "C" in cells else "K" if "K" in cells else basic
        # no program can look for a name in bits: then what Basic does
        return basic if chosen == "C" and self.vr in ("OB", "OW") else chosen


@cache
def rows(profile: str) -> list[Row]:
    text = files("dicomcore.deident.tables").joinpath(profile).read_text()
    table = list(csv.DictReader(text.splitlines()))
    assert len(table) == 656
    of_data_sets = [
        cells
        for cells in table
        if "[" not in cells["tag"] and cells["tag"][:4] not in ("0000", "0002")
    ]
    return [Row(number, cells) for number, cells in enumerate(of_data_sets)]


def original_value(row: Row) -> object:
    match row.vr:
        case vr if vr in TEXTS:
            return f"Smith PTV q{row.number} 20240115"
        case vr if vr in SHORT_TEXTS:
            return f"Smith PTV q{row.number}"
        case "CS":
            return f"PTVQ{row.number}"
        case "SQ":
            inner = Dataset()
            inner.CodeMeaning = f"Smith PTV q{row.number}"
            inner.ReferencedSOPInstanceUID = uid(row)
            inner.PatientName = "Smith^John"
            return Sequence([inner])
    plain: dict[str, object] = {
        **dict.fromkeys(("OB", "OW", "UN"), b"\1\2\3\4\5\6"),
        "PN": "Smith^John",
        "AS": "045Y",
        "DA": "20240115",
        "TM": "235959",
        "DT": "20240115235959.5+0100",
        "DS": "7.5",
        "IS": "7",
        "US": 7,
        "UI": uid(row),
        "UR": "http://x.org/1",
    }
    return plain[row.vr]


def uid(row: Row) -> str:
    return f"1.2.3.{row.number + 1}"


def level(profile: str, depth: int) -> Dataset:
    """All rows, and below them the next level."""
    ds = Dataset()
    for row in rows(profile):
        ds[row.tag] = DataElement(row.tag, row.vr, original_value(row))
    ds[Tag(0x0008, 0x0016)] = DataElement(Tag(0x0008, 0x0016), "UI", "1.2.3.4.5.6.7.8")
    ds[Tag(0x0019, 0x0010)] = DataElement(Tag(0x0019, 0x0010), "LO", "SMITH CORP")
    ds[Tag(0x0019, 0x1001)] = DataElement(Tag(0x0019, 0x1001), "LO", "Smith")
    if depth + 1 < DEPTHS:
        ds[NEST] = DataElement(NEST, "SQ", Sequence([level(profile, depth + 1)]))
    return ds


@cache
def original(profile: str, syntax: str) -> bytes:
    ds = level(profile, 0)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = "1.2.3.4.5.6.7.8"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    stream = BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def levels(ds: Dataset) -> Iterator[tuple[int, Dataset]]:
    for depth in range(DEPTHS):
        yield depth, ds
        if depth + 1 < DEPTHS:
            ds = ds[NEST].value[0]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    ("profile", "options"),
    [
        *((BASIC, options) for options in CHOSEN),
        *((ARIA, options) for options in CHOSEN if "CleanDesc" in options),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else value[:4],
)
def test_every_row_is_treated_as_its_cells_say_at_every_depth(
    profile: str, options: tuple[str, ...], syntax: str
) -> None:
    known = KnownIdentifiers(names=frozenset(("smith", "john")))
    deidentifier = Deidentifier(
        shipped_profile(profile),
        parse_options(options),
        b"k" * 32,
        PatientIdentity(f"Smith PTV q{_row(profile, '0010,0020').number} 20240115", "NEW-1", "NEW"),
        known,
    )

    output = deidentifier.apply(original(profile, syntax)).to_bytes()

    assert SECRET.lower() not in output.lower()
    problems = []
    mapped: dict[str, str] = {}
    for depth, ds in levels(dcmread(BytesIO(output))):
        assert not [tag for tag in ds.keys() if tag.group % 2]  # noqa: SIM118 - no conversion
        for row in rows(profile):
            action = row.action(options, depth)
            if depth == 0 and row.text in ("0010,0010", "0010,0020"):
                assert str(ds[row.tag].value).startswith("NEW")
                continue
            if row.text.startswith("6002"):
                action = "X"  # Overlay Data is of type 1: the plane goes as a whole
            problem = wrong(row, action, ds, options, mapped)
            if problem:
                problems.append(f"{row.text} {row.vr} at depth {depth}: {action}: {problem}")
    assert not problems
    assert len(set(mapped.values())) == len(mapped)


def _row(profile: str, text: str) -> Row:
    return next(row for row in rows(profile) if row.text == text)


def wrong(
    row: Row, action: str, ds: Dataset, options: tuple[str, ...], mapped: dict[str, str]
) -> str:
    """What is wrong with an element; empty if nothing is."""
    if action == "X" or row.tag not in ds:
        return {(True, True): "there", (False, False): "gone"}.get(
            (action == "X", row.tag in ds), ""
        )
    value = value_of(row, ds)
    if action == "Z":
        return "not empty" if value else ""
    if row.vr == "SQ":
        return wrong_sequence(row, action, value, options, mapped)
    if action == "U" or (action == "D" and row.vr == "UI"):
        new = mapped.setdefault(uid(row), str(value))
        good = new == value and new.startswith("2.25.")
    elif action == "D":
        good = value not in (None, "", b"", original_value(row))
    elif action == "C" and row.vr in ("DA", "DT", "TM"):
        return moved(row, str(value))
    else:
        good = _plain(value) == (kept(row) if action == "K" else cleaned(row))
    return "" if good else f"is {value!r}"


def value_of(row: Row, ds: Dataset) -> object:
    """The value; where the dictionary at hand is older than the attribute, by the row's VR."""
    raw = ds.get_item(row.tag, keep_deferred=True)
    if isinstance(raw, RawDataElement) and row.text in LATER_VRS:
        return convert_raw_data_element(raw._replace(VR=row.vr)).value
    return ds[row.tag].value


def wrong_sequence(
    row: Row, action: str, value: object, options: tuple[str, ...], mapped: dict[str, str]
) -> str:
    if not isinstance(value, Sequence) or len(value) != 1:
        return "not one item"
    if action == "D":
        return "" if "PTV" not in str(value[0]) else "content"
    item = value[0]
    if item.CodeMeaning != f"PTV q{row.number}" or item.PatientName:
        return "not recursed into"
    if "RetainUIDs" in options:
        return "" if item.ReferencedSOPInstanceUID == uid(row) else "UID not kept"
    new = mapped.setdefault(uid(row), str(item.ReferencedSOPInstanceUID))
    return "" if new == item.ReferencedSOPInstanceUID else "UID not mapped"


def kept(row: Row) -> object:
    """Kept text loses known names only."""
    if row.vr in TEXTS:
        return f"PTV q{row.number} 20240115"
    return f"PTV q{row.number}" if row.vr in SHORT_TEXTS else _plain(original_value(row))


def cleaned(row: Row) -> object:
    return f"PTV q{row.number}" if row.vr in TEXTS else kept(row)


def _plain(value: object) -> object:
    return value if isinstance(value, bytes | int) else str(value)


def moved(row: Row, value: str) -> str:
    if row.vr == "TM":
        return "" if value == "235959" else "time changed"
    day = date.fromisoformat(value[:8])
    if value[8:] != str(original_value(row))[8:]:
        return "time or zone changed"
    return "" if timedelta(days=1) <= DAY - day <= timedelta(days=3650) else "not moved"


def test_the_aria_profile_keeps_125_descriptors_and_differs_in_nothing_else() -> None:
    pairs = list(zip(rows(BASIC), rows(ARIA), strict=True))

    different = [(basic, aria) for basic, aria in pairs if basic.cells != aria.cells]

    assert len(different) == 125
    assert all(basic.basic == aria.basic and basic.tag == aria.tag for basic, aria in pairs)
    for basic, aria in different:
        assert basic.cells["CleanDesc"] == "C"
        assert aria.cells == basic.cells | {"CleanDesc": "K"}


LETTERS = {
    "X": {Operation.REMOVE},
    "Z": {Operation.EMPTY},
    "D": {Operation.DUMMY, Operation.DUMMY_ITEMS, Operation.UID},
    "U": {Operation.UID, Operation.ITEMS},
    "K": {
        *(Operation.KEEP, Operation.SCRUB, Operation.CODED, Operation.ITEMS),
        *(Operation.DATE_KEEP, Operation.UID_KEEP),
    },
    "C": {
        *(Operation.CLEAN, Operation.CODED, Operation.ITEMS, Operation.DATE_SHIFT),
        *(Operation.UID, Operation.DUMMY),
    },
}
"""What each letter of the table may be; which one of them, the tests of values say."""


@pytest.mark.parametrize("profile", [BASIC, ARIA])
def test_all_768_legal_option_sets_resolve_every_row_as_its_cells_say(profile: str) -> None:
    shipped = shipped_profile(profile)
    places = (Place(""), Place("", NEST))
    legal = [
        chosen
        for count in range(len(OPTIONS) + 1)
        for chosen in itertools.combinations(OPTIONS, count)
        if not set(chosen) >= DATES
    ]
    # what decides is a row's cells, its VR and its place: one row of each kind for every set
    kinds = {(row.vr, *row.basic, *row.cells.items()): row for row in rows(profile)}

    wrong_ones = []
    for chosen in legal:
        made = Rules(shipped, parse_options(chosen))
        for row in kinds.values():
            for depth, place in enumerate(places):
                action = "X" if row.text.startswith("6002") else row.action(chosen, depth)
                rule = made.rule(int(row.tag), b"", place)
                if rule.operation not in LETTERS[action] or rule.tag != row.tag:
                    wrong_ones.append((chosen, row.text, depth, action, rule.operation))

    assert len(legal) == 768
    assert len(kinds) > 60
    assert not wrong_ones


@pytest.mark.parametrize("seed", range(8))
def test_any_legal_options_treat_every_row_alike_whatever_the_others_are(seed: int) -> None:
    """Sets of three and more, drawn at random, on real bytes: as for pairs."""
    rng = random.Random(seed)
    options = tuple(sorted(rng.sample(OPTIONS, rng.randrange(3, len(OPTIONS)))))
    if set(options) >= DATES:
        options = tuple(option for option in options if option != "RetainLongFullDates")

    test_every_row_is_treated_as_its_cells_say_at_every_depth(
        rng.choice((BASIC, ARIA)), options, rng.choice(SYNTAXES)
    )
