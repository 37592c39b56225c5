"""The executor on a PACS in memory: the right closure, proven by the store, resumed, cancelled."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dicomcore.errors import BusUnavailable, ObjectStoreUnavailable, Unavailable
from dicomcore.ports import QueryLevel
from dicomcore.received import StoredInstance
from dicomio.directory_store import DirectoryStore
from dicomio.limits import Limits
from dicomtools.demo.patients import twelve_plans
from dicomtools.demo.sizes import SMALL
from qr_gateway.retrieval.model import Report, State
from tests.memory_pacs import MemoryPacs, Script
from tests.retrieving import Site, closure_bytes, uids

PATIENT = twelve_plans(sizes=SMALL)
LABELS = sorted({plan.label for plan in PATIENT.plans})


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Bench(Site):
    """One PACS in memory that knows our receiver."""

    script: Script = field(default_factory=Script)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.pacs = MemoryPacs(PATIENT.datasets, {"RECEIVER": self.receive}, self.script)

    def run(self, **request: Any) -> Report:
        return self.retrieve(self.pacs, **{"patient_id": PATIENT.patient_id, **request})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("method", ["move", "get"])
@pytest.mark.parametrize("label", LABELS)
def test_each_plan_brings_what_its_maker_attached_to_it(bench, label, method):
    report = bench.run(plan_label=label, method=method)

    assert report.progress.state is State.COMPLETE
    assert uids(report) == PATIENT.closure(label)
    assert {d.uid for d in report.dangling} == PATIENT.dangling(label)
    probed_bytes = sum(item.size_bytes for item in report.probed)
    assert report.progress.bytes_moved == closure_bytes(report) + probed_bytes


def test_approved_plans_of_a_label_leave_its_unapproved_namesake_out(bench):
    report = bench.run(plan_label="PROST_7F", only_approved=True)

    assert uids(report) == PATIENT.closure("PROST_7F", only_approved=True)


def test_no_filter_brings_the_whole_patient(bench):
    report = bench.run()

    assert report.progress.state is State.COMPLETE
    assert uids(report) == {str(i.ref.sop_instance_uid) for i in PATIENT.instances}
    assert report.catalogue_instances == len(PATIENT.instances)


def test_only_approved_brings_unconnected_data_and_nothing_of_other_plans_alone(bench):
    report = bench.run(only_approved=True)

    approved = PATIENT.closure(only_approved=True)
    everything = {str(i.ref.sop_instance_uid) for i in PATIENT.instances}
    assert uids(report) == approved | (everything - PATIENT.closure())


def test_a_second_plan_moves_only_what_is_new(bench):
    first = bench.run(plan_label="VMAT_B")
    sent = len(bench.pacs.sent)

    second = bench.run(plan_label="HALCYON_B")

    moved = bench.pacs.sent[sent:]
    assert second.progress.state is State.COMPLETE
    assert uids(second) == PATIENT.closure("HALCYON_B")
    assert not set(moved) & (uids(first) | {i.sop_instance_uid for i in first.probed})
    assert second.progress.instances_moved == len(moved)


def test_nothing_is_sent_twice_by_a_peer_without_faults(bench):
    bench.run()

    assert len(bench.pacs.sent) == len(set(bench.pacs.sent))


def test_an_unknown_label_fails_and_says_so(bench):
    report = bench.run(plan_label="no such plan")

    assert report.progress.state is State.FAILED
    assert report.messages == ("No plan of this patient meets the selection.",)
    assert {p.outcome for p in report.plans} == {"not_selected"}


def test_an_unknown_patient_fails_and_says_so(bench):
    report = bench.run(patient_id="nobody", plan_label="PROST_7F")

    assert report.progress.state is State.FAILED
    assert report.messages == ("The PACS lists no study of this patient.",)


def test_a_patient_id_with_a_wildcard_is_never_sent(bench):
    report = bench.run(patient_id="DEMO*")

    assert report.progress.state is State.FAILED
    assert bench.pacs.finds == 0


def test_an_instance_that_never_comes_is_missing_with_its_reason(bench):
    lost = sorted(u for u in PATIENT.closure("VMAT_B") if u not in PATIENT.closure("HALCYON_B"))[0]
    bench.script.never = {lost}

    report = bench.run(plan_label="VMAT_B")

    assert report.progress.state is State.PARTIAL
    assert [m.uid for m in report.missing] == [lost]
    assert "failed to send it, status 0xB000" in report.missing[0].reason


def test_transient_failures_are_survived(bench):
    bench.script.unavailable = {1, 3, 6}
    bench.script.statuses = {4: 0x0000, 8: 0xA702, 9: 0xC000}

    report = bench.run(plan_label="PROST_7F")

    assert report.progress.state is State.COMPLETE
    assert uids(report) == PATIENT.closure("PROST_7F")


def test_a_peer_that_lists_no_instances_is_asked_for_series(bench):
    bench.script.no_instance_find = True

    report = bench.run(plan_label="ION_C")

    assert report.progress.state is State.COMPLETE
    assert uids(report) == PATIENT.closure("ION_C")
    assert {r.level for r in bench.pacs.requests} == {QueryLevel.SERIES}


def test_a_peer_that_refuses_optional_keys_is_asked_without_them(bench):
    bench.script.refuse_optional_keys = True

    report = bench.run(plan_label="BRACHY_HDR")

    assert report.progress.state is State.COMPLETE
    assert uids(report) == PATIENT.closure("BRACHY_HDR")


def test_a_peer_that_rejects_associations_for_good_fails_the_retrieval_at_once(bench):
    bench.script.refuse_associations = True

    report = bench.run(plan_label="VMAT_B")

    assert report.progress.state is State.FAILED
    assert bench.pacs.finds == 1


def test_a_peer_that_goes_away_leaves_a_partial_result_that_names_all_that_lacks(bench):
    bench.script.unavailable = set(range(5, 10_000))

    report = bench.run(plan_label="VMAT_B")

    assert report.progress.state is State.PARTIAL
    assert all("no longer answers" in m.reason or "no answer" in m.reason for m in report.missing)
    known = {m.uid for m in report.missing} | uids(report)
    assert set(bench.pacs.sent) & PATIENT.closure("VMAT_B") <= known
    assert len(bench.pacs.requests) < 40


def test_an_unknown_destination_is_named(bench):
    bench.destination = "NOWHERE"
    report = bench.run(plan_label="VMAT_B")

    assert report.progress.state is State.PARTIAL
    assert "does not know the move destination NOWHERE" in report.missing[0].reason


def test_lists_are_no_longer_than_the_limit(bench):
    bench.limits = Limits(backoff_s=0, uid_list_limit=2)

    report = bench.run(plan_label="PROST_7F")

    assert report.progress.state is State.COMPLETE
    assert max(len(r.sop_instance_uids) for r in bench.pacs.requests) == 2


def test_contexts_are_spread_over_associations_where_the_classes_are_too_many(bench):
    bench.limits = Limits(backoff_s=0, sop_classes_per_association=1)
    bench.script.no_instance_find = True

    report = bench.run(plan_label="ION_C", method="get")

    assert report.progress.state is State.COMPLETE
    assert uids(report) == PATIENT.closure("ION_C")


def test_cancelling_ends_soon_and_keeps_what_has_landed(bench):
    report = bench.run(plan_label="PROST_7F", cancelled=lambda: len(bench.pacs.sent) >= 20)

    assert report.progress.state is State.CANCELLED
    assert len(bench.pacs.sent) == 20
    assert report.progress.instances_moved == 20


@pytest.mark.parametrize("after", [1, 7, 30])
def test_a_killed_run_goes_on_where_it_was_and_moves_nothing_twice(bench, after):
    def killed() -> bool:
        if len(bench.pacs.sent) >= after:
            raise Killed
        return False

    with pytest.raises(Killed):
        bench.run(plan_label="PROST_7F", cancelled=killed)
    report = bench.run(plan_label="PROST_7F", saved=bench.saved[-1] if bench.saved else None)

    assert report.progress.state is State.COMPLETE
    assert uids(report) == PATIENT.closure("PROST_7F")
    assert len(bench.pacs.sent) == len(set(bench.pacs.sent))


class DyingBench(Bench):
    """Its receiver dies between PUT and announcement, once for each of some instances."""

    dies: set[str]
    kills: bool = False

    def announce(self, stored: StoredInstance, calling_ae_title: str) -> None:
        uid = str(stored.key.ref.sop_instance_uid)
        if uid in self.dies:
            self.dies.discard(uid)
            raise Killed if self.kills else BusUnavailable("the bus does not answer")
        super().announce(stored, calling_ae_title)


@pytest.mark.parametrize("method", ["move", "get"])
def test_what_landed_while_its_receiver_died_is_announced_and_not_moved_again(tmp_path, method):
    bench = DyingBench(tmp_path)
    bench.dies = set(sorted(PATIENT.closure("VMAT_B"))[::4])
    died = set(bench.dies)

    report = bench.run(plan_label="VMAT_B", method=method)

    assert report.progress.state is State.COMPLETE
    assert died <= set(bench.announced) == bench.landed()
    assert len(bench.pacs.sent) == len(set(bench.pacs.sent))


def test_what_landed_when_gateway_and_receiver_died_together_is_announced_by_the_next_run(tmp_path):
    bench = DyingBench(tmp_path)
    bench.kills = True
    (last, *_) = sorted(PATIENT.closure("VMAT_B"))
    bench.dies = {last}

    with pytest.raises(Killed):
        bench.run(plan_label="VMAT_B")
    report = bench.run(plan_label="VMAT_B", saved=bench.saved[-1])

    assert report.progress.state is State.COMPLETE
    assert set(bench.announced) == bench.landed()
    assert len(bench.pacs.sent) == len(set(bench.pacs.sent))


def test_it_is_announced_even_if_the_pacs_has_gone_away_by_then(tmp_path):
    bench = DyingBench(tmp_path)
    bench.kills = True
    bench.dies = {sorted(PATIENT.closure("VMAT_B"))[0]}
    with pytest.raises(Killed):
        bench.run(plan_label="VMAT_B")
    bench.script.refuse_associations = True

    report = bench.run(plan_label="VMAT_B", saved=bench.saved[-1])

    assert report.progress.state is State.FAILED
    assert set(bench.announced) == bench.landed()


def test_a_later_association_that_ends_well_does_not_hide_an_earlier_one_that_did_not(tmp_path):
    bench = DyingBench(tmp_path, limits=Limits(backoff_s=0, sop_classes_per_association=1))
    bench.script.no_instance_find = True
    bench.script.skips_what_is_not_offered = True
    died = {p.sop_instance_uid for p in PATIENT.plans}
    bench.dies = set(died)

    report = bench.run(plan_label="ION_C", method="get")

    assert report.progress.state is State.COMPLETE
    assert set(bench.announced) == bench.landed() >= died


def test_an_undisturbed_retrieval_announces_each_instance_once(bench):
    bench.run(plan_label="VMAT_B")

    assert sorted(bench.announced) == sorted(bench.landed())


def test_a_bus_that_stays_away_keeps_the_job_for_later(tmp_path):
    class Mute(Bench):
        def announce(self, stored: StoredInstance, _calling_ae_title: str) -> None:
            raise BusUnavailable("the bus does not answer")

    with pytest.raises(Unavailable):
        Mute(tmp_path).run(plan_label="NO_STRUCT")


def test_a_memory_that_cannot_be_read_is_found_out_again(bench):
    report = bench.run(plan_label="VMAT_B", saved=b"not json")

    assert report.progress.state is State.COMPLETE


def test_the_store_away_ends_the_run_without_a_verdict(bench, tmp_path):
    class Away(DirectoryStore):
        def list(self, prefix: str, *, start_after: str = ""):  # type: ignore[override]
            raise ObjectStoreUnavailable("the object store does not answer")

    bench.store = Away(tmp_path / "away")

    with pytest.raises(ObjectStoreUnavailable):
        bench.run(plan_label="VMAT_B")


def test_an_object_in_the_store_that_is_not_what_its_key_says_is_not_believed(bench):
    plan = next(p for p in PATIENT.plans if p.label == "VMAT_B")
    ref = next(i.ref for i in PATIENT.instances if i.ref.sop_instance_uid == plan.sop_instance_uid)
    key = f"instances/{ref.study_instance_uid}/{ref.series_instance_uid}/{ref.sop_instance_uid}/"
    bench.store.put(f"{key}{'0' * 16}.dcm", [b"not a data set"])

    report = bench.run(plan_label="VMAT_B")

    assert report.progress.state is not State.COMPLETE
    assert [m.uid for m in report.missing] == [plan.sop_instance_uid]
    assert "cannot be read" in report.missing[0].reason


def test_progress_only_grows(bench):
    bench.run(plan_label="PROST_7F")

    landed = [p.landed for p in bench.progress]
    moved = [p.bytes_moved for p in bench.progress]
    assert landed == sorted(landed)
    assert moved == sorted(moved)
    assert moved[-1] > 0
