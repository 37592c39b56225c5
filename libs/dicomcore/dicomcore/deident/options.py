"""The options of a profile, by the names that the original uses, and their codes."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from dicomcore.errors import InvalidRequest

BASIC_PROFILE = "BasicProfile"
"""May stand among the options, as it does in existing settings; it is always in force."""


class Option(StrEnum):
    """One column of a profile after the Basic one, in the order of PS3.15 table E.1-1."""

    RETAIN_SAFE_PRIVATE = "RetainSafePrivate"
    RETAIN_UIDS = "RetainUIDs"
    RETAIN_DEVICE_IDENT = "RetainDeviceIdent"
    RETAIN_INSTITUTION_IDENT = "RetainInstitutionIdent"
    RETAIN_PATIENT_CHARS = "RetainPatientChars"
    RETAIN_LONG_FULL_DATES = "RetainLongFullDates"
    RETAIN_LONG_MODIF_DATES = "RetainLongModifDates"
    CLEAN_DESC = "CleanDesc"
    CLEAN_STRUCTD_CONT = "CleanStructdCont"
    CLEAN_GRAPH = "CleanGraph"


Options = frozenset[Option]

BASIC_CODE = ("113100", "Basic Application Confidentiality Profile")
CODES = {
    Option.CLEAN_GRAPH: ("113103", "Clean Graphics Option"),
    Option.CLEAN_STRUCTD_CONT: ("113104", "Clean Structured Content Option"),
    Option.CLEAN_DESC: ("113105", "Clean Descriptors Option"),
    Option.RETAIN_LONG_FULL_DATES: (
        "113106",
        "Retain Longitudinal Temporal Information Full Dates Option",
    ),
    Option.RETAIN_LONG_MODIF_DATES: (
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    ),
    Option.RETAIN_PATIENT_CHARS: ("113108", "Retain Patient Characteristics Option"),
    Option.RETAIN_DEVICE_IDENT: ("113109", "Retain Device Identity Option"),
    Option.RETAIN_UIDS: ("113110", "Retain UIDs Option"),
    Option.RETAIN_SAFE_PRIVATE: ("113111", "Retain Safe Private Option"),
    Option.RETAIN_INSTITUTION_IDENT: ("113112", "Retain Institution Identity Option"),
}
"""Code Value and Code Meaning in CID 7050 (PS3.16), Coding Scheme Designator DCM."""

_BY_NAME = {option.value.lower(): option for option in Option}


def parse_options(names: Iterable[str]) -> Options:
    """Return the options in force, from their names in any case.

    Raises
    ------
    InvalidRequest
        A name is not known, or the names exclude each other.
    """
    options: set[Option] = set()
    for name in names:
        folded = name.strip().lower()
        if folded == BASIC_PROFILE.lower():
            continue
        if folded not in _BY_NAME:
            raise InvalidRequest("no such option of an anonymisation profile", option=name[:64])
        options.add(_BY_NAME[folded])
    return legal(options)


def legal(options: Iterable[Option]) -> Options:
    """Return the options if they may be in force together.

    Raises
    ------
    InvalidRequest
        Dates cannot be kept as they are and modified at the same time (PS3.15 E.3.6).
    """
    chosen = frozenset(options)
    if {Option.RETAIN_LONG_FULL_DATES, Option.RETAIN_LONG_MODIF_DATES} <= chosen:
        raise InvalidRequest(
            "options exclude each other",
            first=Option.RETAIN_LONG_FULL_DATES.value,
            second=Option.RETAIN_LONG_MODIF_DATES.value,
        )
    return chosen
