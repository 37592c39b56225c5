"""store-scp on real associations: what is answered Success is kept as it came, everything else is told."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from structlog.testing import capture_logs

from dicomcore.errors import InvalidRequest, Unavailable
from dicomcore.received import Received, StoredInstance
from dicomio.landing import sweep_outbox
from store_scp.callers import parse_callers
from store_scp.options import ScpOptions
from store_scp.server import StoreScp
from store_scp.tls import server_context
from tests.instances import (
    CT_IMAGE,
    PRIVATE_PLAN,
    ROOT,
    RT_PLAN,
    SYNTAXES,
    encode,
    identity,
    instance,
)
from tests.integration.scp_world import (
    IMPLICIT,
    PLANS,
    VERIFICATION,
    World,
    assert_nothing_left,
    resources,
    send,
    world,
)
from tests.peers.processes import wait_until
from tests.peers.raw_scu import ABORT, DATA, Aborted, RawScu, Rejected
from tests.servers.certificates import Authority

SUCCESS, OUT_OF_RESOURCES, MISMATCH, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xA900, 0xC000


@pytest.fixture
def scp(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "objects") as running:
        yield running


# ── what comes in ───────────────────────────────────────────────────────────────────────────


def test_an_echo_is_answered(scp: World) -> None:
    with scp.scu() as scu:
        assert scu.echo(context_id=3) == SUCCESS
        scu.release()


def test_the_log_sums_an_association_up(scp: World) -> None:
    data = encode(instance(size_bytes=10_000))

    def is_end(line: Mapping[str, object]) -> bool:
        return line["event"] == "association_released"

    with capture_logs() as lines, scp.scu() as scu:
        assert scu.store(data, RT_PLAN, f"{ROOT}.3.1") == SUCCESS
        assert scu.store(data, RT_PLAN, f"{ROOT}.3.2") == MISMATCH
        scu.release()
        wait_until(lambda: any(map(is_end, lines)), what="the line of the association")

    (line,) = filter(is_end, lines)
    (stored,) = scp.objects()
    assert (line["stored"], line["refused"]) == (1, 1)
    assert line["stored_bytes"] == scp.store.stat(stored).size_bytes


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_stored_data_set_is_the_bytes_that_were_sent(scp: World, syntax: str) -> None:
    data = encode(instance(size_bytes=300_000), syntax)

    with RawScu(scp.port, [(RT_PLAN, syntax)]) as scu:
        assert scu.store(data, RT_PLAN, f"{ROOT}.3.1") == SUCCESS
        scu.release()

    (key,) = scp.objects()
    kept = scp.store.get(key)
    assert kept.endswith(data)
    assert len(kept) - len(data) < 500


@pytest.mark.parametrize(
    "syntax",
    [
        "1.2.840.10008.1.2.4.50",  # JPEG Baseline
        "1.2.840.10008.1.2.4.70",  # JPEG Lossless
        "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
        "1.2.840.10008.1.2.4.201",  # HTJ2K Lossless
        "1.2.840.10008.1.2.5",  # RLE
        "1.2.840.10008.1.2.8.1",  # Deflated Image Frame: younger than most libraries
        "1.2.826.0.1.3680043.999",  # private
    ],
)
def test_any_transfer_syntax_is_accepted_and_kept(scp: World, syntax: str) -> None:
    pixels = bytes.fromhex("e07f1000 4f420000 ffffffff feff00e0 00000000 feff00e0 04000000")
    pixels += b"\xff\xd8\xff\xd9" + bytes.fromhex("feffdde0 00000000")
    data = encode(identity(), ExplicitVRLittleEndian) + pixels

    with RawScu(scp.port, [(RT_PLAN, syntax)]) as scu:
        assert scu.accepted == {1: 0}
        assert scu.store(data, RT_PLAN, f"{ROOT}.3.1") == SUCCESS

    (key,) = scp.objects()
    assert scp.store.get(key).endswith(data)


@pytest.mark.parametrize("sop_class_uid", [CT_IMAGE, PRIVATE_PLAN, "1.2.3.4.5.6", "2.25.1"])
def test_any_storage_class_is_accepted_private_ones_too(scp: World, sop_class_uid: str) -> None:
    with RawScu(scp.port, [(sop_class_uid, IMPLICIT)]) as scu:
        assert send(scu, instance(sop_class_uid=sop_class_uid)) == SUCCESS


def test_other_services_are_not_accepted(scp: World) -> None:
    find = "1.2.840.10008.5.1.4.1.2.2.1"
    with RawScu(scp.port, [(find, IMPLICIT), *PLANS]) as scu:
        assert scu.accepted[1] == 3  # abstract syntax not supported
        assert scu.accepted[3] == 0


def test_a_library_scu_is_served(scp: World) -> None:
    ae = AE("LIBRARY")
    ae.add_requested_context(RT_PLAN, [ExplicitVRBigEndian])
    ae.add_requested_context(RT_PLAN, [DeflatedExplicitVRLittleEndian])
    ae.add_requested_context(RT_PLAN, [ImplicitVRLittleEndian])
    ae.add_requested_context(Verification)

    association = ae.associate("127.0.0.1", scp.port)
    assert association.is_established
    dataset = instance()
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    assert association.send_c_echo().Status == SUCCESS
    assert association.send_c_store(dataset).Status == SUCCESS
    association.release()

    (key,) = scp.objects()
    assert scp.store.get(key).endswith(encode(instance(), ExplicitVRBigEndian))


def test_every_instance_is_announced_with_its_sender(scp: World) -> None:
    with scp.scu(calling="MODALITY") as scu:
        for number in range(3):
            assert send(scu, instance(number)) == SUCCESS

    assert len(scp.bus.messages) == 3
    assert all(b'"calling_ae_title":"MODALITY"' in body for _subject, body in scp.bus.messages)


def test_several_associations_at_once_are_kept_apart(scp: World) -> None:
    def send_some(peer: int) -> list[int]:
        with scp.scu(calling=f"PEER{peer}") as scu:
            statuses = [send(scu, instance(peer * 100 + number)) for number in range(10)]
            scu.release()
        return statuses

    with ThreadPoolExecutor(6) as pool:
        statuses = [status for sent in pool.map(send_some, range(6)) for status in sent]

    assert statuses == [SUCCESS] * 60
    assert len(scp.objects()) == 60


# ── what is refused, and with which status ──────────────────────────────────────────────────


def test_a_cut_data_set_cannot_be_understood_and_the_next_one_is_stored(scp: World) -> None:
    with scp.scu() as scu:
        for cut in (1, 100, 3):
            data = encode(instance())[:-cut]
            assert scu.store(data, RT_PLAN, f"{ROOT}.3.1") == CANNOT_UNDERSTAND
        assert send(scu, instance(2)) == SUCCESS

    assert len(scp.objects()) == 1


def test_garbage_and_nothing_are_answered(scp: World) -> None:
    with scp.scu() as scu:
        assert scu.store(b"\xff" * 1000, RT_PLAN, f"{ROOT}.3.1") == CANNOT_UNDERSTAND
        assert scu.store(b"", RT_PLAN, f"{ROOT}.3.1") == MISMATCH
        assert scu.store(b"\x08", RT_PLAN, f"{ROOT}.3.1") == CANNOT_UNDERSTAND
        assert scu.echo(context_id=3) == SUCCESS


def test_another_class_or_instance_than_announced_does_not_match(scp: World) -> None:
    with scp.scu() as scu:
        assert scu.store(encode(instance()), CT_IMAGE, f"{ROOT}.3.1") == MISMATCH
        assert scu.store(encode(instance()), RT_PLAN, f"{ROOT}.3.2") == MISMATCH

    assert scp.objects() == []


@pytest.mark.parametrize(
    "uid", ["../../../etc/passwd", "1.2/../3", "1.2\\3", "C:1.2", "9" * 65, "1" * 200, "ü.1", "a"]
)
def test_uids_that_lead_elsewhere_or_are_too_long_do_not_match(scp: World, uid: str) -> None:
    data = encode(identity())
    for keyword, number in (("SOPInstanceUID", 0x0018), ("StudyInstanceUID", 0x000D)):
        dataset = identity()
        group = dataset[keyword].tag.group
        del dataset[keyword]
        raw = uid.encode()
        data = encode(dataset) + struct.pack("<HHI", group, number, len(raw)) + raw
        with scp.scu() as scu:
            assert scu.store(data, RT_PLAN, f"{ROOT}.3.1") == MISMATCH

    assert list(scp.root.rglob("*.dcm")) == []
    assert scp.objects() == []


@pytest.mark.parametrize("uid", ["9" * 65, "9" * 1000, "../x", "", "1.2\n3", "ü.1"])
def test_a_request_whose_own_uid_is_none_does_not_match(scp: World, uid: str) -> None:
    with scp.scu() as scu:
        assert scu.store(encode(instance()), RT_PLAN, uid) == MISMATCH
        assert scu.store(encode(instance()), uid, f"{ROOT}.3.1") == MISMATCH
        assert send(scu, instance()) == SUCCESS


def test_with_the_store_away_the_sender_is_told_to_try_again(scp: World) -> None:
    away = scp.root.with_name("away")
    with scp.scu() as scu:
        assert send(scu, instance(1)) == SUCCESS
        scp.root.rename(away)
        assert send(scu, instance(2)) == OUT_OF_RESOURCES
        away.rename(scp.root)
        assert send(scu, instance(2)) == SUCCESS

    assert len(scp.objects()) == 2
    assert len(scp.bus.messages) == 2


def test_with_the_bus_away_success_is_held_by_the_outbox_and_announced_later(scp: World) -> None:
    scp.bus.away = True
    with scp.scu() as scu:
        statuses = [send(scu, instance(number)) for number in range(5)]
    assert statuses == [SUCCESS] * 5
    assert len(scp.outbox()) == 5

    scp.bus.away = False
    sweep_outbox(scp.store, scp.bus.publish)

    assert len(scp.bus.messages) == 5
    assert scp.outbox() == []


def test_a_fault_of_this_program_is_no_success(tmp_path: Path) -> None:
    def broken(_received: Received) -> StoredInstance:
        raise ZeroDivisionError

    before = resources()
    with StoreScp(ScpOptions(port=0), broken) as scp, RawScu(scp.port, PLANS) as scu:
        assert send(scu, instance()) == CANNOT_UNDERSTAND
        assert scu.echo(context_id=3) == SUCCESS
        scu.release()
    assert_nothing_left(before)


def test_what_was_answered_is_counted_by_status(scp: World) -> None:
    with scp.scu() as scu:
        send(scu, instance())
        send(scu, instance())
        scu.store(b"\xff" * 100, RT_PLAN, f"{ROOT}.3.1")
        scu.release()

    assert scp.counted("store_scp_instances_total", status="0x0000") == 2
    assert scp.counted("store_scp_instances_total", status="0xC000") == 1
    assert scp.counted("store_scp_duplicates_total") == 1
    assert scp.counted("store_scp_associations_total", outcome="accepted") == 1


# ── who may come, and how many ──────────────────────────────────────────────────────────────


def test_only_listed_callers_are_admitted(tmp_path: Path) -> None:
    options = ScpOptions(callers=parse_callers("ARIA, PACS"))
    with world(tmp_path / "objects", options) as scp:
        with pytest.raises(Rejected) as caught:
            scp.scu(calling="STRANGER")
        assert caught.value.reasons == (1, 1, 3)  # permanent: calling AE title not recognised

        with scp.scu(calling="ARIA") as scu:
            assert send(scu, instance()) == SUCCESS


def test_a_wrong_called_title_is_rejected_if_asked_for(tmp_path: Path) -> None:
    options = ScpOptions(ae_title="ARCHIVE", require_called_ae_title=True)
    with world(tmp_path / "objects", options) as scp:
        with pytest.raises(Rejected) as caught:
            scp.scu(called="OTHER")
        assert caught.value.reasons == (1, 1, 7)  # permanent: called AE title not recognised

        with scp.scu(called="ARCHIVE") as scu:
            assert send(scu, instance()) == SUCCESS


def test_one_association_too_many_is_rejected_for_the_moment(tmp_path: Path) -> None:
    options = ScpOptions(maximum_associations=2)
    with world(tmp_path / "objects", options) as scp, scp.scu() as first, scp.scu() as second:
        with pytest.raises(Rejected) as caught:
            scp.scu()
        assert caught.value.reasons == (2, 3, 2)  # transient: local limit exceeded
        assert send(first, instance(1)) == SUCCESS
        assert send(second, instance(2)) == SUCCESS
        second.release()

        def admitted() -> bool:
            try:
                with scp.scu() as third:
                    return send(third, instance(3)) == SUCCESS
            except Rejected:
                return False

        wait_until(admitted, what="a place becomes free")


def test_connections_that_say_nothing_do_not_keep_others_out(tmp_path: Path) -> None:
    with world(tmp_path / "objects", ScpOptions(acse_timeout_s=1.0)) as scp:
        silent = [socket.create_connection(("127.0.0.1", scp.port)) for _ in range(4)]
        with scp.scu() as scu:
            assert send(scu, instance()) == SUCCESS
            scu.release()
        for one in silent:
            one.settimeout(60)
            assert one.recv(100) in (b"", struct.pack(">BBI4x", ABORT, 0, 4))
            one.close()


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.ca_file)


def test_tls_with_a_client_certificate_is_served_and_without_it_is_not(
    tmp_path: Path, authority: Authority
) -> None:
    ours, theirs = authority.issue("server"), authority.issue("client")
    tls = server_context(ours.cert_file, ours.key_file, client_ca_file=authority.ca_file)
    shown = trusting(authority)
    shown.load_cert_chain(theirs.cert_file, theirs.key_file)

    with world(tmp_path / "objects", ScpOptions(tls=tls)) as scp:
        with scp.scu(tls=shown) as scu:
            assert scu.socket.version() in {"TLSv1.2", "TLSv1.3"}
            assert send(scu, instance(size_bytes=200_000)) == SUCCESS
            scu.release()
        with pytest.raises((ssl.SSLError, Aborted, ConnectionError)):
            scp.scu(tls=trusting(authority))
        with pytest.raises((Aborted, ConnectionError)):
            scp.scu()  # no TLS at all
        with scp.scu(tls=shown) as scu:
            assert scu.echo(context_id=3) == SUCCESS


def test_tls_below_1_2_is_refused(tmp_path: Path, authority: Authority) -> None:
    ours = authority.issue("server")
    tls = server_context(ours.cert_file, ours.key_file)

    assert tls.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_peer_that_stalls_in_the_handshake_keeps_nobody_out(
    tmp_path: Path, authority: Authority
) -> None:
    ours = authority.issue("server")
    tls = server_context(ours.cert_file, ours.key_file)
    options = ScpOptions(tls=tls, acse_timeout_s=1.0)
    with (
        world(tmp_path / "objects", options) as scp,
        socket.create_connection(("127.0.0.1", scp.port)) as stalling,
    ):
        with scp.scu(tls=trusting(authority)) as scu:
            assert send(scu, instance()) == SUCCESS
            scu.release()
        stalling.settimeout(60)
        assert stalling.recv(10) == b""


def test_files_that_are_no_certificates_are_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate")

    with pytest.raises(InvalidRequest):
        server_context(tmp_path / "no.pem", tmp_path / "no.pem")
    with pytest.raises(InvalidRequest):
        server_context(tmp_path / "absent.pem", tmp_path / "absent.pem")


# ── peers that behave badly ─────────────────────────────────────────────────────────────────


def test_nothing_is_left_of_associations_that_abort_vanish_or_babble(scp: World) -> None:
    before = resources()
    for round_ in range(10):
        aborting = scp.scu()
        send(aborting, instance(round_))
        aborting.abort()

        vanishing = scp.scu()
        vanishing.send_fragment(1, 0x00, b"half a data set")
        vanishing.close()

        babbling = scp.scu()
        babbling.send_pdu(0x42, b"no such PDU")
        with pytest.raises(Aborted):
            babbling.read_status()
        babbling.close()

        falsifying = scp.scu()
        falsifying.send_fragment(1, 0x03, b"\xff" * 50)
        with pytest.raises(Aborted):
            falsifying.read_status()
        falsifying.close()

        elsewhere = scp.scu()
        elsewhere.send_store(encode(instance()), RT_PLAN, f"{ROOT}.3.1", context_id=99)
        with pytest.raises(Aborted):
            elsewhere.read_status()
        elsewhere.close()

    assert_nothing_left(before)
    with scp.scu() as scu:
        assert send(scu, instance()) == SUCCESS


def test_a_peer_that_stops_inside_a_pdu_is_given_up(tmp_path: Path) -> None:
    with world(tmp_path / "objects", ScpOptions(network_timeout_s=1.0)) as scp:
        before = resources()
        with scp.scu() as scu:
            scu.socket.sendall(struct.pack(">BBI", DATA, 0, 1000) + b"x" * 10)
            with pytest.raises(Aborted):
                scu.read_status()
        assert_nothing_left(before)


def test_a_peer_that_leaves_while_its_instance_is_landed_leaves_nothing(tmp_path: Path) -> None:
    landing, go_on = threading.Event(), threading.Event()
    before = resources()

    def slow(_received: Received) -> StoredInstance:
        landing.set()
        assert go_on.wait(60)
        raise Unavailable("too late for an answer")

    with StoreScp(ScpOptions(port=0), slow) as scp:
        for leave in (RawScu.abort, RawScu.close):
            landing.clear()
            go_on.clear()
            scu = RawScu(scp.port, PLANS)
            scu.send_store(encode(instance()), RT_PLAN, f"{ROOT}.3.1")
            assert landing.wait(60)
            leave(scu)
            go_on.set()
        with RawScu(scp.port, PLANS) as scu:
            assert scu.echo(context_id=3) == SUCCESS
            scu.release()
    assert_nothing_left(before)


def test_a_data_set_beyond_the_limit_ends_its_association_only(tmp_path: Path) -> None:
    with world(tmp_path / "objects", ScpOptions(max_instance_bytes=100_000)) as scp:
        with scp.scu() as other:
            with scp.scu() as scu, pytest.raises(Aborted):
                send(scu, instance(size_bytes=2_000_000))
            assert send(other, instance(size_bytes=50_000)) == SUCCESS
            other.release()
        assert len(scp.objects()) == 1


# ── start and stop ──────────────────────────────────────────────────────────────────────────


def test_a_port_that_is_taken_is_unavailable(scp: World) -> None:
    other = StoreScp(ScpOptions(port=scp.port), lambda _received: pytest.fail("not called"))

    with pytest.raises(Unavailable):
        other.start()

    assert not other.accepting
    other.stop()


def test_stopping_lets_an_association_finish_and_accepts_no_other(tmp_path: Path) -> None:
    with world(tmp_path / "objects", ScpOptions(grace_s=60)) as scp:
        scu, port = scp.scu(), scp.port
        assert send(scu, instance(1)) == SUCCESS
        stopping = threading.Thread(target=scp.scp.stop)
        stopping.start()

        def refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            except OSError:
                return True
            return False

        wait_until(refused, what="no connection is accepted")
        assert send(scu, instance(2)) == SUCCESS
        assert stopping.is_alive()
        scu.release()
        stopping.join(60)

        assert not stopping.is_alive()
        assert len(scp.objects()) == 2


def test_stopping_aborts_who_does_not_finish_in_time(tmp_path: Path) -> None:
    with world(tmp_path / "objects") as scp:
        scu = scp.scu()
        assert send(scu, instance()) == SUCCESS

        scp.scp.stop(grace_s=0.2)

        with pytest.raises(Aborted):
            scu.echo(context_id=3)
        scu.close()
        scp.scp.stop()  # again is no error


def test_stopping_waits_for_an_instance_that_is_being_landed(tmp_path: Path) -> None:
    landing, go_on = threading.Event(), threading.Event()
    before = resources()
    landed: list[Received] = []

    def slow(received: Received) -> StoredInstance:
        landing.set()
        assert go_on.wait(60)
        landed.append(received)
        raise Unavailable("enough")

    scp = StoreScp(ScpOptions(port=0, grace_s=60), slow)
    scp.start()
    with RawScu(scp.port, PLANS) as scu:
        scu.send_store(encode(instance()), RT_PLAN, f"{ROOT}.3.1")
        assert landing.wait(60)
        stopping = threading.Thread(target=scp.stop)
        stopping.start()
        wait_until(lambda: not scp.accepting, what="stop has begun")
        go_on.set()
        assert scu.read_status() == OUT_OF_RESOURCES
        scu.release()
        stopping.join(60)

    assert len(landed) == 1
    assert_nothing_left(before)


def test_an_scp_can_start_again(scp: World) -> None:
    scp.scp.stop()
    scp.scp.start()

    with scp.scu() as scu:
        assert send(scu, instance()) == SUCCESS


def test_the_context_of_verification_alone_is_enough(scp: World) -> None:
    with RawScu(scp.port, [(VERIFICATION, IMPLICIT)]) as scu:
        assert scu.echo() == SUCCESS
