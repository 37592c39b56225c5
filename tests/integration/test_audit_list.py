"""The audit trail over HTTP: newest first, filtered, paged, and without anybody's name in it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from yarl import URL

from dicomcore.audit import Act, Activity, Actor, Outcome, audit_event, pseudonym
from dicomcore.events import encode
from dicomio.http import make_app, serve
from dicomio.local_bus import LocalBus
from qr_gateway.audit_routes import AuditRoutes
from qr_gateway.audit_trail import READ_AT_ONCE, SCANNED_AT_MOST

KEY = b"k" * 32
CANARY = "CANARY-4711"
START = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
DEADLINE_S = 60


def act(operation: str, outcome: Outcome = Outcome.SUCCESS, action: Any = "R") -> Act:
    return Act(
        activity=Activity.QUERY,
        operation=operation,
        action=action,
        outcome=outcome,
        reason="HTTP status 200",
        actors=(Actor("urn:dicomtools:token", "ward", address="10.0.0.1", roles=("reader",)),),
        patient_ids=(CANARY,),
        objects=(("sop_instance_uid", "1.2.3"), ("peer", "ARIA")),
        counts=(("landed", 7),),
    )


class World:
    def __init__(self, bus: LocalBus, url: str, session: aiohttp.ClientSession) -> None:
        self.bus = bus
        self.url = url
        self.session = session
        self.published = 0

    async def publish(self, one: Act, *, minutes: int = 0) -> None:
        at = START + timedelta(minutes=minutes)
        event = audit_event(one, recorded=at, observer="test", key=KEY)
        self.published += 1
        event_id = f"e-{self.published}"
        body = encode(event, event_id=event_id, source="test", time=at)
        await self.bus.publish("audit.event.v1", body, message_id=event_id)

    async def get(self, **query: Any) -> tuple[int, Any]:
        url = URL(self.url + "/v1/audit").with_query({k: str(v) for k, v in query.items()})
        async with self.session.get(url) as response:
            return response.status, json.loads(await response.text())

    async def ids(self, **query: Any) -> list[str]:
        """Every page's events, by ID."""
        found: list[str] = []
        cursor = ""
        while True:
            status, page = await self.get(**query, **({"cursor": cursor} if cursor else {}))
            assert status == 200, page
            found += [event["id"] for event in page["events"]]
            if page["next"] is None:
                return found
            cursor = page["next"]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    bus = await LocalBus.open(tmp_path / "audit.db")
    app = make_app("a", "1", AuditRoutes(bus).routes(), metrics_registry=CollectorRegistry())
    server = await serve(app, "127.0.0.1", 0, stop_timeout_s=2)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(DEADLINE_S)) as session:
        yield World(bus, server.url, session)
    await server.stop()
    await bus.close()


async def test_an_event_is_told_whole_and_the_patient_by_pseudonym_only(world: World) -> None:
    await world.publish(act("getPatientTree"))

    status, page = await world.get()

    assert status == 200
    [event] = page["events"]
    assert event["id"] == "e-1"
    assert event["recorded"] == "2026-01-31T12:00:00Z"
    assert (event["activity"], event["operation"]) == ("Query", "getPatientTree")
    assert (event["action"], event["outcome"], event["observer"]) == ("R", "success", "test")
    assert event["agents"] == [
        {
            "name": "ward",
            "system": "urn:dicomtools:token",
            "address": "10.0.0.1",
            "roles": ["reader"],
            "requestor": True,
        }
    ]
    assert event["entities"] == [
        {"kind": "patient", "value": pseudonym(KEY, CANARY)},
        {"kind": "sop_instance_uid", "value": "1.2.3"},
        {"kind": "peer", "value": "ARIA"},
        {"kind": "landed", "value": "7"},
    ]
    assert CANARY not in json.dumps(page)


async def test_pages_are_newest_first_and_whole(world: World) -> None:
    for number in range(23):
        await world.publish(act("a"), minutes=number)

    assert await world.ids(limit=5) == [f"e-{n}" for n in range(23, 0, -1)]
    assert (await world.get(limit=23))[1]["next"] is not None
    assert (await world.get())[1]["next"] is None


async def test_each_filter_takes_what_it_says(world: World) -> None:
    await world.publish(act("a"), minutes=0)
    await world.publish(act("b", Outcome.REFUSED, "C"), minutes=10)
    await world.publish(act("a", Outcome.FAILED, "D"), minutes=20)

    assert await world.ids(operation="a") == ["e-3", "e-1"]
    assert await world.ids(action="C") == ["e-2"]
    assert await world.ids(outcome="success") == ["e-1"]
    assert await world.ids(outcome="refused") == ["e-2"]
    assert await world.ids(outcome="failed") == ["e-3"]
    assert await world.ids(since="2026-01-31T12:10:00Z") == ["e-3", "e-2"]
    assert await world.ids(until="2026-01-31T13:10:00+01:00") == ["e-1"]
    assert await world.ids(operation="a", action="D", outcome="failed") == ["e-3"]
    assert await world.ids(operation="nothing") == []


async def test_an_old_event_is_found_though_one_page_does_not_look_so_far(world: World) -> None:
    await world.publish(act("wanted"))
    for number in range(SCANNED_AT_MOST + READ_AT_ONCE):
        await world.publish(act("other"), minutes=number)

    _, first = await world.get(operation="wanted")

    assert first["events"] == []
    assert first["next"] is not None
    assert first["scanned"] == SCANNED_AT_MOST
    assert await world.ids(operation="wanted") == ["e-1"]
    # with a beginning in time nobody looks further back than that
    _, since = await world.get(operation="wanted", since=(START + timedelta(days=1)).isoformat())
    assert since["scanned"] < SCANNED_AT_MOST


async def test_what_is_no_audit_event_hides_no_other(world: World) -> None:
    await world.publish(act("a"))
    await world.bus.publish("audit.event.v1", b"nonsense", message_id="x")
    await world.bus.publish("audit.event.v1", b'{"specversion": "1.0"}', message_id="y")
    await world.publish(act("b"))

    assert await world.ids() == ["e-2", "e-1"]


@pytest.mark.parametrize(
    "query",
    [
        {"since": "yesterday"},
        {"since": "2026-01-31T12:00:00"},
        {"action": "X"},
        {"outcome": "odd"},
        {"limit": 0},
        {"limit": 501},
        {"cursor": "nonsense"},
        {"unknown": 1},
    ],
)
async def test_what_is_no_filter_is_refused(world: World, query: Any) -> None:
    assert (await world.get(**query))[0] == 422


async def test_without_a_trail_there_is_nothing_to_read() -> None:
    app = make_app("a", "1", AuditRoutes(None).routes(), metrics_registry=CollectorRegistry())
    server = await serve(app, "127.0.0.1", 0, stop_timeout_s=2)
    async with (
        aiohttp.ClientSession() as session,
        session.get(server.url + "/v1/audit") as response,
    ):
        assert response.status == 404
    await server.stop()
