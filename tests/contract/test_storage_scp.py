"""What a Storage SCP answers: store-scp's own data path and pynetdicom's server say the same.

Where ours is stricter, or says more, a test of its own says why.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicomcore.keys import INSTANCES
from dicomcore.landing import prepare
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Lander
from store_scp.callers import parse_callers
from store_scp.options import ScpOptions
from store_scp.server import StoreScp
from tests.instances import CT_IMAGE, ROOT, RT_PLAN, encode, instance, received
from tests.integration.scp_world import IMPLICIT, PLANS, VERIFICATION, send
from tests.peers import dcmtk
from tests.peers.orthanc import Modality, orthanc
from tests.peers.processes import wait_until
from tests.peers.raw_scu import (
    ABORT,
    DATA,
    Aborted,
    RawScu,
    Rejected,
    association_request,
    command_set,
    item,
)
from tests.peers.reference_scp import reference_scp

SUCCESS, MISMATCH, CANNOT_UNDERSTAND = 0x0000, 0xA900, 0xC000
KINDS = ("ours", "pynetdicom")


@dataclass(frozen=True)
class Scp:
    """A server, and what it has stored."""

    port: int
    store: DirectoryStore

    def scu(self, **options: Any) -> RawScu:
        return RawScu(self.port, PLANS, **options)

    def stored(self) -> list[bytes]:
        """Return the data sets that are kept."""
        kept = [self.store.get(stat.key) for stat in self.store.list(INSTANCES)]
        return [data[144 + int.from_bytes(data[140:144], "little") :] for data in kept]


@contextmanager
def scp_of(kind: str, folder: Path, **options: Any) -> Iterator[Scp]:
    store = DirectoryStore(folder / "objects")
    land = Lander(store, lambda _stored, _title: None).land
    if kind == "ours":
        callers = parse_callers(",".join(options.pop("calling_ae_titles", ())))
        with StoreScp(ScpOptions(port=0, callers=callers, **options), land) as scp:
            yield Scp(scp.port, store)
    else:
        with reference_scp(land, **options) as port:
            yield Scp(port, store)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def scp(kind: str, tmp_path: Path) -> Iterator[Scp]:
    with scp_of(kind, tmp_path) as running:
        yield running


def plan(number: int = 1, **options: Any) -> bytes:
    return encode(instance(number, **options))


def store_request(*, data_set: int = 1, field: int = 1) -> bytes:
    """Return the command set of a C-STORE request."""
    return command_set(
        (0x0002, RT_PLAN.encode() + b"\0" * (len(RT_PLAN) % 2)),
        (0x0100, struct.pack("<H", field)),
        (0x0110, struct.pack("<H", 7)),
        (0x0700, struct.pack("<H", 0)),
        (0x0800, struct.pack("<H", data_set)),
        (0x1000, f"{ROOT}.3.1".encode() + b"\0" * (len(f"{ROOT}.3.1") % 2)),
    )


def value(context_id: int, control: int, fragment: bytes) -> bytes:
    """Return a presentation data value (PS3.8 9.3.5.1)."""
    return struct.pack(">IBB", len(fragment) + 2, context_id, control) + fragment


# ── messages, however they are cut ──────────────────────────────────────────────────────────


def test_echo_and_store_are_answered_on_one_association(scp: Scp) -> None:
    with scp.scu() as scu:
        assert scu.echo(context_id=3) == SUCCESS
        assert send(scu, instance()) == SUCCESS
        assert scu.echo(context_id=3) == SUCCESS
        scu.release()

    assert scp.stored() == [plan()]


@pytest.mark.parametrize("size", [1, 3, 7, 1001, 16_377])
def test_fragments_of_any_size_make_the_same_message(scp: Scp, size: int) -> None:
    command, data = store_request(), plan(size_bytes=3 * size)
    with scp.scu() as scu:
        for start in range(0, len(command), size):
            last = 2 if start + size >= len(command) else 0
            scu.send_fragment(1, 1 | last, command[start : start + size])
        for start in range(0, len(data), size):
            last = 2 if start + size >= len(data) else 0
            scu.send_fragment(1, last, data[start : start + size])
        assert scu.read_status() == SUCCESS
        scu.release()

    assert scp.stored() == [data]


def test_several_values_in_one_pdu_make_the_same_message(scp: Scp) -> None:
    command, data = store_request(), plan(size_bytes=500)
    with scp.scu() as scu:
        scu.send_pdu(
            DATA,
            value(1, 0x01, command[:20])
            + value(1, 0x03, command[20:])
            + value(1, 0x00, data[:101])
            + value(1, 0x02, data[101:]),
        )
        assert scu.read_status() == SUCCESS
        scu.release()

    assert scp.stored() == [data]


def test_an_empty_last_fragment_ends_a_data_set(scp: Scp) -> None:
    with scp.scu() as scu:
        scu.send_fragment(1, 0x03, store_request())
        scu.send_fragment(1, 0x00, plan())
        scu.send_fragment(1, 0x02, b"")
        assert scu.read_status() == SUCCESS
        scu.release()


def test_bytes_that_trickle_in_make_the_same_message(scp: Scp) -> None:
    pdus = b"".join(
        struct.pack(">BBI", DATA, 0, len(body)) + body
        for body in (value(1, 0x03, store_request()), value(1, 0x02, plan()))
    )
    with scp.scu() as scu:
        for start in range(0, len(pdus), 5):
            scu.socket.sendall(pdus[start : start + 5])
        assert scu.read_status() == SUCCESS
        scu.release()


@pytest.mark.parametrize("data", [b"\xff" * 1000, plan()[:-3]])
def test_what_is_no_data_set_is_not_understood(scp: Scp, data: bytes) -> None:
    with scp.scu() as scu:
        assert scu.store(data, RT_PLAN, f"{ROOT}.3.1") == CANNOT_UNDERSTAND
        assert send(scu, instance()) == SUCCESS
        scu.release()


def test_another_class_or_instance_than_announced_does_not_match(scp: Scp) -> None:
    with scp.scu() as scu:
        assert scu.store(plan(), CT_IMAGE, f"{ROOT}.3.1") == MISMATCH
        assert scu.store(plan(), RT_PLAN, f"{ROOT}.3.2") == MISMATCH
        scu.release()

    assert scp.stored() == []


# ── negotiation ─────────────────────────────────────────────────────────────────────────────


def test_contexts_of_storage_and_verification_are_accepted_and_no_others(scp: Scp) -> None:
    find, private = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.246.352.70.1.70"
    with RawScu(scp.port, [(find, IMPLICIT), (private, IMPLICIT), *PLANS]) as scu:
        assert scu.accepted == {1: 3, 3: 0, 5: 0, 7: 0}
        scu.release()


def test_verification_in_a_syntax_that_is_not_served_is_refused(scp: Scp) -> None:
    with RawScu(scp.port, [(VERIFICATION, "1.2.840.10008.1.2.4.90"), *PLANS]) as scu:
        assert scu.accepted == {1: 4, 3: 0, 5: 0}
        scu.release()


def test_128_contexts_are_answered(scp: Scp) -> None:
    with RawScu(scp.port, [(RT_PLAN, IMPLICIT)] * 128) as scu:
        assert scu.accepted == dict.fromkeys(range(1, 256, 2), 0)
        assert send(scu, instance(), context_id=255) == SUCCESS
        scu.release()


def test_who_is_not_listed_is_rejected_for_good(kind: str, tmp_path: Path) -> None:
    with scp_of(kind, tmp_path, calling_ae_titles=frozenset({"ARIA"})) as scp:
        with pytest.raises(Rejected) as caught:
            scp.scu()
        scp.scu(calling="ARIA").release()

    assert caught.value.reasons == (1, 1, 3)


def test_who_calls_another_is_rejected_for_good(kind: str, tmp_path: Path) -> None:
    with scp_of(kind, tmp_path, require_called_ae_title=True) as scp:
        with pytest.raises(Rejected) as caught:
            scp.scu(called="OTHER")
        scp.scu().release()

    assert caught.value.reasons == (1, 1, 7)


def test_one_association_too_many_is_rejected_for_the_moment(kind: str, tmp_path: Path) -> None:
    with scp_of(kind, tmp_path, maximum_associations=1) as scp, scp.scu() as first:
        assert first.echo(context_id=3) == SUCCESS
        with pytest.raises(Rejected) as caught:
            scp.scu()
        first.release()

    assert caught.value.reasons == (2, 3, 2)


def test_an_unknown_protocol_version_is_rejected(scp: Scp) -> None:
    with pytest.raises(Rejected) as caught:
        scp.scu(request=association_request(PLANS, version=2))

    assert caught.value.reasons == (1, 2, 2)


@pytest.mark.parametrize("length", [0, 128, 129, 4096, 1 << 20])
def test_responses_keep_to_the_peers_maximum_length(scp: Scp, length: int) -> None:
    request = association_request(PLANS, maximum_length=length)
    with scp.scu(request=request) as scu:
        assert scu.store(plan(), RT_PLAN, f"{ROOT}.3.1") == SUCCESS
        scu.send_fragment(3, 0x03, _echo())
        body = b""
        while True:
            kind, part = scu.read_pdu()
            assert kind == DATA
            assert not length or len(part) <= length
            body += part[6:]
            if part[5] & 0x02:
                break
        assert body.startswith(b"\0\0\0\0\4\0\0\0")
        scu.release()


def _echo() -> bytes:
    uid = VERIFICATION.encode() + b"\0" * (len(VERIFICATION) % 2)
    return command_set(
        (0x0002, uid),
        (0x0100, struct.pack("<H", 0x0030)),
        (0x0110, struct.pack("<H", 9)),
        (0x0800, struct.pack("<H", 0x0101)),
    )


def test_a_users_identity_is_accepted_without_a_response(scp: Scp) -> None:
    identity = bytes([1, 1]) + struct.pack(">H", 5) + b"admin" + struct.pack(">H", 0)
    request = association_request(PLANS, user_items=item(0x58, identity))
    with scp.scu(request=request) as scu:
        assert 0x59 not in scu.user_items
        assert send(scu, instance()) == SUCCESS
        scu.release()


def test_extended_negotiation_of_a_storage_class_is_accepted(scp: Scp) -> None:
    information = struct.pack(">H", len(RT_PLAN)) + RT_PLAN.encode() + bytes(6)
    request = association_request(PLANS, user_items=item(0x56, information))
    with scp.scu(request=request) as scu:
        assert send(scu, instance()) == SUCCESS
        scu.release()


def test_roles_are_answered_as_they_were_asked_for(scp: Scp) -> None:
    role = struct.pack(">H", len(RT_PLAN)) + RT_PLAN.encode() + bytes([1, 0])
    request = association_request(PLANS, user_items=item(0x54, role))
    with scp.scu(request=request) as scu:
        assert scu.user_items[0x54] == role
        assert send(scu, instance()) == SUCCESS
        scu.release()


# ── ends ────────────────────────────────────────────────────────────────────────────────────


def test_a_release_is_answered_also_within_a_message(scp: Scp) -> None:
    with scp.scu() as scu:
        scu.send_fragment(1, 0x03, store_request())
        scu.release()

    assert scp.stored() == []


@pytest.mark.parametrize("kind_of_pdu", [1, 2, 3, 6, 0x42])
def test_a_pdu_that_cannot_come_now_ends_in_an_abort(scp: Scp, kind_of_pdu: int) -> None:
    with scp.scu() as scu:
        scu.send_pdu(kind_of_pdu, bytes(80))
        assert _aborted(scu)


def test_a_message_on_a_context_that_was_not_accepted_ends_in_an_abort(scp: Scp) -> None:
    with scp.scu() as scu:
        scu.send_store(plan(), RT_PLAN, f"{ROOT}.3.1", context_id=99)
        assert _aborted(scu)


def test_an_aborted_association_leaves_room_for_the_next(scp: Scp) -> None:
    for number in range(5):
        scu = scp.scu()
        scu.send_fragment(1, 0x03, store_request())
        scu.abort()
        with scp.scu() as other:
            assert send(other, instance(number)) == SUCCESS
            other.release()


def _aborted(scu: RawScu) -> bool:
    try:
        return scu.read_pdu()[0] == ABORT
    except Aborted:
        return False


# ── programs and libraries ──────────────────────────────────────────────────────────────────


def files(folder: Path, syntax: str, count: int = 4) -> Path:
    folder.mkdir()
    for number in range(count):
        dataset = instance(number, sop_class_uid=(RT_PLAN, CT_IMAGE)[number % 2])
        parts = prepare(received(dataset, syntax)).parts
        (folder / f"{number}.dcm").write_bytes(b"".join(bytes(part) for part in parts))
    return folder


@pytest.mark.peer
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("program", [dcmtk.storescu, dcmtk.dcmsend])
def test_dcmtk_is_served(scp: Scp, tmp_path: Path, syntax: str, program: Any) -> None:
    folder = files(tmp_path / "files", syntax)
    offered = ["-xi"] if program is dcmtk.storescu and syntax == ImplicitVRLittleEndian else []

    ran = program(dcmtk.Node("STORE-SCP", scp.port), [folder], "+sd", *offered)

    assert ran.returncode == 0, ran.stdout
    assert len(scp.stored()) == 4


@pytest.mark.peer
def test_orthanc_is_served(scp: Scp, tmp_path: Path) -> None:
    folder = files(tmp_path / "files", ExplicitVRLittleEndian)
    with orthanc(tmp_path / "orthanc", [Modality("STORE-SCP", scp.port)]) as peer:
        peer.upload(sorted(folder.iterdir()))
        answer = peer.post("/modalities/STORE-SCP/store", peer.get("/instances"))

    assert answer["FailedInstancesCount"] == 0
    assert len(scp.stored()) == 4


def test_pynetdicom_is_served_with_everything_it_can_negotiate(scp: Scp) -> None:
    ae = AE("LIBRARY")
    ae.add_requested_context(RT_PLAN, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    ae.add_requested_context(Verification)
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field = 1, b"someone"
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 5
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid, extended.service_class_application_information = RT_PLAN, b"\2\0\0\0"
    association = ae.associate(
        "127.0.0.1",
        scp.port,
        ext_neg=[build_role(RT_PLAN, scu_role=True), identity, window, extended],
    )
    assert association.is_established
    dataset = instance()
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian

    assert association.send_c_echo().Status == SUCCESS
    assert association.send_c_store(dataset).Status == SUCCESS
    association.release()

    assert association.is_released
    (kept,) = [pydicom.dcmread(BytesIO(data), force=True) for data in scp.stored()]
    assert kept.RTPlanLabel == "Plan 1"


# ── where ours says more, or is stricter ────────────────────────────────────────────────────


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Scp]:
    with scp_of("ours", tmp_path) as running:
        yield running


def test_a_window_of_operations_is_refused_by_one_at_a_time(ours: Scp) -> None:
    """The reference leaves the item out, which means the same (PS3.7 D.3.3.3); some peers ask."""
    window = item(0x53, struct.pack(">HH", 0, 0))
    with ours.scu(request=association_request(PLANS, user_items=window)) as scu:
        assert scu.user_items[0x53] == struct.pack(">HH", 1, 1)
        assert send(scu, instance()) == SUCCESS
        scu.release()


def test_messages_that_do_not_wait_are_answered_in_their_order(ours: Scp) -> None:
    """Nobody may send so after that answer; who does loses nothing."""
    with ours.scu() as scu:
        for number in range(3):
            scu.send_store(plan(number), RT_PLAN, f"{ROOT}.3.{number}")
        scu.send_store(b"\xff" * 100, RT_PLAN, f"{ROOT}.3.9")
        assert [scu.read_status() for _ in range(4)] == [0, 0, 0, CANNOT_UNDERSTAND]
        scu.release()


def test_another_application_context_is_rejected(ours: Scp) -> None:
    """The reference does not look at it; PS3.8 9.3.4 has a reason for it: it is not DICOM."""
    with pytest.raises(Rejected) as caught:
        ours.scu(request=association_request(PLANS, application_context=b"1.2.3"))

    assert caught.value.reasons == (1, 1, 2)


def test_a_request_that_storage_does_not_know_is_answered(ours: Scp) -> None:
    """The reference aborts, or does not answer at all, and the peer waits."""
    with ours.scu() as scu:
        scu.send_fragment(1, 0x03, store_request(field=0x0020, data_set=0x0101))  # C-FIND
        assert scu.read_status() == 0x0211
        assert scu.store(plan(), RT_PLAN, f"{ROOT}.3.1", context_id=3) == 0x0122
        assert scu.echo(context_id=1) == 0x0122
        assert send(scu, instance()) == SUCCESS
        scu.release()

    assert ours.stored() == [plan()]


def test_a_store_without_a_data_set_does_not_match(ours: Scp) -> None:
    """The reference hands None to its handler."""
    with ours.scu() as scu:
        scu.send_fragment(1, 0x03, store_request(data_set=0x0101))
        assert scu.read_status() == MISMATCH
        scu.release()


def test_a_cancel_is_not_answered(ours: Scp) -> None:
    with ours.scu() as scu:
        cancel = command_set(
            (0x0100, struct.pack("<H", 0x0FFF)),
            (0x0120, struct.pack("<H", 1)),
            (0x0800, struct.pack("<H", 0x0101)),
        )
        scu.send_fragment(1, 0x03, cancel)
        assert scu.echo(context_id=3) == SUCCESS
        scu.release()


@pytest.mark.parametrize(
    "pdus",
    [
        [value(1, 0x02, b"data")],  # a data set of nothing
        [value(1, 0x03, store_request()), value(1, 0x03, store_request())],  # one within another
        [value(1, 0x03, store_request()), value(3, 0x02, b"data")],  # on another context
        [value(1, 0x01, store_request()[:9]), value(3, 0x03, store_request()[9:])],
        [
            value(1, 0x03, b"\xff" * 50)
        ],  # no command set: the reference's thread ends in an exception
        [value(1, 0x03, store_request(field=0x8001))],  # a response to nothing
        [value(1, 0x01, bytes(60_000)), value(1, 0x01, bytes(60_000))],  # a command without end
        [b"\0\0\0\1\1\3"],  # a value shorter than its header
        [b"\0\0\1\0\1\3short"],  # longer than its PDU
        [b"\0\0"],  # cut off
    ],
)
def test_a_conversation_that_makes_no_sense_ends_in_an_abort_that_says_who_and_why(
    ours: Scp, pdus: list[bytes]
) -> None:
    """The reference lets some of them through, and gives no reason (PS3.8 9.3.8: provider, 6)."""
    with ours.scu() as scu:
        for body in pdus:
            scu.send_pdu(DATA, body)
        assert scu.read_pdu() == (ABORT, bytes([0, 0, 2, 6]))


def test_a_peer_that_is_rejected_or_aborted_reads_it_though_it_goes_on_sending(ours: Scp) -> None:
    """To close at once would take the A-ABORT back: a reset, and the peer's log says nothing."""
    with ours.scu() as scu:
        scu.send_pdu(0x42, b"")
        scu.socket.sendall(bytes(100_000))
        assert scu.read_pdu()[0] == ABORT


def test_a_place_is_free_before_the_peer_has_closed(tmp_path: Path) -> None:
    """Modalities leave connections open after the release; they are no associations any more."""
    with scp_of("ours", tmp_path, maximum_associations=1) as scp:
        first = scp.scu()
        first.send_pdu(5, bytes(4))
        assert first.read_pdu()[0] == 6

        def admitted() -> bool:
            try:
                with scp.scu() as scu:
                    return send(scu, instance()) == SUCCESS
            except Rejected:
                return False

        wait_until(admitted, what="there is a place")
        first.close()
