"""Write the tables of `dicomcore.deident` from the facts of the DICOM standard; run by hand, once an edition.

    python tools/make_deident_tables.py E.1-1.csv aria_differences.csv E.3.10-1.csv STANDARD_FOLDER

The first three are PS3.15 tables E.1-1 and E.3.10-1, and the attributes in which the ARIA profile differs.
The folder holds PS3.3 as JSON (`iod_module_map.json`, `module_attribute_map.json`,
`sop_class_iod_map.json`), in the form in which the package highdicom has it.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pydicom.datadict import dictionary_VR, tag_for_keyword

TABLES = Path(__file__).parents[1] / "libs/dicomcore/dicomcore/deident/tables"
OPTIONS = (
    *("RetainSafePrivate", "RetainUIDs", "RetainDeviceIdent", "RetainInstitutionIdent"),
    *("RetainPatientChars", "RetainLongFullDates", "RetainLongModifDates"),
    *("CleanDesc", "CleanStructdCont", "CleanGraph"),
)
PRIVATE = "[0-9A-F]{3}[13579BDF],[0-9A-F]{4}"
STRONGEST_FIRST = ("1", "1C", "2", "2C")
REPLACED_VRS = frozenset(("PN", "DA", "TM", "DT", "LO", "SH", "ST", "LT", "UT", "UC", "UR", "AE"))

Row = dict[str, str]


def main(arguments: Sequence[str]) -> None:
    """Write every table."""
    e11, aria, safe_private, standard = map(Path, arguments)
    rows = list(csv.DictReader(e11.open(newline="")))
    differences = list(csv.DictReader(aria.open(newline="")))
    write("BasicSecurityProfile.csv", profile(rows, ()))
    write("AriaSecurityProfile.csv", profile(rows, differences))
    write("SafePrivate.csv", safe(csv.DictReader(safe_private.open(newline=""))))
    iods = json.loads((standard / "iod_module_map.json").read_text())
    modules = json.loads((standard / "module_attribute_map.json").read_text())
    classes = json.loads((standard / "sop_class_iod_map.json").read_text())
    listed = {tag for row in rows if (tag := number(pattern(row["tag"]))) is not None}
    write("AttributeTypes.csv", types(iods, modules, listed))
    write("Iods.csv", [("sop_class_uid", "iod"), *sorted(classes.items())])


def write(name: str, lines: Iterable[Sequence[str]]) -> None:
    """Write one CSV file."""
    with (TABLES / name).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def profile(rows: Iterable[Row], differences: Iterable[Row]) -> Iterator[Sequence[str]]:
    """Yield a profile's rows; `differences` replace cells."""
    other = {(row["tag"].upper(), row["column"]): row["aria_value"] for row in differences}
    yield ("tag", "name", "BasicProfile", *OPTIONS)
    for row in rows:
        tag = pattern(row["tag"])
        options = (other.get((tag, option), row[option]) for option in OPTIONS)
        yield (tag, row["name"], row["BasicProfile"], *options)


def pattern(tag: str) -> str:
    """Return the tag pattern as profiles have it."""
    if "odd" in tag:
        return PRIVATE
    return tag.strip("()").upper().replace("X", "x")


def number(tag: str) -> int | None:
    """Return an exact tag, or None for a pattern."""
    try:
        return int(tag.replace(",", ""), 16)
    except ValueError:
        return None


def safe(rows: Iterable[Row]) -> Iterator[Sequence[str]]:
    """Yield the safe private attributes."""
    yield ("group", "creator", "element", "VR")
    for row in rows:
        tag = row["Data Element"].strip("()").lower()
        group, element = tag.split(",")
        yield (group.upper(), row["Private Creator"], element[2:].upper(), row["VR"])


def types(
    iods: Mapping[str, Sequence[Row]],
    modules: Mapping[str, Sequence[Mapping[str, object]]],
    listed: set[int],
) -> Iterator[Sequence[str]]:
    """Yield a row for each attribute and type: the IODs (`*`: all but these) and sequences it is in."""
    found: dict[tuple[int, str], str] = {}
    for iod, usages in iods.items():
        for usage in usages:
            for entry in modules.get(usage["key"], ()):
                path = entry["path"]
                keyword = str(path[-1]) if isinstance(path, list) and path else ""
                where = f"{tag_for_keyword(keyword):08X}" if keyword else iod
                note(found, listed, where, entry)
    grouped: dict[tuple[int, str], list[str]] = defaultdict(list)
    for (tag, where), kind in found.items():
        grouped[tag, kind].append(where)
    yield ("tag", "type", "iods", "sequences")
    for (tag, kind), where in sorted(grouped.items()):
        top = {w for w in where if w in iods}
        nested = sorted(w for w in where if w not in iods)
        yield (f"{tag:08X}", kind, places(top, set(iods)), " ".join(nested))


def places(top: set[str], iods: set[str]) -> str:
    """Return the IODs, or `*` and those that are not meant, whichever is shorter."""
    if 2 * len(top) <= len(iods):
        return " ".join(sorted(top))
    return " ".join(("*", *sorted(iods - top)))


def note(
    found: dict[tuple[int, str], str], listed: set[int], where: str, entry: Mapping[str, object]
) -> None:
    """Keep the strongest type that any module gives an attribute in one place."""
    kind, tag = str(entry["type"]), tag_for_keyword(str(entry["keyword"]))
    if tag is None or kind not in STRONGEST_FIRST:
        return
    if dictionary_VR(tag) == "UI" or not (tag in listed or dictionary_VR(tag) in REPLACED_VRS):
        return
    known = found.get((tag, where), kind)
    found[tag, where] = min(known, kind, key=STRONGEST_FIRST.index)


if __name__ == "__main__":
    main(sys.argv[1:])
