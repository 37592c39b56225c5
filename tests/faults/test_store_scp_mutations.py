"""5,000 random mutations of instances by C-STORE: a status from the table each, and nothing left."""

from __future__ import annotations

import random
import socket
import struct
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from store_scp.options import ScpOptions
from tests.instances import SYNTAXES, encode, instance
from tests.integration.scp_world import World, assert_nothing_left, resources, send, world
from tests.peers.raw_scu import Aborted, RawScu, association_request

MUTATIONS = 5_000
ASSOCIATIONS = 3
STATUSES = {0x0000, 0xA700, 0xA900, 0xC000}
REAL = Path(__file__).parents[2].parent / "shared/data/rt"
REAL_SYNTAXES = {
    str(syntax): syntax
    for syntax in (
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    )
}
LARGEST_BYTES = 40_000


@dataclass(frozen=True)
class Sample:
    """A whole data set to mutate."""

    data: bytes
    sop_class_uid: str
    sop_instance_uid: str
    syntax: str


def samples() -> list[Sample]:
    """Made-up instances in every encoding, and small real ones where there are any."""
    made_up = [
        Sample(
            encode(instance(number, size_bytes=500 * number), syntax),
            str(instance().SOPClassUID),
            str(instance(number).SOPInstanceUID),
            str(syntax),
        )
        for number, syntax in enumerate(SYNTAXES, start=1)
    ]
    return made_up + [sample for path in sorted(REAL.rglob("*.dcm")) for sample in real(path)][:40]


def real(path: Path) -> list[Sample]:
    """Return the data set of a file, byte for byte, if it is small and whole."""
    if path.stat().st_size > LARGEST_BYTES:
        return []
    try:
        with path.open("rb") as file:
            meta = pydicom.filereader.read_file_meta_info(path)
            file.seek(132 + 12 + meta[0x00020000].value)
            data = file.read()
        syntax = REAL_SYNTAXES[str(meta.TransferSyntaxUID)]
        return [Sample(data, meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, syntax)]
    except (pydicom.errors.InvalidDicomError, AttributeError, KeyError, EOFError, TypeError):
        return []


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return data with bytes changed, cut off, taken out, doubled or put in."""
    mutant = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        at = chance.randrange(len(mutant) + 1)
        length = chance.choice((1, 2, 4, 8, 100))
        match chance.randrange(6):
            case 0 | 1:
                mutant[at : at + 1] = bytes([chance.randrange(256)])
            case 2:
                mutant[at : at + length] = chance.randbytes(length)
            case 3:
                del mutant[at : at + length]
            case 4:
                mutant[at:at] = mutant[at : at + length]
            case _:
                mutant[at : at + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, b"\xfe\xff\x00\xe0"))
    if chance.random() < 0.1:
        del mutant[chance.randrange(len(mutant) + 1) :]
    return bytes(mutant)


def send_mutants(
    scp: World, chosen: Sequence[Sample], seed: int, count: int
) -> tuple[Counter[int], list[bytes]]:
    """Send mutants over one association; return the statuses, and what was answered Success."""
    chance = random.Random(seed)
    contexts = [(sample.sop_class_uid, sample.syntax) for sample in chosen]
    statuses: Counter[int] = Counter()
    stored = []
    with RawScu(scp.port, contexts) as scu:
        # a media directory, say, is in a file but no storage class
        storable = [number for number in range(len(chosen)) if scu.accepted[2 * number + 1] == 0]
        for _ in range(count):
            number = chance.choice(storable)
            sample = chosen[number]
            data = mutated(sample.data, chance)
            status = scu.store(
                data, sample.sop_class_uid, sample.sop_instance_uid, context_id=2 * number + 1
            )
            statuses[status] += 1
            if status == 0:
                stored.append(data)
        scu.release()
    return statuses, stored


@pytest.mark.faults
def test_every_mutation_gets_a_status_and_what_is_success_is_kept_as_sent(tmp_path: Path) -> None:
    chosen = samples()

    with world(tmp_path / "objects") as scp:
        before = resources()
        each = MUTATIONS // ASSOCIATIONS + 1
        with ThreadPoolExecutor(ASSOCIATIONS) as pool:
            outcomes = list(
                pool.map(lambda seed: send_mutants(scp, chosen, seed, each), range(ASSOCIATIONS))
            )

        statuses = sum((counted for counted, _stored in outcomes), Counter[int]())
        assert statuses.total() >= MUTATIONS
        assert set(statuses) <= STATUSES
        assert statuses[0] > 0
        assert statuses[0xC000] > 0
        assert statuses[0xA900] > 0
        kept = {scp.store.get(key)[_header(scp.store.get(key)) :] for key in scp.objects()}
        assert kept == {data for _counted, stored in outcomes for data in stored}
        with scp.scu() as scu:
            assert send(scu, instance(999)) == 0
            scu.release()
        assert_nothing_left(before)


def _header(kept: bytes) -> int:
    """Return how long the Part 10 header is: group length (0002,0000) says it."""
    return 144 + int.from_bytes(kept[140:144], "little")


@pytest.mark.faults
def test_mutated_conversations_leave_nothing_and_the_next_association_works(tmp_path: Path) -> None:
    chance = random.Random(7)
    with world(tmp_path / "objects") as scp:
        before = resources()
        for _ in range(150):
            with scp.scu() as scu:
                scu.socket.settimeout(5)
                fragment = mutated(_command_of(scp), chance)
                try:
                    scu.send_fragment(1, chance.choice((0x03, 0x01, 0x02, 0x00, 0xFF)), fragment)
                    scu.send_fragment(1, 0x02, b"data")
                    scu.send_pdu(chance.randrange(1, 10), chance.randbytes(chance.randrange(60)))
                    scu.abort()
                except Aborted:
                    pass
        assert_nothing_left(before)
        with scp.scu() as scu:
            assert send(scu, instance()) == 0


@pytest.mark.faults
def test_mutated_association_requests_leave_nothing(tmp_path: Path) -> None:
    chance = random.Random(8)
    with world(tmp_path / "objects", ScpOptions(acse_timeout_s=1, network_timeout_s=2)) as scp:
        before = resources()
        request = association_request([("1.2.840.10008.1.1", "1.2.840.10008.1.2")], "A", "B")
        for _ in range(150):
            with socket.create_connection(("127.0.0.1", scp.port)) as connection:
                mutant = mutated(request, chance)
                with suppress(OSError):
                    connection.sendall(struct.pack(">BBI", 1, 0, len(mutant)) + mutant)
                    connection.settimeout(5)
                    connection.recv(1)
        assert_nothing_left(before)
        with scp.scu() as scu:
            assert send(scu, instance()) == 0


def _command_of(scp: World) -> bytes:
    """Return the command set that a well-behaved SCU sends."""
    sent: list[bytes] = []

    class Recording(RawScu):
        def send_fragment(self, context_id: int, header: int, fragment: bytes) -> None:
            sent.append(fragment)
            super().send_fragment(context_id, header, fragment)

    with Recording(scp.port, [("1.2.840.10008.1.1", "1.2.840.10008.1.2")]) as scu:
        scu.echo()
        scu.release()
    return sent[0]
