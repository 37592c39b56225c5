"""One set of promises of the port `Pacs`, kept towards the demo PACS, Orthanc and dcmqrscp."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RTPlanStorage,
)

from dicomcore.ports import (
    Outgoing,
    Pacs,
    QueryLevel,
    StoreOutcome,
    SubOperations,
    TransferRequest,
)
from dicomcore.received import Received
from dicomcore.uids import InstanceUID, SeriesUID, StudyUID
from dicomio.pacs import DicomPacs, Peer
from dicomtools.demo.pacs import DemoPacs
from tests import factories
from tests.peers.dcmtk import dcmqrscp, dcmsend
from tests.peers.orthanc import Modality, orthanc
from tests.peers.receiver import Receiver, receiver

ROOT = "1.2.826.0.1.3680043.8.498.1"
PATIENT_ID = "PACS-CONTRACT"
PATIENT_NAME = "Prüfer^Übung"
STUDY = StudyUID(f"{ROOT}.1")
PLANS = SeriesUID(f"{ROOT}.2")
IMAGES = SeriesUID(f"{ROOT}.3")
COMPRESSED = SeriesUID(f"{ROOT}.4")
PLAN_UIDS = tuple(InstanceUID(f"{PLANS}.{n}") for n in range(1, 4))
IMAGE_UIDS = tuple(InstanceUID(f"{IMAGES}.{n}") for n in range(1, 25))
COMPRESSED_UID = InstanceUID(f"{COMPRESSED}.1")
SUCCESS, CANCEL = 0x0000, 0xFE00
CLASSES = [RTPlanStorage, CTImageStorage]


def _instance(sop_class: str, series: str, number: int, modality: str) -> Dataset:
    data_set = Dataset()
    data_set.SpecificCharacterSet = "ISO_IR 100"
    data_set.SOPClassUID = sop_class
    data_set.SOPInstanceUID = f"{series}.{number}"
    data_set.StudyDate = "20260101"
    data_set.StudyTime = "120000"
    data_set.AccessionNumber = ""
    data_set.Modality = modality
    data_set.PatientName = PATIENT_NAME
    data_set.PatientID = PATIENT_ID
    data_set.StudyInstanceUID = STUDY
    data_set.SeriesInstanceUID = series
    data_set.StudyID = "1"
    data_set.SeriesNumber = 1
    data_set.InstanceNumber = number
    return data_set


def made_up_files() -> list[bytes]:
    """Three plans, 24 small images, and one image whose pixels are compressed."""
    plans = [_instance(RTPlanStorage, PLANS, n, "RTPLAN") for n in (1, 2, 3)]
    images = [_instance(CTImageStorage, IMAGES, n, "CT") for n in range(1, 25)]
    for image in images:
        image.ImageComments = "x" * 3000
    files = [_part_10(one, ExplicitVRLittleEndian) for one in (*plans, *images)]
    compressed = _instance(CTImageStorage, COMPRESSED, 1, "CT")
    compressed.Rows = compressed.Columns = 1
    compressed.BitsAllocated = compressed.BitsStored = 8
    compressed.HighBit, compressed.PixelRepresentation = 7, 0
    compressed.SamplesPerPixel, compressed.PhotometricInterpretation = 1, "MONOCHROME2"
    compressed.PixelData = encapsulate([b"\xff\x4f\xff\xd9"])
    compressed["PixelData"].is_undefined_length = True
    return [*files, _part_10(compressed, JPEG2000Lossless)]


def _part_10(data_set: Dataset, transfer_syntax: str) -> bytes:
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    data_set.file_meta.TransferSyntaxUID = transfer_syntax
    stream = io.BytesIO()
    dcmwrite(stream, data_set, enforce_file_format=True)
    return stream.getvalue()


# ── the peers ───────────────────────────────────────────────────────────────────────────────


@dataclass
class Served:
    """A PACS that holds the made-up files and may move them to `destination`."""

    pacs: Pacs
    destination: Receiver

    def move(
        self,
        request: TransferRequest,
        *,
        to: str | None = None,
        progress: Callable[[SubOperations], None] = lambda _: None,
        cancelled: Callable[[], bool] = lambda: False,
    ):
        return self.pacs.move(
            request,
            destination=to or self.destination.node.ae_title,
            progress=progress,
            cancelled=cancelled,
        )

    def get(
        self,
        request: TransferRequest,
        receive: Callable[[Received], int],
        *,
        sop_class_uids: Sequence[str] = CLASSES,
        progress: Callable[[SubOperations], None] = lambda _: None,
        cancelled: Callable[[], bool] = lambda: False,
    ):
        return self.pacs.get(
            request,
            sop_class_uids=sop_class_uids,
            receive=receive,
            progress=progress,
            cancelled=cancelled,
        )


def _demo(stack: ExitStack, folder: Path, files: list[bytes], to: Receiver) -> tuple[str, int]:
    demo = stack.enter_context(
        DemoPacs(
            _written(folder, files),
            destinations={to.node.ae_title: (to.node.host, to.node.port)},
            writable=True,
        )
    )
    return demo.ae_title, demo.port


def _orthanc(stack: ExitStack, folder: Path, files: list[bytes], to: Receiver) -> tuple[str, int]:
    modality = Modality(to.node.ae_title, to.node.port)
    peer = stack.enter_context(orthanc(folder, [modality]))
    assert peer.upload(files) == len(files)
    return peer.ae_title, peer.dicom_port


def _dcmqrscp(stack: ExitStack, folder: Path, files: list[bytes], to: Receiver) -> tuple[str, int]:
    node = stack.enter_context(dcmqrscp(folder, [to.node], "+xv"))
    sent = dcmsend(node, [_written(folder, files)], "+sd")
    assert sent.returncode == 0, sent.stdout
    return node.ae_title, node.port


def _written(folder: Path, files: list[bytes]) -> Path:
    written = folder / "files"
    written.mkdir()
    for number, file in enumerate(files):
        (written / f"{number}.dcm").write_bytes(file)
    return written


KINDS = {"demo": _demo, "orthanc": _orthanc, "dcmqrscp": _dcmqrscp}


@pytest.fixture(
    scope="module",
    params=[
        "demo",
        pytest.param("orthanc", marks=pytest.mark.peer),
        pytest.param("dcmqrscp", marks=pytest.mark.peer),
    ],
)
def served(request, tmp_path_factory) -> Iterator[Served]:
    with ExitStack() as stack:
        destination = stack.enter_context(receiver())
        folder = tmp_path_factory.mktemp(request.param)
        ae_title, port = KINDS[request.param](stack, folder, made_up_files(), destination)
        pacs = DicomPacs(Peer(request.param, ae_title, "127.0.0.1", port, idle_timeout_s=60))
        yield Served(pacs, destination)


@pytest.fixture(autouse=True)
def _empty_destination(served: Served) -> None:
    served.destination.uids.clear()
    served.destination.on_store = lambda: SUCCESS


def _of(series: SeriesUID, *uids: InstanceUID, study: StudyUID = STUDY) -> TransferRequest:
    return TransferRequest(QueryLevel.IMAGE, PATIENT_ID, study, series, uids)


SERIES_OF_IMAGES = TransferRequest(QueryLevel.SERIES, PATIENT_ID, STUDY, IMAGES)


# ── C-ECHO, C-FIND ──────────────────────────────────────────────────────────────────────────


def test_echo_takes_time(served):
    assert 0 < served.pacs.echo() < 30


def test_a_patient_is_found_by_id_with_the_name_decoded(served):
    (patient,) = served.pacs.find(QueryLevel.PATIENT, {"PatientID": PATIENT_ID, "PatientName": ""})

    assert str(patient.PatientName) == PATIENT_NAME


def test_a_key_that_is_not_ascii_matches(served):
    (study,) = served.pacs.find(
        QueryLevel.STUDY, {"PatientName": PATIENT_NAME, "StudyInstanceUID": ""}
    )

    assert study.StudyInstanceUID == STUDY


def test_every_series_of_a_study_is_found(served):
    series = served.pacs.find(
        QueryLevel.SERIES, {"StudyInstanceUID": STUDY, "SeriesInstanceUID": "", "Modality": ""}
    )

    assert {(one.SeriesInstanceUID, one.Modality) for one in series} == {
        (PLANS, "RTPLAN"),
        (IMAGES, "CT"),
        (COMPRESSED, "CT"),
    }


def test_every_instance_of_a_series_is_found_once(served):
    instances = served.pacs.find(
        QueryLevel.IMAGE,
        {"StudyInstanceUID": STUDY, "SeriesInstanceUID": IMAGES, "SOPInstanceUID": ""},
    )

    assert sorted(one.SOPInstanceUID for one in instances) == sorted(IMAGE_UIDS)


def test_keys_inside_a_sequence_can_be_asked_for(served):
    instances = served.pacs.find(
        QueryLevel.IMAGE,
        {
            "StudyInstanceUID": STUDY,
            "SeriesInstanceUID": PLANS,
            "SOPInstanceUID": "",
            "ReferencedStructureSetSequence/ReferencedSOPInstanceUID": "",
            "ReferencedStructureSetSequence/ReferencedSOPClassUID": "",
        },
    )

    assert {one.SOPInstanceUID for one in instances} == set(PLAN_UIDS)


def test_an_unknown_patient_is_an_empty_answer(served):
    assert not served.pacs.find(QueryLevel.STUDY, {"PatientID": "NOBODY", "StudyInstanceUID": ""})


def test_many_queries_are_answered_each_by_its_own_replies(served):
    def instances_of(series: str) -> dict[str, str]:
        return {"StudyInstanceUID": STUDY, "SeriesInstanceUID": series, "SOPInstanceUID": ""}

    queries = [instances_of(IMAGES), instances_of(f"{ROOT}.404"), instances_of(PLANS)]

    images, nothing, plans = served.pacs.find_many(QueryLevel.IMAGE, queries)

    assert sorted(one.SOPInstanceUID for one in images) == sorted(IMAGE_UIDS)
    assert not nothing
    assert {one.SOPInstanceUID for one in plans} == set(PLAN_UIDS)


def test_no_query_has_no_answer(served):
    assert list(served.pacs.find_many(QueryLevel.IMAGE, [])) == []


def test_calls_from_several_threads_do_not_meet(served):
    def count(series: SeriesUID) -> int:
        keys = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": series, "SOPInstanceUID": ""}
        return len(served.pacs.find(QueryLevel.IMAGE, keys))

    with ThreadPoolExecutor(6) as pool:
        counts = list(pool.map(count, [PLANS, IMAGES] * 6))

    assert counts == [len(PLAN_UIDS), len(IMAGE_UIDS)] * 6


# ── C-GET ───────────────────────────────────────────────────────────────────────────────────


def test_get_brings_the_instances_that_were_listed(served):
    came: list[Received] = []

    outcome = served.get(_of(PLANS, *PLAN_UIDS[:2]), _into(came))

    assert outcome.status == SUCCESS
    assert outcome.sub_operations.completed == 2
    assert {one.sop_instance_uid for one in came} == set(PLAN_UIDS[:2])
    assert {one.sop_class_uid for one in came} == {RTPlanStorage}


def test_what_get_brings_is_the_encoded_data_set(served):
    came: list[Received] = []

    served.get(_of(PLANS, PLAN_UIDS[0]), _into(came))

    (one,) = came
    assert one.transfer_syntax_uid == ExplicitVRLittleEndian
    data_set = dcmread(io.BytesIO(_with_header(one)))
    assert data_set.SOPInstanceUID == PLAN_UIDS[0]
    assert data_set.PatientID == PATIENT_ID


def test_get_of_a_series_tells_progress_and_brings_all(served):
    came: list[Received] = []
    told: list[SubOperations] = []

    outcome = served.get(SERIES_OF_IMAGES, _into(came), progress=told.append)

    assert outcome.status == SUCCESS
    assert sorted(one.sop_instance_uid for one in came) == sorted(IMAGE_UIDS)
    assert told[-1].completed == len(IMAGE_UIDS)


def test_compressed_pixels_come_as_they_are_held_or_are_a_failure(served):
    came: list[Received] = []

    outcome = served.get(_of(COMPRESSED, COMPRESSED_UID), _into(came))

    if outcome.status == SUCCESS:
        assert [one.transfer_syntax_uid for one in came] == [JPEG2000Lossless]
    else:  # dcmqrscp 3.6.7 looks at the first context of the class only
        assert outcome.failed_uids == (COMPRESSED_UID,)
        assert not came


def test_an_instance_we_refuse_is_counted_as_failed(served):
    outcome = served.get(_of(PLANS, PLAN_UIDS[0]), lambda _: 0xA700)

    assert outcome.status != SUCCESS
    assert outcome.sub_operations.failed == 1


def test_get_of_what_is_not_there_brings_nothing(served):
    came: list[Received] = []

    outcome = served.get(_of(PLANS, InstanceUID(f"{ROOT}.404")), _into(came))

    assert not came
    assert not outcome.sub_operations.completed


def test_get_without_a_context_for_it_brings_nothing_of_that_class(served):
    came: list[Received] = []

    outcome = served.get(_of(PLANS, PLAN_UIDS[0]), _into(came), sop_class_uids=[CTImageStorage])

    assert not came
    assert outcome.status != SUCCESS or not outcome.sub_operations.completed


def test_a_cancelled_get_ends_before_all_came(served):
    came: list[Received] = []
    slow_store = threading.Event()

    def receive(one: Received) -> int:
        came.append(replace(one, data=bytes(one.data)))  # the buffer is its owner's again
        slow_store.wait(0.1)
        return SUCCESS

    outcome = served.get(SERIES_OF_IMAGES, receive, cancelled=lambda: bool(came))

    assert outcome.status == CANCEL
    assert 0 < len(came) < len(IMAGE_UIDS)


def _into(came: list[Received]) -> Callable[[Received], int]:
    def receive(one: Received) -> int:
        came.append(replace(one, data=bytes(one.data)))  # the buffer is its owner's again
        return SUCCESS

    return receive


def _with_header(one: Received) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = one.sop_class_uid
    meta.MediaStorageSOPInstanceUID = one.sop_instance_uid
    meta.TransferSyntaxUID = one.transfer_syntax_uid
    empty = Dataset()
    empty.file_meta = meta
    stream = io.BytesIO()
    dcmwrite(stream, empty, enforce_file_format=True)
    return stream.getvalue() + bytes(one.data)


# ── C-MOVE ──────────────────────────────────────────────────────────────────────────────────


def test_move_sends_the_instances_that_were_listed(served):
    outcome = served.move(_of(IMAGES, *IMAGE_UIDS[:3]))

    assert outcome.status == SUCCESS
    assert outcome.sub_operations.completed == 3
    assert set(served.destination.uids) == set(IMAGE_UIDS[:3])


def test_move_of_a_series_tells_progress_and_sends_all(served):
    told: list[SubOperations] = []

    outcome = served.move(SERIES_OF_IMAGES, progress=told.append)

    assert outcome.status == SUCCESS
    assert sorted(served.destination.uids) == sorted(IMAGE_UIDS)
    assert told[-1].completed == len(IMAGE_UIDS)


def test_move_to_an_unknown_destination_fails_and_says_so(served):
    outcome = served.move(_of(PLANS, PLAN_UIDS[0]), to="NOWHERE")

    assert outcome.status >= 0xA000
    assert not outcome.sub_operations.completed
    assert not served.destination.uids


def test_a_move_that_the_destination_refuses_is_no_success(served):
    served.destination.on_store = lambda: 0xA700

    outcome = served.move(_of(PLANS, PLAN_UIDS[0]))

    assert outcome.status != SUCCESS
    assert not outcome.sub_operations.completed


def test_a_cancelled_move_ends_before_all_were_sent(served):
    slow_store = threading.Event()

    def slowly() -> int:
        slow_store.wait(0.1)
        return SUCCESS

    served.destination.on_store = slowly

    outcome = served.move(SERIES_OF_IMAGES, cancelled=lambda: bool(served.destination.uids))

    assert outcome.status == CANCEL
    assert 0 < len(served.destination.uids) < len(IMAGE_UIDS)


# ── C-STORE ─────────────────────────────────────────────────────────────────────────────────


def _outgoing(number: int) -> Outgoing:
    data_set = _instance(CTImageStorage, f"{ROOT}.90", number, "CT")
    data_set.StudyInstanceUID = f"{ROOT}.9"
    body = factories.encoded(data_set)
    return Outgoing(CTImageStorage, data_set.SOPInstanceUID, ExplicitVRLittleEndian, lambda: body)


@pytest.mark.parametrize("associations", [1, 3])
def test_what_is_stored_is_told_once_and_found(served, associations, request):
    if "dcmqrscp" in request.node.callspec.id:
        # its index loses entries when two of its processes write at the same moment
        associations = 1
    instances = [_outgoing(10 * associations + n) for n in range(8)]
    told: dict[str, StoreOutcome] = {}

    def answered(outgoing: Outgoing, outcome: StoreOutcome) -> None:
        assert outgoing.sop_instance_uid not in told
        told[outgoing.sop_instance_uid] = outcome

    served.pacs.store(
        instances, answered=answered, associations=associations, cancelled=lambda: False
    )

    uids = {one.sop_instance_uid for one in instances}
    assert set(told) == uids
    assert all(outcome.stored and outcome.statuses[-1] == SUCCESS for outcome in told.values())
    keys = {"StudyInstanceUID": f"{ROOT}.9", "SeriesInstanceUID": f"{ROOT}.90"}
    found = served.pacs.find(QueryLevel.IMAGE, {**keys, "SOPInstanceUID": ""})
    assert uids <= {one.SOPInstanceUID for one in found}


def test_after_cancelling_nothing_is_stored(served):
    def answered(outgoing: Outgoing, outcome: StoreOutcome) -> None:
        raise AssertionError(outcome)

    served.pacs.store([_outgoing(99)], answered=answered, cancelled=lambda: True)
