"""De-identified bytes a second on one core: ours against Orthanc, GDCM, pydicom and a copy, same run.

Writes CT slices of 512 x 512 (525 kB, nobody's) and takes turns, each from file to file and single
threaded: ours (the ARIA profile with the original's default options), ours with its verification,
pydicom (read, change thirteen attributes, write), `gdcmanon --dumb` and Orthanc's `/anonymize` where they
are installed, and copying. Orthanc anonymises the study as we do, with references that still meet, from
its store to its store; and instance after instance, each for itself and without any reference that
holds, from its store to our memory. Rates are given by the clock and by the CPU time of whoever works. Then an RT Structure Set of 13 MB,
and ours in two processes. Medians of the rounds, and ratios in the same run.

    python bench/anonymise.py [--files 200] [--rounds 5]
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import factories
from tests.peers.orthanc import OrthancPeer, orthanc

from dicomcore.deident import (
    Deidentifier,
    PatientIdentity,
    Verifier,
    collect_identifiers,
    parse_options,
    shipped_profile,
)
from dicomio.byte_scan import TextsRuledOut

OPTIONS = parse_options(["CleanDesc", "RetainDeviceIdent"])
PATIENT_ID = "DEMO-1"
EMPTIED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("SeriesDate", "SeriesTime", "StudyDescription", "SeriesDescription", "StationName"),
    *("DeviceSerialNumber", "OperatorsName"),
)
OURS, VERIFIED = "ours", "ours, identifiers collected and verified"
STUDY = "Orthanc, one study"
Turn = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    shm = Path("/dev/shm")  # noqa: S108 - memory, so that no disk is measured
    where = shm if shm.is_dir() and shutil.disk_usage(shm).free > given.files * 4 << 20 else None
    with tempfile.TemporaryDirectory(prefix="anonymise-", dir=where) as made, ExitStack() as stack:
        folder = Path(made)
        sources = write_slices(folder / "in", given.files)
        megabytes = sum(path.stat().st_size for path in sources) / 1e6
        print(f"{platform.machine()}, Python {platform.python_version()}, {folder.parent}")
        print(f"{len(sources)} CT slices, {megabytes:.0f} MB, median of {given.rounds} rounds\n")
        turns = make_turns(folder, sources, stack)
        report(measure(turns, given.rounds), megabytes)
        structure_set(given.rounds)
        two_processes(sources, folder, given.rounds)


# ── objects ─────────────────────────────────────────────────────────────────────────────────


def write_slices(folder: Path, number: int) -> list[Path]:
    folder.mkdir()
    rng = np.random.default_rng(1)
    paths = []
    for index in range(number):
        ds = factories.ct()
        ds.SOPInstanceUID = factories.made_up_uid("bench", index)
        ds.Rows = ds.Columns = 512
        ds.PixelData = rng.integers(0, 3000, 512 * 512, dtype="<u2").tobytes()
        path = folder / f"{index:04d}.dcm"
        path.write_bytes(factories.part10(ds))
        paths.append(path)
    return paths


def large_structure_set() -> bytes:
    """Return 1,500 contours of 400 points on 200 slices: 13 MB."""
    ds = factories.structure_set()
    rng = np.random.default_rng(2)
    for roi in ds.ROIContourSequence:
        contours = []
        for index in range(300):
            contour, image = Dataset(), Dataset()
            image.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
            image.ReferencedSOPInstanceUID = factories.made_up_uid("bench", index % 200)
            contour.ContourImageSequence = [image]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = 400
            contour.ContourData = [f"{value:.2f}" for value in rng.uniform(-250, 250, 1200)]
            contours.append(contour)
        roi.ContourSequence = contours
    return factories.part10(ds)


# ── turns ───────────────────────────────────────────────────────────────────────────────────


def make_turns(folder: Path, sources: Sequence[Path], stack: ExitStack) -> dict[str, Turn]:
    out = folder / "out"
    out.mkdir()
    turns: dict[str, Turn] = {
        OURS: lambda: anonymise(sources, out),
        VERIFIED: lambda: anonymise(sources, out, verified=True),
        "pydicom read, change, write": lambda: by_pydicom(sources, out),
        "copying": lambda: copy(sources, out),
    }
    if program := shutil.which("gdcmanon"):
        turns["gdcmanon --dumb"] = lambda: by_gdcmanon(program, sources[0].parent, out)
    else:
        print("gdcmanon is not installed (Debian: libgdcm-tools)")
    if shutil.which("Orthanc"):
        peer = stack.enter_context(orthanc(folder / "orthanc"))
        peer.upload(sources)
        ids = peer.get("/instances")
        (study,) = peer.get("/studies")
        turns[STUDY] = lambda: study_by_orthanc(peer, study)
        turns["Orthanc, one instance after another"] = lambda: by_orthanc(peer, ids)
    else:
        print("Orthanc is not installed")
    return turns


def deidentifier(objects: Iterator[bytes] | Sequence[bytes]) -> tuple[Deidentifier, Verifier]:
    known = collect_identifiers(objects, OPTIONS)
    profile = shipped_profile("AriaSecurityProfile")
    engine = Deidentifier(profile, OPTIONS, b"k" * 32, PatientIdentity(PATIENT_ID), known)
    return engine, Verifier(known, TextsRuledOut)


def anonymise(sources: Sequence[Path], out: Path, *, verified: bool = False) -> None:
    """Read, de-identify, write; `verified` with the first pass and the comparison afterwards."""
    first = sources if verified else sources[:1]
    engine, verifier = deidentifier(beginning(path) for path in first)
    for path in sources:
        data = path.read_bytes()
        made = engine.apply(data)
        target = out / path.name
        with target.open("wb") as file:
            file.writelines(made.parts)
        if verified:
            assert verifier.findings(data, target.read_bytes()) == []


def beginning(path: Path) -> bytes:
    """Return what identifiers are collected from: all before the pixels."""
    with path.open("rb") as file:
        return file.read(1 << 16)


def by_pydicom(sources: Sequence[Path], out: Path) -> None:
    for path in sources:
        ds = dcmread(path)
        for keyword in EMPTIED:
            setattr(ds, keyword, "")
        for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
            setattr(ds, keyword, "2.25.1")
        ds.save_as(out / path.name)


def copy(sources: Sequence[Path], out: Path) -> None:
    for path in sources:
        (out / path.name).write_bytes(path.read_bytes())


def by_gdcmanon(program: str, folder: Path, out: Path) -> None:
    tags = ("10,10", "10,20", "10,30", "10,40", "8,20", "8,30", "8,21", "8,31", "8,1030", "8,103e")
    emptied = [word for tag in (*tags, "8,1010", "18,1000", "8,1070") for word in ("--empty", tag)]
    command = [program, "--dumb", "-r", *emptied, "-i", str(folder), "-o", str(out)]
    subprocess.run(command, check=True, capture_output=True)


def by_orthanc(peer: OrthancPeer, ids: Sequence[str]) -> None:
    connection = http.client.HTTPConnection(peer.host, peer.http_port, timeout=60)
    try:
        for instance in ids:
            connection.request("POST", f"/instances/{instance}/anonymize", json.dumps({}))
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body[:200]
    finally:
        connection.close()


def study_by_orthanc(peer: OrthancPeer, study: str) -> None:
    """Make an anonymised study in Orthanc's store, and delete it."""
    connection = http.client.HTTPConnection(peer.host, peer.http_port, timeout=600)
    try:
        body = json.dumps({"Synchronous": True})
        connection.request("POST", f"/studies/{study}/anonymize", body)
        answer = json.loads(connection.getresponse().read())
        assert answer["FailedInstancesCount"] == 0
        peer.delete(f"/studies/{answer['ID']}")
    finally:
        connection.close()


