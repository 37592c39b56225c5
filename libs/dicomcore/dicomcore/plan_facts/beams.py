"""What a plan treats with: machines, energies, collimators, techniques, control points."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dicomcore.model import Beam, PlanDetails
from dicomcore.plan_facts.found import Found, distinct
from dicomcore.values import decimal_text

_BEAM, _ION = "300A00B0", "300A03A2"
_POINTS = {_BEAM: "300A0111", _ION: "300A03A8"}
_LIMITERS = {_BEAM: "300A00B6", _ION: "300A03A4"}
_NUMBER = "300A00C0"
_SCAN_MODE = "300A0308"
_HIGH_DOSE = "300A00C7"
_WEDGE = "300A00D1/300A00D3"
_FLUENCE_MODE = "30020050/30020051"
_FLUENCE_ID = "30020050/30020052"
_LIMITER_TYPE, _LEAF_PAIRS = "300A00B8", "300A00BC"
_ENERGY, _ROTATION = "300A0114", "300A011F"
_SUFFIXES = {"PHOTON": "X", "ELECTRON": "E", "NEUTRON": "N", "PROTON": "P", "ION": "I"}
_MOTIONLESS_POINTS = 2
"""A beam that only switches on and off has two control points."""


def _paths(sequence: str) -> Iterable[str]:
    yield from (f"{sequence}/{last}" for last in (_NUMBER, _SCAN_MODE, _HIGH_DOSE, _WEDGE))
    yield from (f"{sequence}/{last}" for last in (_FLUENCE_MODE, _FLUENCE_ID))
    limiter, point = _LIMITERS[sequence], _POINTS[sequence]
    yield from (f"{sequence}/{limiter}/{last}" for last in (_LIMITER_TYPE, _LEAF_PAIRS))
    yield from (f"{sequence}/{point}/{last}" for last in (_ENERGY, _ROTATION))


WANTED = frozenset((*_paths(_BEAM), *_paths(_ION)))


@dataclass(frozen=True, slots=True)
class BeamFacts:
    """Of all beams that treat."""

    count: int
    control_points: int
    max_control_points: int
    machines: tuple[str, ...]
    manufacturers: tuple[str, ...]
    models: tuple[str, ...]
    energies: tuple[str, ...]
    nominal_beam_energies: tuple[float, ...]
    radiation_types: tuple[str, ...]
    mlc_types: tuple[str, ...]
    beam_types: tuple[str, ...]
    beam_techniques: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _More:
    """What attributes say of one beam beyond its header."""

    energies: tuple[float, ...] = ()
    rotates: bool = False
    is_ion: bool = False
    scan_mode: str = ""
    high_dose: str = ""
    wedge: str = ""
    fluence_id: str = ""
    """Empty if the fluence mode is not NON_STANDARD."""
    mlc_types: tuple[str, ...] = field(default=())


def beam_facts(details: PlanDetails, found: Found) -> BeamFacts:
    """Return what a plan treats with; setup beams count only if there are no others."""
    each = list(zip(details.beams, _more(len(details.beams), found), strict=True))
    each = [pair for pair in each if pair[0].delivery_type != "SETUP"] or each
    beams = [beam for beam, _ in each]
    points = [max(beam.number_of_control_points or 0, 0) for beam in beams]
    return BeamFacts(
        count=len(beams),
        control_points=sum(points),
        max_control_points=max(points, default=0),
        machines=distinct(beam.machine for beam in beams),
        manufacturers=distinct(beam.manufacturer for beam in beams),
        models=distinct(beam.model for beam in beams),
        energies=distinct(label for beam, more in each for label in _labels(beam, more)),
        nominal_beam_energies=tuple(
            dict.fromkeys(energy for _, more in each for energy in more.energies)
        ),
        radiation_types=distinct(beam.radiation_type for beam in beams),
        mlc_types=distinct(kind for _, more in each for kind in more.mlc_types),
        beam_types=distinct(
            beam.technique for beam in beams if beam.technique in ("STATIC", "DYNAMIC")
        ),
        beam_techniques=distinct(name for beam, more in each for name in _techniques(beam, more)),
    )


def _techniques(beam: Beam, more: _More) -> tuple[str, str]:
    return _technique(beam, more), more.high_dose if more.high_dose != "NORMAL" else ""


def _technique(beam: Beam, more: _More) -> str:
    if beam.radiation_type == "BRACHY":
        return "BRACHY"
    if more.is_ion and more.scan_mode:
        return "SCATTERED" if more.scan_mode == "NONE" else "SCANNED"
    is_modulated = (
        beam.technique == "DYNAMIC" and (beam.number_of_control_points or 0) > _MOTIONLESS_POINTS
    )
    if more.rotates:
        return "VMAT" if is_modulated else "ARC"
    if beam.technique == "DYNAMIC":
        return "DYNAMIC WEDGE" if more.wedge == "DYNAMIC" else "IMRT"
    return "STATIC" if beam.technique else ""


def _labels(beam: Beam, more: _More) -> Iterable[str]:
    """Yield energies as they are called: `6X`, `6FFF`, `9E`."""
    suffix = _SUFFIXES.get(beam.radiation_type, "")
    if suffix == "X" and more.fluence_id:
        suffix = more.fluence_id
    for energy in more.energies:
        yield decimal_text(energy) + suffix


def _more(count: int, found: Found) -> Sequence[_More]:
    """Return what attributes say of each beam: of Beam Sequence first, then of Ion Beam Sequence."""
    plain = _of_sequence(_BEAM, found)
    first_ion = max(plain, default=-1) + 1
    ions = {first_ion + number: one for number, one in _of_sequence(_ION, found).items()}
    both = {**plain, **ions}
    return [both.get(number, _More()) for number in range(count)]


def _of_sequence(sequence: str, found: Found) -> Mapping[int, _More]:
    is_ion = sequence == _ION
    numbers = {items[0] for items, _ in found.at(f"{sequence}/{_NUMBER}")}
    energies: defaultdict[int, list[float]] = defaultdict(list)
    for items, energy in found.numbers(f"{sequence}/{_POINTS[sequence]}/{_ENERGY}"):
        energies[items[0]].append(energy)
    rotating = {
        items[0]
        for items, direction in found.at(f"{sequence}/{_POINTS[sequence]}/{_ROTATION}")
        if direction in ("CW", "CC")
    }
    standard = _by_beam(found, f"{sequence}/{_FLUENCE_MODE}")
    fluence = _by_beam(found, f"{sequence}/{_FLUENCE_ID}")
    scan, high_dose, wedge = (
        _by_beam(found, f"{sequence}/{last}") for last in (_SCAN_MODE, _HIGH_DOSE, _WEDGE)
    )
    collimators = _collimators(sequence, found)
    known = numbers | set(energies) | set(collimators)
    return {
        number: _More(
            energies=_few(energies[number], is_ion=is_ion),
            rotates=number in rotating,
            is_ion=is_ion,
            scan_mode=scan.get(number, ""),
            high_dose=high_dose.get(number, ""),
            wedge=wedge.get(number, ""),
            fluence_id=fluence.get(number, "") if standard.get(number) == "NON_STANDARD" else "",
            mlc_types=collimators.get(number, ()),
        )
        for number in known
    }


def _few(energies: Sequence[float], *, is_ion: bool) -> tuple[float, ...]:
    """Return distinct energies; of an ion beam's many layers the least and the greatest."""
    if is_ion and energies:
        return tuple(dict.fromkeys((min(energies), max(energies))))
    return tuple(dict.fromkeys(energies))


def _by_beam(found: Found, path: str) -> dict[int, str]:
    """Return the first value of each beam."""
    values: dict[int, str] = {}
    for items, value in found.at(path):
        values.setdefault(items[0], value)
    return values


def _collimators(sequence: str, found: Found) -> Mapping[int, tuple[str, ...]]:
    """Return the multileaf collimators of each beam, with the number of leaf pairs: `MLCX 60`."""
    within = f"{sequence}/{_LIMITERS[sequence]}"
    pairs = dict(found.at(f"{within}/{_LEAF_PAIRS}"))
    kinds: defaultdict[int, tuple[str, ...]] = defaultdict(tuple)
    for items, kind in found.at(f"{within}/{_LIMITER_TYPE}"):
        if kind.startswith("MLC"):
            kinds[items[0]] += (f"{kind} {pairs.get(items, '')}".rstrip(),)
    return kinds
