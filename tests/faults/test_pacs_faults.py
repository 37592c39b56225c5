"""What the PACS client answers when the peer misbehaves, and that nothing of it is left behind."""

from __future__ import annotations

import gc
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from pydicom import Dataset

from dicomcore.errors import PeerRefused, PeerUnavailable
from dicomcore.ports import QueryLevel, SubOperations, TransferOutcome, TransferRequest
from dicomcore.received import Received
from dicomcore.uids import InstanceUID, SeriesUID, StudyUID
from dicomio.pacs import DicomPacs, Peer, commands
from dicomio.pacs.identifiers import encoded
from tests.peers.processes import LOOPBACK, free_ports
from tests.peers.scripted import Line, accepting, scripted_peer, values

pytestmark = pytest.mark.faults

CT = "1.2.840.10008.5.1.4.1.1.2"
ABORT_PDU = b"\7\0\0\0\0\4\0\0\2\1"
REQUEST = TransferRequest(
    QueryLevel.IMAGE,
    "FAULTS",
    StudyUID("1.2.3"),
    SeriesUID("1.2.3.4"),
    (InstanceUID("1.2.3.4.5"),),
)
PENDING = {
    commands.COMMAND_FIELD: 0x8010,
    commands.MESSAGE_ID_BEING_RESPONDED_TO: 1,
    commands.COMMAND_DATA_SET_TYPE: 0x0101,
    commands.STATUS: 0xFF00,
    commands.REMAINING: 2,
    commands.COMPLETED: 1,
}
FINAL = PENDING | {commands.STATUS: 0x0000, commands.COMPLETED: 3}
STORE = {
    commands.AFFECTED_SOP_CLASS_UID: CT,
    commands.COMMAND_FIELD: 0x0001,
    commands.MESSAGE_ID: 7,
    commands.COMMAND_DATA_SET_TYPE: 0x0000,
    commands.AFFECTED_SOP_INSTANCE_UID: "1.2.3.4.5",
}


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    gc.collect()
    threads, sockets = threading.active_count(), _open_sockets()

    yield

    gc.collect()
    assert threading.active_count() == threads
    assert _open_sockets() == sockets


def _open_sockets() -> int:
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        return 0
    return sum(_target(one).startswith("socket:") for one in descriptors.iterdir())


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # that of the listing itself
        return ""


def _pacs(port: int, **limits: float) -> DicomPacs:
    patience = {"connect_timeout_s": 30.0, "idle_timeout_s": 30.0, "cancel_timeout_s": 30.0}
    return DicomPacs(Peer("faulty", "FAULTY", LOOPBACK, port, **(patience | limits)))  # type: ignore[arg-type]


def kept_in(came: list[Received]) -> Callable[[Received], int]:
    def receive(one: Received) -> int:
        came.append(replace(one, data=bytes(one.data)))  # the buffer is its owner's again
        return 0

    return receive


def _get(
    port: int,
    *,
    receive: Callable[[Received], int] = lambda _: 0,
    cancelled: Callable[[], bool] = lambda: False,
    told: Callable[[SubOperations], None] = lambda _: None,
    **limits: float,
) -> TransferOutcome:
    return _pacs(port, **limits).get(
        REQUEST, sop_class_uids=[CT], receive=receive, progress=told, cancelled=cancelled
    )


def _read_request(line: Line) -> None:
    """Accept, then take the command set and the identifier of the request."""
    line.accept()
    line.read_pdu()
    line.read_pdu()


# ── before there is an association ──────────────────────────────────────────────────────────


def test_nobody_listening_is_unavailable():
    (port,) = free_ports(1)

    with pytest.raises(PeerUnavailable, match="refused the connection"):
        _pacs(port).echo()


def test_an_unknown_host_is_unavailable():
    peer = Peer("nowhere", "NOWHERE", "no-such-host.invalid", 104)

    with pytest.raises(PeerUnavailable, match="host name"):
        DicomPacs(peer).echo()


def test_a_peer_that_never_answers_the_association_is_unavailable_in_time():
    with (
        scripted_peer(lambda line: line.wait_for_end() and None) as port,
        pytest.raises(PeerUnavailable, match="in time"),
    ):
        _pacs(port, connect_timeout_s=0.5).echo()


