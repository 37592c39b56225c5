"""What is done to one attribute in one place: profile, options, type and VR brought together."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from dicomcore.deident.actions import Action, Choice, parse_choice, resolve
from dicomcore.deident.options import Option, Options
from dicomcore.deident.profile import Profile, Row, supplement
from dicomcore.deident.tables import read_table
from dicomcore.deident.types import AttributeType, attribute_type
from dicomcore.deident.vrs import DATES, FREE_TEXT, NUMBERS_AS_TEXT, effective_vr

SPECIFIC_CHARACTER_SET = 0x00080005
_OVERLAY_DATA = 0x3000
_LABELS_AMONG_CODES = frozenset((0x00700002, 0x00700080))
"""Graphic Layer and Content Label are CS, but people choose them: names are looked for in them."""
_CODED = NUMBERS_AS_TEXT | {b"CS", b"AS"}


class Operation(Enum):
    """What the engine does to an element."""

    KEEP = auto()
    REMOVE = auto()
    EMPTY = auto()
    DUMMY = auto()
    DUMMY_ITEMS = auto()
    UID = auto()
    UID_KEEP = auto()
    ITEMS = auto()
    SCRUB = auto()
    """Text, freed of known identifiers."""
    CLEAN = auto()
    """Text, freed of known identifiers, dates, addresses and long numbers."""
    CODED = auto()
    """Coded terms and numbers, freed of whole IDs and dates."""
    DATE_KEEP = auto()
    DATE_SHIFT = auto()
    CHARSET = auto()
    PADDING = auto()
    """Zeros: an element of group 0000, or what fills the end of the data set."""
    CREATOR = auto()
    PRIVATE = auto()
    """A private attribute that stays if its creator proves it safe."""
    PRIVATE_KEEP = auto()
    """A private attribute that a profile keeps; its VR must be written."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a data set is: at the top level of an IOD, or in an item of a sequence."""

    iod: str
    parent: int = 0
    """Tag of the sequence, 0 at the top level."""
    cleaned: bool = False
    """Whether the sequence, or one around it, is to be cleaned."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done to one attribute."""

    tag: int
    vr: bytes
    """Effective; empty where nothing is known."""
    operation: Operation
    valued: bool = False
    """Whether a value that had to go is replaced by a dummy, because the IOD needs one."""
    cleaned: bool = False
    """Of ITEMS: whether what is in the items is cleaned."""


class Rules:
    """A profile under its options."""

    def __init__(self, profile: Profile, options: Options) -> None:
        self._profile = profile
        self._options = options
        self._keeps_labels = profile.keeps_labels

    def rule(self, tag: int, written: bytes, place: Place) -> Rule:
        """Return what is done to an attribute.

        Parameters
        ----------
        written
            The VR in the data set; empty where VRs are implicit.

        Raises
        ------
        Unreadable
            What is written is no VR, or contradicts the attribute.
        """
        group, element = tag >> 16, tag & 0xFFFF
        if group & 1:
            return Rule(tag, written, self._private(tag, element))
        vr = effective_vr(tag, written)
        row = self._profile.row(tag)
        if vr is None and row is not None and written != b"UN":
            vr = written or None
        if group in (0x0000, 0x0002) or not element or vr is None:
            # command and file meta elements, group lengths, and what nothing is known of
            return Rule(tag, vr or written, Operation.REMOVE)
        if tag == SPECIFIC_CHARACTER_SET:
            return Rule(tag, vr, Operation.CHARSET)
        if self._of_removed_overlay(group):
            return Rule(tag, vr, Operation.REMOVE)
        return self._public(tag, vr, row, place)

    def _public(self, tag: int, vr: bytes, row: Row | None, place: Place) -> Rule:
        kind = attribute_type(tag, iod=place.iod, parent=place.parent)
        choice, basic = self._choice(tag, vr, row)
        action = resolve(choice, kind)
        cleaned = place.cleaned or action is Action.CLEAN
        if place.cleaned and action in (Action.REMOVE, Action.DUMMY) and vr in FREE_TEXT:
            action = Action.CLEAN if row is None else action
        operation = _operation(action, vr, cleaned=cleaned)
        if operation is None:  # cannot be cleaned by a program: what Basic does
            operation = _operation(resolve(basic, kind), vr, cleaned=False) or Operation.REMOVE
        if operation is Operation.CODED and tag in _LABELS_AMONG_CODES:
            operation = Operation.SCRUB
        valued = kind in (None, AttributeType.ONE, AttributeType.ONE_C)
        return Rule(tag, vr, operation, valued=valued, cleaned=cleaned)

    def _choice(self, tag: int, vr: bytes, row: Row | None) -> tuple[Choice, Choice]:
        """Return the choice under the options, and that of Basic alone."""
        if row is not None:
            return row.choice(self._options), row.basic
        row = supplement().row(tag) or _BY_VR.get(vr)
        if row is None:
            return _KEEP, _KEEP
        choice = row.choice(self._options)
        label = choice == (Action.CLEAN,) and Option.CLEAN_DESC in row.by_option
        return (_KEEP if label and self._keeps_labels else choice), row.basic

    def _of_removed_overlay(self, group: int) -> bool:
        """Return whether an overlay plane loses its data: without them it would be invalid.

        Notes
        -----
        PS3.3 C.9.2: Overlay Data (60xx,3000) is of type 1. That bits burned into it show nobody's
        name cannot be checked by a program, so that cleaning it is removing it.
        """
        if group >> 8 != 0x60:
            return False
        row = self._profile.row(group << 16 | _OVERLAY_DATA)
        return row is None or row.choice(self._options) != _KEEP

    def _private(self, tag: int, element: int) -> Operation:
        row = self._profile.row(tag)
        action = Action.REMOVE if row is None else resolve(row.choice(self._options), None)
        if action not in (Action.CLEAN, Action.KEEP):
            return Operation.REMOVE
        if element < 0x0010:
            return Operation.REMOVE
        if element < 0x0100:
            return Operation.CREATOR
        return Operation.PRIVATE_KEEP if action is Action.KEEP else Operation.PRIVATE


