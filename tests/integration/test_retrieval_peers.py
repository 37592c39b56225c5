"""Selective retrieval from real peers: Orthanc and DCMTK's dcmqrscp, by C-MOVE and C-GET."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomio.pacs import DicomPacs, Peer
from dicomtools.demo.made_up import MadeUpPatient
from dicomtools.demo.patients import twelve_plans
from qr_gateway.retrieval.model import Report, State
from store_scp.options import ScpOptions
from store_scp.server import StoreScp
from tests.factories import part10, write_files
from tests.peers import dcmtk
from tests.peers.orthanc import Modality, OrthancPeer, orthanc
from tests.peers.processes import free_ports
from tests.retrieving import Site, closure_bytes, uids

pytestmark = pytest.mark.peer

PLANS = ["VMAT_B", "PROST_7F", "BRACHY_HDR", "HALCYON_B", "ION_C"]
METHODS = ["move", "get"]
BYTES_LIMIT = 1.10


@pytest.fixture(scope="module")
def patient() -> MadeUpPatient:
    """The twelve plans with matrices of clinical size and few slices: bytes mean something."""
    return twelve_plans(size=0.1)


@pytest.fixture(scope="module")
def archive(patient: MadeUpPatient, tmp_path_factory) -> Iterator[OrthancPeer]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as peer:
        peer.upload(part10(instance.dataset) for instance in patient.instances)
        yield peer


class Ours:
    """Our side of one peer: a store, a receiver, a client."""

    def __init__(self, folder: Path, peer: Peer, patient: MadeUpPatient, port: int = 0) -> None:
        self.site = Site(folder / "store", destination="DICOMTOOLS")
        self.receiver = StoreScp(
            ScpOptions(ae_title="DICOMTOOLS", port=port), self.site.lander.land
        )
        self._pacs = DicomPacs(peer)
        self._patient = patient

    def retrieve(self, label: str, method: str) -> Report:
        return self.site.retrieve(
            self._pacs, patient_id=self._patient.patient_id, plan_label=label, method=method
        )


@pytest.fixture
def ours(archive: OrthancPeer, patient: MadeUpPatient, tmp_path: Path) -> Iterator[Ours]:
    peer = Peer("orthanc", archive.ae_title, archive.host, archive.dicom_port)
    ours = Ours(tmp_path, peer, patient)
    with ours.receiver:
        archive.add_modality(Modality("DICOMTOOLS", ours.receiver.port))
        yield ours


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("label", PLANS)
def test_orthanc_gives_exactly_the_closure_and_hardly_a_byte_more(ours, patient, label, method):
    report = ours.retrieve(label, method)

    assert report.progress.state is State.COMPLETE, report.missing
    assert uids(report) == patient.closure(label)
    assert {d.uid for d in report.dangling} == patient.dangling(label)
    assert report.progress.bytes_moved <= BYTES_LIMIT * closure_bytes(report)


@pytest.mark.parametrize("method", METHODS)
def test_orthanc_is_asked_only_for_what_is_new_to_a_second_plan(ours, patient, method):
    ours.retrieve("PROST_BOOST", method)
    before = ours.site.landed()

    report = ours.retrieve("PROST_OLD", method)

    new = patient.closure("PROST_OLD") - patient.closure("PROST_BOOST")
    assert report.progress.state is State.COMPLETE
    assert ours.site.landed() - before == new
    assert report.progress.instances_moved == len(new)


@pytest.mark.parametrize("method", METHODS)
def test_dcmqrscp_gives_exactly_the_closure(patient, tmp_path, method):
    (port,) = free_ports(1)
    destination = dcmtk.Node("DICOMTOOLS", port)
    files = write_files(tmp_path / "files", [i.dataset for i in patient.instances])
    with dcmtk.dcmqrscp(tmp_path / "dcmqrscp", [destination]) as node:
        dcmtk.dcmsend(node, files)
        peer = Peer("dcmqrscp", node.ae_title, node.host, node.port)
        ours = Ours(tmp_path, peer, patient, port=port)
        with ours.receiver:
            report = ours.retrieve("VMAT_B", method)

    assert uids(report) == patient.closure("VMAT_B")
    assert report.missing == ()
    assert report.progress.state is State.COMPLETE
