"""A browser, a system that it looks at, and a DICOM system behind that; for every suite of the page."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)
from pydicom import Dataset

from dicomio.peers import PeerSettings
from dicomtools.demo.pacs import DemoPacs
from dicomtools.demo.patients import small_patient, twelve_plans
from dicomtools.demo.sizes import SMALL
from dicomtools.system import LOOPBACK, RunningSystem, SystemOptions, running_system

DEADLINE_S = 90.0
PATIENCE_MS = 45_000
"""For one step of a browser on a busy machine; when all is well, none takes a second."""
ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "services" / "qr-gateway" / "qr_gateway" / "web"
TOOLS = ROOT / ".browser-tools"
"""What npm installs; not in the repository."""
PEER = "demo"
TREE_PATIENT = "DEMO-12-PLANS"
SMALL_PATIENTS = ("DEMO-01", "DEMO-02", "DEMO-03")
VIEWS = (
    "patients",
    "export",
    "jobs",
    "import",
    "search",
    "show",
    "diagnostics",
    "settings",
    "audit",
    "help",
)


class WebSystem:
    """A whole system in a thread of its own, which can go away and return on the same port."""

    def __init__(self, data: Path, peers: dict[str, PeerSettings] | None = None) -> None:
        self._data = data
        self._peers = peers or {}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self.url = ""
        self.dicom_port = 0

    def start(self) -> None:
        """Return once it answers."""
        started: Future[RunningSystem] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(started)))
        self._thread.start()
        system = started.result(DEADLINE_S)
        self.url, self.dicom_port = system.http_url, system.dicom_port

    def stop(self) -> None:
        """Return once it has gone."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(DEADLINE_S)
        self._thread = None

    async def _run(self, started: Future[RunningSystem]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        port = int(self.url.rsplit(":", 1)[1]) if self.url else 0
        options = SystemOptions(
            self._data, http_port=port, dicom_port=self.dicom_port, peers=self._peers
        )
        try:
            async with running_system(options) as system:
                started.set_result(system)
                await self._stopping.wait()
        except BaseException as exc:
            if not started.done():
                started.set_exception(exc)
            raise

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the JSON of an answer."""
        request = urllib.request.Request(  # noqa: S310  # loopback, http
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:  # noqa: S310
            return json.loads(response.read() or b"null")

    def retrieve(self, patient_id: str) -> None:
        """Return once all of a patient is here and in the index."""
        job = self.ask("POST", "/v1/retrievals", {"peer": PEER, "patient_id": patient_id})
        path = f"/v1/retrievals/{job['id']}"
        eventually(lambda: self.ask("GET", path)["state"] == "complete")
        landed = self.ask("GET", path)["counts"]["items"]
        found = f"/v1/patients?prefix={patient_id}"
        eventually(
            lambda: any(
                one["number_of_instances"] >= landed for one in self.ask("GET", found)["patients"]
            )
        )


def eventually(condition: Callable[[], bool], *, deadline_s: float = DEADLINE_S) -> None:
    """Return as soon as a condition holds; fail if that takes too long."""
    until = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)  # between two looks at another thread's work


class Visit:
    """A page, and everything that went wrong on it."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page: Page = context.new_page()
        self.url = url
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("console", self._heard)
        self.page.set_default_timeout(PATIENCE_MS)

    def _heard(self, message: ConsoleMessage) -> None:
        # a request that fails is told by the page itself; what breaks the policy is a fault
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(f"console: {message.text}")

    def open(self, route: str = "") -> Page:
        """Go to a view and return the page once it is there."""
        # the view before this one stays until the next has been fetched
        self.page.evaluate(
            "document.querySelector('main')?.firstElementChild?.classList.add('old')"
        )
        self.page.goto(f"{self.url}/#/{route}" if route else self.url)
        name = route.split("?", 1)[0]
        view = self.page.locator(f"main > {name}-view:not(.old)" if name else "main > :not(.old)")
        view.get_by_role("heading", level=1).wait_for()
        return self.page


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window.

    Not beyond this package: while the driver runs, the main thread has a loop, and no other test
    could have one of its own.
    """
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def node_tools() -> Path:
    """The folder of what package-lock.json names, installed once."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed (Debian: apt-get install npm)")
    lock = (Path(__file__).parent / "package-lock.json").read_bytes()
    modules, kept = TOOLS / "node_modules", TOOLS / "package-lock.json"
    if not (modules.is_dir() and kept.is_file() and kept.read_bytes() == lock):
        TOOLS.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(Path(__file__).parent / name, TOOLS / name)
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],  # noqa: S607
            cwd=TOOLS,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            kept.unlink(missing_ok=True)
            pytest.skip("npm cannot install typescript and axe-core: no package registry answers")
    return modules


def datasets() -> list[Dataset]:
    """A patient with every kind of plan, and some small ones."""
    found = list(twelve_plans(sizes=SMALL).datasets)
    for number, patient_id in enumerate(SMALL_PATIENTS, start=1):
        found += small_patient(patient_id=patient_id, plans=3, slices=2, seed=number).datasets
    return found


@pytest.fixture(scope="package")
def demo_pacs() -> Iterator[tuple[DemoPacs, dict[str, tuple[str, int]]]]:
    """A DICOM system with made-up patients, and where it may deliver to."""
    destinations: dict[str, tuple[str, int]] = {}
    with DemoPacs(datasets(), destinations=destinations) as pacs:
        yield pacs, destinations


@pytest.fixture(scope="package")
def system(
    demo_pacs: tuple[DemoPacs, dict[str, tuple[str, int]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WebSystem]:
    """A system that has retrieved one patient of the DICOM system, and knows where the others are."""
    pacs, destinations = demo_pacs
    peer = PeerSettings(ae_title=pacs.ae_title, host=LOOPBACK, port=pacs.port)
    running = WebSystem(tmp_path_factory.mktemp("system"), {PEER: peer})
    running.start()
    try:
        destinations["DICOMTOOLS"] = (LOOPBACK, running.dicom_port)
        running.retrieve(TREE_PATIENT)
        yield running
    finally:
        running.stop()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser that has been nowhere yet."""
    fresh = chromium.new_context(
        viewport={"width": 1280, "height": 900}, reduced_motion="reduce", accept_downloads=True
    )
    yield fresh
    fresh.close()


@pytest.fixture
def visit(context: BrowserContext, system: WebSystem) -> Iterator[Visit]:
    """A page on the system; nothing may go wrong on it."""
    visiting = Visit(context, system.url)
    yield visiting
    assert visiting.faults == []


def hand_off(patients: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Return a list of patients and selected plans as a planning system writes it."""
    return json.dumps(
        {
            "ExportDateTime": "2026-01-31T12:00:00",
            "TotalPatients": len(patients),
            "Patients": [
                {
                    "PatientId": patient_id,
                    "FirstName": "Demo",
                    "LastName": patient_id.title(),
                    "DateOfBirth": "1950-01-01",
                    "IsSelected": True,
                    "Plans": [
                        {
                            "PatientId": patient_id,
                            "CourseId": "C1",
                            "PlanId": plan,
                            "ApprovalStatus": "APPROVED",
                            "TotalDose": 60.0,
                            "NumberOfFractions": 30,
                            "StructureSetId": "SS",
                            "IsSelected": True,
                        }
                        for plan in plans
                    ],
                }
                for patient_id, plans in patients
            ],
        }
    )
