"""What an index promises of plans and patients, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from dicomcore.errors import InvalidRequest
from dicomcore.plan_facts import PlanSummary
from dicomcore.plan_query import (
    DateField,
    DateRange,
    NumberField,
    NumberRange,
    PatientOrder,
    PatientQuery,
    PlanOrder,
    PlanQuery,
    TextField,
)
from dicomcore.ports import IndexDb, Position
from dicomio.sql_index import SqlIndex
from dicomio.sql_index.engine import open_database
from tests.made_plans import Made, MadePlan, MadeRecord, MadeStructures, indexed

PATIENTS = ("P-1", "P-2")
PLANS = ("1.2.1.1", "1.2.1.2")
STRUCTURES = ("1.2.2.1", "1.2.2.2")
RECORDS = ("1.2.3.1", "1.2.3.2", "1.2.3.3")
EXAMPLES = 40


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/index.db"
    new_database: Callable[[], str] = request.getfixturevalue("new_database")
    return new_database()


@pytest.fixture
async def index(address: str) -> AsyncIterator[SqlIndex]:
    opened = await SqlIndex.open(address)
    yield opened
    await opened.close()


# ── the oracle: what a plan's row says, from the values that the objects were made of ────────


@dataclass(frozen=True)
class Expected:
    """One row of the list, as far as objects vary here."""

    patient_id: str
    uid: str
    label: str
    conflict: bool
    structures: tuple[str, ...]
    targets: tuple[str, ...]
    has_structure_set: bool
    has_treatment: bool
    treated: int


def expected(objects: Sequence[Made]) -> list[Expected]:
    return sorted((_row(one, objects) for one in objects if isinstance(one, MadePlan)), key=repr)


def _row(plan: MadePlan, objects: Sequence[Made]) -> Expected:
    sets = [
        one
        for one in objects
        if isinstance(one, MadeStructures)
        and one.uid in plan.structures
        and one.patient_id == plan.patient_id
    ]
    records = [
        one
        for one in objects
        if isinstance(one, MadeRecord)
        and one.plan == plan.uid
        and one.patient_id == plan.patient_id
    ]
    fractions = {one.fraction for one in records if one.fraction}
    dates = {one.date for one in records if one.date}
    delivered = [one.delivered or 0 for one in records]
    return Expected(
        patient_id=plan.patient_id,
        uid=plan.uid,
        label=plan.label,
        conflict=sum(isinstance(one, MadePlan) and one.uid == plan.uid for one in objects) > 1,
        structures=tuple(sorted({name for one in sets for name, _ in one.regions})),
        targets=tuple(
            sorted(
                {
                    name
                    for one in sets
                    for number, (name, kind) in enumerate(one.regions, 1)
                    if kind in ("PTV", "CTV", "GTV") or number == plan.target_roi
                }
            )
        ),
        has_structure_set=bool(sets),
        has_treatment=bool(records),
        treated=max([len(fractions) or len(dates), *delivered], default=0),
    )


def told(plans: Sequence[PlanSummary]) -> list[Expected]:
    return sorted(
        (
            Expected(
                patient_id=one.patient_id,
                uid=one.sop_instance_uid,
                label=one.facts.rt_plan_label,
                conflict=one.conflict,
                structures=one.links.structure_names,
                targets=one.links.target_names,
                has_structure_set=one.links.has_structure_set,
                has_treatment=one.links.has_treatment,
                treated=one.links.treated_fractions,
            )
            for one in plans
        ),
        key=repr,
    )


def versions() -> st.SearchStrategy[str]:
    return st.sampled_from(("a", "b"))


def made_objects() -> st.SearchStrategy[list[Made]]:
    patient = st.sampled_from(PATIENTS)
    plan = st.builds(
        MadePlan,
        uid=st.sampled_from(PLANS),
        patient_id=patient,
        version=versions(),
        label=st.sampled_from(("PROST", "LUNG 1")),
        structures=st.lists(st.sampled_from(STRUCTURES), unique=True, max_size=2).map(tuple),
        target_roi=st.none() | st.integers(1, 2),
    )
    region = st.tuples(
        st.sampled_from(("PTV", "Cord", "Körper")), st.sampled_from(("PTV", "ORGAN"))
    )
    structures = st.builds(
        MadeStructures,
        uid=st.sampled_from(STRUCTURES),
        patient_id=patient,
        version=versions(),
        regions=st.lists(region, max_size=3).map(tuple),
    )
    record = st.builds(
        MadeRecord,
        uid=st.sampled_from(RECORDS),
        plan=st.sampled_from(PLANS),
        patient_id=patient,
        version=versions(),
        fraction=st.none() | st.integers(0, 3),
        date=st.sampled_from(("", "20240101", "20240102")),
        delivered=st.none() | st.integers(0, 9),
    )
    return st.lists(plan | structures | record, unique=True, max_size=9)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(objects=made_objects(), data=st.data())
async def test_any_order_and_repetition_gives_the_plans_of_the_oracle(
    index: SqlIndex, objects: list[Made], data: st.DataObject
) -> None:
    await index.clear()
    again = data.draw(st.lists(st.sampled_from(objects), max_size=4)) if objects else []
    order = data.draw(st.permutations([*objects, *again]))
    step = data.draw(st.integers(1, 5))

    for start in range(0, len(order), step):
        await index.upsert([indexed(one) for one in order[start : start + step]])

    page = await index.plans(PlanQuery())
    assert told(page.plans) == expected(objects)
    assert page.total == len(page.plans)
    for name in ("PTV", "Cord", "Körper"):
        found = await index.plans(PlanQuery(texts={TextField.STRUCTURE: (name,)}))
        assert told(found.plans) == [e for e in expected(objects) if name in e.structures]


# ── criteria and orders ─────────────────────────────────────────────────────────────────────

LABELS = ("PROST_1", "prost 2", "Straße 100%", "LUNG_L", "Ünïcödé", "a*b", "", "BOOST", "lung\\r")


def _some_plans() -> list[MadePlan]:
    return [
        MadePlan(
            f"1.2.9.{number}",
            patient_id=f"P-{number % 3}",
            label=LABELS[number % len(LABELS)],
            machine=("TB1", "TB2", "HALCYON")[number % 3],
            approval=("APPROVED", "UNAPPROVED", "")[number % 3],
            approver=("Doe^Jane", "", "Roe^Richard")[number // 3 % 3],
            approved=("20240105", "", "20240220", "no date")[number % 4],
            date=("20240101", "20231231", "")[number // 2 % 3],
            dose=(60.0, 50.4, None, 8.0)[number % 4],
            fractions=(30, 28, None)[number % 3],
            energy=("6", "10", "15")[number // 4 % 3],
        )
        for number in range(30)
    ]


@pytest.fixture
async def filled(index: SqlIndex) -> SqlIndex:
    await index.upsert([indexed(one) for one in _some_plans()])
    return index


def _contains(text: str) -> Callable[[str], bool]:
    return lambda label: text.casefold() in label.casefold()


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("prost", _contains("prost")),
        ("STRASSE", lambda label: label.startswith("Stra")),
        ("100%", _contains("100%")),
        ("%", _contains("%")),
        ("_", _contains("_")),
        ("\\", _contains("\\")),
        ("ÜNÏ", _contains("ünï")),
        ("prost*", lambda label: label.casefold().startswith("prost")),
        ("*ost", lambda label: label.casefold().endswith("ost")),
        ("lung?l", lambda label: label == "LUNG_L"),
        ("a*b", lambda label: label == "a*b"),
        ("*", bool),
        ("nothing like it", lambda _: False),
    ],
)
async def test_texts_are_found_without_case_and_with_wildcards(
    filled: SqlIndex, text: str, holds: Callable[[str], bool]
) -> None:
    page = await filled.plans(PlanQuery(texts={TextField.LABEL: (text,)}), limit=100)

    assert {p.sop_instance_uid for p in page.plans} == {
        one.uid for one in _some_plans() if holds(one.label)
    }
    assert page.total == len(page.plans)


async def test_a_word_is_the_whole_value(filled: SqlIndex) -> None:
    whole = await filled.plans(PlanQuery(texts={TextField.APPROVAL: ("approved",)}))
    both = await filled.plans(PlanQuery(texts={TextField.APPROVAL: ("*approved",)}))

    assert {p.facts.approval_status for p in whole.plans} == {"APPROVED"}
    assert {p.facts.approval_status for p in both.plans} == {"APPROVED", "UNAPPROVED"}


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
async def test_a_query_finds_what_a_filter_in_plain_python_finds(
    filled: SqlIndex, data: st.DataObject
) -> None:
    machines = data.draw(st.lists(st.sampled_from(("TB1", "TB2", "x")), max_size=2, unique=True))
    low, high = sorted((data.draw(st.integers(0, 70)), data.draw(st.integers(0, 70))))
    with_dose, with_date = data.draw(st.booleans()), data.draw(st.booleans())
    energies = data.draw(st.sampled_from(((), ("6X",), ("10X", "15X"))))
    patients = data.draw(st.sampled_from(((), ("P-0",), ("P-1", "P-2", "nobody"))))
    order, descending = data.draw(st.sampled_from(list(PlanOrder))), data.draw(st.booleans())
    query = PlanQuery(
        texts={TextField.MACHINE: tuple(machines), TextField.ENERGY: energies},
        numbers={NumberField.TOTAL_DOSE: (NumberRange(low, high),) if with_dose else ()},
        dates={DateField.APPROVED: (DateRange("20240101", "20240131"),) if with_date else ()},
        patient_ids=patients,
        order=order,
        descending=descending,
    )

    found: list[PlanSummary] = []
    page = await filled.plans(query, limit=4)
    found += page.plans
    while page.next is not None:
        page = await filled.plans(query, after=page.next, limit=4)
        found += page.plans

    assert [p.sop_instance_uid for p in found] == list(
        dict.fromkeys(p.sop_instance_uid for p in found)
    )
    assert {p.sop_instance_uid for p in found} == {
        one.uid
        for one in _some_plans()
        if (not machines or one.machine in machines)
        and (not energies or f"{one.energy}X" in energies)
        and (not with_dose or (one.dose is not None and low <= one.dose <= high))
        and (not with_date or one.approved.startswith("202401"))
        and (not patients or one.patient_id in patients)
    }
    assert page.total == len(found)


KEYS: dict[PlanOrder, Callable[[PlanSummary], object]] = {
    PlanOrder.LABEL: lambda p: p.facts.rt_plan_label.casefold(),
    PlanOrder.PATIENT_ID: lambda p: p.patient_id,
    PlanOrder.TOTAL_DOSE: lambda p: -1 if p.facts.total_dose_gy is None else p.facts.total_dose_gy,
    PlanOrder.PLAN_DATE: lambda p: p.facts.rt_plan_date,
    PlanOrder.APPROVED: lambda p: p.facts.review_date if p.facts.review_date.isdigit() else "",
    PlanOrder.MACHINE: lambda p: p.facts.machines[0].casefold(),
}


@pytest.mark.parametrize("order", KEYS)
@pytest.mark.parametrize("restricted", [False, True])
async def test_pages_are_sorted_and_descending_is_the_reverse(
    filled: SqlIndex, order: PlanOrder, *, restricted: bool
) -> None:
    texts = {TextField.MACHINE: ("TB*",)} if restricted else {}

    up = await filled.plans(PlanQuery(texts=texts, order=order, descending=False), limit=100)
    down = await filled.plans(PlanQuery(texts=texts, order=order, descending=True), limit=100)

    keys = [KEYS[order](one) for one in up.plans]
    assert keys == sorted(keys)  # type: ignore[type-var] # texts or numbers
    assert up.plans == tuple(reversed(down.plans))


async def test_positions_of_another_kind_are_refused(filled: SqlIndex) -> None:
    for query in (PlanQuery(), PlanQuery(texts={TextField.MACHINE: ("TB1",)})):
        with pytest.raises(InvalidRequest):
            await filled.plans(query, after=Position("\ud800", "\0"))


async def test_the_same_bytes_announced_again_change_nothing(filled: SqlIndex) -> None:
    before = await filled.plans(PlanQuery(), limit=100)

    await filled.upsert([indexed(one) for one in _some_plans()])

    assert await filled.plans(PlanQuery(), limit=100) == before


# ── patients ────────────────────────────────────────────────────────────────────────────────


async def test_patients_are_found_by_what_they_are_and_have(filled: SqlIndex) -> None:
    await filled.upsert([indexed(MadeStructures("1.2.7", patient_id="Ä-9"))])

    async def ids(query: PatientQuery) -> list[str]:
        page = await filled.patients(query)
        assert page.total == len(page.patients)
        return [one.patient_id for one in page.patients]

    assert await ids(PatientQuery(ids=("p-1",))) == ["P-1"]
    assert await ids(PatientQuery(ids=("ä",))) == ["Ä-9"]
    assert await ids(PatientQuery(ids=("p-?",))) == ["P-0", "P-1", "P-2"]
    assert await ids(PatientQuery(names=("NAME^P-2",))) == ["P-2"]
    assert await ids(PatientQuery(prefix="P")) == ["P-0", "P-1", "P-2"]
    assert await ids(PatientQuery(has_plans=False)) == ["Ä-9"]
    assert await ids(PatientQuery(modalities=("RTPLAN",), descending=True)) == ["P-2", "P-1", "P-0"]
    assert await ids(PatientQuery(study_dates=(DateRange("20240103", ""),))) == []
    assert len(await ids(PatientQuery(study_dates=(DateRange("20240102", "20240102"),)))) == 4
    assert len(await ids(PatientQuery(birth_dates=(DateRange("", "19601231"),)))) == 4
    assert await ids(PatientQuery(birth_dates=(DateRange("19610101", ""),))) == []


async def test_a_patient_is_told_with_counts_and_dates(filled: SqlIndex) -> None:
    [one] = (await filled.patients(PatientQuery(ids=("P-1",)))).patients

    assert one.number_of_plans == 10
    assert (one.patient_birth_date, one.latest_study_date) == ("19600102", "20240102")


@pytest.mark.parametrize("order", list(PatientOrder))
@pytest.mark.parametrize("descending", [False, True])
async def test_patients_are_paged_in_every_order(
    filled: SqlIndex, order: PatientOrder, *, descending: bool
) -> None:
    query = PatientQuery(order=order, descending=descending)
    whole = [one.patient_id for one in (await filled.patients(query)).patients]

    page = await filled.patients(query, limit=1)
    seen = [one.patient_id for one in page.patients]
    while page.next is not None:
        page = await filled.patients(query, after=page.next, limit=1)
        seen += [one.patient_id for one in page.patients]

    assert seen == whole
    assert sorted(seen) == ["P-0", "P-1", "P-2"]


# ── an index of the release before ──────────────────────────────────────────────────────────

NEW_COLUMNS = ("birth_date", "sex", "folded_id", "folded_name", "latest_study_date")
NEW_TABLES = (
    *("upkeep", "plan_has", "plan_value", "plan_facts", "plan", "structure_fact", "treatment_fact"),
)


def _as_before(connection: Connection) -> None:
    """Take away what revision 0003 has added."""
    for table in NEW_TABLES:
        connection.exec_driver_sql(f"DROP TABLE {table}")
    for name in ("name", "birth_date", "study_date"):
        connection.exec_driver_sql(f"DROP INDEX patient_by_{name}")
    for column in NEW_COLUMNS:
        connection.exec_driver_sql(f"ALTER TABLE patient DROP COLUMN {column}")
    connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")


@pytest.mark.parametrize("packed", [False, True])
async def test_an_index_of_the_release_before_catches_up(address: str, *, packed: bool) -> None:
    objects: list[Made] = [
        *_some_plans(),
        MadePlan("1.2.1.1", structures=("1.2.2.1",)),
        MadeStructures("1.2.2.1", regions=(("PTV", "PTV"), ("Cord", "ORGAN"))),
        MadeRecord("1.2.3.1", "1.2.1.1", fraction=1),
        MadeRecord("1.2.3.2", "1.2.1.1", fraction=2),
    ]
    index = await SqlIndex.open(address)
    await index.upsert([indexed(one) for one in objects])
    while packed and await index.pack(quiet_s=0):
        pass
    plans, patients = await index.plans(PlanQuery(), limit=100), await index.patients()
    await index.close()
    database = open_database(address)
    await database.write(_as_before)
    await database.close()

    upgraded = await SqlIndex.open(address)
    at_first = await upgraded.plans(PlanQuery(), limit=100)
    while await upgraded.catch_up():
        pass

    assert not at_first.complete
    assert await upgraded.plans(PlanQuery(), limit=100) == plans
    assert plans.complete
    assert await upgraded.patients() == patients
    await upgraded.close()


async def test_two_replicas_catch_up_at_once(address: str) -> None:
    index = await SqlIndex.open(address)
    await index.upsert([indexed(one) for one in _some_plans()])
    plans = await index.plans(PlanQuery(), limit=100)
    await index.close()
    database = open_database(address)
    await database.write(_as_before)
    await database.close()
    both: Sequence[IndexDb] = [await SqlIndex.open(address), await SqlIndex.open(address)]

    async def catch_up(one: IndexDb) -> None:
        while await one.catch_up():
            pass

    await asyncio.gather(*map(catch_up, both))

    for one in both:
        assert await one.plans(PlanQuery(), limit=100) == plans
        await one.close()
