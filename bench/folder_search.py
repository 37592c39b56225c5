"""Fifteen attributes of every file in a folder: ours, first and second run, against four peers.

Makes 2,800 files of made-up patients (CT, plans, structure sets of 6 MB, doses), reads them once so that all
runs find them in the page cache, then takes turns: the walk over raw elements in one process and in
several, with and without keeping a cache; pydicom's `dcmread(stop_before_pixels=True)` in one process
and in two; DCMTK's `dcmdump` and GDCM's `gdcmscanner` where they are installed. What ours tells is
compared with what pydicom tells, file by file. Medians of the rounds, and ratios in the same run.

    python bench/folder_search.py [--files 2800] [--rounds 3]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomcore.query import Found
from dicomcore.tagpath import parse_path, print_path
from dicomtools.demo.made_up import MadeUpInstance
from dicomtools.demo.patients import twelve_plans
from dicomtools.demo.sizes import Sizes
from dicomtools.folder.bodies import decode_found
from dicomtools.folder.reading import FolderReading, How
from dicomtools.folder.tasks import ValuesTask

PATHS = (
    *("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
    *("SOPClassUID", "StudyDate", "Modality", "Manufacturer", "InstanceNumber"),
    *("StructureSetLabel", "DoseSummationType", "RTPlanLabel", "ApprovalStatus"),
    "BeamSequence/TreatmentMachineName",
)
STRUCTURE_SET_BYTES = 6_000_000
MODALITIES = ("CT", "RTPLAN", "RTSTRUCT", "RTDOSE")
PARSED = tuple(map(parse_path, PATHS))
TASK = ValuesTask(tuple(sorted(map(print_path, PARSED))))
TAGS = [f"{p[-1].tag >> 16:04x},{p[-1].tag & 0xFFFF:04x}" for p in PARSED]
Told = dict[str, tuple[str, ...]]


class Taken(NamedTuple):
    """What a run took; on a machine with others at work, the processors' time says more."""

    wall_s: float
    cpu_s: float
    """Of all its processes."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--files", type=int, default=2800)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="folder-search-") as made:
        folder = Path(made) / "files"
        describe(write_files(folder, given.files), folder)
        report(measure(folder, Path(made) / "cache", given.rounds), given.files)


# ── files ───────────────────────────────────────────────────────────────────────────────────


def write_files(folder: Path, number: int) -> Counter[str]:
    """Write made-up patients, folder by patient; images explicit, the rest implicit VR."""
    kinds: Counter[str] = Counter()
    long_ago = time.time() - 86400
    for seed, instance in instances(number):
        ds = instance.dataset
        kinds[instance.modality] += 1
        image = instance.modality == "CT"
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if image else ImplicitVRLittleEndian
        if instance.modality == "RTSTRUCT":
            enlarge(ds)
        path = folder / f"P{seed}" / f"{instance.modality}.{instance.ref.sop_instance_uid}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(path, enforce_file_format=True)
        os.utime(path, (long_ago, long_ago))  # what has just changed is not kept in a cache
        path.read_bytes()
    return kinds


def enlarge(ds: Dataset) -> None:
    """Give contours so many points that the structure set is as large as a clinical one."""
    contours = [c for roi in ds.ROIContourSequence for c in roi.get("ContourSequence", ())]
    size_bytes = sum(len(contour.get_item("ContourData").value) for contour in contours)
    times = max(1, STRUCTURE_SET_BYTES // max(1, size_bytes))
    for contour in contours:
        raw = contour.get_item("ContourData")
        points = b"\\".join([raw.value.strip()] * times)
        points += b" " * (len(points) % 2)
        contour[raw.tag] = raw._replace(value=points, length=len(points))


def instances(number: int) -> Iterator[tuple[int, MadeUpInstance]]:
    done = 0
    for seed in range(1, 1000):
        for instance in twelve_plans(sizes=Sizes(matrix_factor=0.5), seed=seed).instances:
            if done < number and instance.modality in MODALITIES:
                yield seed, instance
                done += 1
        if done == number:
            return


# ── runs: each returns what it was told, by file, and how long that took ────────────────────


def ours(folder: Path, *, processes: int, cache: Path | None) -> Told:
    reading = FolderReading(str(folder), TASK, How(processes=processes, cache_root=cache))
    return {entry.path: told(decode_found(outcome.body, TASK.plan)) for entry, outcome in reading}


def told(found: Found) -> tuple[str, ...]:
    """The first value of each attribute, in the first item of its sequence; empty if there is none."""
    texts = []
    for *sequences, last in PARSED:
        place: Found | None = found
        for step in sequences:
            items = place.items.get(step) if place is not None else None
            place = items[0] if items else None
        values = place.values.get(last) if place is not None else None
        texts.append(values[0].text if values else "")
    return tuple(texts)


def by_pydicom(paths: Sequence[str]) -> Told:
    found: Told = {}
    for path in paths:
        ds = dcmread(path, stop_before_pixels=True)
        beams = ds.get("BeamSequence")
        machine = str(beams[0].get("TreatmentMachineName") or "") if beams else ""
        found[path] = (*(str(ds.get(keyword) or "") for keyword in PATHS[:-1]), machine)
    return found


def all_files(folder: Path) -> list[str]:
    return [str(Path(top) / name) for top, _, names in os.walk(folder) for name in names]


def pydicom_walk(folder: Path) -> Told:
    return by_pydicom(all_files(folder))


def pydicom_in_two(folder: Path) -> Told:
    paths = all_files(folder)
    chunks = [paths[start : start + 64] for start in range(0, len(paths), 64)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return {path: told for part in pool.imap(by_pydicom, chunks) for path, told in part.items()}


def command(words: Sequence[str]) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def dcmdump(folder: Path) -> None:
    command(["dcmdump", "-q", "+sd", "+r", *(w for tag in TAGS for w in ("+P", tag)), str(folder)])


def gdcmscanner(folder: Path) -> None:
    wanted = [word for tag in TAGS for word in ("-t", tag)]
    command(["gdcmscanner", "-r", "-p", *wanted, "-d", str(folder)])


def command_line(folder: Path, *more: str) -> None:
    tags = [f"{path}=?" for path in PATHS]
    words = ["search", "--tag", *tags, "--path", str(folder), *more]
    program = [sys.executable, "-m", "dicomtools.main", *words]
    # no file has all fifteen: nothing is printed, and the exit code says so
    done = subprocess.run(program, capture_output=True, check=False, env=compiled(folder))
    assert done.returncode == 2


def compiled(folder: Path) -> dict[str, str]:
    """The environment in which programs are compiled once, as they are where they are installed."""
    left = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return left | {"PYTHONPYCACHEPREFIX": str(folder.parent / "compiled")}


# ── measuring ───────────────────────────────────────────────────────────────────────────────


def measure(folder: Path, cache: Path, rounds: int) -> dict[str, Taken]:
    """Return what each run takes; the order changes from round to round."""

    def cold_keeping() -> Told:
        shutil.rmtree(kept, ignore_errors=True)
        return ours(folder, processes=0, cache=kept)

    kept = cache / "ours"
    os.environ["XDG_CACHE_HOME"] = str(cache / "command line")
    runs: dict[str, Callable[[], Told | None]] = {
        "ours, first run, keeping": cold_keeping,
        "ours, first run, no cache": lambda: ours(folder, processes=0, cache=None),
        "ours, first run, one process": lambda: ours(folder, processes=1, cache=None),
        "pydicom walk": lambda: pydicom_walk(folder),
        "pydicom walk, two processes": lambda: pydicom_in_two(folder),
        "dicomtools search --noCache": lambda: command_line(folder, "--noCache"),
        "dicomtools search again": lambda: command_line(folder),
    }
    if shutil.which("dcmdump"):
        runs["dcmdump"] = lambda: dcmdump(folder)
    if shutil.which("gdcmscanner"):
        runs["gdcmscanner"] = lambda: gdcmscanner(folder)
    expected = pydicom_walk(folder)
    command_line(folder)
    taken: dict[str, list[Taken]] = {}
    for number in range(rounds):
        names = list(runs)
        for name in names[number:] + names[:number]:
            seconds, answer = timed(runs[name])
            taken.setdefault(name, []).append(seconds)
            assert answer is None or answer == expected, name
        cold_keeping()
        seconds, answer = timed(lambda: ours(folder, processes=0, cache=kept))
        taken.setdefault("ours, second run", []).append(seconds)
        assert answer == expected
    return {
        name: Taken(*map(statistics.median, zip(*all_, strict=True)))
        for name, all_ in taken.items()
    }


def timed(run: Callable[[], Told | None]) -> tuple[Taken, Told | None]:
    began, worked = time.perf_counter(), sum(os.times()[:4])
    answer = run()
    return Taken(time.perf_counter() - began, sum(os.times()[:4]) - worked), answer


def describe(kinds: Counter[str], folder: Path) -> None:
    size_bytes = sum(Path(path).stat().st_size for path in all_files(folder))
    counts = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    print(f"{kinds.total()} files, {size_bytes / 1e6:.0f} MB: {counts}")
    load = ", ".join(f"{one:.2f}" for one in os.getloadavg())
    print(f"{os.cpu_count()} processors, load {load}, Python {platform.python_version()}\n")


def report(seconds: dict[str, Taken], number: int) -> None:
    for name, taken in sorted(seconds.items(), key=lambda one: one[1]):
        rate = number / taken.wall_s
        print(
            f"{name:<32}{taken.wall_s:8.3f} s {rate:9.0f} files/s, processors {taken.cpu_s:.2f} s"
        )
    print()
    first, second = "ours, first run, no cache", "ours, second run"
    for name, peer, wanted in (
        (first, "gdcmscanner", 2),
        ("dicomtools search --noCache", "gdcmscanner", 2),
        (first, "pydicom walk", 3),
        (first, "dcmdump", 0),
        (first, "pydicom walk, two processes", 0),
        (second, "pydicom walk", 20),
    ):
        if peer in seconds:
            goal = f"   (at least {wanted})" if wanted else ""
            wall, cpu = (
                theirs / ours for theirs, ours in zip(seconds[peer], seconds[name], strict=True)
            )
            print(f"{name} : {peer} = {wall:.1f} x{goal}, of the processors {cpu:.1f} x")


if __name__ == "__main__":
    main()
