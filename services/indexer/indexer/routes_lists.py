"""The HTTP interface of the list builder: patients and plans by what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from dicomcore.errors import InvalidRequest
from dicomcore.plan_facts import PlanSummary
from dicomcore.ports import IndexDb, PatientSummary, Position
from dicomio.http import AnyRoute, Call, Nothing, Role, Route, decode_cursor, encode_cursor
from indexer.list_answers import Patient, Patients, Plan, Plans
from indexer.list_inputs import AfterPatient, AfterPlan, PatientsQuery, PlansQuery


def list_routes(index: IndexDb) -> Sequence[AnyRoute]:
    """Return the operations of the list builder."""
    handlers = _Handlers(index)
    return (
        Route(
            method="GET",
            template="/v1/patients",
            handler=handlers.patients,
            operation_id="listPatients",
            role=Role.READER,
            summary="Patients with at least one readable instance",
            responses={200: Patients},
            query=PatientsQuery,
            errors=(422,),
            tags=("patients",),
        ),
        Route(
            method="GET",
            template="/v1/plans",
            handler=handlers.plans,
            operation_id="listPlans",
            role=Role.READER,
            summary="Plans by what they say, and what structure sets and treatment records add",
            responses={200: Plans},
            query=PlansQuery,
            errors=(422,),
            tags=("plans",),
        ),
    )


class _Handlers:
    def __init__(self, index: IndexDb) -> None:
        self._index = index

    async def patients(self, call: Call[Nothing, PatientsQuery]) -> Patients:
        asked = call.query
        after = decode_cursor(asked.cursor, AfterPatient) if asked.cursor else None
        _check(after, asked.sort)
        page = await self._index.patients(
            asked.query(),
            after=None if after is None else Position(after.key, after.tie),
            limit=asked.limit,
        )
        following = None
        if page.next is not None:
            following = encode_cursor(
                AfterPatient(sort=asked.sort, key=str(page.next.key), tie=page.next.tie)
            )
        return Patients(
            patients=tuple(map(_patient, page.patients)), next=following, total=page.total
        )

    async def plans(self, call: Call[Nothing, PlansQuery]) -> Plans:
        asked = call.query
        after = decode_cursor(asked.cursor, AfterPlan) if asked.cursor else None
        _check(after, asked.sort)
        page = await self._index.plans(
            asked.query(),
            after=None if after is None else Position(after.key, after.tie),
            limit=asked.limit,
        )
        following = None
        if page.next is not None:
            following = encode_cursor(
                AfterPlan(sort=asked.sort, key=page.next.key, tie=page.next.tie)
            )
        return Plans(
            plans=tuple(map(_plan, page.plans)),
            next=following,
            total=page.total,
            complete=page.complete,
        )


def _check(after: AfterPlan | AfterPatient | None, sort: str) -> None:
    if after is not None and after.sort != sort:
        raise InvalidRequest("the cursor is of another order")


def _patient(one: PatientSummary) -> Patient:
    return Patient(**{field.name: getattr(one, field.name) for field in fields(one)})


def _plan(one: PlanSummary) -> Plan:
    told = {
        field.name: getattr(part, field.name)
        for part in (one, one.facts, one.links)
        for field in fields(part)
        if field.name in Plan.model_fields
    }
    return Plan(**told)
