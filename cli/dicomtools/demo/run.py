"""`dicomtools demo`: one plan out of a made-up DICOM system, through the HTTP interface."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from dicomcore.export import MANIFEST_NAME, Manifest
from dicomio.directory_store import DirectoryStore
from dicomio.peers import PeerSettings
from dicomtools.config import Values
from dicomtools.demo.archive import Archive
from dicomtools.demo.made_up import MadeUpPatient
from dicomtools.demo.pacs import DemoPacs
from dicomtools.demo.patients import twelve_plans
from dicomtools.demo.sizes import SIZES
from dicomtools.export_folder import open_export_folder
from dicomtools.export_tree import export_tree
from dicomtools.gateway_client import retrieve_over_http
from dicomtools.log_level import configure_logs
from dicomtools.problems import CommandProblem
from dicomtools.screen import Screen, make_screen, size_in_words
from dicomtools.settings import Layer
from dicomtools.summary import summary
from dicomtools.system import LOOPBACK, RunningSystem, SystemOptions, running_system
from dicomtools.work_folder import is_occupied
from qr_gateway.retrieval.model import Report, State
from qr_gateway.views import RetrievalOrder

OK = 0
FAILED = 1
PEER = "demo"


def run(values: Values, layers: Sequence[Layer]) -> int:
    """Retrieve the plan and export it; return 0 if it is complete.

    Raises
    ------
    CommandProblem
        The export folder holds something that no retrieval has left there.
    """
    configure_logs(layers, default="error")
    path = Path(values.text("path"))
    if is_occupied(path) and not (path / MANIFEST_NAME).is_file():
        raise CommandProblem(f"{path} holds something else. Give another --path.")
    patient = twelve_plans(sizes=SIZES[values.text("size")])
    with make_screen(as_json=False) as screen:
        return asyncio.run(_demo(patient, values.text("planId"), path, screen))


async def _demo(patient: MadeUpPatient, label: str, path: Path, screen: Screen) -> int:
    destinations: dict[str, tuple[str, int]] = {}
    with (
        TemporaryDirectory(prefix="dicomtools-demo-") as data,
        DemoPacs(patient.datasets, destinations=destinations) as pacs,
    ):
        peer = PeerSettings(ae_title=pacs.ae_title, host=LOOPBACK, port=pacs.port)
        options = SystemOptions(Path(data), peers={PEER: peer})
        async with running_system(options) as system:
            destinations[options.ae_title] = (LOOPBACK, system.dicom_port)
            screen.say(_what_there_is(patient, pacs, system))
            order = RetrievalOrder(
                peer=PEER, patient_id=patient.patient_id, plan_label=label or None
            )
            screen.say(f"Retrieving plan {label or '(all)'} by C-MOVE …")
            report = await retrieve_over_http(system.http_url, order, screen.progress)
            manifest = await asyncio.to_thread(_exported, order, report, path, Path(data))
        screen.say(summary(order.request(), report, manifest, str(path)))
        if manifest is not None:
            screen.say(f"\n{export_tree(path, manifest)}\n")
            screen.say(_moved(report, pacs.archive))
            screen.say(_next(path, patient))
    return OK if report.progress.state is State.COMPLETE else FAILED


def _exported(order: RetrievalOrder, report: Report, path: Path, data: Path) -> Manifest | None:
    if not report.items:
        return None
    store = DirectoryStore(data / "objects")
    try:
        return open_export_folder(path).write(order.request(), report, store)
    finally:
        store.close()


def _what_there_is(patient: MadeUpPatient, pacs: DemoPacs, system: RunningSystem) -> str:
    times = Counter(plan.label for plan in patient.plans)
    labels = ", ".join(label if n == 1 else f"{label} (×{n})" for label, n in times.items())
    return (
        f"A made-up patient, {patient.patient_id}: {len(patient.plans)} plans, "
        f"{len(pacs.archive)} instances, {_size_of(pacs.archive)}.\n"
        f"Plans: {labels}\n"
        f"DICOM system {pacs.ae_title} on {pacs.host}:{pacs.port}; our system on {system.http_url}, "
        f"DICOM on {LOOPBACK}:{system.dicom_port}"
    )


def _moved(report: Report, archive: Archive) -> str:
    studies = {item.study_instance_uid for item in report.items}
    of_studies = [entry for entry in archive if entry.study_instance_uid in studies]
    whole = Archive(of_studies)
    return (
        f"Moved {size_in_words(report.progress.bytes_moved)} "
        f"({report.progress.instances_moved} instances). Whole studies would have been "
        f"{_size_of(whole)} ({len(whole)} instances), the patient {_size_of(archive)} "
        f"({len(archive)} instances)."
    )


def _size_of(archive: Archive) -> str:
    return size_in_words(sum(len(part) for entry in archive for part in entry.parts))


def _next(path: Path, patient: MadeUpPatient) -> str:
    return f"""
The files and {MANIFEST_NAME} are in {path}. Try next:
  dicomtools show --path {path} --format flat
  dicomtools demo --planId HALCYON_B --path demo-export-2
  dicomtools demo-pacs --destination ME=127.0.0.1:11114 --dropEveryNth 5
and, while that runs, in another terminal
  dicomtools retrieve --patientId {patient.patient_id} --planId ION_C --path my-export --listenPort 11114 \\
      --hostName 127.0.0.1 --hostPort 11113 --callingAet ME --calledAet DEMO_PACS --showTree"""
