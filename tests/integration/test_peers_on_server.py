"""Peers and defaults that are kept on the server: by every replica, validated, and never with a file's path."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from dicomio.directory_store import DirectoryStore
from dicomio.http import make_app, serve
from dicomio.jobs.options import WorkerOptions
from dicomio.landing import Lander
from dicomio.local_bus import LocalBus
from dicomio.local_kv import LocalKeyValue
from dicomio.peer_book import KEY
from dicomio.peers import Peers, PeerSettings
from dicomtools.demo.faults import Faults
from dicomtools.demo.pacs import DemoPacs
from dicomtools.demo.patients import small_patient
from qr_gateway.diagnosis import Receiver
from qr_gateway.gateway import BUCKET, Gateway, GatewayParts
from store_scp.options import ScpOptions
from store_scp.server import StoreScp
from tests.servers.ports import free_ports

DEADLINE_S = 60
LOOPBACK = "127.0.0.1"
CANARY = "CANARY-4711"
PATIENT = small_patient(patient_id=CANARY)
ORDER = {"ae_title": "PACS", "host": "pacs.invalid", "port": 104}


class Replica:
    """A gateway that listens."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session
        self.levels: list[str] = []

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.session.request(method, self.url + path, json=body) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None


class World:
    """What replicas share, and a store-scp that delivers into it."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.store = DirectoryStore(folder / "objects")
        self.scp = StoreScp(
            ScpOptions(ae_title="US", host=LOOPBACK, port=0),
            Lander(self.store, lambda *_: None).land,
        )
        self.receiver: Receiver | None = None

    async def replica(self, **configured: PeerSettings) -> Replica:
        """Start a gateway on the files that all of them share."""
        bus = await LocalBus.open(self.folder / "bus.db")
        self.stack.push_async_callback(bus.close)
        kv = await LocalKeyValue.open(self.folder / "kv.db", BUCKET)
        self.stack.push_async_callback(kv.close)
        session = await self.stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(DEADLINE_S))
        )
        registry = CollectorRegistry()
        replica = Replica("", session)
        gateway = Gateway(
            GatewayParts(
                peers=Peers(configured, move_destination="US"),
                store=self.store,
                bus=bus,
                kv=kv,
                receive=lambda _: 0,
                registry=registry,
                options=WorkerOptions(jobs=1),
                receiver=lambda: self.receiver,
                set_log_level=replica.levels.append,
            )
        )
        app = make_app("gateway", "1", gateway.routes(), metrics_registry=registry)
        server = await serve(app, LOOPBACK, 0, stop_timeout_s=2)
        self.stack.push_async_callback(server.stop)
        await self.stack.enter_async_context(_running(gateway))
        replica.url = server.url
        return replica


@asynccontextmanager
async def _running(gateway: Gateway) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(gateway.run())
        try:
            yield
        finally:
            gateway.stop()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        world = World(tmp_path, stack)
        stack.callback(world.store.close)
        yield world


# ── peers ───────────────────────────────────────────────────────────────────────────────────


async def test_a_peer_that_is_kept_is_known_to_every_replica_and_after_a_restart(
    world: World,
) -> None:
    one, other = await world.replica(), await world.replica()

    status, view = await one.ask("PUT", "/v1/peers/ARIA", ORDER)
    assert status == 201
    assert (view["origin"], view["editable"]) == ("server", True)
    assert view["move_destination"] == "US"

    for replica in (other, await world.replica()):
        _, listed = await replica.ask("GET", "/v1/peers")
        assert [peer["name"] for peer in listed["peers"]] == ["ARIA"]

    status, view = await other.ask("PUT", "/v1/peers/ARIA", {**ORDER, "port": 11112})
    assert (status, view["port"]) == (200, 11112)
    assert (await one.ask("GET", "/v1/peers"))[1]["peers"][0]["port"] == 11112

    assert await one.ask("DELETE", "/v1/peers/ARIA") == (204, None)
    assert (await other.ask("GET", "/v1/peers"))[1]["peers"] == []
    assert (await other.ask("DELETE", "/v1/peers/ARIA"))[0] == 404
    assert (await other.ask("POST", "/v1/peers/ARIA/echo"))[0] == 404


async def test_what_is_configured_is_read_only_and_wins(world: World) -> None:
    before = await world.replica()
    await before.ask("PUT", "/v1/peers/ARIA", {**ORDER, "port": 1})

    after = await world.replica(ARIA=PeerSettings(ae_title="A", host="configured", port=2))

    [peer] = (await after.ask("GET", "/v1/peers"))[1]["peers"]
    assert (peer["host"], peer["origin"], peer["editable"]) == ("configured", "file", False)
    assert (await after.ask("PUT", "/v1/peers/ARIA", ORDER))[0] == 409
    assert (await after.ask("DELETE", "/v1/peers/ARIA"))[0] == 409


async def test_many_who_write_at_once_lose_nothing(world: World) -> None:
    replicas = [await world.replica(), await world.replica()]

    answers = await asyncio.gather(
        *(replicas[n % 2].ask("PUT", f"/v1/peers/P{n}", ORDER) for n in range(8))
    )

    kept = {f"P{n}" for n, (status, _) in enumerate(answers) if status == 201}
    assert all(status in (201, 409) for status, _ in answers)
    assert kept
    _, listed = await replicas[0].ask("GET", "/v1/peers")
    assert {peer["name"] for peer in listed["peers"]} == kept


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"ae_title": "A" * 17}, "/ae_title"),
        ({"ae_title": "back\\slash"}, "/ae_title"),
        ({"ae_title": ""}, "/ae_title"),
        ({"host": ""}, "/host"),
        ({"host": "a b"}, "/host"),
        ({"host": "http://x"}, "/host"),
        ({"host": "-x"}, "/host"),
        ({"port": 0}, "/port"),
        ({"port": 65536}, "/port"),
        ({"move_destination": "\n"}, "/move_destination"),
        ({"limits": {"uid_list_limit": 0}}, "/limits/uid_list_limit"),
        ({"limits": {"unknown": 0}}, "/limits/unknown"),
        ({"idle_timeout_s": 0}, "/idle_timeout_s"),
        # no file of the server can be named from outside
        ({"tls": {"ca_file": "/etc/passwd"}}, "/tls"),
        ({"ca_file": "/etc/passwd"}, "/ca_file"),
    ],
)
async def test_what_is_no_peer_is_refused_by_its_field(
    world: World, change: Any, pointer: str
) -> None:
    replica = await world.replica()

    status, problem = await replica.ask("PUT", "/v1/peers/ARIA", {**ORDER, **change})

    assert status == 422
    assert [one["pointer"] for one in problem["errors"]] == [pointer]
    assert (await replica.ask("GET", "/v1/peers"))[1]["peers"] == []


@pytest.mark.parametrize("name", ["-x", "a%20b", "%2e%2e", "x" * 65, "%00"])
async def test_a_name_is_letters_and_digits(world: World, name: str) -> None:
    replica = await world.replica()

    status, _ = await replica.ask("PUT", f"/v1/peers/{name}", ORDER)

    assert status in (404, 422)


@pytest.mark.parametrize(
    ("tls", "shown"),
    [("none", (False, False)), ("verified", (True, True)), ("insecure", (True, False))],
)
async def test_tls_is_verified_unless_told_otherwise(
    world: World, tls: str, shown: tuple[bool, bool]
) -> None:
    replica = await world.replica()

    _, view = await replica.ask("PUT", "/v1/peers/ARIA", {**ORDER, "tls": tls})

    assert (view["tls"], view["verified"]) == shown


async def test_what_is_kept_and_cannot_be_read_hides_no_configured_peer(world: World) -> None:
    kv = await LocalKeyValue.open(world.folder / "kv.db", BUCKET)
    await kv.create(KEY, b"nonsense")
    await kv.close()

    replica = await world.replica(ARIA=PeerSettings(ae_title="A", host="h", port=2))

    _, listed = await replica.ask("GET", "/v1/peers")
    assert [peer["name"] for peer in listed["peers"]] == ["ARIA"]
    assert (await replica.ask("PUT", "/v1/peers/NEW", ORDER))[0] == 422


# ── settings ────────────────────────────────────────────────────────────────────────────────


async def test_defaults_are_kept_for_every_replica(world: World) -> None:
    world.receiver = Receiver("US", LOOPBACK, 11112)
    one, other = await world.replica(), await world.replica()
    _, fresh = await one.ask("GET", "/v1/settings")
    assert fresh == {
        "default_peer": None,
        "export_profile": "AriaSecurityProfile.csv",
        "export_options": ["CleanDesc", "RetainDeviceIdent"],
        "log_level": "info",
        "listening": {"ae_title": "US", "port": 11112},
        "revision": 0,
    }
    await one.ask("PUT", "/v1/peers/ARIA", ORDER)

    order = {
        "default_peer": "ARIA",
        "export_profile": "BasicSecurityProfile.csv",
        "export_options": [],
        "log_level": "debug",
        "revision": 0,
    }
    status, written = await one.ask("PUT", "/v1/settings", order)
    assert status == 200
    assert written["revision"] > 0

    assert (await other.ask("GET", "/v1/settings"))[1] == written
    assert one.levels == ["debug"]
    assert other.levels == ["debug"]
    # whoever read it before somebody else wrote it does not overwrite that
    assert (await other.ask("PUT", "/v1/settings", order))[0] == 409
    order |= {"revision": written["revision"], "log_level": None}
    assert (await other.ask("PUT", "/v1/settings", order))[1]["log_level"] == "info"
    assert other.levels == ["debug", "info"]


async def test_a_log_level_reaches_replicas_that_nobody_asks(world: World) -> None:
    one, other = await world.replica(), await world.replica()

    await one.ask("PUT", "/v1/settings", {"log_level": "error", "revision": 0})

    async with asyncio.timeout(DEADLINE_S):
        while other.levels != ["error"]:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"default_peer": "NOBODY"}, "/default_peer"),
        ({"export_profile": "../../etc/passwd"}, "/export_profile"),
        ({"export_options": ["Nonsense"]}, "/export_options"),
        ({"log_level": "loud"}, "/log_level"),
        ({"listening": {"port": 1}}, "/listening"),
        ({"revision": -1}, "/revision"),
    ],
)
async def test_what_is_no_setting_is_refused_by_its_field(
    world: World, change: Any, pointer: str
) -> None:
    replica = await world.replica()

    status, problem = await replica.ask("PUT", "/v1/settings", {"revision": 0, **change})

    assert status == 422
    assert [one["pointer"] for one in problem["errors"]] == [pointer]
    assert (await replica.ask("GET", "/v1/settings"))[1]["revision"] == 0


# ── diagnosis, patients and plans: against a DICOM system ───────────────────────────────────


class Clinic:
    def __init__(self, pacs: DemoPacs, replica: Replica) -> None:
        self.pacs = pacs
        self.replica = replica

    async def diagnosis(self, **order: Any) -> list[tuple[str, str]]:
        status, answer = await self.replica.ask("POST", "/v1/peers/CLINIC/diagnose", order)
        assert status == 200, answer
        assert answer["failed"] == sum(one["outcome"] == "failed" for one in answer["findings"])
        assert CANARY not in json.dumps(answer)
        self.findings = answer["findings"]
        return [(one["group"], one["outcome"]) for one in answer["findings"]]

    async def get(self, path: str) -> Any:
        status, answer = await self.replica.ask("GET", f"/v1/peers/CLINIC/{path}")
        assert status == 200, answer
        return answer


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def demo(faults: Faults) -> Iterator[tuple[DemoPacs, dict[str, tuple[str, int]]]]:
    destinations: dict[str, tuple[str, int]] = {}
    with DemoPacs(PATIENT.datasets, destinations=destinations, faults=faults) as pacs:
        yield pacs, destinations


@pytest.fixture
async def clinic(world: World, demo: tuple[DemoPacs, dict[str, tuple[str, int]]]) -> Clinic:
    pacs, destinations = demo
    await asyncio.to_thread(world.scp.start)
    world.stack.push_async_callback(asyncio.to_thread, world.scp.stop)
    destinations["US"] = (LOOPBACK, world.scp.port)
    world.receiver = Receiver("US", LOOPBACK, world.scp.port)
    replica = await world.replica()
    order = {"ae_title": pacs.ae_title, "host": LOOPBACK, "port": pacs.port}
    assert (await replica.ask("PUT", "/v1/peers/CLINIC", order))[0] == 201
    return Clinic(pacs, replica)


ALL = ["network", "network", "dicom", "dicom", "listening", "transfer"]


@pytest.mark.parametrize("method", ["move", "get"])
async def test_where_all_is_well_one_object_arrives(clinic: Clinic, method: str) -> None:
    found = await clinic.diagnosis(patient_id=CANARY, method=method)

    assert found == [(group, "ok") for group in ALL], clinic.findings
    assert len(clinic.pacs.sent) == 1


async def test_an_object_that_was_there_before_proves_nothing(clinic: Clinic) -> None:
    await clinic.diagnosis(patient_id=CANARY)

    found = await clinic.diagnosis(patient_id=CANARY)

    assert found[-1] == ("transfer", "warning")


async def test_only_what_is_asked_for_is_looked_at(clinic: Clinic) -> None:
    assert await clinic.diagnosis(checks=["network"]) == [("network", "ok")] * 2
    assert await clinic.diagnosis(checks=["dicom", "listening"]) == [
        ("dicom", "ok"),
        ("dicom", "ok"),
        ("listening", "ok"),
    ]
    without = await clinic.diagnosis()
    assert without[-1] == ("transfer", "skipped")
    assert not clinic.pacs.sent


async def test_what_failed_leaves_nothing_to_try(clinic: Clinic, world: World) -> None:
    (port,) = free_ports(1)
    order = {"ae_title": "X", "host": LOOPBACK, "port": port}
    await clinic.replica.ask("PUT", "/v1/peers/CLINIC", order)
    world.receiver = Receiver("US", LOOPBACK, port)

    found = await clinic.diagnosis(patient_id=CANARY)

    outcomes = ["ok", "failed", "skipped", "skipped", "failed", "skipped"]
    assert found == list(zip(ALL, outcomes, strict=True))
    said = " ".join(clinic.findings[1]["advice"])
    assert "the peer's host" in said
    assert "--" not in said


async def test_a_receiver_that_nobody_named_is_skipped(clinic: Clinic, world: World) -> None:
    world.receiver = None

    found = await clinic.diagnosis(checks=["listening"])

    assert found == [("listening", "skipped")]


async def test_a_pattern_is_no_patient_to_examine(clinic: Clinic) -> None:
    status, _ = await clinic.replica.ask(
        "POST", "/v1/peers/CLINIC/diagnose", {"patient_id": "CAN*"}
    )

    assert status == 422


async def test_patients_are_listed_once_with_what_their_studies_hold(clinic: Clinic) -> None:
    answer = await clinic.get(f"patients?patient_id={CANARY}")

    [patient] = answer["patients"]
    assert patient["patient_id"] == CANARY
    assert patient["has_plans"] is True
    assert {"CT", "RTPLAN", "RTSTRUCT"} <= set(patient["modalities"])
    studies = {str(dataset.StudyInstanceUID) for dataset in PATIENT.datasets}
    assert patient["number_of_studies"] == len(studies)
    assert patient["latest_study_date"] == max(str(one.StudyDate) for one in PATIENT.datasets)
    assert answer["truncated"] is False


async def test_patterns_are_for_those_who_ask_for_them(clinic: Clinic) -> None:
    path = "/v1/peers/CLINIC/patients?patient_id=CANARY*"
    assert (await clinic.replica.ask("GET", path))[0] == 422

    answer = await clinic.get("patients?patient_id=CANARY*&wildcards=true")

    assert [patient["patient_id"] for patient in answer["patients"]] == [CANARY]
    nobody = await clinic.get("patients?patient_id=CANARYX*&wildcards=true")
    assert nobody["patients"] == []


async def test_nobody_asks_for_the_whole_clinic(clinic: Clinic) -> None:
    status, _ = await clinic.replica.ask("GET", "/v1/peers/CLINIC/patients?modality=CT")

    assert status == 422


async def test_plans_are_listed_with_what_the_system_tells(clinic: Clinic) -> None:
    answer = await clinic.get(f"plans?patient_id={CANARY}")

    made = {str(plan.sop_instance_uid): plan.label for plan in PATIENT.plans}
    assert {one["sop_instance_uid"]: one["rt_plan_label"] for one in answer["plans"]} == made
    assert (await clinic.get(f"plans?patient_id={CANARY}&limit=1"))["truncated"] is (len(made) > 1)
    assert (await clinic.get("plans?patient_id=NOBODY"))["plans"] == []


@pytest.mark.parametrize(
    "faults", [Faults(omit_optional_keys=True), Faults(return_everything=True)]
)
async def test_a_system_that_tells_little_or_too_much_is_understood(
    clinic: Clinic, faults: Faults
) -> None:
    answer = await clinic.get(f"plans?patient_id={CANARY}")
    people = await clinic.get(f"patients?patient_id={CANARY}")

    plans = {str(plan.sop_instance_uid) for plan in PATIENT.plans}
    assert {one["sop_instance_uid"] for one in answer["plans"]} == plans
    if faults.omit_optional_keys:
        assert {one["rt_plan_label"] for one in answer["plans"]} == {None}
        assert people["patients"][0]["has_plans"] is None
    assert [one["patient_id"] for one in people["patients"]] == [CANARY]
