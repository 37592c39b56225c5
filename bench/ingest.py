"""600 CT slices of 525 KB into store-scp, over one and four associations, beside what others do.

Every receiver is a process of its own, new for each run, with an empty store; the senders are DCMTK's
`dcmsend`, one for each association. Printed are instances per second (median of the runs), and the
processor time of the receiver, its children included, per GB received. The object store alone, and the
disk alone, are measured with the same bytes from four threads; a bare loop that keeps the promises of
the embedded mode, and does nothing else, says what there is to be had in Python (`ingest_bare`). Then C-GET of the same slices out of
Orthanc, and the time from the first C-STORE to the last instance that can be found.

Nothing that was written is deleted before the end (20 GB): a file system without a journal looks at each
inode that was freed a minute ago before it gives out a new one, and who comes next would pay for it.

DCMTK, and Orthanc which is built on it, leave Nagle's algorithm on: against a receiver that delays its
acknowledgements each instance then costs 40 ms. It is off for everybody (TCP_NODELAY=1), so that work is
measured. Needs DCMTK and Orthanc.

    python bench/ingest.py [--slices 600] [--runs 3] [--memory fresh] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import http.client
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from minio import Minio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.ingest_further import c_get, end_to_end
from bench.ingest_memory import FRESH, READY, Memory
from bench.ingest_peers import RECEIVER_KINDS, Bench, warm_bucket
from bench.ingest_slices import ASSOCIATIONS, GB, Figure, make_slices, send_all
from tests.servers.nats import NatsServer
from tests.servers.weed import Weed

from dicomio.directory_store import DirectoryStore

# ── one run ─────────────────────────────────────────────────────────────────────────────────


def measure(bench: Bench, kind: str, associations: int, figure: Figure) -> None:
    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    with RECEIVER_KINDS[kind](bench, folder) as receiving:
        bench.settle()
        before = receiving.cpu_s()
        seconds = send_all(
            bench.folder / "slices", receiving.port, receiving.ae_title, associations
        )
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

    bench.settle()
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
    bench.settle()
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda key, body: store.put(key, [body]), keys, bodies))
    return len(bodies) / (time.perf_counter() - started)


# ── all of it ───────────────────────────────────────────────────────────────────────────────


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--slices", type=int, default=600)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--only", nargs="*", help="parts of the names of receivers; no C-GET")
    arguments.add_argument(
        "--memory", choices=(READY, FRESH), default=READY, help="what receivers find: ingest_memory"
    )
    arguments.add_argument("--nagle", action="store_true", help="DCMTK and Orthanc as they come")
    options = arguments.parse_args()
    os.environ["TCP_NODELAY"] = "0" if options.nagle else "1"
    load = os.getloadavg()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load[0]:.1f} {load[1]:.1f} at the "
        f"start, Python {platform.python_version()}, {options.runs} runs, "
        f"TCP_NODELAY={os.environ['TCP_NODELAY']}, {options.memory} memory",
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
            bench = Bench(folder, options.slices, size, weed, nats, Memory(options.memory))
            _bench(bench, options)
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
    bare = rates.get("a bare loop that keeps the promises")
    distributed = rates.get("ours, S3 + JetStream")
    for ours, peer, name, wanted in (
        (embedded, rates.get("Orthanc"), "embedded / Orthanc", 2.5),
        (embedded, rates.get("DCMTK storescp +B, nothing synced"), "embedded / storescp +B", 0.9),
        (embedded, bare, "embedded / the bare loop", None),
        (bare, rates.get("Orthanc"), "the bare loop / Orthanc", None),
        (bare, rates.get("DCMTK storescp +B, nothing synced"), "the bare loop / storescp +B", None),
        (distributed, alone, "S3 + JetStream / the S3 server alone", 0.75),
        (
            distributed,
            rates.get("stock pynetdicom, minio-py, nats-py"),
            "S3 + JetStream / stock",
            2.5,
        ),
        (
            distributed,
            rates.get("the same with PDUs of 128 KB"),
            "S3 + JetStream / stock with large PDUs",
            None,
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
