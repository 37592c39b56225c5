"""Receivers for `ingest.py`, each a process: `python bench/ingest_receivers.py KIND FOLDER`.

Prints the port it listens on, and serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Thread

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import nats
from bench.ingest_bare import bare
from minio import Minio
from nats.js import JetStreamContext
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

from dicomcore.keys import object_key
from dicomcore.received import Received, StoredInstance
from dicomcore.uids import parse_ref
from dicomio import logs
from dicomio.bridge import Bridge, LoopThread
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Announcer, Lander
from dicomio.local_bus import LocalBus
from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from dicomio.s3_store import S3Options, S3Store
from store_scp.options import ScpOptions
from store_scp.server import StoreScp

PUBLISH_TIMEOUT_S = 30.0
LARGE_PDU = 131_072
DEFAULT_PDU = 16_382
"""Of pynetdicom."""
_NOW = datetime.now(UTC)
Land = Callable[[Received], StoredInstance]


@contextmanager
def embedded(folder: Path) -> Iterator[Land]:
    """Land as `dicomtools up` does: files fsynced, announcements on the durable local bus."""
    with LoopThread() as bridge:
        store = DirectoryStore(folder / "objects")
        bus = bridge.call(LocalBus.open(folder / "events.db"), 30)
        publish = partial(_publish_here, bus)
        yield Lander(store, Announcer(store, publish).announce, high_water=0.99).land
        bridge.call(bus.close(), 30)


@contextmanager
def distributed(folder: Path) -> Iterator[Land]:
    """Land as the service store-scp does: S3, and a PubAck of JetStream."""
    servers = json.loads((folder / "servers.json").read_text())
    with LoopThread() as bridge:
        store = S3Store(S3Options(**servers["s3"]))
        store.ensure_bucket()
        bus = bridge.call(NatsBus.open(NatsOptions(servers=(servers["nats"],))), 30)
        yield Lander(store, Announcer(store, _publish(bus, bridge)).announce).land
        bridge.call(bus.close(), 30)
        store.close()


@contextmanager
def counting(_folder: Path) -> Iterator[Land]:
    """Do nothing with what comes."""

    def land(received: Received) -> StoredInstance:
        ref = parse_ref("1.2", "1.2", received.sop_instance_uid)
        sha256 = received.sha256 or "0" * 64
        return StoredInstance(
            key=object_key(ref, sha256),
            sop_class_uid=received.sop_class_uid,
            transfer_syntax_uid=received.transfer_syntax_uid,
            sha256=sha256,
            size_bytes=len(received.data),
            stored_at=_NOW,
            created=True,
        )

    yield land


@contextmanager
def ours(land: Land) -> Iterator[int]:
    """Receive with store-scp's own data path."""
    with StoreScp(ScpOptions(port=0, maximum_associations=64), land) as scp:
        yield scp.port


@contextmanager
def stock(land: Land) -> Iterator[int]:
    """Receive with pynetdicom as it is, large PDUs, no logging."""

    def take(event: evt.Event) -> None:
        land(
            Received(
                sop_class_uid=str(event.request.AffectedSOPClassUID),
                sop_instance_uid=str(event.request.AffectedSOPInstanceUID),
                transfer_syntax_uid=str(event.context.transfer_syntax),
                data=event.request.DataSet.getbuffer(),
            )
        )

    with stock_server(take) as port:
        yield port


@contextmanager
def stock_libraries(folder: Path, maximum_pdu: int = DEFAULT_PDU) -> Iterator[int]:
    """What one writes first with the libraries as they come: the same promises, nothing of ours.

    pynetdicom hands over the event, pydicom tells where it belongs, minio-py puts it, nats-py waits
    for the PubAck.
    """
    servers = json.loads((folder / "servers.json").read_text())
    s3 = servers["s3"]
    client = Minio(
        s3["endpoint"], access_key=s3["access_key"], secret_key=s3["secret_key"], secure=False
    )
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, daemon=True).start()

    async def connect() -> JetStreamContext:
        jetstream = (await nats.connect(servers["nats"])).jetstream()
        await jetstream.add_stream(name="STOCK", subjects=["stock.>"])
        return jetstream

    jetstream = asyncio.run_coroutine_threadsafe(connect(), loop).result(PUBLISH_TIMEOUT_S)

    def take(event: evt.Event) -> None:
        body = event.encoded_dataset()
        dataset = event.dataset
        sha256 = hashlib.sha256(body).hexdigest()
        uids = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
        key = f"instances/{'/'.join(uids)}/{sha256[:16]}.dcm"
        client.put_object(s3["bucket"], key, io.BytesIO(body), len(body))
        announcement = json.dumps({"object_key": key, "sha256": sha256}).encode()
        published = jetstream.publish("stock.stored", announcement)
        asyncio.run_coroutine_threadsafe(published, loop).result(PUBLISH_TIMEOUT_S)

    with stock_server(take, maximum_pdu) as port:
        yield port


@contextmanager
def stock_server(take: Callable[[evt.Event], None], maximum_pdu: int = LARGE_PDU) -> Iterator[int]:
    """Serve with pynetdicom; what `take` does not raise is answered Success."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)

    def handle(event: evt.Event) -> int:
        take(event)
        return 0

    ae = AE("STORE-SCP")
    ae.maximum_pdu_size = maximum_pdu
    ae.maximum_associations = 64
    ae.supported_contexts = AllStoragePresentationContexts
    ae.add_supported_context(Verification)
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)]
    )
    assert server is not None
    yield int(server.server_address[1])
    server.shutdown()


def _publish_here(bus: LocalBus, subject: str, body: bytes, message_id: str) -> bool:
    return bus.publish_from_thread(
        subject, body, message_id=message_id, timeout_s=PUBLISH_TIMEOUT_S
    )


def _publish(bus: NatsBus, bridge: Bridge) -> Callable[[str, bytes, str], bool]:
    def publish(subject: str, body: bytes, message_id: str) -> bool:
        return bridge.call(bus.publish(subject, body, message_id=message_id), PUBLISH_TIMEOUT_S)

    return publish


Served = Callable[[Path], AbstractContextManager[int]]


def _with(
    server: Callable[[Land], AbstractContextManager[int]],
    landing: Callable[[Path], AbstractContextManager[Land]],
) -> Served:
    @contextmanager
    def serve(folder: Path) -> Iterator[int]:
        with landing(folder) as land, server(land) as port:
            yield port

    return serve


KINDS: dict[str, Served] = {
    "ours-embedded": _with(ours, embedded),
    "ours-distributed": _with(ours, distributed),
    "ours-counting": _with(ours, counting),
    "bare-embedded": bare,
    "stock-libraries-distributed": stock_libraries,
    "stock-large-distributed": partial(stock_libraries, maximum_pdu=LARGE_PDU),
    "stock-distributed": _with(stock, distributed),
    "stock-embedded": _with(stock, embedded),
    "stock-counting": _with(stock, counting),
}


def main() -> None:
    kind, folder = sys.argv[1], Path(sys.argv[2])
    logs.configure(kind, "info", json=True)
    with KINDS[kind](folder) as port:
        print(f"port {port}", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
