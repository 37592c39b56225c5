"""Every fault of the demo PACS: complete where that is possible, else exactly what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicomio.pacs import DicomPacs, Peer
from dicomtools.demo.archive import archive_of
from dicomtools.demo.faults import ALWAYS, Faults
from dicomtools.demo.pacs import DemoPacs
from dicomtools.demo.patients import twelve_plans
from dicomtools.demo.sizes import SMALL
from qr_gateway.retrieval.model import Report, State
from store_scp.options import ScpOptions
from store_scp.server import StoreScp
from tests.retrieving import Site, uids

PATIENT = twelve_plans(sizes=SMALL)
ARCHIVE = archive_of(PATIENT.datasets)
LABEL = "VMAT_B"
CLOSURE = PATIENT.closure(LABEL)
OTHER_PLAN = next(p.sop_instance_uid for p in PATIENT.plans if p.label == "PROST_OLD")
PLAN = next(p.sop_instance_uid for p in PATIENT.plans if p.label == LABEL)


class Clinic:
    """A PACS with faults, and our side."""

    def __init__(
        self, pacs: DemoPacs, site: Site, destinations: dict[str, tuple[str, int]]
    ) -> None:
        self.pacs = pacs
        self.site = site
        self.destinations = destinations

    def landed(self) -> set[str]:
        return self.site.landed()

    def retrieve(self, method: str, *, idle_timeout_s: float = 30.0) -> Report:
        peer = Peer(
            "demo",
            self.pacs.ae_title,
            self.pacs.host,
            self.pacs.port,
            idle_timeout_s=idle_timeout_s,
        )
        return self.site.retrieve(
            DicomPacs(peer), patient_id=PATIENT.patient_id, plan_label=LABEL, method=method
        )


@contextmanager
def clinic(folder: Path, faults: Faults) -> Iterator[Clinic]:
    site = Site(folder)
    with StoreScp(ScpOptions(ae_title="RECEIVER", port=0, grace_s=5), site.lander.land) as receiver:
        destinations = {"RECEIVER": ("127.0.0.1", receiver.port)}
        with DemoPacs(ARCHIVE, destinations=destinations, faults=faults) as pacs:
            yield Clinic(pacs, site, destinations)


def assert_complete(report: Report, clinic: Clinic) -> None:
    assert report.missing == ()
    assert report.progress.state is State.COMPLETE
    assert uids(report) == CLOSURE
    assert clinic.landed() >= CLOSURE


SURVIVABLE = {
    "none": Faults(),
    "success with nothing sent, at first": Faults(success_with_nothing=3),
    "drops every 3rd image once": Faults(drop_every_nth=3),
    "drops every 3rd image twice": Faults(drop_every_nth=3, drop_times=2),
    "refuses lists of more than 2": Faults(refuse_uid_lists_longer_than=2),
    "fails with many plan series": Faults(fail_above_plan_series=5),
    "no instance level": Faults(no_instance_level=True),
    "returns everything for any key": Faults(return_everything=True),
    "aborts in the middle": Faults(abort_after=2, abort_times=3),
    "rejects every 3rd association": Faults(reject_every_nth=3),
    "omits RTPlanLabel": Faults(omit_rt_plan_label=True),
    "omits every optional key": Faults(omit_optional_keys=True),
    "omits keys, drops, aborts, rejects, refuses lists": Faults(
        omit_optional_keys=True,
        drop_every_nth=4,
        abort_after=3,
        abort_times=2,
        reject_every_nth=7,
        refuse_uid_lists_longer_than=3,
    ),
    "another plan cannot be exported, and its label is told": Faults(
        unretrievable=frozenset({OTHER_PLAN})
    ),
}


@pytest.mark.parametrize("method", ["move", "get"])
@pytest.mark.parametrize("fault", SURVIVABLE)
def test_a_survivable_fault_ends_complete(tmp_path, fault, method):
    with clinic(tmp_path, SURVIVABLE[fault]) as c:
        report = c.retrieve(method)

        assert_complete(report, c)


@pytest.mark.parametrize("method", ["move", "get"])
def test_a_stall_is_waited_for_no_longer_than_the_idle_time_out_and_survived(tmp_path, method):
    with clinic(tmp_path, Faults(stall_after=1, stall_s=60)) as c:
        report = c.retrieve(method, idle_timeout_s=1.0)

        assert_complete(report, c)


@pytest.mark.parametrize("method", ["move", "get"])
def test_images_that_are_always_dropped_are_missing_by_uid_with_a_reason(tmp_path, method):
    with clinic(tmp_path, Faults(drop_every_nth=3, drop_times=ALWAYS)) as c:
        report = c.retrieve(method)

        assert report.progress.state is State.PARTIAL
        assert {m.uid for m in report.missing} == CLOSURE - c.landed() != set()
        assert all("Success 4 times and did not send it" in m.reason for m in report.missing)
        assert uids(report) == CLOSURE & c.landed()


@pytest.mark.parametrize("method", ["move", "get"])
def test_success_with_nothing_for_ever_is_never_complete(tmp_path, method):
    with clinic(tmp_path, Faults(success_with_nothing=ALWAYS)) as c:
        report = c.retrieve(method)

        assert report.progress.state is State.PARTIAL
        assert [m.uid for m in report.missing] == [PLAN]
        assert "Success" in report.missing[0].reason
        assert c.landed() == set()


@pytest.mark.parametrize("method", ["move", "get"])
def test_an_instance_that_cannot_be_exported_is_missing_and_the_rest_is_there(tmp_path, method):
    lost = sorted(CLOSURE - {PLAN} - PATIENT.closure("HALCYON_B"))[0]
    with clinic(tmp_path, Faults(unretrievable=frozenset({lost}))) as c:
        report = c.retrieve(method)

        assert report.progress.state is State.PARTIAL
        assert [m.uid for m in report.missing] == [lost]
        assert uids(report) == CLOSURE - {lost}


def test_a_plan_that_can_be_neither_exported_nor_ruled_out_is_reported(tmp_path):
    faults = Faults(omit_rt_plan_label=True, unretrievable=frozenset({OTHER_PLAN}))
    with clinic(tmp_path, faults) as c:
        report = c.retrieve("get")

        assert report.progress.state is State.PARTIAL
        assert [m.uid for m in report.missing] == [OTHER_PLAN]
        assert uids(report) == CLOSURE
        assert {p.outcome for p in report.plans if p.sop_instance_uid == OTHER_PLAN} == {
            "unavailable"
        }


def test_a_pacs_that_can_send_nothing_smaller_than_it_refuses_is_partial(tmp_path):
    faults = Faults(no_instance_level=True, fail_above_plan_series=5)
    with clinic(tmp_path, faults) as c:
        report = c.retrieve("move")

        assert report.progress.state is State.PARTIAL
        assert report.missing
        assert all("0xC000" in m.reason for m in report.missing)
        assert c.landed() == set()


def test_an_empty_receiver_port_ends_partial_and_does_not_hang(tmp_path):
    with clinic(tmp_path, Faults()) as c:
        c.destinations["RECEIVER"] = ("127.0.0.1", 1)
        report = c.retrieve("move")

        assert report.progress.state is State.PARTIAL
        assert {m.uid for m in report.missing} == {PLAN}
