"""Data sets that C-GET brings: their digests while they come, and memory that is used again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomcore.landing import prepare
from dicomcore.received import Received
from dicomio.aligned import misalignment
from dicomio.pacs import commands
from dicomio.pacs.commands import Command
from dicomio.pacs.intake import Intake
from dicomio.pacs.memory import MemorySink
from dicomio.pacs.reassembly import MalformedMessage
from tests.unit.dicom_bytes import even, explicit

CT_IMAGE, INSTANCE, SYNTAX = "1.2.840.10008.5.1.4.1.1.2", "2.25.7.3", "1.2.840.10008.1.2.1"
DATA = b"".join(
    (
        explicit(0x00080016, b"UI", even(CT_IMAGE)),
        explicit(0x00080018, b"UI", even(INSTANCE)),
        explicit(0x0020000D, b"UI", even("2.25.7.1")),
        explicit(0x0020000E, b"UI", even("2.25.7.2")),
        explicit(0x7FE00010, b"OW", bytes(range(256)) * 4096),
    )
)


def store_request(instance: str = INSTANCE) -> Command:
    return commands.decode(
        commands.encode(
            {
                commands.AFFECTED_SOP_CLASS_UID: CT_IMAGE,
                commands.COMMAND_FIELD: commands.C_STORE_RQ,
                commands.MESSAGE_ID: 1,
                commands.PRIORITY: commands.MEDIUM,
                commands.COMMAND_DATA_SET_TYPE: commands.DATA_SET_FOLLOWS,
                commands.AFFECTED_SOP_INSTANCE_UID: instance,
            }
        )
    )


def source(data: bytes) -> Intake:
    left = memoryview(data)

    def receive(target: memoryview) -> int:
        nonlocal left
        count = min(len(left), len(target))
        assert count
        target[:count], left = left[:count], left[count:]
        return count

    return Intake(receive)


def taken(sink: MemorySink, data: bytes, *cuts: int) -> memoryview:
    sink.begin(1, store_request())
    coming, start = source(data), 0
    for end in (*sorted(cuts), len(data)):
        sink.take(coming, end - start)
        start = end
    return sink.end()


@given(st.lists(st.integers(0, len(DATA)), max_size=5))
def test_the_digest_is_the_one_of_the_object_whatever_the_fragments(cuts: list[int]) -> None:
    sink = MemorySink(1 << 24, lambda _context_id: SYNTAX)

    came = taken(sink, DATA, *cuts)

    landing = prepare(Received(CT_IMAGE, INSTANCE, SYNTAX, DATA))
    assert bytes(came) == DATA
    assert sink.sha256 == landing.sha256


def test_what_is_no_instance_has_no_digest() -> None:
    sink = MemorySink(1 << 24, lambda _context_id: "")

    taken(sink, DATA)

    assert sink.sha256 == ""


def test_a_data_set_is_its_owners_until_it_is_given_back() -> None:
    sink = MemorySink(1 << 24, lambda _context_id: SYNTAX)
    first = taken(sink, b"first one")

    second = taken(sink, b"2nd")
    memory = second.obj
    sink.give_back(second)
    third = taken(sink, b"and the third")

    assert bytes(first) == b"first one"
    assert third.obj is memory
    assert bytes(third) == b"and the third"


def test_memory_that_somebody_still_looks_at_is_not_used_again() -> None:
    sink = MemorySink(1 << 24, lambda _context_id: SYNTAX)
    came = taken(sink, b"kept")
    kept = came[:]

    sink.give_back(came)
    taken(sink, b"next")

    assert bytes(kept) == b"kept"


def test_an_instance_lies_where_its_object_can_be_written_from() -> None:
    sink = MemorySink(1 << 24, lambda _context_id: SYNTAX)
    header, _ = prepare(Received(CT_IMAGE, INSTANCE, SYNTAX, DATA)).parts
    sink.give_back(taken(sink, DATA))

    # of the first one nobody knew how large it would be
    second = taken(sink, DATA)
    kept = taken(sink, DATA)
    sink.give_back(second)
    fourth = taken(sink, DATA)

    assert [misalignment(kept), misalignment(fourth)] == [len(header), len(header)]


def test_memory_of_any_size_may_be_given_back() -> None:
    sink = MemorySink(1 << 24, lambda _context_id: SYNTAX)
    sink.give_back(memoryview(bytearray(b"little")))

    assert bytes(taken(sink, DATA, 1, 300, 70_000)) == DATA


def test_a_data_set_above_the_limit_is_refused() -> None:
    sink = MemorySink(10, lambda _context_id: SYNTAX)

    with pytest.raises(MalformedMessage):
        taken(sink, b"eleven byte")
