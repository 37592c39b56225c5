"""A small world for the indexer's tests: objects of nobody, landed as store-scp lands them."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian

from dicomcore.errors import ObjectStoreUnavailable
from dicomcore.events import CloudEvent, EventData, InstanceStored, encode
from dicomcore.keys import ObjectKey, object_key
from dicomcore.plan_query import PlanQuery
from dicomcore.ports import ConsumerSpec, EventBus, IndexDb, ObjectStat, ObjectStore
from dicomcore.uids import parse_instance_uid, parse_ref
from dicomio.bridge import Bridge
from dicomio.directory_store import DirectoryStore
from dicomio.local_bus import LocalBus
from dicomio.sql_index import SqlIndex
from indexer.app import Indexer, IndexerOptions
from indexer.consume import ConsumeOptions

CT = "1.2.840.10008.5.1.4.1.1.2"
RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
RT_STRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
DEADLINE_S = 60.0


@dataclass(frozen=True)
class Landed:
    """One object in the store, and the event that announces it."""

    key: ObjectKey
    event: bytes

    @property
    def uid(self) -> str:
        return self.key.ref.sop_instance_uid


def image(uid: str, *, patient_id: str = "P-1", note: str = "") -> Dataset:
    """A CT image; another `note` makes other bytes under the same UID."""
    ds = _identified(uid, CT, "CT", series="1.2.3.1", patient_id=patient_id)
    ds.InstanceNumber = 1
    ds.ImageComments = note
    return ds


def structure_set(uid: str, *, patient_id: str = "P-1") -> Dataset:
    ds = _identified(uid, RT_STRUCT, "RTSTRUCT", series="1.2.3.2", patient_id=patient_id)
    ds.StructureSetLabel = "STRUCTS"
    return ds


def plan(uid: str, *, structures: str, label: str = "PLAN", patient_id: str = "P-1") -> Dataset:
    """An RT Plan that references a structure set."""
    ds = _identified(uid, RT_PLAN, "RTPLAN", series="1.2.3.3", patient_id=patient_id)
    ds.RTPlanLabel = label
    ds.ApprovalStatus = "APPROVED"
    reference = Dataset()
    reference.ReferencedSOPClassUID = RT_STRUCT
    reference.ReferencedSOPInstanceUID = structures
    ds.ReferencedStructureSetSequence = Items([reference])
    return ds


def part10(ds: Dataset) -> bytes:
    """The data set as a Part 10 file (PS3.10 7)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    dcmwrite(buffer, FileDataset(buffer, ds, file_meta=meta), enforce_file_format=True)
    return buffer.getvalue()


def land(store: ObjectStore, ds: Dataset, *, minute: int = 0) -> Landed:
    """Put an object where it belongs."""
    return land_bytes(
        store, ds.SOPInstanceUID, part10(ds), series=ds.SeriesInstanceUID, minute=minute
    )


def land_bytes(
    store: ObjectStore, uid: str, body: bytes, *, series: str = "1.2.3.1", minute: int = 0
) -> Landed:
    """Put any bytes under the key of an instance."""
    ref = parse_ref("1.2.3", series, uid)
    sha256 = hashlib.sha256(body).hexdigest()
    key = object_key(ref, sha256)
    store.put(str(key), [body])
    event = InstanceStored(
        study_instance_uid=ref.study_instance_uid,
        series_instance_uid=ref.series_instance_uid,
        sop_instance_uid=ref.sop_instance_uid,
        sop_class_uid=CT,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        object_key=str(key),
        sha256=sha256,
        size_bytes=len(body),
    )
    time = datetime(2024, 5, 6, 7, minute, tzinfo=UTC)
    return Landed(key, encode(event, event_id=str(key), source="test", time=time))


async def announce(bus: EventBus, landed: Landed, *, again: int = 0) -> None:
    """Publish the announcement; `again` tells repetitions apart, as landing attempts do."""
    identity = f"{landed.key.digest}-{landed.uid}-{again}"
    await bus.publish(InstanceStored.TYPE, landed.event, message_id=identity)


