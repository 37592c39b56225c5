"""The plan search at scale: pages of filtered, sorted plans and patients, with their totals.

Usage: python bench/plan_search.py [--patients 10000] [--database ADDRESS] [--rounds 20]

Made-up patients with five plans each. The peer is a scan: the facts of every plan are read from the same
database and looked at. Times of the whole process in ms: wall for p50 and p99, which others on the machine
lengthen, CPU for the comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.made_up_plans import Shape, made_up

from dicomcore.plan_facts import PlanSummary
from dicomcore.plan_query import (
    DateField,
    DateRange,
    NumberField,
    NumberRange,
    PatientOrder,
    PatientQuery,
    PlanOrder,
    PlanQuery,
    TextField,
)
from dicomio.sql_index import SqlIndex

T = TypeVar("T")
BATCH = 256
PAGE = 50
P99_MS = 100.0
"""On a machine with nothing else to do."""
PLANS: dict[str, tuple[PlanQuery, Callable[[PlanSummary], bool]]] = {
    "everything, newest first": (PlanQuery(), lambda _: True),
    "label contains LUNG": (
        PlanQuery(texts={TextField.LABEL: ("lung",)}),
        lambda p: "lung" in p.facts.rt_plan_label.casefold(),
    ),
    "one machine, approved, by dose": (
        PlanQuery(
            texts={TextField.MACHINE: ("tb1",), TextField.APPROVAL: ("approved",)},
            order=PlanOrder.TOTAL_DOSE,
        ),
        lambda p: "TB1" in p.facts.machines and p.facts.approval_status == "APPROVED",
    ),
    "structure and dose range": (
        PlanQuery(
            texts={TextField.TARGET: ("boost",)},
            numbers={NumberField.TOTAL_DOSE: (NumberRange(50, 60),)},
        ),
        lambda p: (
            any("boost" in name for name in p.links.target_names)
            and 50 <= (p.facts.total_dose_gy or -1) <= 60
        ),
    ),
    "approved in a month by one doctor": (
        PlanQuery(
            texts={TextField.APPROVER: ("doctor07*",)},
            dates={DateField.APPROVED: (DateRange("20200101", "20200131"),)},
        ),
        lambda p: (
            p.facts.reviewer_name.startswith("Doctor07")
            and "20200101" <= p.facts.review_date <= "20200131"
        ),
    ),
    "energy, technique, treated": (
        PlanQuery(
            texts={TextField.ENERGY: ("10FFF",), TextField.BEAM_TECHNIQUE: ("VMAT",)},
            has_treatment=True,
            order=PlanOrder.PATIENT_NAME,
            descending=False,
        ),
        lambda p: (
            "10FFF" in p.facts.energies
            and "VMAT" in p.facts.beam_techniques
            and p.links.has_treatment
        ),
    ),
    "a patient's name": (
        PlanQuery(texts={TextField.PATIENT: ("fox12",)}),
        lambda p: "fox12" in p.facts.patient_name.casefold(),
    ),
    "nothing": (PlanQuery(texts={TextField.LABEL: ("no such label",)}), lambda _: False),
}
PATIENTS = {
    "patients: all, by name": PatientQuery(order=PatientOrder.PATIENT_NAME),
    "patients: name, with plans": PatientQuery(names=("king",), has_plans=True),
    "patients: studied in a year, latest first": PatientQuery(
        study_dates=(DateRange("20200101", "20201231"),),
        order=PatientOrder.LATEST_STUDY_DATE,
        descending=True,
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--database", default="", help="default: SQLite in a temporary folder")
    parser.add_argument("--rounds", type=int, default=20)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        address = chosen.database or Path(folder) / "index.db"
        return asyncio.run(_run(address, Shape(chosen.patients), chosen.rounds))


async def _run(address: str | Path, shape: Shape, rounds: int) -> int:
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    index = await SqlIndex.open(address)
    started, cpu, taken = time.perf_counter(), time.process_time(), 0
    instances = made_up(shape)
    while batch := list(itertools.islice(instances, BATCH)):
        await index.upsert(batch)
        taken += len(batch)
    print(
        f"{taken} instances indexed, {taken / (time.perf_counter() - started):.0f} a second,"
        f" {(time.process_time() - cpu) / taken * 1e3:.2f} ms of CPU each"
    )
    cpu = time.process_time()
    plans = await _everything(index)
    reading = (time.process_time() - cpu) * 1e3
    print(f"{shape.patients} patients, {len(plans)} plans; a page of {PAGE} and the total, ms")
    print(f"{'':44}{'p50':>8}{'p99':>8}{'CPU':>8}{'scan':>8}{'ratio':>8}{'found':>8}")
    failed = False
    for name, (query, holds) in PLANS.items():
        times, used, found = await _timed(partial(index.plans, query, limit=PAGE), rounds)
        scan, expected = _scan(plans, query, holds)
        failed |= _told(name, times, used, reading + scan, found.total)
        failed |= found.total != expected
        deep = await index.plans(query, after=found.next, limit=PAGE) if found.next else found
        failed |= deep.total != found.total
    for name, wanted in PATIENTS.items():
        times, used, page = await _timed(partial(index.patients, wanted, limit=PAGE), rounds)
        failed |= _told(name, times, used, None, page.total)
    await index.close()
    return int(failed)


async def _timed(ask: Callable[[], Awaitable[T]], rounds: int) -> tuple[Sequence[float], float, T]:
    """Return the wall time of each round, the CPU time of one, and the answer."""
    times = []
    answer = await ask()
    cpu = time.process_time()
    for _ in range(rounds):
        started = time.perf_counter()
        answer = await ask()
        times.append((time.perf_counter() - started) * 1e3)
    return times, (time.process_time() - cpu) / rounds * 1e3, answer


def _scan(
    plans: Sequence[PlanSummary], query: PlanQuery, holds: Callable[[PlanSummary], bool]
) -> tuple[float, int]:
    """Return the CPU ms that it takes to look at every plan and to sort what is found; and how many."""
    started = time.process_time()
    found = [plan for plan in plans if holds(plan)]
    found.sort(key=lambda plan: plan.facts.rt_plan_date, reverse=query.descending)
    return (time.process_time() - started) * 1e3, len(found)


def _told(name: str, times: Sequence[float], cpu: float, scan: float | None, found: int) -> bool:
    """Print a line; return whether it took too long."""
    p50 = statistics.median(times)
    p99 = sorted(times)[round(0.99 * (len(times) - 1))]
    against = f"{scan:8.0f}{scan / cpu:8.0f}" if scan is not None else " " * 16
    too_long = p99 > P99_MS and os.getloadavg()[0] < 1
    note = "  too long" if too_long else ""
    print(f"{name:44}{p50:8.1f}{p99:8.1f}{cpu:8.1f}{against}{found:8d}{note}")
    return too_long


async def _everything(index: SqlIndex) -> Sequence[PlanSummary]:
    plans: list[PlanSummary] = []
    page = await index.plans(PlanQuery(), limit=1000)
    plans += page.plans
    while page.next is not None:
        page = await index.plans(PlanQuery(), after=page.next, limit=1000)
        plans += page.plans
    return plans


if __name__ == "__main__":
    sys.exit(main())
