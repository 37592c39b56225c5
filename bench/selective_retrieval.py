"""One plan, selectively, against moving the whole study: bytes and wall time, from one Orthanc.

Prints, for C-MOVE and C-GET, what `dicomtools` moved and how long it took, beside DCMTK's `movescu`
moving (a) the study that holds the plan, which misses what lies in other studies, and (b) all of the
patient's studies, which is the least that study-level retrieval needs to be sure of everything. The
order of the runs changes from round to round, and medians are printed. Needs Orthanc and DCMTK.

    python bench/selective_retrieval.py [--size 1.0] [--label VMAT_B] [--rounds 3]
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.factories import part10
from tests.peers import dcmtk
from tests.peers.orthanc import Modality, OrthancPeer, orthanc
from tests.retrieving import Site, uids

from dicomio.limits import Limits
from dicomio.pacs import DicomPacs, Peer
from dicomtools.demo.made_up import MadeUpPatient
from dicomtools.demo.patients import twelve_plans
from qr_gateway.retrieval.model import State
from store_scp.options import ScpOptions
from store_scp.server import StoreScp

MB = 1_000_000


@dataclass
class Run:
    """What one way of retrieving took."""

    seconds: list[float] = field(default_factory=list)
    moved_bytes: int = 0
    instances: int = 0

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--size", type=float, default=1.0, help="1.0: about 350 MB")
    arguments.add_argument("--label", default="VMAT_B")
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    # DCMTK, and Orthanc which is built on it, leave Nagle's algorithm on: against a receiver that
    # delays its acknowledgements each instance costs 40 ms. Off for everybody, so that we measure work.
    os.environ["TCP_NODELAY"] = "1"
    patient = twelve_plans(size=options.size)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f} at the start")
    with tempfile.TemporaryDirectory() as folder:
        _bench(Path(folder), patient, options)
    return 0


def _bench(folder: Path, patient: MadeUpPatient, options: argparse.Namespace) -> None:
    with orthanc(folder / "orthanc") as pacs:
        total = 0
        for instance in patient.instances:
            file = part10(instance.dataset)
            total += len(file)
            pacs.upload([file])
        studies = sorted({str(i.ref.study_instance_uid) for i in patient.instances})
        home = [
            str(i.ref.study_instance_uid)
            for i in patient.instances
            for plan in patient.plans_with(options.label)
            if i.ref.sop_instance_uid == plan.sop_instance_uid
        ]
        ways: dict[str, Callable[[Path, Run], None]] = {
            "dicomtools C-MOVE": lambda f, r: _ours(f, r, pacs, patient, options.label, "move"),
            "dicomtools C-GET": lambda f, r: _ours(f, r, pacs, patient, options.label, "get"),
            "movescu, the plan's study": lambda f, r: _movescu(f, r, pacs, home),
            "movescu, all studies": lambda f, r: _movescu(f, r, pacs, studies),
        }
        runs = {name: Run() for name in ways}
        names = list(ways)
        for number in range(options.rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                with tempfile.TemporaryDirectory(dir=folder) as target:
                    ways[name](Path(target), runs[name])
    _print(patient, options.label, total, runs)


def _ours(
    folder: Path, run: Run, pacs: OrthancPeer, patient: MadeUpPatient, label: str, method: str
) -> None:
    site = Site(folder, limits=Limits(), destination="DICOMTOOLS")
    peer = DicomPacs(Peer("orthanc", pacs.ae_title, pacs.host, pacs.dicom_port))
    with StoreScp(ScpOptions(ae_title="DICOMTOOLS", port=0), site.lander.land) as receiver:
        pacs.add_modality(Modality("DICOMTOOLS", receiver.port))
        started = time.monotonic()
        report = site.retrieve(peer, patient_id=patient.patient_id, plan_label=label, method=method)
        run.seconds.append(time.monotonic() - started)
    if report.progress.state is not State.COMPLETE:
        raise SystemExit(f"not complete: {report.missing[:3]}")
    if uids(report) != patient.closure(label):
        raise SystemExit("not the closure")
    run.moved_bytes = report.progress.bytes_moved
    run.instances = report.progress.instances_moved


def _movescu(folder: Path, run: Run, pacs: OrthancPeer, studies: list[str]) -> None:
    """DCMTK on both ends: `movescu` asks, `storescp` receives, bit by bit and without syncing."""
    with dcmtk.storescp(folder, ae_title="STORESCP") as receiver:
        pacs.add_modality(Modality("STORESCP", receiver.port))
        node = dcmtk.Node(pacs.ae_title, pacs.dicom_port)
        started = time.monotonic()
        for study in studies:
            keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": study}
            answer = dcmtk.movescu(node, keys, destination="STORESCP")
            if answer.returncode:
                raise SystemExit(f"movescu failed: {answer.stderr[-500:]}")
        run.seconds.append(time.monotonic() - started)
    files = list((folder / "received").iterdir())
    run.moved_bytes = sum(f.stat().st_size for f in files)
    run.instances = len(files)


def _print(patient: MadeUpPatient, label: str, total: int, runs: dict[str, Run]) -> None:
    closure = patient.closure(label)
    needed = sum(
        len(part10(i.dataset)) for i in patient.instances if i.ref.sop_instance_uid in closure
    )
    print(
        f"patient: {len(patient.instances)} instances, {total / MB:.0f} MB; "
        f"plan {label}: {len(closure)} instances, {needed / MB:.0f} MB"
    )
    print(f"{'':28}{'instances':>10}{'MB':>9}{'seconds':>9}{'MB/closure':>12}")
    for name, run in runs.items():
        print(
            f"{name:28}{run.instances:>10}{run.moved_bytes / MB:>9.1f}{run.median_s:>9.2f}"
            f"{run.moved_bytes / needed:>12.3f}"
        )
    whole = runs["movescu, all studies"]
    for name in ("dicomtools C-MOVE", "dicomtools C-GET"):
        ours = runs[name]
        print(
            f"{name} against all studies: {ours.moved_bytes / whole.moved_bytes:.2f} x the bytes, "
            f"{ours.median_s / whole.median_s:.2f} x the time"
        )


if __name__ == "__main__":
    raise SystemExit(main())
