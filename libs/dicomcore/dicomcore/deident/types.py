"""Which attributes an IOD requires: types 1, 1C, 2 and 2C of those that a profile could take away."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from dicomcore.deident.tables import read_table
from dicomcore.deident.vrs import dictionary_vr


class AttributeType(StrEnum):
    """PS3.5 7.4."""

    ONE = "1"
    ONE_C = "1C"
    TWO = "2"
    TWO_C = "2C"
    THREE = "3"


# plan classes that are an RT Plan under another name
_PRIVATE_CLASSES = {"1.2.246.352.70.1.70": "rt-plan"}


@dataclass(frozen=True, slots=True)
class _Types:
    iods: Mapping[str, str]
    """Name of the IOD by SOP Class UID."""
    top: Mapping[tuple[str, int], AttributeType]
    """By IOD and tag."""
    nested: Mapping[tuple[int, int], AttributeType]
    """By the sequence that holds the item, and tag: the strongest of all modules."""


def iod_of(sop_class_uid: str) -> str:
    """Return the name of an SOP class's IOD; empty if it is not known."""
    return _PRIVATE_CLASSES.get(sop_class_uid) or _types().iods.get(sop_class_uid, "")


def attribute_type(tag: int, *, iod: str, parent: int) -> AttributeType | None:
    """Return an attribute's type, or None if nothing is known of where it is.

    Parameters
    ----------
    iod
        Name of the IOD; counts at the top level only.
    parent
        Tag of the sequence that holds the item, 0 at the top level.

    Notes
    -----
    PS3.3, module by module. An attribute that the IOD does not name was added to it (a standard
    extended SOP class) and may go: type 3.
    """
    types = _types()
    if parent:
        if parent >> 16 & 1 or dictionary_vr(parent) is None:
            return None
        return types.nested.get((parent, tag), AttributeType.THREE)
    if not iod:
        return None
    return types.top.get((iod, tag), AttributeType.THREE)


@lru_cache(maxsize=1)
def _types() -> _Types:
    iods = {row["sop_class_uid"]: row["iod"] for row in _rows("Iods.csv")}
    names = sorted(set(iods.values()))
    top: dict[tuple[str, int], AttributeType] = {}
    nested: dict[tuple[int, int], AttributeType] = {}
    for row in _rows("AttributeTypes.csv"):
        tag, kind = int(row["tag"], 16), AttributeType(row["type"])
        top.update(dict.fromkeys(((name, tag) for name in _named(row["iods"], names)), kind))
        nested.update(((int(parent, 16), tag), kind) for parent in row["sequences"].split())
    return _Types(iods, top, nested)


def _named(cell: str, names: list[str]) -> list[str]:
    """Return the IODs that a cell names: these, or all (`*`) but these."""
    listed = cell.split()
    if listed[:1] != ["*"]:
        return listed
    return [name for name in names if name not in listed]


def _rows(name: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(read_table(name).splitlines())
