"""TLS towards a PACS: what is trusted, what is refused, and that the sentence says TLS."""

from __future__ import annotations

import ssl
from dataclasses import replace

import pytest

from dicomcore.errors import InvalidRequest, PeerRefused, PeerUnavailable
from dicomcore.ports import QueryLevel, TransferRequest
from dicomcore.received import Received
from dicomcore.uids import StudyUID
from dicomio.pacs import ClientTls, DicomPacs, Peer, commands
from tests.peers.certificates import Identity, Issue
from tests.peers.orthanc import orthanc
from tests.peers.processes import LOOPBACK
from tests.peers.receiver import receiver
from tests.peers.scripted import Line, scripted_peer, values


@pytest.fixture(scope="module")
def server(issue: Issue) -> Identity:
    return issue("server")


@pytest.fixture(scope="module")
def stranger(issue: Issue) -> Identity:
    return issue("stranger")


def _pacs(port: int, tls: ClientTls | None, host: str = LOOPBACK) -> DicomPacs:
    return DicomPacs(Peer("secure", "RECEIVER", host, port, tls=tls, connect_timeout_s=20))


def test_a_peer_with_a_trusted_certificate_answers(server):
    with receiver(tls=server.server()) as peer:
        took = _pacs(peer.node.port, ClientTls(ca_file=server.cert_file)).echo()

    assert took > 0


def test_a_certificate_of_a_stranger_is_refused(server, stranger):
    with (
        receiver(tls=server.server()) as peer,
        pytest.raises(PeerRefused, match=r"TLS.*not trusted"),
    ):
        _pacs(peer.node.port, ClientTls(ca_file=stranger.cert_file)).echo()


def test_a_certificate_of_another_host_is_refused(issue):
    elsewhere = issue("elsewhere", alternative_names="DNS:elsewhere.invalid")

    with (
        receiver(tls=elsewhere.server()) as peer,
        pytest.raises(PeerRefused, match=r"TLS.*not trusted"),
    ):
        _pacs(peer.node.port, ClientTls(ca_file=elsewhere.cert_file)).echo()


def test_without_an_authority_of_our_own_only_that_of_the_system_is_trusted(server):
    with receiver(tls=server.server()) as peer, pytest.raises(PeerRefused, match="TLS"):
        _pacs(peer.node.port, ClientTls()).echo()


def test_insecure_takes_any_certificate(server):
    with receiver(tls=server.server()) as peer:
        took = _pacs(peer.node.port, ClientTls(insecure=True)).echo()

    assert took > 0


def test_a_peer_that_asks_for_our_certificate_gets_it(server, issue):
    ours = issue("ours")
    tls = ClientTls(server.cert_file, ours.cert_file, ours.key_file)

    with receiver(tls=server.server(clients=ours)) as peer:
        took = _pacs(peer.node.port, tls).echo()

    assert took > 0


def test_a_peer_that_does_not_get_the_certificate_it_asks_for_refuses(server, stranger):
    tls = ClientTls(ca_file=server.cert_file)

    with (
        receiver(tls=server.server(clients=stranger)) as peer,
        pytest.raises((PeerRefused, PeerUnavailable), match=r"TLS|connection"),
    ):
        _pacs(peer.node.port, tls).echo()


def test_a_peer_without_tls_is_refused(server):
    def script(line: Line) -> None:
        line.send(b"\7\0\0\0\0\4\0\0\2\0")

    with (
        scripted_peer(script) as port,
        pytest.raises((PeerRefused, PeerUnavailable), match="TLS"),
    ):
        _pacs(port, ClientTls(ca_file=server.cert_file)).echo()


def test_nothing_below_tls_1_2_is_spoken(server):
    context = server.server()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    with receiver(tls=context) as peer, pytest.raises(PeerRefused, match="TLS"):
        _pacs(peer.node.port, ClientTls(insecure=True)).echo()


def test_a_certificate_file_that_is_none_is_an_invalid_request(tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")

    with pytest.raises(InvalidRequest, match="TLS"):
        _pacs(104, ClientTls(ca_file=empty))
    with pytest.raises(InvalidRequest, match="TLS"):
        _pacs(104, ClientTls(cert_file=tmp_path / "absent.pem"))


def test_large_data_sets_come_whole_through_tls(server):
    data = bytes(range(256)) * 20_000
    store = commands.encode(
        {
            commands.AFFECTED_SOP_CLASS_UID: "1.2.840.10008.5.1.4.1.1.2",
            commands.COMMAND_FIELD: commands.C_STORE_RQ,
            commands.MESSAGE_ID: 2,
            commands.COMMAND_DATA_SET_TYPE: commands.DATA_SET_FOLLOWS,
            commands.AFFECTED_SOP_INSTANCE_UID: "1.2.3",
        }
    )
    final = {
        commands.COMMAND_FIELD: commands.C_GET_RQ | commands.RESPONSE,
        commands.MESSAGE_ID_BEING_RESPONDED_TO: 1,
        commands.COMMAND_DATA_SET_TYPE: commands.NO_DATA_SET,
        commands.STATUS: 0,
    }

    def script(line: Line) -> None:
        line.accept()
        line.read_pdu()
        line.read_pdu()
        line.send(values((3, 3, store)))
        line.send(values((3, 0, data[:2_000_000])))
        line.send(values((3, 0, data[2_000_000:2_000_001])))
        line.send(values((3, 2, data[2_000_001:])))
        line.read_pdu()
        line.respond(final)
        line.release()

    came: list[Received] = []

    def receive(one: Received) -> int:
        came.append(replace(one, data=bytes(one.data)))  # the buffer is its owner's again
        return 0

    with scripted_peer(script, tls=server.server()) as port:
        outcome = _pacs(port, ClientTls(ca_file=server.cert_file)).get(
            TransferRequest(QueryLevel.STUDY, "TLS", StudyUID("1.2")),
            sop_class_uids=["1.2.840.10008.5.1.4.1.1.2"],
            receive=receive,
            progress=lambda _: None,
            cancelled=lambda: False,
        )

    assert outcome.status == 0
    assert [bytes(one.data) == data for one in came] == [True]


@pytest.mark.peer
def test_orthanc_with_certificates_on_both_sides_answers(server, issue, tmp_path):
    ours = issue("client-of-orthanc")
    options = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(server.cert_file),
        "DicomTlsPrivateKey": str(server.key_file),
        "DicomTlsTrustedCertificates": str(ours.cert_file),
        "DicomTlsRemoteCertificateRequired": True,
    }
    tls = ClientTls(server.cert_file, ours.cert_file, ours.key_file)

    with orthanc(tmp_path, **options) as peer:
        pacs = DicomPacs(Peer("orthanc", peer.ae_title, peer.host, peer.dicom_port, tls=tls))
        found = pacs.find(QueryLevel.STUDY, {"PatientID": "NOBODY", "StudyInstanceUID": ""})

    assert found == []
