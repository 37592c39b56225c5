"""Real radiotherapy data behind the demo PACS, where they are present: every patient, every plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomio.pacs import DicomPacs, Peer
from dicomtools.demo.archive import Archive, archive_in
from dicomtools.demo.pacs import DemoPacs
from qr_gateway.retrieval.model import Report, State
from tests.retrieving import Site, uids

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "rt"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the real data are not on this machine")

EXPECTED = {
    # patient, plan: modalities of the closure, references that dangle
    ("TinyFS", "ATinyVMAT"): ({"RTPLAN": 1, "RTSTRUCT": 1, "CT": 5}, 0),
    ("ZZZDOSETEST", "Plan_2.0"): ({"RTPLAN": 1, "RTDOSE": 1}, 0),
    ("TEST PHYS PROSTATE", "PROS"): ({"RTPLAN": 1, "RTSTRUCT": 1, "RTIMAGE": 1}, 4),
    ("123456", "B1"): ({"RTPLAN": 1, "RTSTRUCT": 1, "RTDOSE": 1, "CT": 1}, 101),
    ("X_Rando_Head", "Anonymized"): ({"RTPLAN": 1, "RTSTRUCT": 1, "CT": 1}, 164),
    ("test_XRV4000", "TR3QAplan v02"): ({"RTPLAN": 1}, 2),
}


@pytest.fixture(scope="module")
def archive() -> Archive:
    return archive_in(FOLDER)


@pytest.fixture(scope="module")
def pacs(archive: Archive) -> Iterator[DemoPacs]:
    with DemoPacs(archive) as running:
        yield running


def run(pacs: DemoPacs, folder: Path, **request: object) -> Report:
    peer = Peer("real", pacs.ae_title, pacs.host, pacs.port)
    return Site(folder).retrieve(DicomPacs(peer), method="get", **request)


def test_every_patient_comes_whole(pacs: DemoPacs, archive: Archive, tmp_path: Path) -> None:
    patients = sorted({entry.patient_id for entry in archive if entry.patient_id.strip()})
    for number, patient_id in enumerate(patients):
        report = run(pacs, tmp_path / str(number), patient_id=patient_id)

        held = {e.sop_instance_uid for e in archive if e.patient_id == patient_id}
        assert report.progress.state is State.COMPLETE, (patient_id, report.missing)
        assert uids(report) == held


@pytest.mark.parametrize(("patient_id", "label"), EXPECTED)
def test_a_plan_comes_with_what_is_there_and_names_what_dangles(
    pacs: DemoPacs, tmp_path: Path, patient_id: str, label: str
) -> None:
    report = run(pacs, tmp_path, patient_id=patient_id, plan_label=label)

    modalities: dict[str, int] = {}
    for item in report.items:
        modalities[item.modality] = modalities.get(item.modality, 0) + 1
    assert report.progress.state is State.COMPLETE, report.missing
    assert (modalities, len(report.dangling)) == EXPECTED[patient_id, label]


def test_an_approved_plan_is_found_among_real_ones(pacs: DemoPacs, tmp_path: Path) -> None:
    report = run(pacs, tmp_path, patient_id="Anonymous", only_approved=True)

    assert report.progress.state is State.COMPLETE
    assert {p.approval_status for p in report.plans if p.outcome == "selected"} == {"APPROVED"}
