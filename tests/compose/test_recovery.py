"""compose.yaml, up: exports outlive whoever makes them, and the index is made anew from the bucket."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from dicomtools.demo.patients import small_patient
from tests.compose.engine import Engine, say
from tests.compose.images import Images
from tests.compose.sender import Sender
from tests.compose.stack import Stack, until

PATIENTS = [
    small_patient(patient_id=f"COMPOSE-EXPORTED-{n}", slices=60, seed=500 + n) for n in range(2)
]
SENT = sum(len(patient.instances) for patient in PATIENTS)
EXPORT_BUCKET = "dicomtools-exports"
LIST_EXPORTS = """
from dataclasses import replace
from dicomio.s3_store import S3Store
from dicomio.service_settings import NatsSettings, S3Settings, load
options = load(S3Settings, NatsSettings)[0].options()
store = S3Store(replace(options, bucket="dicomtools-exports"))
print("\\n".join(stat.key for stat in store.list("")))
store.close()
"""


@pytest.fixture(scope="module")
def stack(
    engine: Engine, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Two patients, sent and indexed."""
    with Stack(engine, images, tmp_path_factory.mktemp("recovery")) as stack:
        stack.up("--scale", "indexer=2")
        scp = stack.containers("store-scp")[0]
        for patient in PATIENTS:
            with Sender(patient.datasets, lambda: stack.address(scp, 11112)) as sender:
                sender.finish()
        stack.until_indexed(SENT)
        yield stack


def test_exports_are_whole_whoever_is_killed_while_they_are_made(stack: Stack) -> None:
    # given: each time exports of both patients, as they are and anonymised, ordered through the
    # page's origin
    gateway = stack.containers("qr-gateway")[0]
    done: list[tuple[dict[str, Any], str]] = []
    for service in ("indexer", "nats", "s3"):
        orders = [_order(number, anonymised) for number in range(2) for anonymised in (False, True)]
        jobs = [_ordered(stack, order) for order in orders]

        # when: at once, all that make them, or something that these work with, is killed
        containers = stack.containers(service)
        for container in containers:
            stack.kill(container)
        for container in containers:
            stack.start(container)
        say(f"killed and started {service}; exports that have ended: {_ended(stack, jobs)} of 4")
        until(lambda jobs=jobs: _ended(stack, jobs) == len(jobs), "the end of the exports")  # type: ignore[misc]
        done += zip(orders, jobs, strict=True)

    # then: each archive holds what its manifest says, and no name of a patient where it was to go
    originals = set(stack.stored())
    for order, job in done:
        detail = _export(stack, job)
        assert (detail["state"], detail["not_there"], detail["quarantined"]) == (
            ("complete", [], [])
        ), detail
        status, headers, body = stack.request(gateway, "GET", f"/v1/exports/{job}/zip")
        assert (status, headers.get_content_type()) == (200, "application/zip")
        manifest, files = _unpacked(body)
        patient = PATIENTS[int(order["selection"]["patient"][-1])]
        assert len(files) == len(patient.instances)
        assert {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} == {
            one["file"]: one["sha256"] for one in manifest["instances"]
        }
        uids = {one["sop_instance_uid"] for one in manifest["instances"]}
        if "anonymise" in order:
            assert not uids & originals
            assert not [name for name, data in files.items() if b"COMPOSE-EXPORTED" in data]
        else:
            assert uids <= originals
    listed = stack.run_python(stack.containers("indexer")[0], LIST_EXPORTS).splitlines()
    in_bucket = [key for key in listed if "/trial-" in f"/{key}" and key.endswith(".dcm")]
    assert len(in_bucket) == 3 * SENT
    assert "COMPOSE-EXPORTED" not in " ".join(listed)


def test_the_index_is_made_anew_from_the_bucket_after_the_database_was_lost(stack: Stack) -> None:
    # given: what the index knows
    indexers, (postgres,) = stack.containers("indexer"), stack.containers("postgres")
    before = _known(stack)
    assert before["stats"]["instances"] == SENT

    # when: there is an empty database in its place, and one replica is told to read the bucket
    for indexer in indexers:
        stack.engine.docker("stop", "--time", "60", indexer)
    for statement in ("DROP DATABASE dicomtools", "CREATE DATABASE dicomtools"):
        stack.engine.docker(
            *("exec", postgres, "psql", "--username", "dicomtools", "--dbname", "postgres"),
            *("--command", statement),
        )
    for indexer in indexers:
        stack.start(indexer)
    assert stack.ask(indexers[0], "GET", "/v1/stats")[1]["instances"] == 0
    stack.engine.docker("exec", indexers[0], "indexer", "reindex")

    # then: it knows the same as before
    assert _known(stack) == before


def _order(number: int, anonymised: bool) -> dict[str, Any]:
    order: dict[str, Any] = {"selection": {"patient": PATIENTS[number].patient_id}}
    if anonymised:
        order["anonymise"] = {
            "new_patient_id": f"NEW-{number}",
            "new_patient_name": f"NEW^{number}",
            # made-up portal images and DRRs: nothing is written into their pixels
            "allow_burned_in": ["rt_image"],
        }
        return order | {"destination": {"zip": True}}
    return order | {"destination": {"bucket": {"prefix": f"trial-{number}"}}}


def _ordered(stack: Stack, order: dict[str, Any]) -> str:
    """Return the ID of an export that was accepted."""
    gateway = stack.containers("qr-gateway")[0]

    def accepted() -> Any:
        status, answer = stack.ask(gateway, "POST", "/v1/exports", order)
        return answer if status == 202 else None

    return str(until(accepted, "an export accepted")["id"])


def _export(stack: Stack, job: str) -> Any:
    """Return how an export stands."""
    gateway = stack.containers("qr-gateway")[0]

    def told() -> Any:
        status, answer = stack.ask(gateway, "GET", f"/v1/exports/{job}")
        return answer if status == 200 else None

    return until(told, f"export {job}")


def _ended(stack: Stack, jobs: list[str]) -> int:
    return sum(_export(stack, job)["ended_at"] is not None for job in jobs)


def _unpacked(body: bytes) -> tuple[Any, dict[str, bytes]]:
    """Return the manifest, and the files by name."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(files.pop("manifest.json")), files


def _known(stack: Stack) -> dict[str, Any]:
    indexer = stack.containers("indexer")[0]
    answers = {"stats": stack.ask(indexer, "GET", "/v1/stats")[1]}
    for patient in PATIENTS:
        path = f"/v1/patients/{patient.patient_id}/tree"
        answers[path] = stack.ask(indexer, "GET", path)[1]
    return {name: _without_times(answer) for name, answer in answers.items()}


def _without_times(answer: Any) -> Any:
    """Return an answer without what may differ: when something came, and what waits to be packed."""
    if not isinstance(answer, dict):
        return answer
    return {name: value for name, value in answer.items() if not name.startswith("pending")}
