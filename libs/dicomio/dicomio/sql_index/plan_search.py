"""Plans by what they are found by, sorted, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection

from dicomcore.keys import DIGEST_LENGTH, INSTANCES
from dicomcore.plan_facts import PlanFacts, PlanLinks, PlanSummary
from dicomcore.plan_query import PlanQuery
from dicomcore.ports import PlanPage, Position
from dicomio.sql_index.pages import Conditions, Listing, count, page, page_of
from dicomio.sql_index.plan_matching import matching
from dicomio.sql_index.plan_rows import ORDERS
from dicomio.sql_index.sql import chunks, marks, rows
from dicomio.sql_index.texts import original

_FACTS = TypeAdapter(PlanFacts)
_LINKS = TypeAdapter(PlanLinks)
FILLING = "plans"
"""What `upkeep` calls the derivation of facts of what was there before."""


def find_plans(
    connection: Connection, query: PlanQuery, after: Position | None, limit: int
) -> PlanPage:
    """Return a page of the plans that fulfil a query."""
    listing = Listing(
        columns="p.id",
        table="plan p",
        key=f"p.{ORDERS[query.order]}",
        tie="p.tie",
        descending=query.descending,
    )
    found = matching(connection, query)
    if found is None:
        total = count(connection, "plan p", Conditions())
        shown, following = page(connection, listing, Conditions(), after, limit)
    else:
        total = len(found)
        shown, following = page_of(connection, listing, found, after, limit)
    return PlanPage(
        plans=tuple(_summaries(connection, [row[2] for row in shown])),
        next=following,
        total=total,
        complete=not rows(connection, "SELECT 1 FROM upkeep WHERE name = ?", FILLING),
    )


def _summaries(connection: Connection, ids: Sequence[int]) -> list[PlanSummary]:
    found: dict[int, Any] = {}
    for some in chunks(ids):
        statement = (
            "SELECT q.id, t.study_uid, s.series_uid, i.sop_uid, i.sha256, a.patient_id,"
            " f.facts, f.links, (SELECT 1 FROM conflict c WHERE c.sop_uid = i.sop_uid)"
            " FROM plan q JOIN plan_facts f ON f.id = q.id JOIN instance i ON i.id = q.id JOIN series s ON s.id = i.series"
            " JOIN study t ON t.id = s.study JOIN patient a ON a.id = q.patient"
            f" WHERE q.id IN ({marks(some)})"
        )
        found.update({row[0]: row[1:] for row in rows(connection, statement, *some)})
    return [_summary(*found[one]) for one in ids]


def _summary(  # noqa: PLR0913 # one parameter for each column
    study: str,
    series: str,
    uid: str,
    sha256: bytes,
    patient_id: str,
    facts: bytes,
    links: bytes,
    conflict: int | None,
) -> PlanSummary:
    digest = bytes(sha256)[: DIGEST_LENGTH // 2].hex()
    return PlanSummary(
        patient_id=original(patient_id),
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=uid,
        object_key=f"{INSTANCES}{study}/{series}/{uid}/{digest}.dcm",
        conflict=conflict is not None,
        facts=_FACTS.validate_json(facts),
        links=_LINKS.validate_json(links),
    )