@pytest.mark.parametrize(
    ("result", "source", "reason", "error"),
    [
        (1, 1, 1, PeerRefused),
        (1, 1, 2, PeerRefused),
        (1, 1, 3, PeerRefused),
        (1, 1, 7, PeerRefused),
        (1, 2, 2, PeerRefused),
        (2, 1, 1, PeerUnavailable),
        (2, 3, 1, PeerUnavailable),
        (2, 3, 2, PeerUnavailable),
        (1, 3, 2, PeerUnavailable),  # a limit is never for good, whatever the peer says
    ],
)
def test_a_rejection_is_final_only_if_asking_again_cannot_help(result, source, reason, error):
    def script(line: Line) -> None:
        line.read_pdu()
        line.send(b"\3\0\0\0\0\4\0" + bytes([result, source, reason]))

    with scripted_peer(script) as port, pytest.raises(error, match="rejected") as caught:
        _pacs(port).echo()

    assert caught.value.facts["reason"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\2\0\0\0\0\4junk",
        b"\2\0\xff\xff\xff\xff",
        b"\3\0\0\0\0\1\0",
        b"\4\0\0\0\0\0",
        b"",
    ],
)
def test_an_answer_that_is_no_association_answer_is_unavailable(answer):
    def script(line: Line) -> None:
        line.read_pdu()
        line.send(answer)

    with scripted_peer(script) as port, pytest.raises(PeerUnavailable):
        _pacs(port).echo()


def test_an_abort_in_place_of_an_answer_is_unavailable():
    def script(line: Line) -> None:
        line.read_pdu()
        line.send(ABORT_PDU)

    with scripted_peer(script) as port, pytest.raises(PeerUnavailable, match="aborted"):
        _pacs(port).echo()


# ── in the middle ───────────────────────────────────────────────────────────────────────────


def test_an_abort_in_the_middle_is_unavailable_and_what_came_is_kept():
    came: list[Received] = []

    def script(line: Line) -> None:
        _read_request(line)
        line.send(values((3, 3, commands.encode(STORE)), (3, 2, b"data set")))
        line.read_pdu()
        line.send(ABORT_PDU)

    with scripted_peer(script) as port, pytest.raises(PeerUnavailable, match="aborted"):
        _get(port, receive=kept_in(came))

    assert bytes(came[0].data) == b"data set"


def test_a_connection_that_breaks_in_the_middle_is_unavailable():
    with scripted_peer(_read_request) as port, pytest.raises(PeerUnavailable):
        _get(port)


def test_a_connection_that_is_reset_is_unavailable():
    def script(line: Line) -> None:
        _read_request(line)
        line.reset()

    with scripted_peer(script) as port, pytest.raises(PeerUnavailable):
        _get(port)


def test_a_release_in_place_of_a_response_is_unavailable():
    def script(line: Line) -> None:
        _read_request(line)
        line.send(b"\5\0\0\0\0\4" + bytes(4))

    with scripted_peer(script) as port, pytest.raises(PeerUnavailable, match="released"):
        _get(port)


def test_a_stalled_peer_is_aborted_after_the_idle_timeout():
    rest: list[bytes] = []

    def script(line: Line) -> None:
        _read_request(line)
        rest.append(line.wait_for_end())

    with (
        scripted_peer(script) as port,
        pytest.raises(PeerUnavailable, match="in time"),
    ):
        _get(port, idle_timeout_s=0.5)

    assert rest[0][:1] == b"\7"


def test_a_peer_that_stalls_within_a_pdu_is_given_up_too():
    def script(line: Line) -> None:
        _read_request(line)
        line.send(values((1, 3, commands.encode(PENDING)))[:20])
        line.wait_for_end()

    with (
        scripted_peer(script) as port,
        pytest.raises(PeerUnavailable, match="in time"),
    ):
        _get(port, idle_timeout_s=0.5)


