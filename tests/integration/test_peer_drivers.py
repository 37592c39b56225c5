"""DCMTK's programs and Orthanc with one another, through the drivers that other tests use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.contract.test_pacs import IMAGE_UIDS, IMAGES, PATIENT_ID, PLAN_UIDS, STUDY, made_up_files
from tests.peers import dcmtk
from tests.peers.dcmtk import Node
from tests.peers.orthanc import Modality, OrthancPeer

pytestmark = pytest.mark.peer

SERIES = {
    "QueryRetrieveLevel": "SERIES",
    "StudyInstanceUID": STUDY,
    "SeriesInstanceUID": IMAGES,
}
UNCOMPRESSED = len(IMAGE_UIDS) + len(PLAN_UIDS)


@pytest.fixture
def files(tmp_path: Path) -> Sequence[Path]:
    written = []
    for number, content in enumerate(made_up_files()[:UNCOMPRESSED]):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(content)
        written.append(path)
    return written


def _node(peer: OrthancPeer) -> Node:
    return Node(peer.ae_title, peer.dicom_port, peer.host)


@pytest.mark.parametrize("send", [dcmtk.storescu, dcmtk.dcmsend])
def test_what_is_sent_to_orthanc_is_counted_there(orthanc_peer, files, send):
    sent = send(_node(orthanc_peer), files)

    assert sent.returncode == 0, sent.stdout
    assert orthanc_peer.statistics()["CountInstances"] == UNCOMPRESSED


def test_orthanc_answers_echo_find_and_get(orthanc_peer, files, tmp_path):
    node = _node(orthanc_peer)
    assert orthanc_peer.upload(files) == UNCOMPRESSED
    assert orthanc_peer.upload(files) in (0, UNCOMPRESSED)

    echo = dcmtk.echoscu(node)
    found = dcmtk.findscu(
        node, {"QueryRetrieveLevel": "STUDY", "PatientID": PATIENT_ID, "StudyInstanceUID": ""}
    )
    got = dcmtk.getscu(node, SERIES, tmp_path / "got")

    assert echo.returncode == 0, echo.stdout
    assert STUDY in found.stdout
    assert got.returncode == 0, got.stdout
    assert len(list((tmp_path / "got").iterdir())) == len(IMAGE_UIDS)


def test_orthanc_moves_to_a_destination_that_is_made_known_later(orthanc_peer, files, tmp_path):
    orthanc_peer.upload(files)

    with dcmtk.storescp(tmp_path / "scp") as destination:
        orthanc_peer.add_modality(Modality(destination.ae_title, destination.port))
        moved = dcmtk.movescu(_node(orthanc_peer), SERIES, destination=destination.ae_title)

    assert moved.returncode == 0, moved.stdout
    assert len(list((tmp_path / "scp" / "received").iterdir())) == len(IMAGE_UIDS)


def test_dcmqrscp_moves_what_it_was_sent(files, tmp_path):
    with (
        dcmtk.storescp(tmp_path / "scp") as destination,
        dcmtk.dcmqrscp(tmp_path / "qr", [destination]) as pacs,
    ):
        sent = dcmtk.dcmsend(pacs, files)
        moved = dcmtk.movescu(pacs, SERIES, destination=destination.ae_title)

    assert sent.returncode == 0, sent.stdout
    assert moved.returncode == 0, moved.stdout
    assert len(list((tmp_path / "scp" / "received").iterdir())) == len(IMAGE_UIDS)


def test_orthanc_can_be_emptied(orthanc_peer, files):
    orthanc_peer.upload(files)

    orthanc_peer.clear()

    assert orthanc_peer.statistics()["CountInstances"] == 0
