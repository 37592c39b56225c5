"""Every fault of the demo PACS, alone: what a peer sees, to the last instance and the last request."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from pynetdicom import AE

from dicomtools.demo.archive import archive_of
from dicomtools.demo.faults import ALWAYS, Faults
from dicomtools.demo.pacs import DemoPacs
from dicomtools.demo.transfer import IMAGE_MODALITIES
from tests import factories
from tests.integration.scu import VERIFICATION, Transfer, scu
from tests.peers.receiver import Receiver, receiver

PATIENT = factories.small_patient(plans=4, slices=5)
OTHER = factories.small_patient(patient_id="DEMO-OTHER", plans=1)
ARCHIVE = archive_of(PATIENT.datasets + OTHER.datasets)
STUDY = PATIENT.datasets[0].StudyInstanceUID
OTHER_STUDY = OTHER.datasets[0].StudyInstanceUID
ALL = {str(one.SOPInstanceUID) for one in PATIENT.datasets}
CLASSES = sorted({instance.sop_class_uid for instance in PATIENT.instances})
PLAN = PATIENT.plans[0].sop_instance_uid


@pytest.fixture(scope="module")
def destination() -> Iterator[Receiver]:
    with receiver("DEST") as came:
        yield came


@pytest.fixture(autouse=True)
def _nothing_came_yet(destination: Receiver) -> None:
    destination.uids.clear()


def pacs_with(destination: Receiver, faults: Faults) -> DemoPacs:
    where = {destination.node.ae_title: (destination.node.host, destination.node.port)}
    return DemoPacs(ARCHIVE, destinations=where, faults=faults)


def series_with(uid: str) -> str:
    return next(str(one.SeriesInstanceUID) for one in PATIENT.datasets if one.SOPInstanceUID == uid)


def test_without_faults_everything_comes_once(destination: Receiver) -> None:
    with pacs_with(destination, Faults()) as pacs, scu(pacs) as peer:
        transfer = peer.move("DEST", "STUDY", StudyInstanceUID=STUDY)

    assert transfer.final == (len(ALL), 0, 0)
    assert Counter(destination.uids) == Counter(ALL)


# ── Success, and it is not true ─────────────────────────────────────────────────────────────


def test_success_with_nothing_so_many_times(destination: Receiver) -> None:
    with pacs_with(destination, Faults(success_with_nothing=2)) as pacs, scu(pacs) as peer:
        nobody = peer.move("DEST", "STUDY", StudyInstanceUID="1.2.3")
        first, second, third = (
            peer.move("DEST", "STUDY", StudyInstanceUID=STUDY) for _ in range(3)
        )

    assert nobody.status == 0x0000
    assert [(one.status, one.final) for one in (first, second)] == [(0x0000, (0, 0, 0))] * 2
    assert third.final == (len(ALL), 0, 0)
    assert len(destination.uids) == len(ALL)


def test_success_with_nothing_for_ever_by_c_get(destination: Receiver) -> None:
    faults = Faults(success_with_nothing=ALWAYS)

    with pacs_with(destination, faults) as pacs, scu(pacs, storage=CLASSES) as peer:
        answers = [peer.get("STUDY", StudyInstanceUID=STUDY) for _ in range(3)]

    assert [one.final for one in answers] == [(0, 0, 0)] * 3
    assert peer.received == []
    assert pacs.sent == ()


@pytest.mark.parametrize("n", [1, 3, 7])
def test_every_nth_image_is_dropped_the_first_time(destination: Receiver, n: int) -> None:
    images = [
        str(entry.sop_instance_uid) for entry in ARCHIVE if entry.modality in IMAGE_MODALITIES
    ]
    unlucky = set(images[n - 1 :: n])

    with pacs_with(destination, Faults(drop_every_nth=n)) as pacs, scu(pacs) as peer:
        first = peer.move("DEST", "STUDY", StudyInstanceUID=STUDY)
        came_first = set(destination.uids)
        destination.uids.clear()
        second = peer.move("DEST", "STUDY", StudyInstanceUID=STUDY)

    assert pacs.unlucky_uids == unlucky
    assert first.status == second.status == 0x0000
    assert first.final == second.final == (len(ALL), 0, 0)
    assert came_first == ALL - unlucky
    assert set(destination.uids) == ALL


def test_every_nth_image_never_comes_if_it_is_dropped_always(destination: Receiver) -> None:
    faults = Faults(drop_every_nth=4, drop_times=ALWAYS)

    with pacs_with(destination, faults) as pacs, scu(pacs) as peer:
        for _ in range(3):
            peer.move("DEST", "STUDY", StudyInstanceUID=STUDY)

    assert set(destination.uids) == ALL - pacs.unlucky_uids
    assert pacs.unlucky_uids & ALL


# ── refused ─────────────────────────────────────────────────────────────────────────────────


def test_a_uid_list_may_be_so_long_and_no_longer(destination: Receiver) -> None:
    ct = series_with(str(PATIENT.datasets[0].SOPInstanceUID))
    uids = sorted(
        str(one.SOPInstanceUID) for one in PATIENT.datasets if one.SeriesInstanceUID == ct
    )
    keys = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": ct}

    with pacs_with(destination, Faults(refuse_uid_lists_longer_than=2)) as pacs, scu(pacs) as peer:
        three = peer.move("DEST", "IMAGE", SOPInstanceUID=uids[:3], **keys)
        two = peer.move("DEST", "IMAGE", SOPInstanceUID=uids[:2], **keys)

    assert (three.status, two.status) == (0xA900, 0x0000)
    assert sorted(destination.uids) == uids[:2]


def test_too_many_plan_series_fail_the_study_and_the_plans_only(destination: Receiver) -> None:
    keys = {"StudyInstanceUID": STUDY}
    plan_series = series_with(PLAN)
    ct_series = series_with(str(PATIENT.datasets[0].SOPInstanceUID))

    with pacs_with(destination, Faults(fail_above_plan_series=3)) as pacs, scu(pacs) as peer:
        study = peer.move("DEST", "STUDY", **keys)
        series = peer.move("DEST", "SERIES", SeriesInstanceUID=plan_series, **keys)
        images = peer.move("DEST", "SERIES", SeriesInstanceUID=ct_series, **keys)
        plan = peer.move(
            "DEST", "IMAGE", SeriesInstanceUID=plan_series, SOPInstanceUID=PLAN, **keys
        )
        other = peer.move("DEST", "STUDY", StudyInstanceUID=OTHER_STUDY)

    assert (study.status, series.status) == (0xC000, 0xC000)
    assert "Unexpected exception during MOVE" in str(study.responses[-1].ErrorComment)
    assert (images.status, plan.status, other.status) == (0x0000, 0x0000, 0x0000)
    assert plan.final == (1, 0, 0)


def test_as_many_plan_series_as_the_limit_are_served(destination: Receiver) -> None:
    with pacs_with(destination, Faults(fail_above_plan_series=4)) as pacs, scu(pacs) as peer:
        transfer = peer.move("DEST", "STUDY", StudyInstanceUID=STUDY)

    assert transfer.final == (len(ALL), 0, 0)


def test_without_instance_level_only_series_and_studies_work(destination: Receiver) -> None:
    keys = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": series_with(PLAN)}

    with (
        pacs_with(destination, Faults(no_instance_level=True)) as pacs,
        scu(pacs, storage=CLASSES) as peer,
    ):
        found, _ = peer.find_status("IMAGE", SOPInstanceUID="", **keys)
        moved = peer.move("DEST", "IMAGE", SOPInstanceUID=PLAN, **keys)
        got = peer.get("IMAGE", SOPInstanceUID=PLAN, **keys)
        series = peer.get("SERIES", **keys)

    assert (found, moved.status, got.status) == (0xA900, 0xA900, 0xA900)
    assert series.final == (1, 0, 0)


def test_unretrievable_instances_are_listed_and_fail_alone(destination: Receiver) -> None:
    faults = Faults(unretrievable=frozenset({PLAN}))
    keys = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": series_with(PLAN)}

    with pacs_with(destination, faults) as pacs, scu(pacs) as peer:
        (found,) = peer.find("IMAGE", SOPInstanceUID="", **keys)
        alone = peer.move("DEST", "IMAGE", SOPInstanceUID=PLAN, **keys)
        study = peer.move("DEST", "STUDY", StudyInstanceUID=STUDY)

    assert found.SOPInstanceUID == PLAN
    assert (alone.status, alone.failed_uids) == (0xA702, {PLAN})
    assert (study.status, study.failed_uids) == (0xB000, {PLAN})
    assert study.final == (len(ALL) - 1, 1, 0)
    assert set(destination.uids) == ALL - {PLAN}


def test_plans_with_an_empty_beam_sequence_fail_and_brachy_plans_do_not() -> None:
    empty, whole, brachy = factories.plan_without_beams(), factories.plan(), factories.brachy_plan()
    faults = Faults(fail_empty_beam_sequence=True)

    with (
        DemoPacs([empty, whole, brachy], faults=faults) as pacs,
        scu(pacs, storage=[whole.SOPClassUID]) as peer,
    ):
        transfer = peer.get("STUDY", StudyInstanceUID=whole.StudyInstanceUID)

    assert transfer.final == (2, 1, 0)
    assert transfer.failed_uids == {str(empty.SOPInstanceUID)}


# ── C-FIND that says too much or too little ─────────────────────────────────────────────────


def test_return_everything_ignores_every_key(destination: Receiver) -> None:
    with pacs_with(destination, Faults(return_everything=True)) as pacs, scu(pacs) as peer:
        studies = peer.find("STUDY", PatientID="NOBODY", StudyInstanceUID="")
        instances = peer.find(
            "IMAGE", StudyInstanceUID=STUDY, SeriesInstanceUID="1.2", SOPInstanceUID=PLAN
        )
        moved = peer.move("DEST", "STUDY", StudyInstanceUID=OTHER_STUDY)

    assert {one.StudyInstanceUID for one in studies} == {STUDY, OTHER_STUDY}
    assert len(instances) == len(ARCHIVE)
    assert moved.final == (len(OTHER.instances), 0, 0)


def test_the_plan_label_is_neither_returned_nor_matched(destination: Receiver) -> None:
    keys = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": series_with(PLAN)}

    with pacs_with(destination, Faults(omit_rt_plan_label=True)) as pacs, scu(pacs) as peer:
        (found,) = peer.find(
            "IMAGE", SOPInstanceUID="", RTPlanLabel="ANOTHER", ApprovalStatus="", **keys
        )

    assert "RTPlanLabel" not in found
    assert found.ApprovalStatus == "APPROVED"


def test_optional_keys_are_neither_returned_nor_matched(destination: Receiver) -> None:
    keys = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": series_with(PLAN)}

    with pacs_with(destination, Faults(omit_optional_keys=True)) as pacs, scu(pacs) as peer:
        (instance,) = peer.find(
            "IMAGE", SOPInstanceUID="", SOPClassUID="", RTPlanLabel="ANOTHER", **keys
        )
        series = peer.find(
            "SERIES",
            StudyInstanceUID=STUDY,
            SeriesInstanceUID="",
            Modality="RTPLAN",
            NumberOfSeriesRelatedInstances="",
        )

    assert instance.SOPInstanceUID == PLAN
    assert not {"SOPClassUID", "RTPlanLabel"} & set(instance.dir())
    assert len(series) == len(PATIENT.plans)
    assert all("NumberOfSeriesRelatedInstances" not in one for one in series)
    assert {one.Modality for one in series} == {"RTPLAN"}


# ── the association itself ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["move", "get"])
def test_aborts_in_the_middle_so_many_times(destination: Receiver, method: str) -> None:
    came: list[int] = []
    transfer = Transfer()

    with pacs_with(destination, Faults(abort_after=3, abort_times=2)) as pacs:
        for _ in range(3):
            before = len(pacs.sent)
            with scu(pacs, storage=CLASSES) as peer:
                if method == "move":
                    transfer = peer.move("DEST", "STUDY", StudyInstanceUID=STUDY)
                else:
                    transfer = peer.get("STUDY", StudyInstanceUID=STUDY)
                came.append(len(pacs.sent) - before)

    assert came == [3, 3, len(ALL)]
    assert transfer.final == (len(ALL), 0, 0)


def test_a_request_with_no_more_sub_operations_than_that_is_not_aborted(
    destination: Receiver,
) -> None:
    ct = series_with(str(PATIENT.datasets[0].SOPInstanceUID))

    with pacs_with(destination, Faults(abort_after=5)) as pacs, scu(pacs) as peer:
        transfer = peer.move("DEST", "SERIES", StudyInstanceUID=STUDY, SeriesInstanceUID=ct)

    assert transfer.final == (5, 0, 0)


def test_a_stall_pauses_after_so_many_and_goes_on(destination: Receiver) -> None:
    arrivals: list[float] = []

    def note() -> int:
        arrivals.append(time.monotonic())
        return 0x0000

    destination.on_store = note
    try:
        faults = Faults(stall_after=4, stall_s=1.0)
        with pacs_with(destination, faults) as pacs, scu(pacs) as peer:
            transfer = peer.move("DEST", "STUDY", StudyInstanceUID=STUDY)
    finally:
        destination.on_store = lambda: 0x0000

    assert transfer.final == (len(ALL), 0, 0)
    assert arrivals[4] - arrivals[3] >= 0.9


def test_a_stall_ends_when_the_pacs_is_stopped(destination: Receiver) -> None:
    held = threading.Event()
    faults = Faults(stall_after=1, stall_s=600)
    pacs = pacs_with(destination, faults).start()
    with scu(pacs) as peer:

        def stop() -> None:
            held.wait(60)
            pacs.stop()

        stopper = threading.Thread(target=stop)
        stopper.start()

        transfer = peer.move(
            "DEST", "STUDY", StudyInstanceUID=STUDY, on_response=lambda _: held.set()
        )
        stopper.join(60)

    assert not stopper.is_alive()
    assert transfer.status is None
    assert len(destination.uids) == 1


def test_every_nth_association_is_rejected_for_the_moment(destination: Receiver) -> None:
    outcomes = []

    with pacs_with(destination, Faults(reject_every_nth=3)) as pacs:
        for _ in range(6):
            client = AE("TEST_SCU")
            client.add_requested_context(VERIFICATION)
            association = client.associate(pacs.host, pacs.port)
            answer = association.acceptor.primitive
            outcomes.append(
                "accepted"
                if association.is_established
                else (answer.result, answer.result_source, answer.diagnostic)  # type: ignore[union-attr] # it was answered
            )
            if association.is_established:
                association.release()
                association.join(10)

    rejected = (2, 3, 1)
    assert outcomes == ["accepted", "accepted", rejected] * 2
