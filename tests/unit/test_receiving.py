"""Data sets on their way in: buffers, fragments of any size, memory, file, digest, and no room."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.errors import ObjectStoreFull
from dicomcore.landing import prepare
from dicomcore.received import Received
from dicomio.aligned import misalignment
from dicomio.pacs import commands
from dicomio.pacs.commands import Command
from dicomio.pacs.intake import Intake
from dicomio.pacs.negotiation import AcceptedContext
from dicomio.pacs.reassembly import MalformedMessage
from store_scp.options import ScpOptions
from store_scp.receiving import DataSetIntake
from tests.instances import CT_IMAGE, encode, instance

IMPLICIT = "1.2.840.10008.1.2"
CONTEXT = AcceptedContext(1, CT_IMAGE, IMPLICIT)
DATASET = instance(sop_class_uid=CT_IMAGE, size_bytes=300_000)
DATA = encode(DATASET)
REQUEST = commands.decode(
    commands.encode(
        {
            commands.AFFECTED_SOP_CLASS_UID: CT_IMAGE,
            commands.COMMAND_FIELD: commands.C_STORE_RQ,
            commands.MESSAGE_ID: 1,
            commands.COMMAND_DATA_SET_TYPE: commands.DATA_SET_FOLLOWS,
            commands.AFFECTED_SOP_INSTANCE_UID: str(DATASET.SOPInstanceUID),
        }
    )
)


def intake_of(data: bytes, *, pieces: list[int], buffer_bytes: int = 64) -> Intake:
    """Return an intake to which `data` comes in pieces, the last size for ever."""
    sizes, position = list(pieces), 0

    def receive(target: memoryview) -> int:
        nonlocal position
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        part = data[position : position + min(size, len(target))]
        assert part, "more is asked for than there is"
        target[: len(part)] = part
        position += len(part)
        return len(part)

    return Intake(receive, buffer_bytes=buffer_bytes)


@given(
    data=st.binary(min_size=1, max_size=500),
    pieces=st.lists(st.integers(1, 90), min_size=1),
    takes=st.lists(st.tuples(st.booleans(), st.integers(0, 120))),
)
def test_bytes_are_taken_in_their_order_however_they_come(
    data: bytes, pieces: list[int], takes: list[tuple[bool, int]]
) -> None:
    intake, taken = intake_of(data, pieces=pieces), b""

    for into, wanted in takes:
        length = min(wanted, len(data) - len(taken))
        if into:
            target = bytearray(length)
            intake.take_into(memoryview(target))
            taken += target
        else:
            taken += bytes(intake.take(length))

    assert data.startswith(taken)


def take_all(sink: DataSetIntake, fragment: int, request: Command = REQUEST) -> Received:
    source = intake_of(DATA, pieces=[100_000], buffer_bytes=150_000)
    sink.begin(1, request)
    for start in range(0, len(DATA), fragment):
        sink.take(source, min(fragment, len(DATA) - start))
    return sink.received(request, CONTEXT, sink.end(), "SENDER")


@pytest.mark.parametrize("memory_bytes", [1 << 24, 100_000, 65_536])
@pytest.mark.parametrize("fragment", [1_001, 16_000, 1 << 20])
def test_a_data_set_in_memory_or_in_a_file_is_the_same_object(
    tmp_path: Path, memory_bytes: int, fragment: int
) -> None:
    sink = DataSetIntake(ScpOptions(memory_bytes=memory_bytes, spool_folder=tmp_path), {1: CONTEXT})
    descriptors = (
        len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    )

    for _ in range(3):
        received = take_all(sink, fragment)
        assert bytes(received.data) == DATA
        landing = prepare(received)
        unhashed = Received(CT_IMAGE, str(DATASET.SOPInstanceUID), IMPLICIT, DATA)
        assert landing.sha256 == received.sha256 == prepare(unhashed).sha256
        del received, landing
        sink.release()

    assert list(tmp_path.iterdir()) == []
    if descriptors:
        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_a_data_set_in_memory_lies_where_its_object_can_be_written_from() -> None:
    sink = DataSetIntake(ScpOptions(), {1: CONTEXT})

    for _ in range(2):
        received = take_all(sink, 16_000)
        header, data = prepare(received).parts
        assert misalignment(data) == len(header)


def test_without_room_for_the_file_it_is_received_to_its_end_and_refused_for_the_moment(
    tmp_path: Path,
) -> None:
    options = ScpOptions(memory_bytes=65_536, spool_folder=tmp_path / "absent")
    sink = DataSetIntake(options, {1: CONTEXT})

    with pytest.raises(ObjectStoreFull):
        take_all(sink, 16_000)

    (tmp_path / "absent").mkdir()
    assert bytes(take_all(sink, 16_000).data) == DATA
    sink.release()


def test_a_data_set_above_the_limit_is_not_received_to_its_end() -> None:
    sink = DataSetIntake(ScpOptions(max_instance_bytes=100_000), {1: CONTEXT})

    with pytest.raises(MalformedMessage):
        take_all(sink, 16_000)


def test_without_uids_there_is_no_digest_and_landing_says_why() -> None:
    nameless = Command({k: v for k, v in REQUEST.elements.items() if k != 0x1000})

    received = take_all(DataSetIntake(ScpOptions(), {1: CONTEXT}), 16_000, nameless)

    assert received.sha256 == ""
