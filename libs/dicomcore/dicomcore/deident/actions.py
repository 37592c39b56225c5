"""Actions of a profile, alone and in compounds, and which one is taken for an attribute's type."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from dicomcore.deident.types import AttributeType


class Action(StrEnum):
    """What is done to an attribute (PS3.15 table E.1-1a)."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"
    CLEAN = "C"
    KEEP = "K"


Choice = tuple[Action, ...]
"""One action, or a compound from which the attribute's type chooses; as written, without `*`."""

_PROTECTION = "XZDUCK"
"""Most protective first: which of the columns of several options in force is followed."""
_PROTOTYPES = (Action.REMOVE, Action.EMPTY, Action.DUMMY)


def parse_choice(text: str) -> Choice | None:
    """Return the actions of a cell such as `X`, `X/Z/D` or `X/Z/U*`; None if it is none of those."""
    try:
        return tuple(Action(part) for part in text.strip().upper().removesuffix("*").split("/"))
    except ValueError:
        return None


def most_protective(choices: Iterable[Choice]) -> Choice:
    """Return the choice of several options' columns that leaves least.

    A date that one option keeps and another one modifies is modified: kept beside modified ones it
    would tell by how much those were moved.
    """
    return min(choices, key=lambda choice: _PROTECTION.index(choice[0].value))


def resolve(choice: Choice, attribute_type: AttributeType | None) -> Action:
    """Return the action for an attribute of this type; None: its type is not known.

    Notes
    -----
    PS3.15 E.1.1: of a compound, removal unless the IOD needs the attribute (type 2) or a value (type
    1). A single X or Z gives way as well where the attribute is required without condition, so that
    no object becomes invalid. Where the type is not known, a dummy is valid for every type and
    leaves nothing.

    `X/Z/U*` is always U: the sequences that have it are references between instances, which an
    export must keep whole, and with mapped UIDs they tell nothing.
    """
    if Action.UID in choice or choice[0] not in _PROTOTYPES:
        return Action.UID if Action.UID in choice else choice[0]
    if attribute_type is None:
        return choice[-1]
    needed = _needed(attribute_type, compound=len(choice) > 1)
    enough = [a for a in choice if a in _PROTOTYPES[_PROTOTYPES.index(needed) :]]
    return enough[0] if enough else needed


def _needed(attribute_type: AttributeType, *, compound: bool) -> Action:
    """Return what the IOD needs; a condition of a single action is left to the table's authors."""
    if attribute_type is AttributeType.ONE:
        return Action.DUMMY
    if attribute_type is AttributeType.TWO:
        return Action.EMPTY
    if compound and attribute_type is AttributeType.ONE_C:
        return Action.DUMMY
    if compound and attribute_type is AttributeType.TWO_C:
        return Action.EMPTY
    return Action.REMOVE