def private_rule(tag: int, written: bytes, vr: bytes) -> Rule | None:
    """Return what is done to a private attribute that is safe; None if its VR is not what it must be.

    Parameters
    ----------
    vr
        As the table of safe attributes has it; empty: it does not say.
    """
    known = vr or written
    if known in (b"", b"UN") or written not in (b"", b"UN", known):
        return None
    action = Action.UID if known == b"UI" else Action.KEEP
    operation = _operation(action, known, cleaned=False)
    return None if operation is None else Rule(tag, known, operation)


@lru_cache(maxsize=1)
def safe_private() -> Mapping[tuple[int, str, int], bytes]:
    """Return the VR of each safe private attribute, by group, creator, and element without block.

    Notes
    -----
    PS3.15 table E.3.10-1; a VR that it leaves open is empty.
    """
    return {
        (int(row["group"], 16), row["creator"], int(row["element"], 16)): row["VR"].encode("ascii")
        for row in csv.DictReader(read_table("SafePrivate.csv").splitlines())
    }


def _operation(action: Action, vr: bytes, *, cleaned: bool) -> Operation | None:
    """Return what an action is for a VR; None if no program can do it."""
    if action is Action.REMOVE:
        return Operation.REMOVE
    if action is Action.EMPTY:
        return Operation.EMPTY
    if action is Action.KEEP:
        return _kept(vr, cleaned=cleaned)
    if action is Action.CLEAN:
        return _cleaned(vr)
    if vr == b"SQ":
        return Operation.ITEMS if action is Action.UID else Operation.DUMMY_ITEMS
    return Operation.UID if vr == b"UI" else Operation.DUMMY


def _kept(vr: bytes, *, cleaned: bool) -> Operation:
    if vr == b"SQ":
        return Operation.ITEMS
    if vr in FREE_TEXT or vr == b"PN":
        return Operation.CLEAN if cleaned else Operation.SCRUB
    if vr in DATES:
        return Operation.DATE_KEEP
    if vr == b"UI":
        return Operation.UID_KEEP
    return Operation.CODED if vr in _CODED else Operation.KEEP


def _cleaned(vr: bytes) -> Operation | None:
    if vr == b"SQ":
        return Operation.ITEMS
    if vr in FREE_TEXT:
        return Operation.CLEAN
    if vr in DATES:
        return Operation.DATE_SHIFT
    if vr == b"UI":
        return Operation.UID
    if vr == b"PN":
        return Operation.DUMMY
    return Operation.CODED if vr in _CODED else None


def _row(basic: str, **options: str) -> Row:
    by_option = {Option(name): parse_choice(cell) or _KEEP for name, cell in options.items()}
    return Row(0, parse_choice(basic) or _KEEP, by_option)


_KEEP: Choice = (Action.KEEP,)
_DESCRIPTOR = _row("X/Z/D", CleanDesc="C")
_DATE = _row("X/Z/D", RetainLongFullDates="K", RetainLongModifDates="C")
_BY_VR: Mapping[bytes, Row] = {
    b"UI": _row("U", RetainUIDs="K"),
    b"PN": _row("X/Z/D"),
    b"AE": _row("X/Z/D", RetainDeviceIdent="C"),
    b"UR": _row("X/Z/D"),
    **dict.fromkeys(DATES, _DATE),
    **dict.fromkeys(FREE_TEXT - {b"AE", b"UR"}, _DESCRIPTOR),
}
"""What is done to attributes that neither a profile nor the supplement names: fail closed."""