class Interruptible:
    """A store whose server can go away; otherwise the store it is given."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.is_away = False
        self.refused = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def _there(self) -> ObjectStore:
        if self.is_away:
            self._loop.call_soon_threadsafe(self.refused.set)
            raise ObjectStoreUnavailable("the object store is away")
        return self._store

    def put(self, key: str, parts: Sequence[bytes | memoryview], *, sha256: str = "") -> bool:
        return self._there().put(key, parts, sha256=sha256)

    def get(self, key: str) -> bytes:
        return self._there().get(key)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        return self._there().get_range(key, offset, length)

    def stat(self, key: str) -> ObjectStat:
        return self._there().stat(key)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectStat]:
        return self._there().list(prefix, start_after=start_after)

    def delete(self, key: str) -> None:
        self._there().delete(key)

    def presign(self, key: str, *, expires_s: int) -> str | None:
        return self._there().presign(key, expires_s=expires_s)

    def fill_ratio(self) -> float | None:
        return self._there().fill_ratio()

    def close(self) -> None:
        self._store.close()


@dataclass
class World:
    """The embedded parts, and an indexer on them that runs."""

    store: Interruptible
    bus: LocalBus
    index: IndexDb
    indexer: Indexer
    registry: CollectorRegistry
    bridge: Bridge

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    async def instances(self) -> int:
        return (await self.index.counts()).instances

    async def settled(self, deliveries: int) -> None:
        """Return once so many messages have been acknowledged or terminated."""

        async def enough() -> bool:
            answered = sum(
                self.metric("indexer_deliveries_total", answer=answer) for answer in ("ack", "term")
            )
            return answered >= deliveries

        await eventually(enough)


@asynccontextmanager
async def embedded_parts(folder: Path) -> AsyncIterator[World]:
    """The parts and an indexer that has not been started."""
    store = Interruptible(DirectoryStore(folder / "objects"))
    bus = await LocalBus.open(folder / "bus.db")
    index = await SqlIndex.open(f"sqlite:///{folder}/index.db")
    bridge = Bridge(asyncio.get_running_loop())
    registry = CollectorRegistry()
    indexer = Indexer(
        store=store,
        bus=bus,
        index=index,
        bridge=bridge,
        registry=registry,
        options=IndexerOptions(
            consume=ConsumeOptions(batch=16, fetch_timeout_s=0.2, ack_wait_s=30.0, reconnect_s=0.1),
            sweep_every_s=0.2,
        ),
    )
    try:
        yield World(store, bus, index, indexer, registry, bridge)
    finally:
        await bridge.close()
        await bus.close()
        await index.close()
        store.close()


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    """The world with its indexer at work."""
    async with asyncio.TaskGroup() as group:
        group.create_task(world.indexer.run())
        try:
            yield world
        finally:
            world.indexer.stop()


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once the condition holds; fail after a time that no loaded machine needs."""
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():
            await asyncio.sleep(0.02)


async def published(bus: EventBus, kind: type[EventData], count: int) -> list[CloudEvent]:
    """Take `count` events of a kind from the bus."""
    consumer = await bus.consumer(
        ConsumerSpec(durable=f"test-{kind.__name__}", subjects=(kind.TYPE,))
    )
    events: list[CloudEvent] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(events) < count:
            for delivery in await consumer.fetch(count, timeout_s=1.0):
                events.append(CloudEvent.model_validate_json(delivery.body))
                await delivery.ack()
    await consumer.close()
    return events


async def content_of(index: IndexDb, uids: Sequence[str]) -> list[object]:
    """All that can be asked of an index, without what only events know: whole digest and time."""
    everything: list[object] = [await index.counts(), await index.patients()]
    everything.append(await index.plans(PlanQuery()))
    for uid in sorted(set(uids)):
        versions = await index.versions(parse_instance_uid(uid))
        plain = [
            replace(
                v,
                sha256=v.sha256[:16],
                stored_at=datetime(2024, 1, 1, tzinfo=UTC),
                sop_class_uid="",
            )
            for v in versions
        ]
        everything += sorted(plain, key=lambda v: v.object_key)
        everything += await index.referenced_by(uid)
    for patient in (await index.patients()).patients:
        everything.append(sorted(await index.conflicts(patient.patient_id)))
    return everything


def _identified(
    uid: str, sop_class_uid: str, modality: str, *, series: str, patient_id: str
) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class_uid
    ds.SOPInstanceUID = uid
    ds.StudyInstanceUID = "1.2.3"
    ds.SeriesInstanceUID = series
    ds.Modality = modality
    ds.PatientID = patient_id
    ds.PatientName = "Made^Up"
    ds.StudyDate = "20240506"
    ds.FrameOfReferenceUID = "1.2.3.9"
    return ds
