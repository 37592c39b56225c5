"""The receivers that `ingest.py` compares: each is started with an empty store, and ends with its block."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import psutil
from bench.ingest_memory import Memory
from tests.e2e.trio import STORE_SCP, Trio
from tests.peers.orthanc import orthanc
from tests.peers.processes import free_ports, listens, required_program, running
from tests.servers.nats import NatsServer
from tests.servers.weed import Weed

from dicomio.s3_store import S3Options, S3Store

RECEIVERS = str(Path(__file__).with_name("ingest_receivers.py"))


@dataclass(frozen=True)
class Receiving:
    """A receiver that is ready."""

    port: int
    processes: Sequence[psutil.Process]
    ae_title: str = "ANY-SCP"

    def cpu_s(self) -> float:
        """Processor time so far: the processes, those they wait for, and those that run."""
        total = 0.0
        for process in self.processes:
            for one in (process, *process.children(recursive=True)):
                times = one.cpu_times()
                total += times.user + times.system
            times = process.cpu_times()
            total += times.children_user + times.children_system
        return total


@dataclass(frozen=True)
class Bench:
    """What all runs share."""

    folder: Path
    slices: int
    size_bytes: int
    weed: Weed
    nats: NatsServer
    memory: Memory

    def settle(self) -> None:
        """Leave nothing of the run before to the next one: neither writes, nor memory."""
        os.sync()
        self.memory.prepare()


@contextmanager
def python_receiver(kind: str, bench: Bench, folder: Path) -> Iterator[Receiving]:
    """One of `ingest_receivers.py`."""
    servers: dict[str, object] = {"nats": bench.nats.url}
    if kind.endswith("-distributed"):
        servers["s3"] = asdict(warm_bucket(bench))
    (folder / "servers.json").write_text(json.dumps(servers, default=str))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, RECEIVERS, kind, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith(b"port "):
                    break
            else:
                raise SystemExit((folder / "log").read_text()[-3000:])
            drain = threading.Thread(target=process.stdout.read)
            drain.start()
            yield Receiving(int(line.split()[1]), [psutil.Process(process.pid)])
        finally:
            process.stdin.close()
            process.wait(60)
            drain.join()
            process.stdout.close()


@contextmanager
def service(processes: int, bench: Bench, folder: Path) -> Iterator[Receiving]:
    """The service store-scp as it is deployed, in one process or several."""
    with Trio.on(empty_server(bench), bench.nats.url, "", folder) as trio:
        warm(trio.store)
        trio.environments[STORE_SCP]["STORE_SCP_PROCESSES"] = str(processes)
        trio.start(STORE_SCP)
        asyncio.run(trio.until_ready(STORE_SCP))
        while (folder / f"{STORE_SCP}.log").read_text().count("scp_started") < processes:
            time.sleep(0.1)
        yield Receiving(trio.dicom_port, [psutil.Process(trio.processes[STORE_SCP].pid)])


def empty_server(bench: Bench) -> Weed:
    """Return the S3 server with nothing in it: every bucket takes volumes, of which it has a few."""
    bench.weed.stop()
    bench.weed.folder = Path(tempfile.mkdtemp(dir=bench.folder))
    bench.weed.start()
    return bench.weed


def warm_bucket(bench: Bench) -> S3Options:
    """Return a new bucket that has its volumes."""
    options = empty_server(bench).options(f"bench-{os.urandom(6).hex()}")
    store = S3Store(options)
    store.ensure_bucket()
    warm(store)
    store.close()
    return options


def warm(store: S3Store) -> None:
    """Write a little: the server makes the volumes of a bucket at the first writes."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: store.put(f"warm/{n}", [os.urandom(500_000)]), range(32)))


@contextmanager
def stock_application(_bench: Bench, folder: Path) -> Iterator[Receiving]:
    """Stock pynetdicom's `storescp` application, as it comes."""
    command = [sys.executable, "-m", "pynetdicom", "storescp", "-od", str(folder / "received")]
    with program(command, folder) as receiving:
        yield receiving


@contextmanager
def dcmtk_storescp(_bench: Bench, folder: Path) -> Iterator[Receiving]:
    """DCMTK's `storescp`, bit by bit to files, nothing synced, a process for each association."""
    (folder / "received").mkdir()
    options = ("--fork", "+xa", "-pm", "+B", "-od", str(folder / "received"))
    with program([required_program("storescp"), *options], folder) as receiving:
        yield receiving


@contextmanager
def program(command: Sequence[str], folder: Path) -> Iterator[Receiving]:
    (port,) = free_ports(1)
    with running(
        [*command, str(port)], log_path=folder / "log", ready=lambda: listens(port)
    ) as process:
        yield Receiving(port, [psutil.Process(process.pid)])


@contextmanager
def orthanc_receiver(_bench: Bench, folder: Path) -> Iterator[Receiving]:
    """Orthanc in its default configuration."""
    defaults = {"SyncStorageArea": True, "OverwriteInstances": False, "DicomThreadsCount": 4}
    with orthanc(folder, **defaults) as peer:
        (process,) = [
            one
            for one in psutil.Process().children(recursive=True)
            if "Orthanc" in one.name() and str(folder / "orthanc.json") in one.cmdline()
        ]
        yield Receiving(peer.dicom_port, [process], peer.ae_title)


RECEIVER_KINDS: dict[str, Callable[[Bench, Path], AbstractContextManager[Receiving]]] = {
    "ours, embedded: fsync + durable events": partial(python_receiver, "ours-embedded"),
    "a bare loop that keeps the promises": partial(python_receiver, "bare-embedded"),
    "ours, S3 + JetStream": partial(python_receiver, "ours-distributed"),
    "ours, the service, 1 process": partial(service, 1),
    "ours, the service, 2 processes": partial(service, 2),
    "ours, only counting": partial(python_receiver, "ours-counting"),
    "stock pynetdicom, application": stock_application,
    "stock pynetdicom, only counting": partial(python_receiver, "stock-counting"),
    "stock pynetdicom, minio-py, nats-py": partial(python_receiver, "stock-libraries-distributed"),
    "the same with PDUs of 128 KB": partial(python_receiver, "stock-large-distributed"),
    "stock pynetdicom, our landing in S3": partial(python_receiver, "stock-distributed"),
    "Orthanc": orthanc_receiver,
    "DCMTK storescp +B, nothing synced": dcmtk_storescp,
}
