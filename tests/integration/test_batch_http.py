"""Command lines, batch files and patient lists over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from dicomio.http import Audited, make_app, serve
from qr_gateway.batch_routes import LARGEST_LIST, BatchRoutes

DEADLINE_S = 30
CANARY = "CANARY-4711"
ORDER: dict[str, Any] = {
    "operation": "retrieve",
    "shell": "bat",
    "options": {"hostName": "pacs", "hostPort": 104, "path": "out", "useGet": True},
    "patients": [{"patient_id": CANARY, "plans": ["A & B", "C"]}, {"patient_id": "P-2"}],
}


class World:
    def __init__(self, url: str, session: aiohttp.ClientSession, audited: list[Audited]) -> None:
        self.url = url
        self.session = session
        self.audited = audited

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        data = BytesIO(json.dumps(body).encode())
        headers = {"Content-Type": "application/json"}
        async with self.session.post(self.url + path, data=data, headers=headers) as response:
            return response.status, json.loads(await response.text())


@pytest.fixture
async def world() -> AsyncIterator[World]:
    audited: list[Audited] = []
    routes = BatchRoutes(lambda: datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)).routes()
    app = make_app("batch", "1", routes, metrics_registry=CollectorRegistry(), audit=audited.append)
    server = await serve(app, "127.0.0.1", 0, stop_timeout_s=2)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(DEADLINE_S)) as session:
        yield World(server.url, session, audited)
    await server.stop()


async def test_a_preview_has_one_command_for_each_patient_and_plan(world: World) -> None:
    status, body = await world.post("/v1/command-lines", ORDER)

    assert status == 200
    assert [(one["patient"], one["plan"]) for one in body["commands"]] == [
        (1, 1),
        (1, 2),
        (2, None),
    ]
    assert '"--planId=A & B"' in body["commands"][0]["text"]
    assert body["commands"][2]["folder"] == "out\\P-2"


async def test_a_batch_file_is_named_by_the_callers_clock_or_ours(world: World) -> None:
    _, ours = await world.post("/v1/batch-files", ORDER)
    _, theirs = await world.post(
        "/v1/batch-files", {**ORDER, "shell": "sh", "timestamp": "20250102_030405"}
    )

    assert ours["file_name"] == "DICOMTools_retrieve_20260131_120000.bat"
    assert ours["commands"] == 3
    assert "\r\n" in ours["text"]
    assert theirs["file_name"] == "DICOMTools_retrieve_20250102_030405.sh"
    assert theirs["text"].startswith("#!/bin/sh\n")
    # who writes a file about whom is told to the audit
    assert list(world.audited[0].notes.patient_ids) == [CANARY, "P-2"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"options": {"path": "a\nb"}}, "/options/path"),
        ({"options": {"unknown": "b"}}, "/options"),
        ({"options": {"useGet": 1}}, "/options/useGet"),
        ({"patients": [{"patient_id": f"{CANARY}*"}]}, "/patients/0/patient_id"),
        ({"program": "eval"}, "/program"),
        ({"patients": [{"patient_id": ""}]}, "/patients/0/patient_id"),
        ({"shell": "csh"}, "/shell"),
    ],
)
async def test_what_does_not_fit_is_named_by_its_place(
    world: World, change: Any, pointer: str
) -> None:
    for path in ("/v1/command-lines", "/v1/batch-files"):
        status, problem = await world.post(path, {**ORDER, **change})
        assert status == 422
        assert [one["pointer"] for one in problem["errors"]] == [pointer]
        assert CANARY not in json.dumps(problem)


async def test_a_list_is_read_and_written(world: World) -> None:
    text = json.dumps(
        {
            "Patients": [
                {"PatientId": CANARY, "Plans": [{"PlanId": "A", "IsSelected": True}]},
                {"PatientId": "P-2", "IsSelected": False},
            ]
        }
    )

    status, read = await world.post("/v1/handoff", {"text": "\ufeff" + text})
    assert status == 200
    assert [one["selected"] for one in read["patients"]] == [True, False]
    assert read["patients"][0]["plans"][0]["selected"] is True
    assert read["patients"][0]["plans"][0]["patient_id"] == CANARY

    status, written = await world.post("/v1/handoff/document", read)
    assert status == 200
    assert written["file_name"].endswith(".json")
    assert (await world.post("/v1/handoff", {"text": written["text"]}))[1]["patients"] == read[
        "patients"
    ]


async def test_a_list_that_is_none_is_refused_without_being_quoted(world: World) -> None:
    status, problem = await world.post(
        "/v1/handoff", {"text": json.dumps({"patients": [{"patientId": [CANARY]}]})}
    )

    assert status == 422
    assert problem["errors"][0]["pointer"] == "/patients/0/patientId"
    assert CANARY not in json.dumps(problem)


async def test_a_list_of_a_whole_clinic_fits_and_there_is_an_end(world: World) -> None:
    patients = [{"patientId": f"P-{n}", "lastName": "x" * 300} for n in range(10_000)]

    status, read = await world.post("/v1/handoff", {"text": json.dumps({"patients": patients})})
    assert status == 200
    assert len(read["patients"]) == 10_000

    status, _ = await world.post("/v1/handoff", {"text": "x" * LARGEST_LIST})
    assert status == 413
