"""Terms `path=value`, and whether an instance fulfils several of them.

All terms must hold on the same instance. Terms whose paths begin with the same sequences must hold in
the same items of these sequences, level by level:

- `BeamSequence/BeamName=AP` and `BeamSequence/TreatmentMachineName=TB1`: one beam has both.
- `BeamSequence/BeamName=AP` and `BeamSequence/ControlPointSequence/GantryAngle=180`: the beam of that
  name has a control point of that angle.
- `BeamSequence/ControlPointSequence/GantryAngle=180` and `…/CollimatorAngle=10`: one control point.
- `BeamSequence/BeamName=AP` and `FractionGroupSequence/NumberOfFractionsPlanned=5`: any item of each.
- `PatientID=P1` and `BeamSequence/BeamName=AP`: nothing is shared but the instance.

Values that are asked for (`=?`) are told from items that fulfil all terms about them: with
`BeamSequence/BeamName=AP`, `BeamSequence/TreatmentMachineName=?` tells the machine of that beam only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dicomcore.criteria import Asked, Criterion, Value, parse_criterion
from dicomcore.tagpath import Path, Step, expected, print_path, read_path

MAX_TERM_LENGTH = 4096
"""In characters."""


@dataclass(frozen=True, slots=True)
class Term:
    """An attribute, and what its value has to be."""

    path: Path
    criterion: Criterion = field(repr=False)

    def __str__(self) -> str:
        return f"{print_path(self.path)}={self.criterion}"


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a data set, or of one item of a sequence."""

    values: Mapping[Step, Sequence[Value]] = field(default_factory=dict, repr=False)
    """An attribute that is there and empty has one value: the empty text."""
    items: Mapping[Step, Sequence[Found]] = field(default_factory=dict)


Told = tuple[tuple[str, ...], ...]
"""The distinct values of each term that asks (`=?`), in order of terms, then of the instance."""


def parse_term(text: str) -> Term:
    """Return the term that a text spells: a tag path, `=`, and what the value has to be.

    See `dicomcore.tagpath.read_path` for the left side, `dicomcore.criteria` for the right one.

    Raises
    ------
    InvalidRequest
        It spells none. `position` counts characters from 1, `expected` says what belongs there; the
        text itself is not quoted.
    """
    if len(text) > MAX_TERM_LENGTH:
        raise expected(f"at most {MAX_TERM_LENGTH} characters", MAX_TERM_LENGTH)
    path, end = read_path(text)
    if text[end : end + 1] != "=":
        raise expected("'=' and a value, or '=?' to ask for it", end)
    last = path[-1]
    criterion = parse_criterion(text[end + 1 :], last.value_class, last.vr, end + 1)
    return Term(path, criterion)


class Query:
    """Several terms, all of which an instance has to fulfil."""

    def __init__(self, terms: Iterable[Term]) -> None:
        self.terms = tuple(terms)
        """As given."""
        self.asked = tuple(term for term in self.terms if isinstance(term.criterion, Asked))
        """The terms whose values are told."""
        numbered = enumerate(self.terms)
        self._root = _level([(term.path, number, term.criterion) for number, term in numbered])
        self._asked = tuple(n for n, t in enumerate(self.terms) if isinstance(t.criterion, Asked))

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every path that a term looks at, once."""
        return tuple(dict.fromkeys(term.path for term in self.terms))

    def answer(self, found: Found) -> Told | None:
        """Return the values that are asked for, or None if the instance does not fulfil all terms."""
        told: dict[int, Sequence[Value]] = {}
        if not _holds(self._root, found, told):
            return None
        return tuple(_texts(told.get(number, ())) for number in self._asked)


@dataclass(frozen=True, slots=True)
class _Level:
    """The terms about one data set or item, and those about items of its sequences."""

    here: Sequence[tuple[Step, int, Criterion]]
    """Attribute, place of the term, what is asked of the attribute."""
    below: Mapping[Step, _Level]


def _level(terms: Sequence[tuple[Path, int, Criterion]]) -> _Level:
    below: dict[Step, list[tuple[Path, int, Criterion]]] = {}
    for path, number, criterion in terms:
        if len(path) > 1:
            below.setdefault(path[0], []).append((path[1:], number, criterion))
    return _Level(
        tuple((path[0], number, asked) for path, number, asked in terms if len(path) == 1),
        {step: _level(inner) for step, inner in below.items()},
    )


def _holds(level: _Level, found: Found, told: dict[int, Sequence[Value]]) -> bool:
    """Return whether an item fulfils the terms about it; if so, add the values that are asked for."""
    gathered: dict[int, Sequence[Value]] = {}
    for step, number, criterion in level.here:
        values = found.values.get(step)
        if not values:
            return False
        if isinstance(criterion, Asked):
            gathered[number] = values
        elif not any(map(criterion.matches, values)):
            return False
    for step, below in level.below.items():
        # every item is looked at, not only the first that fits: all their values are told
        hits = [_holds(below, item, gathered) for item in found.items.get(step, ())]
        if not any(hits):
            return False
    for number, values in gathered.items():
        told[number] = (*told[number], *values) if number in told else values
    return True


def _texts(values: Sequence[Value]) -> tuple[str, ...]:
    """Return the distinct texts, in order."""
    if len(values) == 1:
        return (values[0].text,)
    return tuple(dict.fromkeys(value.text for value in values))
