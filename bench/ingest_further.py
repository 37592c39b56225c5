"""What `ingest.py` measures beside receivers: C-GET, and the time until all can be found."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.ingest_peers import Bench, empty_server
from bench.ingest_slices import CT_IMAGE, ROOT, Figure, send_all
from tests.e2e.trio import INDEXER, STORE_SCP, Trio
from tests.peers.dcmtk import Node, getscu
from tests.peers.orthanc import orthanc
from tests.servers.postgres import new_server

from dicomcore.ports import QueryLevel, TransferRequest
from dicomcore.received import Received
from dicomcore.uids import parse_series_uid, parse_study_uid
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Lander
from dicomio.pacs import DicomPacs, Peer
from dicomio.sql_index.index import SqlIndex


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
            bench.settle()
            landed.rates.append(bench.slices / _get(pacs.dicom_port, lander.land))
            bench.settle()
            ours.rates.append(bench.slices / _get(pacs.dicom_port, lambda _r: None))
            folder = Path(tempfile.mkdtemp(dir=bench.folder))
            bench.settle()
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
    ingest.rates.append(
        bench.slices / send_all(bench.folder / "slices", trio.dicom_port, "ANY-SCP", 4)
    )
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
