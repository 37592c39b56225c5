"""Writes facts of plans, structure sets and records, and folds them onto the plans they are about.

A plan's row is a function of what is there, so that the order of arrival leaves no trace.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection

from dicomcore.keys import DIGEST_LENGTH
from dicomcore.plan_facts import (
    PlanFacts,
    PlanLinks,
    StructureFacts,
    TreatmentFacts,
    linked,
)
from dicomio.sql_index.plan_rows import (
    LINKED,
    OWN,
    linked_columns,
    linked_values,
    own_columns,
    own_values,
)
from dicomio.sql_index.plan_values import set_values
from dicomio.sql_index.sql import change_many, chunks, marks, rows
from dicomio.sql_index.texts import original, storable

PLAN = TypeAdapter(PlanFacts)
LINKS = TypeAdapter(PlanLinks)
_STRUCTURES = TypeAdapter(StructureFacts)
_TREATMENT = TypeAdapter(TreatmentFacts)
_NOT_LINKED = b""
"""Until it was folded for the first time."""


Facts = PlanFacts | StructureFacts | TreatmentFacts


def write_facts(connection: Connection, found: Mapping[int, Facts]) -> None:
    """Write what is new or has changed, by instance id, and bring the plans it is about up to date."""
    if not found:
        return
    places = _places(connection, list(found))
    plans: dict[int, PlanFacts] = {}
    structures: dict[int, StructureFacts] = {}
    treatments: dict[int, TreatmentFacts] = {}
    for identity, facts in found.items():
        match facts:
            case PlanFacts():
                plans[identity] = facts
            case StructureFacts():
                structures[identity] = facts
            case TreatmentFacts():
                treatments[identity] = facts
    affected = _write_plans(connection, plans, places)
    affected |= _write_structures(connection, structures, places)
    affected |= _write_treatments(connection, treatments, places)
    relink(connection, affected)


def relink(connection: Connection, plans: Iterable[int]) -> None:
    """Fold structure sets and records of the patient onto plans."""
    for some in chunks(sorted(plans)):
        before = {
            row[0]: (PLAN.validate_json(row[1]), bytes(row[2]))
            for row in rows(
                connection,
                f"SELECT id, facts, links FROM plan_facts WHERE id IN ({marks(some)})",
                *some,
            )
        }
        structures = _related(
            connection,
            "SELECT p.id, f.facts FROM plan p JOIN reference r ON r.src = p.id"
            " JOIN structure_fact f ON f.sop_uid = r.dst_uid AND f.patient = p.patient"
            " WHERE r.relation = 'structure_set' AND p.id IN",
            some,
        )
        treatments = _related(
            connection,
            "SELECT p.id, f.facts FROM plan p JOIN reference r ON r.dst_uid = p.sop_uid"
            " JOIN treatment_fact f ON f.id = r.src AND f.patient = p.patient"
            " WHERE r.relation = 'plan' AND p.id IN",
            some,
        )
        changed = {}
        for identity, (facts, known) in before.items():
            links = linked(
                facts,
                map(_STRUCTURES.validate_json, structures[identity]),
                map(_TREATMENT.validate_json, treatments[identity]),
            )
            written = LINKS.dump_json(links)
            if written != known:
                changed[identity] = (links, written)
        change_many(
            connection,
            "UPDATE plan_facts SET links = ? WHERE id = ?",
            [(written, identity) for identity, (_, written) in changed.items()],
        )
        change_many(
            connection,
            f"UPDATE plan SET {', '.join(f'{name} = ?' for name in LINKED)} WHERE id = ?",
            [(*linked_columns(links), identity) for identity, (links, _) in changed.items()],
        )
        values = {identity: linked_values(links) for identity, (links, _) in changed.items()}
        set_values(connection, values, linked=True)


def _write_plans(
    connection: Connection, plans: Mapping[int, PlanFacts], places: Mapping[int, Sequence[Any]]
) -> set[int]:
    changed = _changed(
        connection, "plan_facts", {one: PLAN.dump_json(f) for one, f in plans.items()}
    )
    names = ("id", "patient", "tie", "sop_uid", *OWN, *LINKED)
    values = []
    found = {}
    for identity in changed:
        patient, patient_id, sop_uid, sha256 = places[identity]
        tie = f"{sop_uid}/{bytes(sha256)[: DIGEST_LENGTH // 2].hex()}"
        facts = plans[identity]
        shown_id = original(patient_id)
        values.append(
            (
                *(identity, patient, tie, sop_uid),
                *own_columns(shown_id, facts),
                *linked_columns(PlanLinks()),
            )
        )
        found[identity] = own_values(shown_id, facts)
    change_many(
        connection,
        f"INSERT INTO plan ({', '.join(names)}) VALUES ({marks(names)}) ON CONFLICT (id) DO UPDATE"
        f" SET {', '.join(f'{name} = excluded.{name}' for name in OWN)}",
        values,
    )
    change_many(
        connection,
        "INSERT INTO plan_facts (id, facts, links) VALUES (?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET facts = excluded.facts",
        [(identity, written, _NOT_LINKED) for identity, written in changed.items()],
    )
    set_values(connection, found, linked=False)
    return set(changed)


def _write_structures(
    connection: Connection, found: Mapping[int, StructureFacts], places: Mapping[int, Sequence[Any]]
) -> set[int]:
    changed = _changed(
        connection, "structure_fact", {one: _STRUCTURES.dump_json(f) for one, f in found.items()}
    )
    change_many(
        connection,
        "INSERT INTO structure_fact (id, patient, sop_uid, facts) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET facts = excluded.facts",
        [(one, places[one][0], places[one][2], written) for one, written in changed.items()],
    )
    return _ids(
        connection,
        "SELECT p.id FROM reference r JOIN plan p ON p.id = r.src"
        " WHERE r.relation = 'structure_set' AND r.dst_uid IN",
        {places[one][2] for one in changed},
    )


def _write_treatments(
    connection: Connection, found: Mapping[int, TreatmentFacts], places: Mapping[int, Sequence[Any]]
) -> set[int]:
    changed = _changed(
        connection, "treatment_fact", {one: _TREATMENT.dump_json(f) for one, f in found.items()}
    )
    change_many(
        connection,
        "INSERT INTO treatment_fact (id, patient, facts) VALUES (?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET facts = excluded.facts",
        [(one, places[one][0], written) for one, written in changed.items()],
    )
    uids = {storable(uid) for one in changed for uid in found[one].plan_uids}
    return _ids(connection, "SELECT id FROM plan WHERE sop_uid IN", uids)


def _changed(
    connection: Connection, table: str, written: Mapping[int, bytes]
) -> Mapping[int, bytes]:
    """Return what is not written yet, or differently."""
    known = {}
    for some in chunks(list(written)):
        statement = f"SELECT id, facts FROM {table} WHERE id IN ({marks(some)})"
        known.update({row[0]: bytes(row[1]) for row in rows(connection, statement, *some)})
    return {one: body for one, body in written.items() if known.get(one) != body}


def _places(connection: Connection, ids: Sequence[int]) -> Mapping[int, Sequence[Any]]:
    """Return patient, Patient ID, SOP Instance UID and digest of instances."""
    return {
        row[0]: row[1:]
        for some in chunks(ids)
        for row in rows(
            connection,
            "SELECT i.id, p.id, p.patient_id, i.sop_uid, i.sha256 FROM instance i"
            " JOIN series s ON s.id = i.series JOIN study t ON t.id = s.study"
            f" JOIN patient p ON p.id = t.patient WHERE i.id IN ({marks(some)})",
            *some,
        )
    }


def _related(
    connection: Connection, statement: str, plans: Sequence[int]
) -> defaultdict[int, list[bytes]]:
    found: defaultdict[int, list[bytes]] = defaultdict(list)
    for plan, facts in rows(connection, f"{statement} ({marks(plans)})", *plans):
        found[plan].append(bytes(facts))
    return found


def _ids(connection: Connection, statement: str, values: Iterable[object]) -> set[int]:
    return {
        row[0]
        for some in chunks(sorted(values, key=str))
        for row in rows(connection, f"{statement} ({marks(some)})", *some)
    }
