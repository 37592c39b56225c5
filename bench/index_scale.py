"""The tag index at scale: how fast it takes, finds and counts, and how little it needs.

Usage: python bench/index_scale.py [--instances 1000000] [--series 5000] [--database ADDRESS]

Made-up headers. The peer is a plain table (instance, path, value) with an index, in the same SQLite,
filled with a sample of the same instances: what one row for each attribute costs.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.made_up_index import MACHINES, SITES, STATUSES, Maker, Shape, archive, encoded_images

from dicomcore import render
from dicomcore.flatten import flatten
from dicomcore.header import read_header
from dicomcore.ports import IndexedInstance, SearchScope
from dicomcore.query import Query, parse_term
from dicomcore.tagpath import parse_path
from dicomcore.tree import build_trees
from dicomio.sql_index import SqlIndex

BATCH = 256
EVERYWHERE = SearchScope()
SAMPLE = 20_000
QUIET_S = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=1_000_000)
    parser.add_argument("--series", type=int, default=0, help="default: instances / 200")
    parser.add_argument("--database", default="", help="default: SQLite in a temporary folder")
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--tree", type=int, default=100_000, help="instances of one more patient")
    chosen = parser.parse_args()
    shape = Shape(chosen.instances, chosen.series or max(20, chosen.instances // 200))
    with tempfile.TemporaryDirectory() as folder:
        address = chosen.database or Path(folder) / "index.db"
        return asyncio.run(_run(address, shape, chosen.queries, chosen.tree, Path(folder)))


async def _run(address: str | Path, shape: Shape, queries: int, tree: int, folder: Path) -> int:
    report = Report()
    load, cores = os.getloadavg()[0], os.cpu_count()
    print(f"load {load:.1f} on {cores} cores: wall times are of this process alone below 1")
    index = await SqlIndex.open(address)
    taken = await _fill(index, archive(shape), report)
    if isinstance(address, Path):
        report.line("disk, bytes per instance", _size(address) / taken, "<=", 600, "{:.0f}")
    report.line("memory of the process, MB", _memory_mb(), "<=", 300, "{:.0f}")
    await _find(index, shape, queries, report)
    _peer(folder, shape, report)
    _reading(report)
    if tree:
        await _tree(index, tree, report)
    await index.close()
    return report.failed


# ── taking ──────────────────────────────────────────────────────────────────────────────────


async def _fill(index: SqlIndex, instances: Iterator[IndexedInstance], report: Report) -> int:
    """Write all, and pack what is quiet; the time to make the instances up does not count."""
    seconds, cpu, taken, shown = 0.0, 0.0, 0, 0
    packed_at = time.perf_counter()
    while batch := list(itertools.islice(instances, BATCH)):
        start, cpu_start = time.perf_counter(), time.process_time()
        await index.upsert(batch)
        if start - packed_at > QUIET_S:
            while await index.pack(quiet_s=QUIET_S):
                pass
            packed_at = time.perf_counter()
        seconds += time.perf_counter() - start
        cpu += time.process_time() - cpu_start
        taken += len(batch)
        if taken // 100_000 > shown:
            shown = taken // 100_000
            print(f"  {taken} instances, {taken / seconds:.0f} a second", flush=True)
    start, cpu_start = time.perf_counter(), time.process_time()
    while await index.pack(quiet_s=-1):
        pass
    seconds += time.perf_counter() - start
    cpu += time.process_time() - cpu_start
    report.line("  of it, by processor time of one core", taken / cpu, "", None, "{:.0f}")
    report.line(
        f"instances a second, written and packed ({taken})", taken / seconds, ">=", 5000, "{:.0f}"
    )
    return taken


def _reading(report: Report) -> None:
    bodies = encoded_images(2000)
    start = time.perf_counter()
    for body in bodies:
        read_header(body, complete=True)
        flatten(body, complete=True)
    seconds = time.perf_counter() - start
    report.line("objects a second, header and attributes read", len(bodies) / seconds)


# ── finding ─────────────────────────────────────────────────────────────────────────────────


async def _find(index: SqlIndex, shape: Shape, queries: int, report: Report) -> None:
    pick = random.Random(2)  # noqa: S311 # not for secrets
    one = [_one_term(pick, shape) for _ in range(queries)]
    two = [_two_terms(pick, shape) for _ in range(queries)]
    for name, asked in (("path=value", one), ("two terms", two)):
        terms = [Query(map(parse_term, texts)) for texts in asked]
        for page, targets in ((25, (1.0, 25.0)), (100, (None, None))):
            times, cpu = await _timed(
                [lambda q=q, n=page: index.search(q, EVERYWHERE, limit=n) for q in terms]
            )
            title = f"{name}, page of {page}"
            report.line(f"{title}, p50 ms", _quantile(times, 0.50), "<=", targets[0])
            report.line(f"{title}, p99 ms", _quantile(times, 0.99), "<=", targets[1])
            report.line("  of it, processor time, p50 ms", _quantile(cpu, 0.50))
            report.line("  of it, processor time, p99 ms", _quantile(cpu, 0.99))
    for path in (
        "BeamSequence/TreatmentMachineName",
        "Modality",
        "RTPlanLabel",
        "StructureSetROISequence/ROIName",
    ):
        listing = parse_path(path)
        times, _ = await _timed([lambda p=listing: index.values(p, None, EVERYWHERE)] * 5)
        report.line(f"{path}=? with counts, ms", _quantile(times, 0.5), "<=", 100.0)
    for text in ("BeamSequence/TreatmentMachineName=?", "Modality=?"):
        query = Query([parse_term(text)])
        times, cpu = await _timed([lambda q=query: index.count(q, EVERYWHERE)] * 3)
        report.line(f"how many have {text}, ms", _quantile(times, 0.5), "<=", 100.0)
        report.line("  of it, processor time, ms", _quantile(cpu, 0.5))
    slices = Query([parse_term("Modality=CT"), parse_term("InstanceNumber=57")])
    times, _ = await _timed([lambda: index.search(slices, EVERYWHERE)] * 3)
    report.line("an attribute that varies by slice, 100 of all series, ms", _quantile(times, 0.5))


def _one_term(pick: random.Random, shape: Shape) -> tuple[str, ...]:
    site = pick.choice(SITES)
    return pick.choice(
        (
            (f"PatientID=MADE-UP-{pick.randrange(shape.patients):06d}",),
            (f"RTPlanLabel={site}_{pick.randrange(1, 4)}",),
            (f"BeamSequence/TreatmentMachineName={pick.choice(MACHINES)}",),
            (f"ApprovalStatus={pick.choice(STATUSES)}",),
            (f"StructureSetLabel={site}_SS1",),
            ("DoseSummationType=BEAM",),
            ("RTPlanLabel=NOTHING",),
        )
    )


def _two_terms(pick: random.Random, shape: Shape) -> tuple[str, ...]:
    machine, site = pick.choice(MACHINES), pick.choice(SITES)
    return pick.choice(
        (
            (f"RTPlanLabel={site}_1", f"ApprovalStatus={pick.choice(STATUSES)}"),
            (f"BeamSequence/TreatmentMachineName={machine}", "ApprovalStatus=APPROVED"),
            (f"BeamSequence/TreatmentMachineName={machine}", f"RTPlanLabel={site}_2"),
            (f"PatientID=MADE-UP-{pick.randrange(shape.patients):06d}", "Modality=RTPLAN"),
            ("Modality=RTDOSE", "DoseSummationType=PLAN"),
            (f"StructureSetLabel={site}_SS0", "Modality=RTSTRUCT"),
        )
    )


async def _timed(
    asks: Sequence[Callable[[], Awaitable[object]]],
) -> tuple[list[float], list[float]]:
    """Return the milliseconds of each, and of the processor, after a first round that does not count."""
    for ask in asks[: len(asks) // 10 + 1]:
        await ask()
    times, cpu = [], []
    for ask in asks:
        start, cpu_start = time.perf_counter(), time.process_time()
        await ask()
        times.append((time.perf_counter() - start) * 1000)
        cpu.append((time.process_time() - cpu_start) * 1000)
    return times, cpu


# ── the peer ────────────────────────────────────────────────────────────────────────────────


def _peer(folder: Path, shape: Shape, report: Report) -> None:
    """One row for each attribute of each instance, of a sample."""
    path = folder / "plain.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE a (instance INTEGER, path TEXT, value TEXT)")
    connection.execute("CREATE INDEX by_value ON a (path, value)")
    sample = Shape(min(SAMPLE, shape.instances), max(20, min(SAMPLE, shape.instances) // 200))
    seconds, taken = 0.0, 0
    instances = archive(sample)
    while batch := list(itertools.islice(instances, BATCH)):
        rows = [
            (taken + n, attribute.path, value)
            for n, one in enumerate(batch)
            for attribute in one.attributes
            for value in attribute.values
        ]
        start = time.perf_counter()
        with connection:
            connection.executemany("INSERT INTO a VALUES (?, ?, ?)", rows)
        seconds += time.perf_counter() - start
        taken += len(batch)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    report.line(f"plain table ({taken}): instances a second", taken / seconds)
    report.line("plain table: bytes per instance", _size(path) / taken, "", None, "{:.0f}")
    start = time.perf_counter()
    statement = "SELECT value, count(DISTINCT instance) FROM a WHERE path = ? GROUP BY value"
    connection.execute(statement, ("00080060",)).fetchall()
    report.line("plain table: Modality=? with counts, ms", (time.perf_counter() - start) * 1000)
    connection.close()


# ── the tree ────────────────────────────────────────────────────────────────────────────────


async def _tree(index: SqlIndex, instances: int, report: Report) -> None:
    """One more patient, with so many images."""
    patient = Maker(3).patient("MADE-UP-LARGE", images=instances // 10)
    while batch := list(itertools.islice(patient, 2048)):
        await index.upsert(batch)
    while await index.pack(quiet_s=-1):
        pass
    waited: list[float] = []
    clock = asyncio.create_task(_watch_loop(waited))
    start, cpu_start = time.perf_counter(), time.process_time()
    headers, stacks = await index.headers_of("MADE-UP-LARGE")
    conflicts = await index.conflicts("MADE-UP-LARGE")
    read = time.perf_counter()
    trees = await asyncio.to_thread(build_trees, headers, stacks=stacks, conflicts=conflicts)
    [tree] = trees
    built = time.perf_counter()
    await asyncio.to_thread(render.to_json, tree)
    end, cpu_end = time.perf_counter(), time.process_time()
    clock.cancel()
    report.line("  of it, read, s", read - start)
    report.line("  of it, built, s", built - read)
    report.line("  of it, processor time, s", cpu_end - cpu_start)
    report.line("  longest wait of others on the loop meanwhile, ms", max(waited) * 1000)
    report.line(
        f"tree of a patient of {tree.number_of_instances} instances, s", end - start, "<=", 1.0
    )


async def _watch_loop(waited: list[float]) -> None:
    """Note by how much each millisecond was longer than one."""
    while True:
        start = time.perf_counter()
        await asyncio.sleep(0.001)
        waited.append(time.perf_counter() - start - 0.001)


# ── report ──────────────────────────────────────────────────────────────────────────────────


class Report:
    """Prints each figure beside its target."""

    def __init__(self) -> None:
        self.failed = 0

    def line(
        self,
        name: str,
        value: float,
        relation: str = "",
        target: float | None = None,
        form: str = "{:.2f}",
    ) -> None:
        verdict = ""
        if target is not None:
            met = value <= target if relation == "<=" else value >= target
            self.failed += not met
            verdict = f"  target {relation} {target:g}  {'met' if met else 'MISSED'}"
        print(f"{name:62} {form.format(value):>10}{verdict}", flush=True)


def _quantile(times: Sequence[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
