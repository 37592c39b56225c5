"""Many associations that are aborted, cut and orphaned at random; what was answered Success is looked up."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from dicomcore.events import InstanceStored, decode
from dicomcore.keys import INSTANCES, OUTBOX
from dicomcore.ports import ConsumerSpec
from dicomio.directory_store import DirectoryStore
from dicomio.local_bus import LocalBus
from tests.instances import RT_PLAN, encode, instance
from tests.peers.raw_scu import Aborted, RawScu, Rejected
from tests.peers.scp_process import ScpProcess, Usage

CONTEXTS = [(RT_PLAN, "1.2.840.10008.1.2")]
SETTLE_S = 60.0
NOTHING = Usage(0, 0, 0)


@dataclass
class Soaked:
    """What happened, and what is left."""

    ended: Counter[str] = field(default_factory=Counter)
    """Associations by how they ended."""
    acknowledged: set[str] = field(default_factory=set)
    """SHA-256 of the data sets that were answered Success."""
    missing: int = 0
    """Of these, not in the store."""
    unannounced: int = 0
    """Objects that neither the bus nor the outbox has announced."""
    before: Usage = NOTHING
    after: Usage = NOTHING
    """Of the process, before the first association and after the last."""


def soak(
    folder: Path,
    *,
    associations: int,
    seconds: float,
    kills: int,
    seed: int = 0,
    warm_s: float = 0.0,
) -> Soaked:
    """Send over many associations at once, and count afterwards.

    Parameters
    ----------
    kills
        How often the process is killed (-9) and started again on the way; then what it holds at the
        end is compared with what a new one holds.
    warm_s
        So long it goes on before it is looked what the process holds: the allocators keep what so many
        associations at once need (about 7 MB each), and then must not take more.
    """
    process, soaked = ScpProcess(folder), Soaked()
    chance = random.Random(seed)
    process.start()
    _warm(process)
    soaked.before = idle = process.usage()
    if warm_s:
        with _sending(process, soaked, associations, f"{seed}-warm"):
            time.sleep(warm_s)
        soaked.before = _settled(process, idle)
    with _sending(process, soaked, associations, str(seed)):
        for _ in range(kills):
            time.sleep(seconds / (kills + 1) * (0.5 + chance.random()))
            process.kill()
            process.start()
        if not kills:
            time.sleep(seconds)
    soaked.after = _settled(process, soaked.before)
    assert process.stop() == 0
    _look_up(folder, soaked)
    return soaked


@contextmanager
def _sending(process: ScpProcess, soaked: Soaked, associations: int, seed: str) -> Iterator[None]:
    """Send over many associations at once while the block runs."""
    lock, over = threading.Lock(), threading.Event()
    workers = [
        threading.Thread(target=_worker, args=(process, soaked, lock, over, f"{seed}-{number}"))
        for number in range(associations)
    ]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        over.set()
        for worker in workers:
            worker.join()


def _warm(process: ScpProcess) -> None:
    with RawScu(process.port, CONTEXTS) as scu:
        scu.store(b"", RT_PLAN, "1.2")
        scu.release()


def _worker(
    process: ScpProcess, soaked: Soaked, lock: threading.Lock, over: threading.Event, seed: str
) -> None:
    chance = random.Random(seed)
    while not over.is_set():
        sent: set[str] = set()
        try:
            ended = _associate(process.port, chance, sent)
        except (OSError, Aborted):
            ended = "lost"
        except Rejected:
            ended = "rejected"
        with lock:
            soaked.ended[ended] += 1
            soaked.acknowledged |= sent
        if ended == "lost":
            over.wait(0.05)  # the process may be starting again


def _associate(port: int, chance: random.Random, acknowledged: set[str]) -> str:
    with RawScu(port, CONTEXTS) as scu:
        for _ in range(chance.randrange(1, 6)):
            number = chance.randrange(10**9)
            dataset = instance(number, size_bytes=chance.choice((100, 5_000, 80_000)))
            data, uid = encode(dataset), str(dataset.SOPInstanceUID)
            if chance.random() < 0.15:
                return _leave(scu, data, uid, chance)
            if scu.store(data, RT_PLAN, uid) == 0:
                acknowledged.add(sha256(data).hexdigest())
        scu.release()
    return "released"


def _leave(scu: RawScu, data: bytes, uid: str, chance: random.Random) -> str:
    """Leave within a message, or before its answer."""
    if chance.random() < 0.5:
        data = data[: chance.randrange(len(data))]
    scu.send_store(data, RT_PLAN, uid)
    match chance.randrange(3):
        case 0:
            scu.abort()
            return "aborted"
        case 1:  # what a cut looks like at the other end
            linger = struct.pack("ii", 1, 0)
            scu.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            scu.close()
            return "cut"
        case _:
            scu.close()
            return "vanished"


def _settled(process: ScpProcess, before: Usage) -> Usage:
    """Return what the process holds when nobody is connected any more."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        usage = process.usage()
        quiet = usage.threads <= before.threads and usage.descriptors <= before.descriptors
        if quiet or time.monotonic() > deadline:
            return usage
        time.sleep(0.1)


def _look_up(folder: Path, soaked: Soaked) -> None:
    store = DirectoryStore(folder / "objects")
    kept, keys = set(), set()
    for stat in store.list(INSTANCES):
        body = store.get(stat.key)
        keys.add(stat.key)
        kept.add(sha256(body[144 + int.from_bytes(body[140:144], "little") :]).hexdigest())
    announced = asyncio.run(_announced(folder))
    for stat in store.list(OUTBOX):
        letter = json.loads(store.get(stat.key))
        announced.add(decode(letter["event"].encode(), InstanceStored).object_key)
    soaked.missing = len(soaked.acknowledged - kept)
    # an object without an announcement is one whose sender got no answer, and sends it again
    unannounced = keys - announced
    silent = {sha256(_data_set(store.get(key))).hexdigest() for key in unannounced}
    soaked.unannounced = len(silent & soaked.acknowledged)


def _data_set(body: bytes) -> bytes:
    return body[144 + int.from_bytes(body[140:144], "little") :]


async def _announced(folder: Path) -> set[str]:
    bus = await LocalBus.open(folder / "events.db")
    keys = set()
    consumer = await bus.consumer(
        ConsumerSpec("soak", (InstanceStored.TYPE,), max_in_flight=10_000)
    )
    while deliveries := await consumer.fetch(1_000, timeout_s=0.1):
        for delivery in deliveries:
            keys.add(decode(delivery.body, InstanceStored).object_key)
            await delivery.ack()
    await consumer.close()
    await bus.close()
    return keys
