"""600 CT slices of 525 KB into store-scp, over one and four associations, beside what others do.

Every receiver is a process of its own, new for each run, with an empty store; the senders are DCMTK's
`dcmsend`, one for each association. Printed are instances per second (median of the runs), and the
processor time of the receiver, its children included, per GB received. The object store alone, and the
disk alone, are measured with the same bytes from four threads. Then C-GET of the same slices out of
Orthanc, and the time from the first C-STORE to the last instance that can be found.

Nothing that was written is deleted before the end (20 GB): a file system without a journal looks at each
inode that was freed a minute ago before it gives out a new one, and who comes next would pay for it.

DCMTK, and Orthanc which is built on it, leave Nagle's algorithm on: against a receiver that delays its
acknowledgements each instance then costs 40 ms. It is off for everybody (TCP_NODELAY=1), so that work is
measured. Needs DCMTK and Orthanc.

    python bench/ingest.py [--slices 600] [--runs 3] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from minio import Minio
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.ingest_peers import RECEIVER_KINDS, Bench, empty_server, warm_bucket
from tests.e2e.trio import INDEXER, STORE_SCP, Trio
from tests.factories import part10
from tests.peers.dcmtk import Node, getscu
from tests.peers.orthanc import orthanc
from tests.peers.processes import required_program
from tests.servers.nats import NatsServer
from tests.servers.postgres import new_server
from tests.servers.weed import Weed

from dicomcore.ports import QueryLevel, TransferRequest
from dicomcore.received import Received
from dicomcore.uids import parse_series_uid, parse_study_uid
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Lander
from dicomio.pacs import DicomPacs, Peer
from dicomio.sql_index.index import SqlIndex

ROOT = "2.25.71006"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ASSOCIATIONS = (4, 1)
GB = 1e9


@dataclass
class Figure:
    """What one receiver did over one number of associations."""

    rates: list[float] = field(default_factory=list)
    cpu_s_per_gb: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpu_s_per_gb) if self.cpu_s_per_gb else float("nan")


# ── the slices ──────────────────────────────────────────────────────────────────────────────


def make_slices(folder: Path, count: int, parts: int) -> int:
    """Write Part 10 files into `folder`/0 … `folder`/`parts`-1; return the size of one."""
    size = 0
    for number in range(count):
        dataset = Dataset()
        dataset.SOPClassUID = CT_IMAGE
        dataset.SOPInstanceUID = f"{ROOT}.3.{number}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.1", f"{ROOT}.2"
        dataset.FrameOfReferenceUID = f"{ROOT}.4"
        dataset.PatientID, dataset.PatientName, dataset.Modality = "MADE-UP", "Made^Up", "CT"
        dataset.StudyDate, dataset.StudyTime = "20260101", "120000"
        dataset.Manufacturer, dataset.SeriesDescription = "Nobody", "Planning"
        dataset.ImagePositionPatient, dataset.InstanceNumber = [0, 0, number], number + 1
        dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.98, 0.98]
        dataset.SliceThickness, dataset.KVP, dataset.RescaleSlope = 2, 120, 1
        dataset.Rows = dataset.Columns = 512
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation, dataset.SamplesPerPixel = 0, 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.add_new(0x7FE00010, "OW", os.urandom(512 * 512 * 2))
        body = part10(dataset, ExplicitVRLittleEndian)
        path = folder / str(number * parts // count) / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        size = len(body)
    return size


# ── one run ─────────────────────────────────────────────────────────────────────────────────


def send_all(bench: Bench, port: int, ae_title: str, associations: int) -> float:
    """Send every slice; return the seconds it took."""
    parts = max(ASSOCIATIONS)
    folders = [str(bench.folder / "slices" / str(number)) for number in range(parts)]
    started = time.perf_counter()
    senders = [
        subprocess.Popen(
            [
                *(required_program("dcmsend"), "-aec", ae_title, "127.0.0.1", str(port)),
                *("+sd", "+r", *folders[number::associations]),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for number in range(associations)
    ]
    outputs = [sender.communicate(timeout=600)[0] for sender in senders]
    seconds = time.perf_counter() - started
    if any(sender.returncode for sender in senders):
        raise SystemExit(b"\n".join(outputs)[-2000:].decode(errors="replace"))
    return seconds


def measure(bench: Bench, kind: str, associations: int, figure: Figure) -> None:
    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    with RECEIVER_KINDS[kind](bench, folder) as receiving:
        os.sync()  # what the one before has written is not written while this one is measured
        before = receiving.cpu_s()
        seconds = send_all(bench, receiving.port, receiving.ae_title, associations)
        cpu_s = receiving.cpu_s() - before
    figure.rates.append(bench.slices / seconds)
    figure.cpu_s_per_gb.append(cpu_s / (bench.slices * bench.size_bytes / GB))


def server_alone(bench: Bench, threads: int) -> float:
    """PUT every slice to the object store from some threads, signed beforehand; return the rate."""
    options = warm_bucket(bench)
    client = Minio(
        options.endpoint, access_key=options.access_key, secret_key=options.secret_key,
        region=options.region, secure=False,
    )  # fmt: skip
    files = sorted((bench.folder / "slices").rglob("*.dcm"))
    addresses = [client.get_presigned_url("PUT", options.bucket, path.name) for path in files]
    bodies = [path.read_bytes() for path in files]

    def put(number: int) -> None:
        host = urlsplit(addresses[0])
        connection = http.client.HTTPConnection(host.hostname or "", host.port, blocksize=1 << 18)
        for address, body in list(zip(addresses, bodies, strict=True))[number::threads]:
            parts = urlsplit(address)
            connection.request("PUT", f"{parts.path}?{parts.query}", body)
            response = connection.getresponse()
            response.read()
            assert response.status == 200, response.status
        connection.close()

    os.sync()
    workers = [threading.Thread(target=put, args=(number,)) for number in range(threads)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(files) / (time.perf_counter() - started)


def disk_alone(bench: Bench, threads: int) -> float:
    """Put every slice into a folder from some threads, synced as ours are; return the rate.

    What no receiver that keeps the promise can exceed: nothing is received, hashed or announced.
    """
    store = DirectoryStore(tempfile.mkdtemp(dir=bench.folder))
    bodies = [path.read_bytes() for path in sorted((bench.folder / "slices").rglob("*.dcm"))]
    keys = [f"instances/1/1/1.{number}/{number:016x}.dcm" for number in range(len(bodies))]
    os.sync()
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda key, body: store.put(key, [body]), keys, bodies))
    return len(bodies) / (time.perf_counter() - started)


# ── C-GET ───────────────────────────────────────────────────────────────────────────────────


def c_get(bench: Bench, runs: int) -> None:
    """Print C-GET of the slices out of Orthanc: qr-gateway's path, and DCMTK's `getscu +B`."""
    keys = {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": f"{ROOT}.1"}
    keys["SeriesInstanceUID"] = f"{ROOT}.2"
    ours, landed, peers = Figure(), Figure(), Figure()
    with orthanc(bench.folder / "orthanc") as pacs:
        pacs.upload(sorted((bench.folder / "slices").rglob("*.dcm")))
        for _ in range(runs):
            store = DirectoryStore(tempfile.mkdtemp(dir=bench.folder))
            lander = Lander(store, lambda _stored, _ae: None)
            os.sync()
            landed.rates.append(bench.slices / _get(pacs.dicom_port, lander.land))
            os.sync()
            ours.rates.append(bench.slices / _get(pacs.dicom_port, lambda _r: None))
            folder = Path(tempfile.mkdtemp(dir=bench.folder))
            started = time.perf_counter()
            answer = getscu(Node(pacs.ae_title, pacs.dicom_port), keys, folder)
            peers.rates.append(bench.slices / (time.perf_counter() - started))
            assert answer.returncode == 0, answer.stdout
            assert len(list(folder.iterdir())) == bench.slices
    print(f"\nC-GET of {bench.slices} slices out of Orthanc, instances/s")
    for name, figure in (("ours, only counting", ours), ("ours, files fsynced", landed)):
        print(f"{name:40}{figure.rate:>8.0f}   {figure.rate / peers.rate:.2f} x getscu +B")
    print(f"{'DCMTK getscu +B, nothing synced':40}{peers.rate:>8.0f}")


def _get(port: int, take: Callable[[Received], object]) -> float:
    count = 0

    def receive(received: Received) -> int:
        nonlocal count
        take(received)
        count += 1
        return 0

    started = time.perf_counter()
    outcome = DicomPacs(Peer("orthanc", "ORTHANC", "127.0.0.1", port)).get(
        TransferRequest(
            QueryLevel.SERIES,
            "MADE-UP",
            parse_study_uid(f"{ROOT}.1"),
            parse_series_uid(f"{ROOT}.2"),
        ),
        sop_class_uids=[CT_IMAGE],
        receive=receive,
        progress=lambda _counters: None,
        cancelled=lambda: False,
    )
    assert outcome.status == 0, outcome
    assert count
    return time.perf_counter() - started


# ── from the first C-STORE to the last instance that can be found ───────────────────────────


def end_to_end(bench: Bench, runs: int) -> None:
    """Print the time until all is in the index, beside the time until all is acknowledged."""
    ingest, searchable = Figure(), Figure()
    server, folder = new_server()
    server.initialise()
    server.start()
    try:
        for _ in range(runs):
            database = server.create_database()
            with Trio.on(empty_server(bench), _new_nats(bench), database, folder) as trio:
                _end_to_end(bench, trio, ingest, searchable)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    ratio = ingest.rate / searchable.rate
    print(
        f"\nS3 + JetStream + PostgreSQL, 4 associations: acknowledged {bench.slices / ingest.rate:.1f} "
        f"s, searchable {bench.slices / searchable.rate:.1f} s after the first C-STORE: "
        f"{ratio:.2f} x   (wanted: 1.5 x)"
    )


def _new_nats(bench: Bench) -> str:
    """Return the address of the NATS server with nothing left of an earlier run."""
    bench.nats.stop()
    shutil.rmtree(bench.folder / "nats", ignore_errors=True)
    bench.nats.start()
    return bench.nats.url


def _end_to_end(bench: Bench, trio: Trio, ingest: Figure, searchable: Figure) -> None:
    for name in (STORE_SCP, INDEXER):
        trio.start(name)
        asyncio.run(trio.until_ready(name))
    database = trio.environments[INDEXER]["INDEXER_DATABASE_URL"]
    started = time.perf_counter()
    ingest.rates.append(bench.slices / send_all(bench, trio.dicom_port, "ANY-SCP", 4))
    asyncio.run(_until_indexed(database, bench.slices))
    searchable.rates.append(bench.slices / (time.perf_counter() - started))


async def _until_indexed(database: str, count: int) -> None:
    index = await SqlIndex.open(database)
    try:
        async with asyncio.timeout(300):
            while (await index.counts()).instances < count:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
    finally:
        await index.close()


# ── all of it ───────────────────────────────────────────────────────────────────────────────


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--slices", type=int, default=600)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--only", nargs="*", help="parts of the names of receivers; no C-GET")
    arguments.add_argument("--nagle", action="store_true", help="DCMTK and Orthanc as they come")
    options = arguments.parse_args()
    os.environ["TCP_NODELAY"] = "0" if options.nagle else "1"
    load = os.getloadavg()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load[0]:.1f} {load[1]:.1f} at the "
        f"start, Python {platform.python_version()}, {options.runs} runs, "
        f"TCP_NODELAY={os.environ['TCP_NODELAY']}",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="ingest-") as name:
        folder = Path(name)
        size = make_slices(folder / "slices", options.slices, max(ASSOCIATIONS))
        weed, nats = Weed(folder / "weed"), NatsServer(folder / "nats")
        (folder / "weed").mkdir()
        try:
            weed.start()
            nats.start()
            _bench(Bench(folder, options.slices, size, weed, nats), options)
        finally:
            nats.stop()
            weed.stop()
    print(f"load {os.getloadavg()[0]:.1f} at the end")
    return 0


def _bench(bench: Bench, options: argparse.Namespace) -> None:
    kinds = [
        kind
        for kind in RECEIVER_KINDS
        if not options.only or any(part in kind for part in options.only)
    ]
    figures = {(kind, n): Figure() for kind in kinds for n in ASSOCIATIONS}
    alone: list[float] = []
    disk: list[float] = []
    for number in range(options.runs):
        # whoever is first meets a cold machine: it is another one in each round
        for kind in kinds[number % len(kinds) :] + kinds[: number % len(kinds)]:
            for associations in ASSOCIATIONS:
                measure(bench, kind, associations, figures[kind, associations])
        alone.append(server_alone(bench, 4))
        disk.append(disk_alone(bench, 4))
    print(f"\n{bench.slices} slices of {bench.size_bytes / 1000:.0f} KB by dcmsend, instances/s")
    print(f"{'':42}{'4 assoc.':>9}{'CPU s/GB':>10}{'1 assoc.':>10}{'CPU s/GB':>10}")
    for kind in kinds:
        four, one = figures[kind, 4], figures[kind, 1]
        print(f"{kind:42}{four.rate:>9.0f}{four.cpu:>10.2f}{one.rate:>10.0f}{one.cpu:>10.2f}")
    print(f"{'the S3 server alone, 4 threads':42}{statistics.median(alone):>9.0f}")
    print(f"{'the disk alone, synced, 4 threads':42}{statistics.median(disk):>9.0f}")
    _ratios({kind: figures[kind, 4].rate for kind in kinds}, statistics.median(alone))
    if not options.only:
        c_get(bench, options.runs)
        end_to_end(bench, options.runs)


def _ratios(rates: dict[str, float], alone: float) -> None:
    embedded = rates.get("ours, embedded: fsync + durable events")
    distributed = rates.get("ours, S3 + JetStream")
    for ours, peer, name, wanted in (
        (embedded, rates.get("Orthanc"), "embedded / Orthanc", 2.5),
        (embedded, rates.get("DCMTK storescp +B, nothing synced"), "embedded / storescp +B", 0.9),
        (distributed, alone, "S3 + JetStream / the S3 server alone", 0.75),
        (
            distributed,
            rates.get("stock pynetdicom, minio-py, nats-py"),
            "S3 + JetStream / stock",
            2.5,
        ),
        (
            distributed,
            rates.get("stock pynetdicom, our landing in S3"),
            "S3 + JetStream / stock with our landing",
            None,
        ),
    ):
        if ours and peer:
            told = "" if wanted is None else f"   (wanted: {wanted} x)"
            print(f"{name:42}{ours / peer:>9.2f} x{told}")


if __name__ == "__main__":
    raise SystemExit(main())
