"""Which treatment machines a plan names in the copy that is sent, and whose treatment units they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dicomcore.errors import InvalidRequest
from dicomcore.model import InstanceHeader, Kind
from dicomcore.sending.rename import check_machine_name
from dicomcore.sending.values import Policy, UnknownModel, plan_details

ANY_MODEL = "*"
_VARIAN = "varian"


def parse_pairs(texts: Iterable[str]) -> Mapping[str, str]:
    """Return `A=B` texts as a mapping: names of machines, or models, to names of machines.

    Raises
    ------
    InvalidRequest
        One is no pair, one name is given two meanings, or a name cannot be written into a plan.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        old, equals, new = (part.strip() for part in text.partition("="))
        if not (old and equals):
            raise InvalidRequest("not a pair of names as in A=B")
        if pairs.setdefault(old, check_machine_name(new)) != new:
            raise InvalidRequest("one name is mapped to two")
    return pairs


def machines_for(
    plan: InstanceHeader, policy: Policy
) -> tuple[tuple[str, str], ...] | UnknownModel:
    """Return the names that change, old and new; an old name is empty where the plan has none.

    Empty names are filled in only if there are default machines; then a model that is not among
    them is returned instead.
    """
    beams = plan_details(plan).beams
    names: dict[str, str] = {}
    for beam in beams:
        if beam.machine:
            names[beam.machine] = policy.machine_mapping.get(beam.machine, beam.machine)
        elif policy.default_machines:
            model = beams[0].model
            default = policy.default_machines.get(model) or policy.default_machines.get(ANY_MODEL)
            if default is None:
                return UnknownModel(plan, model)
            names[""] = default
    return tuple((old, new) for old, new in names.items() if old != new)


def with_default_machines(
    header: InstanceHeader, default_machines: Mapping[str, str]
) -> InstanceHeader:
    """Return a plan as it looks with default machines; anything else, and unknown models, as it is."""
    machines = machines_for(header, Policy(default_machines=default_machines))
    if header.kind is not Kind.PLAN or isinstance(machines, UnknownModel) or not machines:
        return header
    ((_, name),) = machines
    details = plan_details(header)
    beams = tuple(b if b.machine else replace(b, machine=name) for b in details.beams)
    return replace(header, details=replace(details, beams=beams))


def lacks_machine(plan: InstanceHeader, policy: Policy) -> bool:
    """Return whether a plan goes out with a beam that names no machine."""
    if policy.default_machines:
        return False
    return any(not beam.machine for beam in plan_details(plan).beams)


def is_varian(plan: InstanceHeader) -> bool:
    """Return whether all treatment units of a plan are Varian's; no manufacturer counts as Varian."""
    manufacturers = (beam.manufacturer.strip() for beam in plan_details(plan).beams)
    return all(_VARIAN in name.lower() for name in manufacturers if name)


def manufacturers_of(plan: InstanceHeader) -> tuple[str, ...]:
    """Return the manufacturers of a plan's treatment units, each once, for people."""
    return tuple(dict.fromkeys(b.manufacturer for b in plan_details(plan).beams if b.manufacturer))


def machine_names(plan: InstanceHeader) -> tuple[str, ...]:
    """Return the machines that a plan names, each once, for people."""
    return tuple(dict.fromkeys(b.machine for b in plan_details(plan).beams if b.machine))
