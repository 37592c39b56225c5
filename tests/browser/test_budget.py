"""What the first view costs: bytes, and time with ten thousand patients behind it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from dicomcore.keys import object_key
from dicomcore.model import InstanceHeader, Kind, PlanDetails
from dicomcore.ports import IndexedInstance
from dicomcore.uids import parse_ref
from dicomio.sql_index import SqlIndex
from tests.browser.world import Visit, WebSystem

pytestmark = pytest.mark.browser
PATIENTS = 10_000
FIRST_VIEW_BYTES = 150_000
USABLE_S = 1.0
RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"


@pytest.fixture(scope="module")
def full_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSystem]:
    """A system whose index knows ten thousand patients."""
    data = tmp_path_factory.mktemp("full")
    # in a thread of its own: Playwright keeps a loop in this one
    filling = threading.Thread(target=lambda: asyncio.run(_fill(data / "index.db")))
    filling.start()
    filling.join()
    system = WebSystem(data)
    system.start()
    yield system
    system.stop()


async def _fill(path: Path) -> None:
    index = await SqlIndex.open(path)
    instances = [_plan(number) for number in range(PATIENTS)]
    for start in range(0, PATIENTS, 1000):
        await index.upsert(instances[start : start + 1000])
    await index.close()


def _plan(number: int) -> IndexedInstance:
    ref = parse_ref(f"1.2.3.{number}.1", f"1.2.3.{number}.2", f"1.2.3.{number}.3")
    header = InstanceHeader(
        ref=ref,
        sop_class_uid=RT_PLAN,
        kind=Kind.PLAN,
        modality="RTPLAN",
        details=PlanDetails(label=f"PLAN{number % 7}", approval_status="APPROVED"),
        patient_id=f"P{number:05}",
        patient_name=f"FAMILY{number % 500}^GIVEN{number % 90}",
        study_date="20240101",
    )
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return IndexedInstance(
        object_key=str(object_key(ref, digest)),
        ref=ref,
        sop_class_uid=RT_PLAN,
        sha256=digest,
        size_bytes=1000,
        stored_at=datetime(2026, 1, 1, tzinfo=UTC),
        header=header,
    )


def test_the_first_view_is_small_and_usable_at_once(
    chromium: Browser, full_system: WebSystem
) -> None:
    """The page's own time: what a busy machine takes away from it is not counted against it."""
    visits = [first_view(chromium, full_system.url) for _ in range(3)]

    transferred, elapsed_s, server_s = (min(figures) for figures in zip(*visits, strict=True))

    print(f"first view: {transferred} bytes, {elapsed_s:.2f} s, of it the server {server_s:.2f} s")
    assert 10_000 < transferred < FIRST_VIEW_BYTES
    assert server_s < USABLE_S
    assert elapsed_s < USABLE_S * max(1.0, 3 * load())


def first_view(chromium: Browser, url: str) -> tuple[float, float, float]:
    """Return bytes, seconds, and processor seconds of this process, of a browser that knows nothing."""
    context = chromium.new_context()
    visit = Visit(context, url)
    sizes: list[float] = []
    network = context.new_cdp_session(visit.page)
    network.send("Network.enable")
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    start, busy = time.perf_counter(), time.process_time()
    visit.page.goto(url)
    expect(visit.page.get_by_text("1–25 of 10,000")).to_be_visible()
    elapsed_s, server_s = time.perf_counter() - start, time.process_time() - busy
    visit.page.wait_for_load_state("networkidle")
    context.close()
    assert visit.faults == []
    return sum(sizes), elapsed_s, server_s


def load() -> float:
    """How many want each processor, so that a busy machine makes no failure."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)
