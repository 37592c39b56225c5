"""The demo PACS and DCMTK's programs: others understand what it says and sends."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from dicomtools.demo.archive import archive_of
from dicomtools.demo.pacs import DemoPacs
from tests import factories
from tests.peers import dcmtk
from tests.peers.dcmtk import Node
from tests.peers.processes import required_program

pytestmark = pytest.mark.peer

PATIENT = factories.small_twelve_plans()
ARCHIVE = archive_of(PATIENT.datasets)


def node(pacs: DemoPacs) -> Node:
    return Node(pacs.ae_title, pacs.port, pacs.host)


def study(label: str) -> str:
    return next(
        str(one.StudyInstanceUID) for one in PATIENT.datasets if one.get("RTPlanLabel") == label
    )


def of_study(uid: str) -> dict[str, pydicom.Dataset]:
    return {str(one.SOPInstanceUID): one for one in PATIENT.datasets if one.StudyInstanceUID == uid}


def received(folder: Path) -> dict[str, pydicom.Dataset]:
    read = (pydicom.dcmread(path) for path in folder.iterdir() if path.is_file())
    return {str(one.SOPInstanceUID): one for one in read}


def test_echoscu() -> None:
    required_program("echoscu")

    with DemoPacs(ARCHIVE) as pacs:
        done = dcmtk.echoscu(node(pacs))

    assert done.returncode == 0, done.stdout


def test_findscu_sees_labels_by_range_and_wildcard() -> None:
    required_program("findscu")
    keys = {
        "QueryRetrieveLevel": "STUDY",
        "StudyDate": "20240701-",
        "PatientName": "DEMO*",
        "StudyInstanceUID": "",
    }

    with DemoPacs(ARCHIVE) as pacs:
        done = dcmtk.findscu(node(pacs), keys)

    late = {one.StudyInstanceUID for one in PATIENT.datasets if one.StudyDate >= "20240701"}
    assert done.returncode == 0, done.stdout
    assert len(late) > 1
    assert all(uid in done.stdout for uid in late)
    assert study("PROST_BOOST") not in done.stdout


def test_getscu_receives_a_study_as_it_was_made(tmp_path: Path) -> None:
    required_program("getscu")
    expected = of_study(study("BRACHY_HDR"))
    keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": study("BRACHY_HDR")}

    with DemoPacs(ARCHIVE) as pacs:
        done = dcmtk.getscu(node(pacs), keys, tmp_path / "got")

    assert done.returncode == 0, done.stdout
    assert received(tmp_path / "got") == expected


def test_movescu_sends_private_and_ion_plans_to_storescp(tmp_path: Path) -> None:
    required_program("movescu")
    uids = [study("HALCYON_B"), study("ION_C")]
    expected = of_study(uids[0]) | of_study(uids[1])

    with dcmtk.storescp(tmp_path) as target:
        where = {target.ae_title: (target.host, target.port)}
        with DemoPacs(ARCHIVE, destinations=where) as pacs:
            done = [
                dcmtk.movescu(
                    node(pacs),
                    {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": uid},
                    destination=target.ae_title,
                )
                for uid in uids
            ]

    assert [one.returncode for one in done] == [0, 0], done[0].stdout + done[1].stdout
    assert received(tmp_path / "received") == expected
    assert len(pacs.sent) == len(expected)


def test_a_writable_archive_serves_what_storescu_sent(tmp_path: Path) -> None:
    required_program("storescu")
    (path,) = factories.write_files(tmp_path, [factories.plan()])

    with DemoPacs([factories.dose()], writable=True) as pacs:
        sent = dcmtk.storescu(node(pacs), [path])
        keys = {
            "QueryRetrieveLevel": "IMAGE",
            "StudyInstanceUID": factories.STUDY.uid,
            "SeriesInstanceUID": factories.series("RTPLAN").uid,
            "RTPlanLabel": "PLAN_1",
            "SOPInstanceUID": "",
        }
        found = dcmtk.findscu(node(pacs), keys)

    assert sent.returncode == 0, sent.stdout
    assert factories.PLAN_UID in found.stdout


@pytest.mark.parametrize("single", ["plan", "ion_plan", "brachy_plan", "structure_set", "dose"])
def test_dcmtk_finds_no_fault_in_rt_objects(tmp_path: Path, single: str) -> None:
    program = required_program("drtdump")
    (path,) = factories.write_files(tmp_path, [getattr(factories, single)()])

    done = dcmtk._tool(program, str(path))

    # a DVH is optional, and there is none
    complaints = [
        line
        for line in done.stdout.splitlines()
        if line.startswith(("W:", "E:")) and "DVHSequence" not in line
    ]
    assert done.returncode == 0
    assert complaints == []