def test_progress_resets_the_idle_timer():
    told: list[SubOperations] = []
    pause = threading.Event()

    def script(line: Line) -> None:
        _read_request(line)
        for _ in range(4):
            pause.wait(0.9)
            line.respond(PENDING)
        line.respond(FINAL)
        line.release()

    with scripted_peer(script) as port:
        outcome = _get(port, told=told.append, idle_timeout_s=3)

    assert outcome.status == 0
    assert len(told) == 5


@pytest.mark.parametrize(
    "message",
    [
        values((1, 3, b"\0\0")),
        values((1, 3, commands.encode({commands.COMMAND_FIELD: 0x8010}))),
        values((1, 2, b"a data set that no command announced")),
        values((1, 3, commands.encode(STORE)), (3, 2, b"of another context")),
        values((1, 3, commands.encode(STORE)), (1, 3, commands.encode(STORE))),
        values((1, 3, commands.encode(PENDING | {commands.COMMAND_FIELD: 0x8021}))),
        values((1, 3, commands.encode(PENDING)))[:-4],
        b"\4\0\0\0\0\6" + struct.pack(">IBB", 1, 1, 3),
        b"\4\0\0\0\0\3abc",
        b"\x09\0\0\0\0\0",
    ],
)
def test_what_is_not_dicom_ends_the_association(message):
    def script(line: Line) -> None:
        _read_request(line)
        line.send(message + b"\6\0\0\0\0\4" + bytes(4))
        line.wait_for_end()

    with scripted_peer(script) as port, pytest.raises(PeerUnavailable):
        _get(port)


def test_a_data_set_above_the_limit_ends_the_association():
    def script(line: Line) -> None:
        _read_request(line)
        line.send(values((3, 3, commands.encode(STORE)), (3, 0, bytes(600)), (3, 2, bytes(600))))
        line.wait_for_end()

    with scripted_peer(script) as port, pytest.raises(PeerUnavailable):
        _get(port, max_data_set_bytes=1000)


def test_fragments_of_any_size_make_the_same_message():
    came: list[Received] = []
    command, data = commands.encode(STORE), bytes(range(256)) * 4

    def script(line: Line) -> None:
        _read_request(line)
        for position in range(len(command)):
            last = 2 if position == len(command) - 1 else 0
            line.send(values((3, 1 | last, command[position : position + 1])))
        line.send(values((3, 0, b""), (3, 0, data[:1]), (3, 0, data[1:700])))
        line.send(values((3, 2, data[700:])))
        line.read_pdu()
        line.respond(FINAL)
        line.release()

    with scripted_peer(script) as port:
        outcome = _get(port, receive=kept_in(came))

    assert outcome.status == 0
    assert [bytes(one.data) for one in came] == [data]


def test_what_receive_raises_ends_the_association_and_reaches_the_caller():
    rest: list[bytes] = []

    def script(line: Line) -> None:
        _read_request(line)
        line.send(values((3, 3, commands.encode(STORE)), (3, 2, b"data set")))
        rest.append(line.wait_for_end())

    def receive(_: Received) -> int:
        raise ZeroDivisionError

    with scripted_peer(script) as port, pytest.raises(ZeroDivisionError):
        _get(port, receive=receive)

    assert rest[0][:1] == b"\7"


def test_a_peer_that_ignores_cancel_is_aborted_and_the_transfer_counts_as_cancelled():
    rest: list[bytes] = []

    def script(line: Line) -> None:
        _read_request(line)
        line.respond(PENDING)
        rest.append(line.wait_for_end())

    told: list[SubOperations] = []
    with scripted_peer(script) as port:
        outcome = _get(port, told=told.append, cancelled=lambda: bool(told), cancel_timeout_s=0.5)

    assert outcome == TransferOutcome(0xFE00, SubOperations(remaining=2, completed=1))
    cancel = commands.decode(rest[0][12:-10])
    assert cancel.field == commands.C_CANCEL_RQ
    assert cancel.number(commands.MESSAGE_ID_BEING_RESPONDED_TO) == 1