def measure(turns: Mapping[str, Turn], rounds: int) -> dict[str, tuple[float, float]]:
    """Return median seconds and CPU seconds of each turn, after one that is not counted."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in turns}
    for round_ in range(rounds + 1):
        for name, turn in turns.items():
            before = cpu_seconds()
            took = timed(turn), cpu_seconds() - before
            if round_:
                seconds[name].append(took)
    return {
        name: (statistics.median(w for w, _ in took), statistics.median(c for _, c in took))
        for name, took in seconds.items()
    }


def cpu_seconds() -> float:
    """Return what this process, its ended children and its living ones have used."""
    times = os.times()
    used = times.user + times.system + times.children_user + times.children_system
    ticks = os.sysconf("SC_CLK_TCK")
    for path in Path("/proc/self/task").glob("*/children"):
        for child in path.read_text().split():
            fields = Path("/proc", child, "stat").read_text().rpartition(")")[2].split()
            used += (int(fields[11]) + int(fields[12])) / ticks
    return used


def timed(turn: Turn) -> float:
    start = time.perf_counter()
    turn()
    return time.perf_counter() - start


def report(seconds: Mapping[str, tuple[float, float]], megabytes: float) -> None:
    """Print rates; a core's is by CPU time, which others on the machine do not change."""
    rates = {name: megabytes / max(cpu, 0.001) for name, (_, cpu) in seconds.items()}
    print(f"{'':44} {'MB/s':>8} {'MB/s of a core':>15}")
    for name, rate in sorted(rates.items(), key=lambda pair: -pair[1]):
        print(f"{name:44} {megabytes / seconds[name][0]:8.0f} {rate:15.0f}")
    ours, verified = rates[OURS], rates[VERIFIED]
    print("\nper core:")
    for peer, wanted in ((STUDY, 4), ("gdcmanon --dumb", 0.5)):
        if peer in rates:
            print(f"  {OURS} / {peer}: {ours / rates[peer]:.1f} (wanted: {wanted:g})")
    if STUDY in rates:
        print(f"  {VERIFIED} / {STUDY}: {verified / rates[STUDY]:.1f} (wanted: 2)")


def structure_set(rounds: int) -> None:
    data = large_structure_set()
    took, checked = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        engine, verifier = deidentifier([data])
        output = engine.apply(data).to_bytes()
        took.append(time.perf_counter() - start)
        assert verifier.findings(data, output) == []
        checked.append(time.perf_counter() - start)
    print(
        f"\nRT Structure Set of {len(data) / 1e6:.1f} MB: {statistics.median(took):.3f} s,"
        f" {statistics.median(checked):.3f} s with verification (wanted: 1 s)"
    )


def two_processes(sources: Sequence[Path], folder: Path, rounds: int) -> None:
    """One process with all files, and two with half of them each, both warm."""
    jobs = [(list(sources), folder / "out")]
    halves = [(list(sources[::2]), folder / "out"), (list(sources[1::2]), folder / "out")]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(in_process, halves, chunksize=1)
        one = statistics.median(timed(lambda: run(pool, jobs)) for _ in range(rounds))
        two = statistics.median(timed(lambda: run(pool, halves)) for _ in range(rounds))
    print(f"two processes, verified: {one / two:.2f} times one (wanted: 1.8)")


def run(pool: multiprocessing.pool.Pool, jobs: Sequence[tuple[list[Path], Path]]) -> None:
    pool.map(in_process, jobs, chunksize=1)


def in_process(job: tuple[list[Path], Path]) -> None:
    anonymise(job[0], job[1], verified=True)


if __name__ == "__main__":
    main()
