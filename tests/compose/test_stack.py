"""compose.yaml, up: two replicas of each service share the work, and whatever is killed, nothing is lost."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made at import

from dicomtools.demo.patients import small_patient, twelve_plans
from dicomtools.demo.sizes import SIZES
from tests.compose.engine import say
from tests.compose.sender import Sender
from tests.compose.stack import DEADLINE_S, STORE_AE_TITLE, Stack, until

CALLING_AE_TITLE_NOT_RECOGNIZED = 3
"""PS3.8 Table 9-21."""
REPLICATED = ("store-scp", "indexer", "qr-gateway")
IN_THE_PACS = twelve_plans(sizes=SIZES["medium"])
PACS_UIDS = {str(instance.ref.sop_instance_uid) for instance in IN_THE_PACS.instances}
SENT = [small_patient(patient_id=f"COMPOSE-{n}", seed=100 + n) for n in range(4)]


def test_two_replicas_of_each_service_are_healthy_on_a_read_only_root(stack: Stack) -> None:
    for service in (*REPLICATED, "nats", "s3", "postgres", "demo-pacs"):
        containers = stack.containers(service)

        assert len(containers) == (2 if service in REPLICATED else 1)
        for container in containers:
            (found,) = json.loads(stack.engine.docker("inspect", container))
            assert found["State"]["Health"]["Status"] == "healthy"
            assert found["HostConfig"]["ReadonlyRootfs"] is True
            assert found["HostConfig"]["CapDrop"] == ["ALL"]
            assert found["HostConfig"]["Memory"] > 0
            assert found["HostConfig"]["PidsLimit"] > 0


def test_no_secret_is_in_a_container_s_environment_or_command(stack: Stack) -> None:
    secrets = {path.read_text() for path in (stack.folder / "secrets").iterdir()}

    for service in (*REPLICATED, "nats", "s3", "postgres"):
        for container in stack.containers(service):
            told = stack.engine.docker("inspect", container)
            assert not [secret for secret in secrets if secret in told], service


def test_who_is_on_another_network_reaches_nothing(stack: Stack) -> None:
    # given: demo-pacs, which is on `services` alone
    (pacs,) = stack.containers("demo-pacs")
    script = (
        "import socket\n"
        "def reached(host, port):\n"
        "    try: socket.create_connection((host, port), 5).close()\n"
        "    except OSError: return False\n"
        "    return True\n"
        "print(*[reached(*one) for one in "
        "(('store-scp', 11112), ('nats', 4222), ('s3', 9000), ('postgres', 5432))])"
    )

    # then: the services and the stream answer it; what is on `datastore` does not exist for it
    assert stack.run_python(pacs, script).split() == ["True", "True", "False", "False"]


def test_every_operation_that_runs_is_closed_to_strangers_and_to_who_may_only_read_metrics(
    stack: Stack,
) -> None:
    asked = 0
    (gateway, _), (indexer, _) = stack.containers("qr-gateway"), stack.containers("indexer")
    for container in (gateway, indexer):
        _, document = stack.ask(container, "GET", "/openapi.json")
        for template, methods in document["paths"].items():
            for method, operation in methods.items():
                role = _role(operation)
                # what is the indexer's is answered through the gateway as well
                for entrance in {container, gateway if role is not None else container}:
                    for token in (None, "monitor_token"):
                        path = re.sub(r"\{\w+\}", "1", template)
                        body = {} if method in ("post", "put", "patch") else None
                        status, _, _ = stack.request(
                            entrance, method.upper(), path, token=token, body=body
                        )
                        asked += 1
                        if role is None or (role == "monitor" and token):
                            assert status == 200, (method, path, token)
                        else:
                            assert status == (403 if token else 401), (method, path, token)
    assert asked > 100


def test_the_page_has_one_origin_and_tells_browsers_to_load_nothing_from_elsewhere(
    stack: Stack,
) -> None:
    gateway = stack.containers("qr-gateway")[0]

    status, headers, body = stack.request(gateway, "GET", "/", token=None)
    loaded, script, _ = stack.request(gateway, "GET", "/app.js", token=None)
    through, stats = stack.ask(gateway, "GET", "/v1/stats")

    assert (status, loaded, through) == (200, 200, 200)
    assert headers.get_content_type() == "text/html"
    assert script.get_content_type() == "text/javascript"
    assert b"app.js" in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "instances" in stats


def test_what_is_sent_to_either_replica_is_in_the_tree_and_both_indexers_work(stack: Stack) -> None:
    # given: both replicas of store-scp, and what they have received before
    scps, indexers = stack.containers("store-scp"), stack.containers("indexer")
    before = _count(stack)

    # when: patients are sent, to one replica and the other in turn
    for patient, scp in zip(SENT, itertools.cycle(scps)):
        with Sender(patient.datasets, lambda scp=scp: stack.address(scp, 11112)) as sender:  # type: ignore[misc]
            sender.finish()

    # then: everything is in the index, each patient's tree can be asked for, and all took part
    sent = sum(len(patient.instances) for patient in SENT)
    stats = stack.until_indexed(before + sent)
    assert stats["instances"] == before + sent
    for patient, indexer in zip(SENT, itertools.cycle(indexers)):
        status, tree = stack.ask(indexer, "GET", f"/v1/patients/{patient.patient_id}/tree")
        assert status == 200
        assert "PLAN_1" in json.dumps(tree)
    shares = {
        "store-scp": [stack.metric(one, "store_scp_instances_total") for one in scps],
        "indexer": [stack.metric(one, "indexer_deliveries_total") for one in indexers],
    }
    say(f"shared: {shares}")
    assert all(share > 0 for each in shares.values() for share in each)


def test_someone_else_may_not_send(stack: Stack) -> None:
    entity = AE("STRANGER")
    entity.add_requested_context(Verification)
    host, port = stack.address(stack.containers("store-scp")[0], 11112)

    association = entity.associate(host, port, ae_title=STORE_AE_TITLE)

    assert association.is_rejected
    assert association.acceptor.primitive.diagnostic == CALLING_AE_TITLE_NOT_RECOGNIZED


# pynetdicom, which sends here, leaves the socket of a connection that broke to the collector
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_retrievals_are_shared_and_killing_each_container_loses_nothing(stack: Stack) -> None:
    # given: a patient in the demo PACS, another one who is being sent, four retrievals
    gateways, scps = stack.containers("qr-gateway"), stack.containers("store-scp")
    arriving = small_patient(patient_id="COMPOSE-ARRIVING", slices=40, seed=200)
    order = {"peer": "DEMO", "patient_id": IN_THE_PACS.patient_id}
    jobs = [stack.ask(gateways[0], "POST", "/v1/retrievals", order)[1]["id"] for _ in range(4)]
    until(
        lambda: all(stack.metric(one, "retrievals_running") > 0 for one in gateways),
        "both gateways have retrievals",
    )
    say("both replicas of qr-gateway work on retrievals")

    # when: every container is killed in turn, after something has landed since the last one
    in_the_middle = []
    with Sender(arriving.datasets, lambda: stack.address(scps[0], 11112)) as sender:
        for name, container in _victims(stack):
            landed = stack.landed()
            until(
                lambda landed=landed: stack.landed() > landed or _have_ended(stack, jobs),  # type: ignore[misc]
                "something landed",
            )
            if not _have_ended(stack, jobs):
                in_the_middle.append(name)
            stack.kill(container)
            stack.start(container)
            say(f"killed and started {name}; landed: {landed}")
        until(lambda: _have_ended(stack, jobs), "the end of the retrievals")
        ended = [_retrieval(stack, job) for job in jobs]
        sender.finish()
    assert {*REPLICATED, "nats", "s3"} <= set(in_the_middle)

    # then: complete; what was acknowledged is there, byte for byte, and the index knows all of it
    assert [job["state"] for job in ended] == ["complete"] * len(jobs), ended
    stored = stack.stored()
    assert all(stored.values())
    assert set(stored) >= PACS_UIDS
    assert sender.acknowledged == {str(one.ref.sop_instance_uid) for one in arriving.instances}
    assert sender.acknowledged <= set(stored)
    stats = stack.until_indexed(len(stored))
    say(f"the bucket has {len(stored)} instances, the index {stats}; sent again: {sender.again}")
    assert (stats["instances"], stats["unreadable"], stats["conflicts"]) == (len(stored), 0, 0)


def test_rolling_restart_while_an_association_is_open_finishes_it(stack: Stack) -> None:
    # given: a patient who is being sent to one replica, half of it already
    scp = stack.containers("store-scp")[1]
    patient = small_patient(patient_id="COMPOSE-DRAINED", slices=30, seed=300)
    address = stack.address(scp, 11112)
    half = len(patient.instances) // 2
    with Sender(patient.datasets, lambda: address, pause_after=half) as sender:
        assert sender.paused.wait(DEADLINE_S)

        # when: that replica is told to stop, as an upgrade does, and has begun to
        stop = ("stop", "--time", "90", scp)
        stopping = threading.Thread(target=stack.engine.docker, args=stop)
        stopping.start()
        until(
            lambda: "service_stopping" in stack.compose("logs", "--tail", "50", "store-scp"),
            "it has begun to stop",
        )
        sender.go_on.set()
        sender.finish()
        stopping.join()
    state = json.loads(stack.engine.docker("inspect", scp))[0]["State"]
    stack.start(scp)

    # then: the association went on to its end, and the process ended by itself
    assert sender.again == 0
    assert state["ExitCode"] == 0


def test_logs_hold_no_patient_data(stack: Stack) -> None:
    logs = stack.logs()

    assert "association_released" in logs
    for patient in (IN_THE_PACS, *SENT):
        assert patient.patient_id not in logs


def _role(operation: dict[str, Any]) -> str | None:
    """Return the role that an operation of an OpenAPI document needs; None if it answers anyone."""
    needs = operation.get("security") or [{}]
    roles = needs[0].get("token", ())
    return str(roles[0]) if roles else None


def _count(stack: Stack) -> int:
    return int(stack.until_indexed(0)["instances"])


def _victims(stack: Stack) -> Iterator[tuple[str, str]]:
    """Yield one container of everything, then the other replicas."""
    for name in (*REPLICATED, "nats", "s3", "postgres"):
        yield name, stack.containers(name)[0]
    for name in REPLICATED:
        yield name, stack.containers(name)[1]


def _retrieval(stack: Stack, job: str) -> Any:
    """Return a retrieval as one of the replicas tells it."""
    gateway = stack.containers("qr-gateway")[0]

    def told() -> Any:
        status, answer = stack.ask(gateway, "GET", f"/v1/retrievals/{job}")
        return answer if status == 200 else None

    return until(told, f"retrieval {job}")


def _have_ended(stack: Stack, jobs: list[str]) -> bool:
    return all(_retrieval(stack, job)["ended_at"] is not None for job in jobs)