def test_failed_uids_are_told_also_where_orthanc_puts_them():
    failed = encoded({"FailedSOPInstanceUIDList": "1.2.3.4.5\\1.2.3.4.6"})

    def script(line: Line) -> None:
        _read_request(line)
        warning = commands.encode(FINAL | {commands.STATUS: 0xB000})
        line.send(values((1, 3, warning + failed)))
        line.release()

    with scripted_peer(script) as port:
        outcome = _get(port)

    assert outcome.status == 0xB000
    assert outcome.failed_uids == ("1.2.3.4.5", "1.2.3.4.6")


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("seed", range(100))
def test_damaged_conversations_end_in_an_outcome_or_one_of_our_errors(seed):
    random = Random(seed)
    after = (
        values((3, 3, commands.encode(STORE)), (3, 2, bytes(range(200))))
        + values((1, 3, commands.encode(PENDING)))
        + values((1, 3, commands.encode(FINAL)))
        + b"\6\0\0\0\0\4"
        + bytes(4)
    )

    def script(line: Line) -> None:
        said = bytearray(accepting(line.read_pdu()) + after)
        for _ in range(random.randint(1, 5)):
            said[random.randrange(len(said))] = random.randrange(256)
        line.send(bytes(said[: random.choice([len(said), random.randrange(len(said))])]))

    with scripted_peer(script) as port:
        try:
            outcome = _get(port)
        except (PeerUnavailable, PeerRefused) as exc:
            assert exc.facts["peer"] == "faulty"  # noqa: PT017 - either is right
        else:
            assert 0 <= outcome.status <= 0xFFFF


# ── C-FIND ──────────────────────────────────────────────────────────────────────────────────


def _find(port: int) -> Sequence[Dataset]:
    keys = {"PatientID": "FAULTS", "PatientName": ""}
    return _pacs(port).find(QueryLevel.STUDY, keys)


def _answering(*responses: tuple[int, bytes]) -> Callable[[Line], None]:
    def script(line: Line) -> None:
        _read_request(line)
        for status, identifier in responses:
            elements = {
                commands.COMMAND_FIELD: 0x8020,
                commands.MESSAGE_ID_BEING_RESPONDED_TO: 1,
                commands.COMMAND_DATA_SET_TYPE: 0x0000 if identifier else 0x0101,
                commands.STATUS: status,
            }
            line.respond(elements, identifier)
        line.release()

    return script


def test_a_garbage_reply_is_skipped_and_the_others_are_kept():
    good = encoded({"PatientID": "FAULTS"})
    garbage = good[:-3]
    script = _answering((0xFF00, good), (0xFF00, garbage), (0xFF01, good), (0, b""))

    with scripted_peer(script) as port:
        replies = _find(port)

    assert [reply.PatientID for reply in replies] == ["FAULTS", "FAULTS"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0xC000, PeerRefused),
        (0xA900, PeerRefused),
        (0x0122, PeerRefused),
        (0xA700, PeerUnavailable),
    ],
)
def test_a_query_that_fails_says_with_what_status(status, error):
    script = _answering((0xFF00, encoded({"PatientID": "FAULTS"})), (status, b""))

    with scripted_peer(script) as port, pytest.raises(error) as caught:
        _find(port)

    assert caught.value.facts["status"] == f"0x{status:04X}"


@pytest.mark.parametrize("name", ["Prüfer^Übung".encode(), "Prüfer^Übung".encode("latin-1")])
def test_names_without_a_character_set_are_read_all_the_same(name):
    element = struct.pack("<HHI", 0x10, 0x10, len(name)) + name
    script = _answering((0xFF00, element), (0, b""))

    with scripted_peer(script) as port:
        (reply,) = _find(port)

    assert str(reply.PatientName) == "Prüfer^Übung"


def test_no_patient_data_is_in_an_error():
    with (
        scripted_peer(_read_request) as port,
        pytest.raises(PeerUnavailable) as caught,
    ):
        _pacs(port).find(QueryLevel.STUDY, {"PatientID": "CANARY", "PatientName": "CANARY"})

    assert "CANARY" not in str(caught.value) + repr(caught.value)


def test_a_listener_that_never_accepts_does_not_block_for_ever():
    with socket.create_server((LOOPBACK, 0), backlog=1) as listener:
        port = listener.getsockname()[1]

        with pytest.raises(PeerUnavailable):
            _pacs(port, connect_timeout_s=0.5).echo()
