"""`dicomtools up` and `dicomtools demo` as people run them: processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import aiohttp
import psutil
import pytest

from dicomcore.errors import PeerRefused
from dicomcore.ports import QueryLevel
from dicomio.pacs import DicomPacs, Peer
from dicomtools.demo.pacs import DemoPacs
from dicomtools.demo.patients import small_patient, twelve_plans
from dicomtools.demo.sizes import SMALL
from dicomtools.gateway_client import retrieve_over_http
from qr_gateway.retrieval.model import Progress, Report, State
from qr_gateway.views import RetrievalOrder
from tests.peers.processes import free_ports

DEADLINE_S = 120
PATIENT = small_patient(patient_id="CANARY/ID 1")


class Up:
    """A running `dicomtools up`, and the PACS it knows as `clinic`."""

    def __init__(self, folder: Path) -> None:
        self.http_port, self.dicom_port = free_ports(2)
        self.folder = folder
        self.pacs = DemoPacs(
            PATIENT.datasets, destinations={"DICOMTOOLS": ("127.0.0.1", self.dicom_port)}
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def words(self) -> list[str]:
        return [
            *(sys.executable, "-m", "dicomtools.main", "up", "--data", "kept"),
            *("--port", str(self.http_port), "--dicomPort", str(self.dicom_port)),
            *("--peer", f"clinic={self.pacs.ae_title}@127.0.0.1:{self.pacs.port}"),
        ]

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        with (
            (self.folder / "log").open("a") as log,
            subprocess.Popen(
                self.words(), stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.folder
            ) as process,
        ):
            try:
                assert process.stdout is not None
                # the greeting comes when requests are answered
                for line in process.stdout:
                    if line.startswith("Reached from this computer only"):
                        break
                assert process.poll() is None, (self.folder / "log").read_text()
                yield process
            finally:
                process.kill()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    made = Up(tmp_path)
    with made.pacs:
        yield made


async def retrieved(up: Up, label: str, method: str = "move") -> Report:
    order = RetrievalOrder.model_validate(
        {
            "peer": "clinic",
            "patient_id": PATIENT.patient_id,
            "plan_label": label,
            "method": method,
        }
    )
    seen: list[Progress] = []
    report = await retrieve_over_http(up.url, order, seen.append)
    assert seen[-1].state.final
    return report


async def plans_in_tree(url: str, expected: int) -> list[dict[str, object]]:
    """Wait until the index shows so many plans of the patient; return them."""
    path = f"/v1/patients/{quote(PATIENT.patient_id, safe='')}/tree"
    async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession(url) as session:
        while True:
            async with session.get(path) as response:
                if response.status == 200:
                    plans: list[dict[str, object]] = (await response.json())["plans"]
                    if len(plans) >= expected:
                        return plans
            await asyncio.sleep(0.2)  # the index follows the events; there is nothing to wait on


async def test_a_plan_retrieved_over_http_is_complete_and_in_the_index(up: Up) -> None:
    with up.running() as process:
        moved = await retrieved(up, "PLAN_1")
        got = await retrieved(up, "PLAN_2", method="get")
        plans = await plans_in_tree(up.url, 2)
        process.send_signal(signal.SIGTERM)
        said, _ = await asyncio.to_thread(process.communicate, timeout=DEADLINE_S)

    assert moved.progress.state is State.COMPLETE
    assert {item.sop_instance_uid for item in moved.items} == PATIENT.closure("PLAN_1")
    assert {item.sop_instance_uid for item in got.items} == PATIENT.closure("PLAN_2")
    assert len(plans) == 2
    # nothing that has landed is moved again, by whatever way it came
    assert max(up.pacs.times_sent.values()) == 1
    assert process.returncode == 0
    assert "Stopping" in said
    log = (up.folder / "log").read_text()
    assert "association_released" in log
    assert "CANARY" not in log
    assert "PLAN_1" not in log


async def test_after_a_kill_the_same_data_is_there_and_another_plan_moves_only_what_is_new(
    up: Up,
) -> None:
    with up.running() as process:
        await retrieved(up, "PLAN_1")
        process.kill()
        await asyncio.to_thread(process.wait, DEADLINE_S)
    with up.running():
        second = await retrieved(up, "PLAN_2")
        plans = await plans_in_tree(up.url, 2)

    assert second.progress.state is State.COMPLETE
    assert max(up.pacs.times_sent.values()) == 1
    assert len(plans) == 2


async def test_it_listens_on_loopback_only(up: Up) -> None:
    with up.running() as process:
        listening = [
            connection.laddr.ip
            for connection in psutil.Process(process.pid).net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        ]

    assert listening
    assert set(listening) == {"127.0.0.1"}


@pytest.mark.parametrize("option", ["--port", "--dicomPort"])
def test_a_port_that_is_taken_is_said_with_the_option_that_changes_it(
    up: Up, option: str, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", up.http_port if option == "--port" else up.dicom_port))
        taken.listen()

        done = subprocess.run(
            up.words(),
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=DEADLINE_S,
        )

    assert done.returncode == 1
    assert f"Give another one with {option}." in done.stderr
    assert "Traceback" not in done.stderr


def run_demo(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dicomtools.main", "demo", "--size", "small", *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=DEADLINE_S,
        env={**os.environ, "TMPDIR": str(folder)},
    )


def test_the_demo_exports_one_plan_and_shows_what_it_moved_and_what_not(tmp_path: Path) -> None:
    patient = twelve_plans(sizes=SMALL)

    done = run_demo(tmp_path)

    assert done.returncode == 0, done.stderr
    export = tmp_path / "demo-export"
    assert {path.name[3:-4] for path in export.glob("*.dcm")} == patient.closure("VMAT_B")
    manifest = json.loads((export / "manifest.json").read_text())
    assert manifest["state"] == "complete"
    assert manifest["counts"]["bytes_moved"] <= 1.1 * manifest["counts"]["size_bytes"]
    assert "Patient: DEMO-12-PLANS\n  Plan: VMAT_B" in done.stdout
    assert f"the patient 421 kB ({len(patient.instances)} instances)" in done.stdout
    assert "query:" in done.stderr
    assert "complete: 28 of 28 instances" in done.stderr
    # what the demo's system kept is gone
    assert [path.name for path in tmp_path.iterdir()] == ["demo-export"]


def test_the_demo_lists_the_plans_when_asked_for_another(tmp_path: Path) -> None:
    done = run_demo(tmp_path, "--planId", "vmat_b")

    assert done.returncode == 1
    assert "no plan with the label 'vmat_b'" in done.stdout
    assert "  HALCYON_B  [APPROVED]" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_demo_does_not_write_into_a_folder_of_yours(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    done = run_demo(tmp_path, "--path", str(tmp_path))

    assert done.returncode == 1
    assert "holds something else" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def demo_pacs_words(port: int, *words: str) -> list[str]:
    command = [sys.executable, "-m", "dicomtools.main", "demo-pacs", "--size", "small"]
    return [*command, "--port", str(port), *words]


def test_the_demo_pacs_answers_until_it_is_told_to_stop_and_has_the_faults_it_was_given(
    tmp_path: Path,
) -> None:
    (port,) = free_ports(1)
    words = demo_pacs_words(port, "--noInstanceLevel", "--aet", "FAULTY")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == (
                f"FAULTY listens on 127.0.0.1:{port}; Ctrl-C ends it.\n"
            )
            peer = DicomPacs(Peer("demo", "FAULTY", "127.0.0.1", port))

            studies = peer.find(
                QueryLevel.STUDY, {"PatientID": "DEMO-12-PLANS", "StudyInstanceUID": ""}
            )
            with pytest.raises(PeerRefused):
                peer.find(QueryLevel.IMAGE, {"StudyInstanceUID": "1.2", "SOPInstanceUID": ""})
            process.send_signal(signal.SIGTERM)

            assert process.wait(DEADLINE_S) == 0
            assert len(studies) == len(
                {i.ref.study_instance_uid for i in twelve_plans(sizes=SMALL).instances}
            )
        finally:
            process.kill()


def test_the_demo_pacs_says_that_its_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = subprocess.run(
            demo_pacs_words(port),
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=DEADLINE_S,
        )

    assert done.returncode == 1
    assert f"Port {port} cannot be used" in done.stderr
