"""Audit events: what they say, what they never say, and that nothing waits for them."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from structlog.testing import LogCapture

from dicomcore.audit import Act, Activity, Actor, AuditEvent, Outcome, audit_event, pseudonym
from dicomcore.errors import BusUnavailable, InvalidRequest
from dicomcore.events import CloudEvent
from dicomcore.ports import Consumer, ConsumerSpec
from dicomio.audit import AuditOptions, AuditTrail, act_of
from dicomio.http import Audited, Input, Notes, Role
from dicomio.local_bus import LocalBus

CANARY = "CANARY^PATIENT 4711"
KEY = b"k" * 32
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEADLINE_S = 30.0


def act(**changes: Any) -> Act:
    return Act(
        **{
            "activity": Activity.QUERY,
            "operation": "getPatientTree",
            "action": "R",
            "outcome": Outcome.SUCCESS,
            "actors": (
                Actor("urn:dicomtools:token", "ward", address="10.0.0.7", roles=("reader",)),
            ),
            "patient_ids": (CANARY,),
            "objects": (("study_instance_uid", "1.2.3"),),
            "counts": (("0x0000", 3),),
            **changes,
        }
    )


def resource(one: Act, key: bytes | None = KEY) -> dict[str, Any]:
    event = audit_event(one, recorded=AT, observer="indexer", key=key)
    found: dict[str, Any] = event.model_dump(mode="json", by_alias=True, exclude_none=True)
    return found


# ── what is said ────────────────────────────────────────────────────────────────────────────


def test_an_event_has_the_members_that_fhir_r4_requires() -> None:
    event = resource(act())

    assert event["resourceType"] == "AuditEvent"
    assert event["type"] == {
        "system": "http://dicom.nema.org/resources/ontology/DCM",
        "code": "110112",
        "display": "Query",
    }
    assert event["recorded"] == "2026-01-02T03:04:05Z"
    assert event["action"] in set("CRUDE")
    assert event["outcome"] in {"0", "4", "8", "12"}
    [agent] = event["agent"]
    assert agent["requestor"] is True
    assert agent["who"]["identifier"] == {"system": "urn:dicomtools:token", "value": "ward"}
    assert agent["network"] == {"address": "10.0.0.7", "type": "2"}
    assert event["source"]["observer"]["identifier"]["value"] == "indexer"
    patient, study, counts = event["entity"]
    assert patient["role"]["code"] == "1"
    assert patient["what"]["identifier"]["value"] == pseudonym(KEY, CANARY)
    assert study["what"]["identifier"]["value"] == "1.2.3"
    assert counts["detail"] == [{"type": "0x0000", "valueString": "3"}]


def test_every_member_has_a_name_of_fhir() -> None:
    """R4 4.0.1 AuditEvent and the data types it is made of."""
    known = {
        "resourceType", "type", "subtype", "action", "recorded", "outcome", "outcomeDesc", "agent",
        "source", "entity", "who", "requestor", "role", "network", "address", "observer", "what",
        "detail", "valueString", "system", "code", "display", "coding", "identifier", "value",
    }  # fmt: skip

    names = set(re.findall(r'"(\w+)":', json.dumps(resource(act(reason="x")))))

    assert names <= known


def test_no_patient_id_is_in_an_event_with_or_without_a_key() -> None:
    for key in (KEY, None):
        text = json.dumps(resource(act(), key))
        assert "CANARY" not in text
        assert "4711" not in text
    assert [one["role"]["code"] for one in resource(act(), None)["entity"]] == ["3", "3"]


@given(st.text(max_size=64), st.text(max_size=64))
def test_pseudonyms_are_the_same_for_the_same_patient_only(one: str, other: str) -> None:
    same = one.strip(" \0") == other.strip(" \0")

    assert (pseudonym(KEY, one) == pseudonym(KEY, other)) == same
    assert pseudonym(KEY, one) != pseudonym(b"o" * 32, one)
    assert re.fullmatch(r"[0-9a-f]{32}", pseudonym(KEY, one))


def test_a_key_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        AuditOptions(key=b"short")
    assert "kkkk" not in repr(AuditOptions(key=KEY))


@pytest.mark.parametrize(
    ("status", "needed", "activity", "outcome"),
    [
        (200, Role.READER, Activity.QUERY, Outcome.SUCCESS),
        (202, Role.RETRIEVER, Activity.TRANSFER_BEGUN, Outcome.SUCCESS),
        (202, Role.EXPORTER, Activity.EXPORT, Outcome.SUCCESS),
        (202, Role.ADMIN, Activity.APPLICATION, Outcome.SUCCESS),
        (404, Role.READER, Activity.QUERY, Outcome.REFUSED),
        (503, Role.READER, Activity.QUERY, Outcome.FAILED),
        (401, Role.READER, Activity.AUTHENTICATION, Outcome.REFUSED),
        (403, Role.ADMIN, Activity.SECURITY_ALERT, Outcome.REFUSED),
        (401, None, Activity.AUTHENTICATION, Outcome.REFUSED),
    ],
)
def test_a_request_is_what_its_route_and_its_answer_say(
    status: int, needed: Role | None, activity: Activity, outcome: Outcome
) -> None:
    one = act_of(
        Audited(
            caller="ward",
            issuer="",
            roles=frozenset({Role.READER}),
            operation_id="op",
            needed=needed,
            method="GET",
            status=status,
            remote="::1",
            request_id="r1",
            notes=Notes(patient_ids={CANARY: None}),
        )
    )

    assert (one.activity, one.outcome) == (activity, outcome)
    assert one.patient_ids == (CANARY,)
    assert ("request_id", "r1") in one.objects


# ── where it goes ───────────────────────────────────────────────────────────────────────────


class Bus:
    """Holds what is published; may be away, or never answer."""

    def __init__(self) -> None:
        self.events: list[CloudEvent] = []
        self.is_away = False
        self.hangs = False

    async def publish(self, subject: str, body: bytes, *, message_id: str) -> bool:
        if self.is_away:
            raise BusUnavailable("NATS is not connected")
        if self.hangs:
            await asyncio.Event().wait()
        event = CloudEvent.model_validate_json(body)
        assert (subject, message_id) == (AuditEvent.TYPE, event.id)
        self.events.append(event)
        return True

    async def consumer(self, spec: ConsumerSpec) -> Consumer:
        raise NotImplementedError

    async def healthy(self) -> bool:
        return not self.is_away

    async def close(self) -> None: ...


@pytest.fixture
async def logged() -> AsyncIterator[list[Any]]:
    capture, before = LogCapture(), structlog.get_config()
    structlog.configure(
        processors=[capture],
        # whatever level another test left behind
        wrapper_class=structlog.make_filtering_bound_logger(0),
        cache_logger_on_first_use=False,
    )
    yield capture.entries
    structlog.configure(**before)


def trail_on(bus: Any, registry: CollectorRegistry, key: bytes | None = KEY) -> AuditTrail:
    return AuditTrail(
        bus, observer="test", options=AuditOptions(key=key), registry=registry, clock=lambda: AT
    )


def kept(registry: CollectorRegistry, where: str) -> float:
    return registry.get_sample_value("audit_events_total", {"kept": where}) or 0.0


async def test_acts_of_many_threads_are_all_published() -> None:
    bus, registry = Bus(), CollectorRegistry()
    trail = trail_on(bus, registry)

    threads = [
        threading.Thread(target=lambda: [trail.record(act()) for _ in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    await asyncio.to_thread(lambda: [thread.join() for thread in threads])
    await trail.close()

    assert len(bus.events) == len({event.id for event in bus.events}) == 200
    assert kept(registry, "published") == 200
    assert AuditEvent.model_validate(bus.events[0].data).outcome == "0"


async def test_with_the_bus_away_each_act_is_one_line_and_nobody_waits(logged: list[Any]) -> None:
    bus, registry = Bus(), CollectorRegistry()
    bus.is_away = True
    trail = trail_on(bus, registry)

    for _ in range(3):
        trail.record(act())
    await trail.close()

    lines = [line for line in logged if line["event"] == "audit_event_kept_in_log"]
    assert len(lines) == 3
    assert kept(registry, "log") == 3
    assert lines[0]["subject_keys"] == [pseudonym(KEY, CANARY)]
    assert "CANARY" not in repr(lines)


async def test_a_bus_that_never_answers_holds_up_neither_who_records_nor_the_end(
    logged: list[Any],
) -> None:
    bus, registry = Bus(), CollectorRegistry()
    bus.hangs = True
    options = AuditOptions(key=KEY, waiting=20, close_s=0.2)
    trail = AuditTrail(bus, observer="test", options=options, registry=registry)

    for _ in range(30):
        trail.record(act())
    async with asyncio.timeout(DEADLINE_S):
        await trail.close()
    trail.record(act())  # after the end

    assert kept(registry, "log") == 31
    reasons = {line["reason"] for line in logged if line["event"] == "audit_event_kept_in_log"}
    assert reasons == {"too many are waiting", "the service stops"}


async def test_on_the_embedded_bus_the_events_can_be_read_again(tmp_path: Path) -> None:
    bus = await LocalBus.open(tmp_path / "audit.db")
    trail = trail_on(bus, CollectorRegistry())
    trail.record(act())
    await trail.close()

    consumer = await bus.consumer(ConsumerSpec("reader", ("audit.>",)))
    [delivery] = await consumer.fetch(10, timeout_s=DEADLINE_S)
    event = CloudEvent.model_validate_json(delivery.body)
    await consumer.close()
    await bus.close()

    assert event.type == delivery.subject == "audit.event.v1"
    assert event.data["resourceType"] == "AuditEvent"
    assert "CANARY" not in delivery.body.decode()


def test_a_request_names_so_many_patients_and_says_that_there_were_more() -> None:
    notes = Notes()
    for number in range(1003):
        notes.about(f"P-{number}")
        notes.about("P-0")

    one = act_of(
        Audited(
            caller="ward",
            issuer="",
            roles=frozenset(),
            operation_id="listPatients",
            needed=Role.READER,
            method="GET",
            status=200,
            remote="",
            request_id="r",
            notes=notes,
        )
    )

    assert len(one.patient_ids) == 1000
    assert one.counts == (("patients_not_named", 3),)


def test_what_is_no_uid_and_no_id_of_ours_is_not_named() -> None:
    class Order(Input):
        patient_id: str
        study_instance_uids: tuple[str, ...]
        id: str
        peer: str

    notes = Notes()
    notes.take_from(
        Order(patient_id="P", study_instance_uids=("1.2.3", CANARY), id=CANARY, peer=CANARY)
    )

    assert notes.objects == [("study_instance_uid", "1.2.3")]
    assert list(notes.patient_ids) == ["P"]
