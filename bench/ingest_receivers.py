"""Receivers for `ingest.py`, each a process: `python bench/ingest_receivers.py KIND FOLDER`.

Prints the port it listens on, and serves until its standard input is closed.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

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
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)

    def handle(event: evt.Event) -> int:
        land(
            Received(
                sop_class_uid=str(event.request.AffectedSOPClassUID),
                sop_instance_uid=str(event.request.AffectedSOPInstanceUID),
                transfer_syntax_uid=str(event.context.transfer_syntax),
                data=event.request.DataSet.getbuffer(),
            )
        )
        return 0

    ae = AE("STORE-SCP")
    ae.maximum_pdu_size = LARGE_PDU
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


KINDS = {
    "ours-embedded": (ours, embedded),
    "ours-distributed": (ours, distributed),
    "ours-counting": (ours, counting),
    "stock-distributed": (stock, distributed),
    "stock-embedded": (stock, embedded),
    "stock-counting": (stock, counting),
}


def main() -> None:
    kind, folder = sys.argv[1], Path(sys.argv[2])
    logs.configure(kind, "info", json=True)
    server, landing = KINDS[kind]
    with ExitStack() as stack:
        port = stack.enter_context(server(stack.enter_context(landing(folder))))
        print(f"port {port}", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
