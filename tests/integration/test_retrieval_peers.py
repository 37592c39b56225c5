"""Selective retrieval from real peers: Orthanc and DCMTK's dcmqrscp, by C-MOVE and C-GET."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomcore.dimse import status_of
from dicomcore.errors import DicomToolsError
from dicomcore.received import Received
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Lander
from dicomio.pacs import DicomPacs, Peer
from dicomtools.demo.made_up import MadeUpPatient
from dicomtools.demo.patients import twelve_plans
from qr_gateway.retrieval.executor import Parts, retrieve
from qr_gateway.retrieval.limits import Limits
from qr_gateway.retrieval.model import Report, RetrievalRequest, State
from store_scp.options import ScpOptions
from store_scp.server import StoreScp
from tests.factories import part10, write_files
from tests.peers import dcmtk
from tests.peers.orthanc import Modality, OrthancPeer, orthanc
from tests.peers.processes import free_ports

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


class Site:
    """Our side: a store, a receiver, a client of one peer."""

    def __init__(self, folder: Path, peer: Peer, patient: MadeUpPatient, port: int = 0) -> None:
        self.store = DirectoryStore(folder / "store")
        self.lander = Lander(self.store, lambda _stored, _ae: None)
        self.receiver = StoreScp(ScpOptions(ae_title="DICOMTOOLS", port=port), self.lander.land)
        self._pacs = DicomPacs(peer)
        self._patient = patient

    def retrieve(self, label: str, method: str) -> Report:
        request = {"patient_id": self._patient.patient_id, "plan_label": label, "method": method}
        return retrieve(
            RetrievalRequest.model_validate(request),
            Parts(self._pacs, self.store, self._receive, "DICOMTOOLS", Limits(backoff_s=0.05)),
            saved=None,
            save=lambda _: None,
            progress=lambda _: None,
            cancelled=lambda: False,
        )

    def _receive(self, received: Received) -> int:
        try:
            self.lander.land(received)
        except DicomToolsError as exc:
            return status_of(exc)
        return 0


@pytest.fixture
def site(archive: OrthancPeer, patient: MadeUpPatient, tmp_path: Path) -> Iterator[Site]:
    site = Site(
        tmp_path, Peer("orthanc", archive.ae_title, archive.host, archive.dicom_port), patient
    )
    with site.receiver:
        archive.add_modality(Modality("DICOMTOOLS", site.receiver.port))
        yield site


def closure_bytes(report: Report) -> int:
    return sum(item.size_bytes for item in report.items)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("label", PLANS)
def test_orthanc_gives_exactly_the_closure_and_hardly_a_byte_more(site, patient, label, method):
    report = site.retrieve(label, method)

    assert report.progress.state is State.COMPLETE, report.missing
    assert {item.sop_instance_uid for item in report.items} == patient.closure(label)
    assert {d.uid for d in report.dangling} == patient.dangling(label)
    assert report.progress.bytes_moved <= BYTES_LIMIT * closure_bytes(report)


@pytest.mark.parametrize("method", METHODS)
def test_orthanc_is_asked_only_for_what_is_new_to_a_second_plan(site, patient, method):
    site.retrieve("PROST_BOOST", method)
    before = {stat.key for stat in site.store.list("instances/")}

    report = site.retrieve("PROST_OLD", method)

    after = {stat.key for stat in site.store.list("instances/")}
    new = patient.closure("PROST_OLD") - patient.closure("PROST_BOOST")
    assert report.progress.state is State.COMPLETE
    assert {key.split("/")[3] for key in after - before} == new
    assert report.progress.instances_moved == len(new)


@pytest.mark.parametrize("method", METHODS)
def test_dcmqrscp_gives_exactly_the_closure(patient, tmp_path, method):
    (port,) = free_ports(1)
    destination = dcmtk.Node("DICOMTOOLS", port)
    files = write_files(tmp_path / "files", [i.dataset for i in patient.instances])
    with dcmtk.dcmqrscp(tmp_path / "dcmqrscp", [destination]) as node:
        dcmtk.dcmsend(node, files)
        site = Site(
            tmp_path, Peer("dcmqrscp", node.ae_title, node.host, node.port), patient, port=port
        )
        with site.receiver:
            report = site.retrieve("VMAT_B", method)

    assert {item.sop_instance_uid for item in report.items} == patient.closure("VMAT_B")
    assert report.missing == ()
    assert report.progress.state is State.COMPLETE
