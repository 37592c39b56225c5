"""The DICOM dictionary (PS3.6): VRs and keywords of tags.

The tables are pydicom's. They are loaded by themselves: all of pydicom takes longer to load than a
thousand files take to be searched.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import NamedTuple

_PACKAGE, _TABLES = "pydicom", "_dicom_dict"
Entry = tuple[str, str, str, str, str]
"""VR, value multiplicity, name, `Retired` or nothing, keyword."""


@lru_cache(maxsize=8192)
def vr_of_tag(tag: int) -> str:
    """Return the VR of a public tag, `US or SS` and the like if it has several; empty if unknown."""
    entry = _entry(tag)
    return entry[0] if entry is not None else ""


def keyword_of_tag(tag: int) -> str:
    """Return the keyword of a public tag; empty if it has none."""
    entry = _entry(tag)
    return entry[4] if entry is not None else ""


@lru_cache(maxsize=1)
def tags_by_keyword() -> Mapping[str, int]:
    """Return the tags that are no patterns, by keyword."""
    return {entry[4]: tag for tag, entry in _dictionary().tags.items() if entry[4]}


class _Dictionary(NamedTuple):
    tags: Mapping[int, Entry]
    patterns: Mapping[tuple[int, int], Entry]
    """Repeating groups (PS3.5 7.6), by what a tag is after the second number was masked out of it."""


def _entry(tag: int) -> Entry | None:
    dictionary = _dictionary()
    entry = dictionary.tags.get(tag)
    if entry is None and not tag >> 16 & 1:
        for (value, mask), repeated in dictionary.patterns.items():
            if tag & mask == value:
                return repeated
    return entry


@lru_cache(maxsize=1)
def _dictionary() -> _Dictionary:
    loaded = f"{_PACKAGE}.{_TABLES}"
    tables = sys.modules.get(loaded) or _alone(_PACKAGE, _TABLES) or import_module(loaded)
    return _Dictionary(
        tables.DicomDictionary,
        {_pattern(text): entry for text, entry in tables.RepeatersDictionary.items()},
    )


def _alone(package: str, module_name: str) -> ModuleType | None:
    """Return a module without the package that it is in; None if it is not there."""
    found = find_spec(package)
    if found is None:
        return None
    spec = PathFinder.find_spec(module_name, found.submodule_search_locations)
    if spec is None or spec.loader is None:
        return None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _pattern(text: str) -> tuple[int, int]:
    """Return value and mask for eight hexadecimal digits of which an x is any: 60xx3000."""
    mask = int("".join("0" if digit == "x" else "F" for digit in text), 16)
    return int(text.replace("x", "0"), 16), mask
