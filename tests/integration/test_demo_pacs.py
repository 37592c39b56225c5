"""The demo PACS without faults, over real associations: it finds, moves, gets, and counts."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from pynetdicom import AE

from dicomcore.errors import Unavailable
from dicomtools.demo.archive import Archive, Entry, archive_of
from dicomtools.demo.pacs import DemoPacs
from tests import factories
from tests.factories import MadeUpPatient
from tests.integration.scu import PATIENT_FIND, PATIENT_MOVE, scu
from tests.peers.receiver import Receiver, receiver

PATIENT = factories.small_twelve_plans()
ARCHIVE = archive_of(PATIENT.datasets)
CLASSES = sorted({instance.sop_class_uid for instance in PATIENT.instances})


@pytest.fixture(scope="module")
def destination() -> Iterator[Receiver]:
    with receiver("DEST") as came:
        yield came


@pytest.fixture
def pacs(destination: Receiver) -> Iterator[DemoPacs]:
    destination.uids.clear()
    with DemoPacs(ARCHIVE, destinations=addresses(destination)) as pacs:
        yield pacs


def addresses(destination: Receiver) -> dict[str, tuple[str, int]]:
    return {destination.node.ae_title: (destination.node.host, destination.node.port)}


def study_of(patient: MadeUpPatient, label: str) -> str:
    plan = next(plan for plan in patient.plans if plan.label == label)
    return next(
        one.ref.study_instance_uid
        for one in patient.instances
        if one.ref.sop_instance_uid == plan.sop_instance_uid
    )


def uids_where(**facts: str) -> set[str]:
    return {
        str(one.SOPInstanceUID)
        for one in PATIENT.datasets
        if all(str(one[keyword].value) == value for keyword, value in facts.items())
    }


def only(found: list[Dataset], keyword: str) -> set[str]:
    return {str(one[keyword].value) for one in found}


# ── C-ECHO, C-FIND ──────────────────────────────────────────────────────────────────────────


def test_it_answers_c_echo(pacs: DemoPacs) -> None:
    with scu(pacs) as peer:
        status = peer.association.send_c_echo()

    assert status.Status == 0x0000
    assert pacs.count("C-ECHO") == 1


def test_studies_come_with_what_is_counted_over_them(pacs: DemoPacs) -> None:
    with scu(pacs) as peer:
        found = peer.find(
            "STUDY",
            PatientID=PATIENT.patient_id,
            StudyInstanceUID="",
            ModalitiesInStudy="",
            NumberOfStudyRelatedSeries="",
            NumberOfStudyRelatedInstances="",
        )

    by_study = Counter(one.ref.study_instance_uid for one in PATIENT.instances)
    assert {str(f.StudyInstanceUID): f.NumberOfStudyRelatedInstances for f in found} == by_study
    for one in found:
        of_study = [d for d in PATIENT.datasets if d.StudyInstanceUID == one.StudyInstanceUID]
        modalities = one.ModalitiesInStudy
        listed = {modalities} if isinstance(modalities, str) else set(modalities)
        assert listed == {d.Modality for d in of_study}
        assert one.NumberOfStudyRelatedSeries == len({d.SeriesInstanceUID for d in of_study})
        assert one.RetrieveAETitle == pacs.ae_title


def test_series_of_one_modality(pacs: DemoPacs) -> None:
    study = study_of(PATIENT, "PROST_7F")

    with scu(pacs) as peer:
        found = peer.find(
            "SERIES",
            StudyInstanceUID=study,
            SeriesInstanceUID="",
            Modality="CT",
            FrameOfReferenceUID="",
            NumberOfSeriesRelatedInstances="",
        )

    cts = [d for d in PATIENT.datasets if d.StudyInstanceUID == study and d.Modality == "CT"]
    counted = Counter(str(d.SeriesInstanceUID) for d in cts)
    assert {str(f.SeriesInstanceUID): f.NumberOfSeriesRelatedInstances for f in found} == counted
    assert only(found, "FrameOfReferenceUID") == {str(d.FrameOfReferenceUID) for d in cts}


def test_instances_come_with_any_attribute_that_is_asked_for(pacs: DemoPacs) -> None:
    dose = next(d for d in PATIENT.datasets if d.get("DoseSummationType") == "MULTI_PLAN")

    with scu(pacs) as peer:
        (found,) = peer.find(
            "IMAGE",
            StudyInstanceUID=dose.StudyInstanceUID,
            SeriesInstanceUID=dose.SeriesInstanceUID,
            SOPInstanceUID="",
            SOPClassUID="",
            ReferencedRTPlanSequence=[],
            DoseSummationType="",
            RTPlanLabel="",
        )

    assert found.SOPInstanceUID == dose.SOPInstanceUID
    assert found.SOPClassUID == dose.SOPClassUID
    assert found.ReferencedRTPlanSequence == dose.ReferencedRTPlanSequence
    assert found.RTPlanLabel is None or found.RTPlanLabel == ""
    assert "PixelData" not in found


def test_label_and_approval_of_a_plan_are_matched_and_returned(pacs: DemoPacs) -> None:
    study = study_of(PATIENT, "VMAT_B")
    labels = {}

    with scu(pacs) as peer:
        for series in peer.find(
            "SERIES", StudyInstanceUID=study, SeriesInstanceUID="", Modality="RTPLAN"
        ):
            for plan in peer.find(
                "IMAGE",
                StudyInstanceUID=study,
                SeriesInstanceUID=series.SeriesInstanceUID,
                SOPInstanceUID="",
                RTPlanLabel="",
                ApprovalStatus="APPROVED",
            ):
                labels[plan.RTPlanLabel] = plan.ApprovalStatus

    assert labels == {"VMAT_B": "APPROVED", "HALCYON_B": "APPROVED"}


def test_patient_root_has_a_patient_level(pacs: DemoPacs) -> None:
    with scu(pacs) as peer:
        (found,) = peer.find(
            "PATIENT",
            PATIENT_FIND,
            PatientName="demo^*",
            PatientID="",
            NumberOfPatientRelatedInstances="",
        )

    assert found.PatientID == PATIENT.patient_id
    assert found.NumberOfPatientRelatedInstances == len(PATIENT.instances)


@pytest.mark.parametrize(
    ("level", "keys"),
    [
        ("PATIENT", {"PatientID": "DEMO-12-PLANS"}),
        ("SERIES", {"SeriesInstanceUID": ""}),
        ("IMAGE", {"StudyInstanceUID": "1.2", "SOPInstanceUID": ""}),
        ("SERIES", {"StudyInstanceUID": ["1.2", "1.3"]}),
        ("FRAME", {}),
        ("", {}),
    ],
)
def test_an_identifier_outside_the_hierarchy_is_refused(
    pacs: DemoPacs, level: str, keys: dict[str, Any]
) -> None:
    with scu(pacs) as peer:
        status, found = peer.find_status(level, **keys)

    assert (status, found) == (0xA900, [])


def test_no_match_is_success_without_a_response(pacs: DemoPacs) -> None:
    with scu(pacs) as peer:
        found = peer.find("STUDY", PatientID="NOBODY", StudyInstanceUID="")

    assert found == []


# ── C-MOVE ──────────────────────────────────────────────────────────────────────────────────


def test_a_study_moves_and_every_response_counts(pacs: DemoPacs, destination: Receiver) -> None:
    study = study_of(PATIENT, "BRACHY_HDR")
    expected = uids_where(StudyInstanceUID=study)

    with scu(pacs) as peer:
        transfer = peer.move("DEST", "STUDY", StudyInstanceUID=study)

    n = len(expected)
    assert transfer.status == 0x0000
    assert transfer.final == (n, 0, 0)
    pending = transfer.responses[:-1]
    assert [one.NumberOfRemainingSuboperations for one in pending] == list(range(n - 1, -1, -1))
    assert [one.NumberOfCompletedSuboperations for one in pending] == list(range(1, n + 1))
    assert Counter(destination.uids) == Counter(expected)
    assert pacs.times_sent == Counter(expected)


def test_a_list_of_instances_moves_and_nothing_else(pacs: DemoPacs, destination: Receiver) -> None:
    ct = next(d for d in PATIENT.datasets if d.Modality == "CT")
    wanted = sorted(uids_where(SeriesInstanceUID=ct.SeriesInstanceUID))[:2]

    with scu(pacs) as peer:
        transfer = peer.move(
            "DEST",
            "IMAGE",
            StudyInstanceUID=ct.StudyInstanceUID,
            SeriesInstanceUID=ct.SeriesInstanceUID,
            SOPInstanceUID=wanted,
        )

    assert transfer.final == (2, 0, 0)
    assert sorted(destination.uids) == wanted
    assert pacs.count("C-MOVE", "IMAGE") == 1
    assert pacs.requests[-1].keys["SOPInstanceUID"] == "\\".join(wanted)


def test_a_patient_moves_by_patient_root(pacs: DemoPacs, destination: Receiver) -> None:
    with scu(pacs) as peer:
        transfer = peer.move("DEST", "PATIENT", PATIENT_MOVE, PatientID=PATIENT.patient_id)

    assert transfer.final == (len(PATIENT.instances), 0, 0)
    assert len(destination.uids) == len(PATIENT.instances)


def test_an_unknown_destination_is_0xa801(pacs: DemoPacs) -> None:
    with scu(pacs) as peer:
        transfer = peer.move("NOWHERE", "STUDY", StudyInstanceUID=study_of(PATIENT, "VMAT_B"))

    assert transfer.status == 0xA801
    assert pacs.sent == ()


def test_a_destination_that_does_not_listen_is_0xa702() -> None:
    with receiver("GONE") as gone:
        where = addresses(gone)

    with DemoPacs(ARCHIVE, destinations=where) as pacs, scu(pacs) as peer:
        transfer = peer.move("GONE", "STUDY", StudyInstanceUID=study_of(PATIENT, "VMAT_B"))

    assert transfer.status == 0xA702


def test_what_the_destination_refuses_is_counted_and_listed(
    pacs: DemoPacs, destination: Receiver
) -> None:
    study = study_of(PATIENT, "BRACHY_HDR")
    answers = iter([0x0000, 0xA700])
    destination.on_store = lambda: next(answers, 0x0000)

    try:
        with scu(pacs) as peer:
            transfer = peer.move("DEST", "STUDY", StudyInstanceUID=study)
    finally:
        destination.on_store = lambda: 0x0000

    assert transfer.status == 0xB000
    assert transfer.final == (len(uids_where(StudyInstanceUID=study)) - 1, 1, 0)
    assert transfer.failed_uids == {destination.uids[1]}


def test_a_cancelled_move_stops_and_says_what_remains(
    pacs: DemoPacs, destination: Receiver
) -> None:
    study = study_of(PATIENT, "PROST_7F")
    held = threading.Event()
    calls = iter(range(10**6))

    def hold_the_third() -> int:
        if next(calls) == 2:
            held.wait(60)
        return 0x0000

    destination.on_store = hold_the_third

    def cancel(number: int) -> None:
        if number == 2:
            peer.association.send_c_cancel(1, query_model="1.2.840.10008.5.1.4.1.2.2.2")
            # on the wire before the third instance is answered; seen before the fourth is sent
            held.set()

    try:
        with scu(pacs) as peer:
            transfer = peer.move("DEST", "STUDY", StudyInstanceUID=study, on_response=cancel)
    finally:
        destination.on_store = lambda: 0x0000
        held.set()

    total = len(uids_where(StudyInstanceUID=study))
    completed, failed, _ = transfer.final
    assert transfer.status == 0xFE00
    assert failed == 0
    assert completed == len(destination.uids) < total
    assert transfer.responses[-1].NumberOfRemainingSuboperations == total - completed


# ── C-GET ───────────────────────────────────────────────────────────────────────────────────


def test_c_get_brings_the_bytes_that_were_made(pacs: DemoPacs) -> None:
    study = study_of(PATIENT, "VMAT_B")

    with scu(pacs, storage=CLASSES) as peer:
        transfer = peer.get("STUDY", StudyInstanceUID=study)

    made = [d for d in PATIENT.datasets if d.StudyInstanceUID == study]
    assert transfer.final == (len(made), 0, 0)
    assert sorted(peer.received) == sorted(factories.encoded(one) for one in made)
    assert pacs.bytes_sent == sum(map(len, peer.received))


def test_c_get_converts_for_a_peer_that_takes_implicit_vr_only(pacs: DemoPacs) -> None:
    study = study_of(PATIENT, "BRACHY_HDR")

    with scu(pacs, storage=CLASSES, syntax=ImplicitVRLittleEndian) as peer:
        transfer = peer.get("STUDY", StudyInstanceUID=study)

    made = {d.SOPInstanceUID: d for d in PATIENT.datasets if d.StudyInstanceUID == study}
    assert transfer.final == (len(made), 0, 0)
    for body in peer.received:
        got = read_dataset(BytesIO(body), is_implicit_VR=True, is_little_endian=True)
        assert got == made[got.SOPInstanceUID]


def test_c_get_without_a_context_for_a_class_fails_those_only(pacs: DemoPacs) -> None:
    study = study_of(PATIENT, "BRACHY_HDR")
    ct = "1.2.840.10008.5.1.4.1.1.2"

    with scu(pacs, storage=[ct]) as peer:
        transfer = peer.get("STUDY", StudyInstanceUID=study)

    cts = uids_where(StudyInstanceUID=study, SOPClassUID=ct)
    everything = uids_where(StudyInstanceUID=study)
    assert transfer.status == 0xB000
    assert len(peer.received) == len(cts)
    assert transfer.failed_uids == everything - cts


# ── where it gets its instances from ────────────────────────────────────────────────────────


def test_files_are_served_as_they_are_with_and_without_header(tmp_path: Path) -> None:
    plan, dose = factories.plan(), factories.dose()
    factories.write_files(tmp_path / "a" / "with", [plan])
    factories.write_files(tmp_path / "b" / "without", [dose], header=False)
    (tmp_path / "notes.txt").write_text("not DICOM")

    with (
        DemoPacs(tmp_path) as pacs,
        scu(pacs, storage=[plan.SOPClassUID, dose.SOPClassUID]) as peer,
    ):
        transfer = peer.get("STUDY", StudyInstanceUID=plan.StudyInstanceUID)

    assert transfer.final == (2, 0, 0)
    assert peer.received == [factories.encoded(plan), factories.encoded(dose)]


def test_a_compressed_file_is_sent_as_it_is_or_not_at_all(tmp_path: Path) -> None:
    dataset = factories.ct()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(tmp_path / "rle.dcm", enforce_file_format=True)
    study = dataset.StudyInstanceUID

    with DemoPacs(tmp_path) as pacs:
        with scu(pacs, storage=[dataset.SOPClassUID], syntax=RLELossless) as peer:
            taken = peer.get("STUDY", StudyInstanceUID=study)
        with scu(pacs, storage=[dataset.SOPClassUID]) as other:
            refused = other.get("STUDY", StudyInstanceUID=study)

    assert taken.final == (1, 0, 0)
    got = read_dataset(BytesIO(peer.received[0]), is_implicit_VR=False, is_little_endian=True)
    assert got.PixelData == dataset.PixelData
    assert refused.status == 0xA702
    assert refused.failed_uids == {dataset.SOPInstanceUID}


def test_a_file_that_is_gone_fails_alone(tmp_path: Path) -> None:
    plan, dose = factories.plan(), factories.dose()
    gone, _ = factories.write_files(tmp_path, [plan, dose])

    with (
        DemoPacs(tmp_path) as pacs,
        scu(pacs, storage=[plan.SOPClassUID, dose.SOPClassUID]) as peer,
    ):
        gone.unlink()
        transfer = peer.get("STUDY", StudyInstanceUID=plan.StudyInstanceUID)

    assert transfer.final == (1, 1, 0)
    assert transfer.failed_uids == {plan.SOPInstanceUID}


class BreaksOnce(Archive):
    """Raises what nobody expects, the first time it is looked through."""

    broken = False

    def __iter__(self) -> Iterator[Entry]:
        if not self.broken:
            self.broken = True
            raise RuntimeError("broken")
        return super().__iter__()


def test_a_fault_of_its_own_aborts_the_association_and_not_the_next() -> None:
    plan = factories.plan()

    with DemoPacs(BreaksOnce(archive_of([plan]))) as pacs:
        with scu(pacs) as peer:
            status, _ = peer.find_status("STUDY", StudyInstanceUID="")
        with scu(pacs) as other:
            found = other.find("STUDY", StudyInstanceUID="")

    assert status is None
    assert only(found, "StudyInstanceUID") == {plan.StudyInstanceUID}


def test_two_versions_of_a_uid_are_both_sent() -> None:
    first, second = factories.versions(factories.dose(), 2)

    with DemoPacs([first, second]) as pacs, scu(pacs, storage=[first.SOPClassUID]) as peer:
        transfer = peer.get("STUDY", StudyInstanceUID=first.StudyInstanceUID)

    assert transfer.final == (2, 0, 0)
    assert peer.received == [factories.encoded(first), factories.encoded(second)]


@pytest.mark.parametrize(("writable", "status", "kept"), [(True, 0x0000, 2), (False, 0x0124, 1)])
def test_c_store_adds_only_where_it_is_writable(writable: bool, status: int, kept: int) -> None:
    plan, dose = factories.plan(), factories.dose()

    with DemoPacs([plan], writable=writable) as pacs:
        sender = AE("SENDER")
        sender.add_requested_context(dose.SOPClassUID, ExplicitVRLittleEndian)
        dose.file_meta = pydicom.dataset.FileMetaDataset()
        dose.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        association = sender.associate(pacs.host, pacs.port)
        answer = association.send_c_store(dose)
        association.release()
        association.join(10)
        with scu(pacs) as peer:
            (study,) = peer.find("STUDY", StudyInstanceUID="", NumberOfStudyRelatedInstances="")

    assert answer.Status == status
    assert study.NumberOfStudyRelatedInstances == kept


# ── its life ────────────────────────────────────────────────────────────────────────────────


def test_a_stopped_pacs_leaves_no_thread_and_frees_its_port() -> None:
    before = set(threading.enumerate())

    with DemoPacs([factories.plan()]) as pacs, scu(pacs) as peer:
        peer.association.send_c_echo()
        port = pacs.port
    with DemoPacs([factories.plan()], port=port) as again:
        assert again.port == port

    assert set(threading.enumerate()) <= before


def test_a_port_that_is_taken_is_unavailable() -> None:
    with DemoPacs([factories.plan()]) as pacs, pytest.raises(Unavailable):
        DemoPacs([factories.plan()], port=pacs.port).start()


def test_stopping_ends_associations_that_are_still_open() -> None:
    pacs = DemoPacs([factories.plan()]).start()
    with scu(pacs) as peer:
        peer.association.send_c_echo()

        pacs.stop()

        peer.association.join(30)
        assert not peer.association.is_established
