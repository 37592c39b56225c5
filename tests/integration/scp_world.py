"""A store-scp in this process on embedded parts, and proof that it leaves no thread or socket."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from dicomcore.keys import INSTANCES, OUTBOX
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Announcer, Lander
from store_scp.metrics import ScpMetrics
from store_scp.options import ScpOptions
from store_scp.server import StoreScp
from tests.bus_double import Bus
from tests.instances import RT_PLAN, encode
from tests.peers.raw_scu import RawScu

DEADLINE_S = 60.0
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = str(ImplicitVRLittleEndian)
PLANS = ((RT_PLAN, IMPLICIT), (VERIFICATION, IMPLICIT))
"""What most tests propose: contexts 1 and 3."""


@dataclass
class World:
    """An SCP, and what is behind it."""

    scp: StoreScp
    store: DirectoryStore
    bus: Bus
    registry: CollectorRegistry
    root: Path

    @property
    def port(self) -> int:
        return self.scp.port

    def scu(self, **options: object) -> RawScu:
        """Open an association for RT plans in implicit VR (context 1) and echoes (context 3)."""
        return RawScu(self.port, PLANS, **options)  # type: ignore[arg-type]

    def objects(self) -> list[str]:
        return [stat.key for stat in self.store.list(INSTANCES)]

    def outbox(self) -> list[str]:
        return [stat.key for stat in self.store.list(OUTBOX)]

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def send(scu: RawScu, dataset: Dataset, *, context_id: int = 1, syntax: str = IMPLICIT) -> int:
    """Send a data set as it says it is; return the status."""
    return scu.store(
        encode(dataset, syntax),
        str(dataset.SOPClassUID),
        str(dataset.SOPInstanceUID),
        context_id=context_id,
    )


@contextmanager
def world(root: Path, options: ScpOptions | None = None) -> Iterator[World]:
    """Run an SCP on a free port; at the end nothing of it may be left."""
    before = resources()
    options = options if options is not None else ScpOptions()
    store, bus, registry = DirectoryStore(root), Bus(), CollectorRegistry()
    announcer = Announcer(store, bus.publish, bus_pause_s=0)
    scp = StoreScp(
        replace(options, port=0),
        Lander(store, announcer.announce).land,
        metrics=ScpMetrics(registry),
    )
    scp.start()
    try:
        yield World(scp, store, bus, registry, root)
    finally:
        scp.stop()
    assert_nothing_left(before)


@dataclass(frozen=True)
class Resources:
    """Threads and sockets of this process."""

    threads: frozenset[threading.Thread]
    sockets: frozenset[int]


def resources() -> Resources:
    """Return what is there now."""
    connections = psutil.Process().net_connections("tcp")
    return Resources(
        frozenset(threading.enumerate()), frozenset(connection.fd for connection in connections)
    )


def assert_nothing_left(before: Resources) -> None:
    """Fail unless every thread and socket that is new has gone soon."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        now = resources()
        threads = now.threads - before.threads
        sockets = now.sockets - before.sockets
        if not threads and not sockets:
            return
        assert time.monotonic() < deadline, f"left behind: {threads}, sockets {sockets}"
        gc.collect()
        for thread in threads:
            thread.join(0.1)
