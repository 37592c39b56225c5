"""The audit trail from the edges to its stream: associations, requests, and NATS that goes away."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from dicomcore.audit import Act, Activity, Outcome, pseudonym
from dicomcore.ports import ConsumerSpec
from dicomio.audit import AuditOptions, AuditTrail
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Announcer, Lander
from dicomio.local_bus import LocalBus
from dicomio.nats_audit import nats_trail
from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from dicomio.streams import audit_stream
from store_scp.callers import parse_callers
from store_scp.options import ScpOptions
from store_scp.server import StoreScp
from tests.bus_double import Bus
from tests.instances import instance
from tests.integration.scp_world import PLANS, send
from tests.peers.raw_scu import RawScu, Rejected
from tests.servers.nats import NatsServer
from tests.whole_api import PATIENT, PEER, whole_api

KEY = b"k" * 32
CANARY = "CANARY-4711"
DEADLINE_S = 60.0


def scp_with(root: Path, options: ScpOptions, acts: list[Act]) -> StoreScp:
    store = DirectoryStore(root)
    lander = Lander(store, Announcer(store, Bus().publish).announce)
    return StoreScp(options, lander.land, record=acts.append)


def test_an_association_is_one_event_of_who_brought_what(tmp_path: Path) -> None:
    acts: list[Act] = []
    with (
        scp_with(tmp_path, ScpOptions(port=0), acts) as scp,
        RawScu(scp.port, PLANS, calling="ARIA") as scu,
    ):
        for number in range(3):
            one = instance(number)
            one.PatientID = CANARY
            send(scu, one)
        scu.store(b"\xff" * 100, str(one.SOPClassUID), str(one.SOPInstanceUID))
        scu.release()

    [act] = acts
    assert (act.activity, act.operation, act.action) == (Activity.TRANSFERRED, "C-STORE", "C")
    assert act.outcome is Outcome.FAILED  # one of the four
    assert act.counts == (("0x0000", 3), ("0xC000", 1))
    assert act.patient_ids == (CANARY,)
    assert act.objects == (("study_instance_uid", str(one.StudyInstanceUID)),)
    calling, called = act.actors
    assert (calling.name, calling.address, calling.requestor) == ("ARIA", "127.0.0.1", True)
    assert not called.requestor


def test_an_echo_is_no_event_and_a_refused_caller_is_one(tmp_path: Path) -> None:
    acts: list[Act] = []
    options = ScpOptions(port=0, callers=parse_callers("ARIA"))
    with scp_with(tmp_path, options, acts) as scp:
        with RawScu(scp.port, PLANS, calling="ARIA") as scu:
            scu.echo(context_id=3)
            scu.release()
        with pytest.raises(Rejected):
            RawScu(scp.port, PLANS, calling="STRANGER")

    [act] = acts
    assert (act.activity, act.operation) == (Activity.SECURITY_ALERT, "A-ASSOCIATE")
    assert act.actors[0].name == "STRANGER"


async def test_reads_searches_and_queries_name_the_patient_by_pseudonym_only(
    tmp_path: Path,
) -> None:
    bus = await LocalBus.open(tmp_path / "audit.db")
    options = AuditOptions(key=KEY)
    trail = AuditTrail(bus, observer="test", options=options, registry=CollectorRegistry())
    async with (
        whole_api(tmp_path, audit=trail.http) as api,
        aiohttp.ClientSession() as session,
    ):
        gateway, indexer = api.urls["qr-gateway"], api.urls["indexer"]
        asked = [
            session.get(f"{indexer}/v1/patients/{PATIENT}/tree"),
            session.get(f"{indexer}/v1/trees", params={"patient_id": PATIENT}),
            session.get(f"{indexer}/v1/instances/1.2.3.30"),
            session.get(f"{indexer}/v1/studies", params={"patient_id": PATIENT}),
            # asked about nobody in particular, and told of this one
            session.get(f"{indexer}/v1/patients"),
            session.get(f"{indexer}/v1/series"),
            session.get(f"{indexer}/v1/search", params={"tag": "Modality=RTPLAN"}),
            session.post(
                f"{gateway}/v1/peers/{PEER}/find",
                json={"level": "STUDY", "keys": {"PatientID": "", "StudyInstanceUID": ""}},
            ),
            session.post(
                f"{gateway}/v1/peers/{PEER}/find",
                json={"level": "STUDY", "keys": {"PatientID": PATIENT, "StudyInstanceUID": ""}},
            ),
            session.post(
                f"{gateway}/v1/retrievals",
                json={"peer": PEER, "patient_id": PATIENT, "method": "get"},
            ),
        ]
        for request in asked:
            async with request as response:
                assert response.status in (200, 202), await response.text()
    await trail.close()

    events = [json.loads(body)["data"] for body in await everything(bus, len(asked))]
    await bus.close()

    assert len(events) == len(asked)
    for event in events:
        assert pseudonym(KEY, PATIENT) in json.dumps(event), event["subtype"]
        assert f'"{PATIENT}"' not in json.dumps(event)


async def test_a_retrieval_is_audited_again_when_it_has_ended(tmp_path: Path) -> None:
    acts: list[Act] = []
    order = {"peer": PEER, "patient_id": PATIENT, "method": "get"}
    async with whole_api(tmp_path, record=acts.append) as api, aiohttp.ClientSession() as session:
        async with session.post(f"{api.urls['qr-gateway']}/v1/retrievals", json=order) as response:
            job = (await response.json())["id"]
        async with asyncio.timeout(DEADLINE_S):
            while not acts:
                await asyncio.sleep(0.02)

    [act] = acts
    assert (act.activity, act.operation) == (Activity.TRANSFERRED, "retrieval")
    assert act.patient_ids == (PATIENT,)
    assert act.objects == (("id", job),)
    assert act.actors[1].name == PEER


async def everything(bus: Any, least: int) -> list[bytes]:
    consumer = await bus.consumer(ConsumerSpec("everything", ("audit.>",)))
    bodies: list[bytes] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(bodies) < least:
            for delivery in await consumer.fetch(100, timeout_s=1.0):
                bodies.append(delivery.body)
                await delivery.ack()
    await consumer.close()
    return bodies


@pytest.mark.server
async def test_on_nats_there_is_a_stream_from_which_nothing_is_taken(
    own_nats_server: NatsServer,
) -> None:
    options = NatsOptions(servers=(own_nats_server.url,), reconnect_wait_s=0.05)
    registry = CollectorRegistry()
    made = AuditOptions(key=KEY, retention_s=86400.0)
    act = Act(Activity.QUERY, "search", "R", Outcome.SUCCESS, actors=(), patient_ids=(CANARY,))
    async with nats_trail(options, made, observer="indexer", registry=registry) as trail:
        assert trail is not None
        async with asyncio.timeout(DEADLINE_S):
            while not registry.get_sample_value("audit_events_total", {"kept": "published"}):
                trail.record(act)  # what comes before the connection is up is in the log
                await asyncio.sleep(0.05)

    bus = await NatsBus.open(options, stream=audit_stream(86400.0))
    [body, *_] = await everything(bus, 1)
    config = (await bus._connection.stream.stream_info("AUDIT")).config
    await bus.close()

    assert CANARY.encode() not in body
    assert (config.deny_delete, config.deny_purge, config.max_age) == (True, True, 86400.0)
    assert config.subjects == ["audit.>"]


async def test_with_nats_away_a_service_starts_works_and_ends_at_once() -> None:
    options = NatsOptions(servers=("nats://127.0.0.1:1",), reconnect_wait_s=0.05)
    registry = CollectorRegistry()
    act = Act(Activity.QUERY, "search", "R", Outcome.SUCCESS, actors=())
    async with asyncio.timeout(DEADLINE_S):
        async with nats_trail(
            options, AuditOptions(), observer="indexer", registry=registry
        ) as trail:
            assert trail is not None
            trail.record(act)

    assert registry.get_sample_value("audit_events_total", {"kept": "log"}) == 1


async def test_an_audit_that_is_switched_off_is_no_trail() -> None:
    options = NatsOptions(servers=("nats://127.0.0.1:1",))
    off = AuditOptions(enabled=False)
    async with nats_trail(options, off, observer="x", registry=CollectorRegistry()) as trail:
        assert trail is None
