"""`dicomtools store` as people run it: a process of its own, against peers on this computer."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomcore.header import read_dataset_header
from dicomcore.sending.order import plan_sends
from dicomcore.sending.values import Policy
from tests import factories
from tests.peers.dcmtk import storescp
from tests.peers.orthanc import OrthancPeer
from tests.peers.processes import wait_until
from tests.peers.taker import Taken, Taker, taker
from tests.unit.test_sending_order import assert_nothing_before_what_it_needs, varian, world

DEADLINE_S = 120
IMPLICIT, EXPLICIT = str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian)


def words(folder: Path | str, host: str, port: int, aet: str, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "dicomtools.main", "store", "--path", str(folder)),
        *("--hostName", host, "--hostPort", str(port)),
        *("--callingAet", "TEST_SCU", "--calledAet", aet),
        *more,
    ]


def run(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=DEADLINE_S,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
    )


def store(to: Taker, folder: Path | str, *more: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run(words(folder, to.node.host, to.node.port, to.node.ae_title, *more), cwd=cwd)


def decoded(one: Taken) -> Dataset:
    syntax = UID(one.transfer_syntax_uid)
    return read_dataset(BytesIO(one.data), syntax.is_implicit_VR, syntax.is_little_endian)


def machines(one: Taken) -> list[str]:
    return [str(beam.get("TreatmentMachineName", "")) for beam in decoded(one).BeamSequence]


def plan_refused_unless(machine: str):
    """Answer as a system that knows one treatment machine."""

    def answer(one: Taken) -> int:
        if one.sop_class_uid == factories.PLAN_CLASS and set(machines(one)) != {machine}:
            return 0xC000
        return 0

    return answer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plan and everything that belongs to it, in files."""
    made = tmp_path / "data"
    factories.write_files(made, world())
    return made


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


ALL = [str(one.SOPInstanceUID) for one in world()]


# ── what is sent ────────────────────────────────────────────────────────────────────────────


def test_everything_is_sent_once_and_nothing_before_what_it_needs(
    tmp_path: Path, folder: Path
) -> None:
    with taker() as to:
        done = store(to, folder, cwd=tmp_path)

    headers = [read_dataset_header(one) for one in world()]
    assert done.returncode == 0, done.stderr
    assert sorted(to.uids) == sorted(ALL)
    place = {uid: number for number, uid in enumerate(to.uids)}
    sent = plan_sends(headers, Policy())
    assert [place[s.uid] for s in sent.sends() if not s.role.orderless] == sorted(
        place[s.uid] for s in sent.sends() if not s.role.orderless
    )
    assert_nothing_before_what_it_needs(sent, headers)
    assert "11 objects stored" in done.stdout
    assert "11/11 0x0000 Success: treatment record of plan PLAN_1: " in done.stdout


def test_every_beam_is_mapped_in_the_copy_and_nothing_else_anywhere(
    tmp_path: Path, folder: Path
) -> None:
    before = digests(folder)
    with taker() as to:
        done = store(to, "data", "--machineMapping", "XX=YY", "TB1=LINAC_7", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert digests(folder) == before
    for dataset in world():
        if dataset.Modality == "RTPLAN":
            for beam in dataset.BeamSequence:
                beam.TreatmentMachineName = "LINAC_7"
        assert to.stored[dataset.SOPInstanceUID].data == factories.encoded(dataset)
    assert "plan PLAN_1 [machine TB1 -> LINAC_7]" in done.stdout


def test_default_machines_fill_in_by_model(tmp_path: Path) -> None:
    plan = varian(factories.plan(), machine="", model="23EX")
    factories.write_files(tmp_path / "data", [plan])
    with taker() as to:
        refused = store(to, "data", "--defaultMachines", "RDS=HALCYON", cwd=tmp_path)
        assert to.associations == 0
        done = store(to, "data", "--defaultMachines", "RDS=HALCYON", "23EX=D", cwd=tmp_path)

    assert refused.returncode == 1
    assert "its first beam is of the model 23EX" in refused.stderr
    assert "Nothing was sent. Add: --defaultMachines 23EX=MACHINE" in refused.stderr
    assert done.returncode == 0, done.stderr
    assert machines(to.taken[0]) == ["D", "D"]


def test_another_manufacturers_plan_is_reported_and_sent_only_if_allowed(tmp_path: Path) -> None:
    factories.write_files(tmp_path / "data", [factories.plan(), factories.dose(plan_uids=())])
    with taker() as to:
        done = store(to, "data", cwd=tmp_path)
        assert to.uids == []
        assert done.returncode == 0
        allowed = store(to, "data", "--allowAnyManufacturer", cwd=tmp_path)

    assert "another manufacturer than Varian (DicomTools demo)" in done.stderr
    assert "a dose without a plan: ARIA refuses it, so it is not sent" in done.stderr
    assert allowed.returncode == 0
    assert len(to.uids) == 2
    assert "a dose without a plan: ARIA refuses it, other systems may take it" in allowed.stderr


def test_a_dry_run_lists_in_order_with_mapped_machines_and_sends_nothing(
    tmp_path: Path, folder: Path
) -> None:
    with taker() as to:
        done = store(to, "data", "--dryRun", "--machineMapping", "TB1=LA7", cwd=tmp_path)

    listed = [line for line in done.stdout.splitlines() if line[0].isdigit() and ". " in line]
    assert done.returncode == 0
    assert to.associations == 0
    assert len(listed) == 11
    assert listed[4].startswith("5. plan PLAN_1 [machine TB1 -> LA7]: data")
    assert "11 objects would be sent, in this order." in done.stdout
    assert not (tmp_path / "done.txt").exists()


def test_the_pattern_chooses_files_and_star_dot_star_is_every_file(tmp_path: Path) -> None:
    for name, index in (("RP.DCM", 0), ("without_dot", 1), ("sub.dir/x", 2)):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(factories.part10(factories.ct(index=index)))
    (tmp_path / "data" / "notes.txt").write_text("not DICOM")
    with taker() as to:
        done = store(to, "data", cwd=tmp_path)
        assert len(to.uids) == 3
        store(to, "data", "--searchPattern", "*.dcm", cwd=tmp_path)

    assert done.returncode == 0
    assert "Not sent: data/notes.txt: " in done.stderr
    assert to.uids[3:] == [factories.CT_UIDS[0]]


def test_files_without_header_and_with_a_wrong_one_are_sent_as_what_they_are(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir()
    bare = factories.encoded(factories.ct(index=0), IMPLICIT)
    (tmp_path / "data" / "bare").write_bytes(bare)
    wrong = factories.part10(factories.ct(index=1)).replace(
        b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0", 1
    )
    (tmp_path / "data" / "wrong").write_bytes(wrong)
    with taker() as to:
        done = store(to, "data", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert to.stored[factories.CT_UIDS[0]].transfer_syntax_uid == IMPLICIT
    assert to.stored[factories.CT_UIDS[0]].data == bare
    assert to.stored[factories.CT_UIDS[1]].transfer_syntax_uid == EXPLICIT


def test_the_same_file_twice_is_sent_once_and_another_version_not_at_all(tmp_path: Path) -> None:
    one, other = factories.versions(factories.ct(), 2)
    factories.write_files(tmp_path / "data", [one, one, other])
    with taker() as to:
        done = store(to, "data", "--statusFileName", "done.txt", cwd=tmp_path)

    assert done.returncode == 0
    assert len(to.uids) == 1
    assert len((tmp_path / "done.txt").read_text().splitlines()) == 2
    assert "another file holds the same instance: data/00002.dcm" in done.stderr


# ── stopping, and going on ──────────────────────────────────────────────────────────────────


def test_it_stops_at_a_plan_that_is_refused_says_what_to_change_and_goes_on_there(
    tmp_path: Path, folder: Path
) -> None:
    status = ["--statusFileName", "done.txt"]
    with taker(plan_refused_unless("LA7")) as to:
        to.comment = "unknown treatment unit"
        stopped = store(to, "data", *status, cwd=tmp_path)

        assert stopped.returncode == 1
        assert [one.sop_class_uid for one in to.taken][-1] == factories.PLAN_CLASS
        assert len(to.taken) == 5
        assert "0xC000 Error: cannot understand: unknown treatment unit" in stopped.stdout
        assert "Its treatment machine: TB1." in stopped.stdout
        assert "--machineMapping TB1=MACHINE" in stopped.stdout
        assert "what is listed in done.txt is not sent again" in stopped.stdout
        assert "6 objects not tried." in stopped.stdout
        assert len((tmp_path / "done.txt").read_text().splitlines()) == 4

        done = store(to, "data", *status, "--machineMapping", "TB1=LA7", cwd=tmp_path)

    assert done.returncode == 0, done.stdout
    assert "4 are listed in done.txt and not sent again." in done.stdout
    assert sorted(to.stored) == sorted(ALL)
    repeated = [one.sop_instance_uid for one in to.taken if one.before]
    assert repeated == [factories.PLAN_UID]


def test_without_a_status_file_the_way_on_is_told(tmp_path: Path, folder: Path) -> None:
    with taker(plan_refused_unless("LA7")) as to:
        stopped = store(to, "data", cwd=tmp_path)

    assert stopped.returncode == 1
    assert "with --statusFileName FILE it goes on where it stopped" in stopped.stdout


def test_what_belongs_to_no_plan_may_fail_and_the_rest_is_sent(tmp_path: Path) -> None:
    factories.write_files(tmp_path / "data", [factories.ct(index=n) for n in range(3)])
    with taker(lambda one: 0xA900 if one.number == 0 else 0) as to:
        done = store(to, "data", "--associations", "1", cwd=tmp_path)

    assert done.returncode == 1
    assert len(to.taken) == 3
    assert "NOT STORED: 1 object:" in done.stdout
    assert "0xA900 Error: data set does not match SOP class" in done.stdout


def images(number: int) -> list[Dataset]:
    made = []
    for index in range(number):
        slice_ = copy.copy(factories.ct())
        slice_.SOPInstanceUID = f"2.25.{index + 1}"
        made.append(slice_)
    return made


@pytest.mark.faults
@pytest.mark.parametrize(("associations", "after"), [(4, 1), (1, 37), (4, 150)])
def test_a_run_that_is_killed_goes_on_without_loss_and_sends_no_listed_file_again(
    tmp_path: Path, associations: int, after: int
) -> None:
    datasets = images(200)
    factories.write_files(tmp_path / "data", datasets)
    more = ["--statusFileName", "done.txt", "--associations", str(associations)]
    reached, killed = threading.Event(), threading.Event()

    def stop_the_world(one: Taken) -> int:
        if one.number >= after and not killed.is_set():
            reached.set()
            killed.wait(DEADLINE_S)
        return 0

    with taker(stop_the_world) as to:
        command = words("data", to.node.host, to.node.port, to.node.ae_title, *more)
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
            assert reached.wait(DEADLINE_S)
            process.send_signal(signal.SIGKILL)
            process.wait(DEADLINE_S)
            killed.set()
        wait_until(lambda: to._open == 0, what="the associations of the dead process end")
        listed = (tmp_path / "done.txt").read_text().splitlines()
        before = len(to.taken)

        done = store(to, "data", *more, cwd=tmp_path)

    assert done.returncode == 0, done.stdout
    assert sorted(to.stored) == sorted(str(one.SOPInstanceUID) for one in datasets)
    again = {one.sop_instance_uid for one in to.taken[before:]}
    of_listed = {
        str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) for path in listed
    }
    assert not again & of_listed
    assert len(again) == 200 - len(of_listed)
    assert len([one for one in to.taken if one.before]) <= associations
    assert len((tmp_path / "done.txt").read_text().splitlines()) == 200


def test_ctrl_c_finishes_what_is_being_sent_and_lists_it(tmp_path: Path) -> None:
    factories.write_files(tmp_path / "data", images(100))
    reached, go_on = threading.Event(), threading.Event()

    def wait_at_ten(one: Taken) -> int:
        if one.number == 10:
            reached.set()
            go_on.wait(DEADLINE_S)
        return 0

    with taker(wait_at_ten) as to:
        more = ["--statusFileName", "done.txt", "--associations", "1"]
        command = words("data", to.node.host, to.node.port, to.node.ae_title, *more)
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert reached.wait(DEADLINE_S)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert "Stopping" in process.stderr.readline()
            go_on.set()
            out, _ = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 1
    assert len(to.taken) == 11
    assert len((tmp_path / "done.txt").read_text().splitlines()) == 11
    assert "89 objects not tried." in out


# ── the manual's own lines ──────────────────────────────────────────────────────────────────


def test_options_json_of_the_manual_is_enough(tmp_path: Path, folder: Path) -> None:
    with taker(ae_title="SCPAET") as to:
        (tmp_path / "options.json").write_text(
            json.dumps(
                {
                    "StoreOptions": {
                        "Path": str(folder),
                        "HostName": "localhost",
                        "HostPort": to.node.port,
                        "CallingAet": "MYAET",
                        "CalledAet": "SCPAET",
                        "ShowMessages": False,
                        "MachineMapping": ["TB1=LA7"],
                    }
                }
            )
        )
        done = run([sys.executable, "-m", "dicomtools.main", "store"], cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert len(to.taken) == 11
    assert machines(to.stored[factories.PLAN_UID]) == ["LA7", "LA7"]
    assert "Success" not in done.stdout
    assert "11 objects stored" in done.stdout


def test_a_status_file_that_cannot_be_written_stops_before_anything_is_sent(
    tmp_path: Path, folder: Path
) -> None:
    (tmp_path / "folder.txt").mkdir()
    with taker() as to:
        done = store(to, "data", "--statusFileName", "folder.txt", cwd=tmp_path)

        assert to.associations == 0
    assert done.returncode == 1
    assert "--statusFileName" in done.stderr


# ── real peers ──────────────────────────────────────────────────────────────────────────────


def received(folder: Path) -> dict[str, Any]:
    files = [dcmread(path) for path in (folder / "received").iterdir()]
    return {str(one.SOPInstanceUID): one for one in files}


@pytest.mark.peer
@pytest.mark.parametrize("options", [[], ["+xi"], ["--fork"]], ids=["all", "implicit", "fork"])
def test_storescp_has_everything_with_mapped_machines(
    tmp_path: Path, folder: Path, options: list[str]
) -> None:
    with storescp(tmp_path, *options) as node:
        command = words("data", node.host, node.port, node.ae_title, "--machineMapping", "TB1=LA7")
        done = run(command, cwd=tmp_path)

        assert done.returncode == 0, done.stdout + done.stderr
        came = received(tmp_path)
    assert sorted(came) == sorted(ALL)
    syntaxes = {str(one.file_meta.TransferSyntaxUID) for one in came.values()}
    assert syntaxes == ({IMPLICIT} if options == ["+xi"] else {EXPLICIT})
    for dataset in world():
        if dataset.Modality == "RTPLAN":
            for beam in dataset.BeamSequence:
                beam.TreatmentMachineName = "LA7"
        assert came[str(dataset.SOPInstanceUID)] == dcmread(BytesIO(factories.part10(dataset)))


@pytest.mark.peer
def test_orthanc_has_everything_of_twelve_plans(tmp_path: Path, orthanc_peer: OrthancPeer) -> None:
    made = factories.small_twelve_plans()
    factories.write_files(tmp_path / "data", made.datasets)
    mapping = ["--machineMapping", "DEMO_LINAC=LINAC_7", "--allowAnyManufacturer"]
    command = words("data", orthanc_peer.host, orthanc_peer.dicom_port, "ORTHANC", *mapping)

    done = run(command, cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert orthanc_peer.statistics()["CountInstances"] == len(made.datasets)
    names = set()
    for instance in orthanc_peer.get("/instances"):
        tags = orthanc_peer.get(f"/instances/{instance}/simplified-tags")
        if tags.get("Modality") == "RTPLAN":
            names |= {beam["TreatmentMachineName"] for beam in tags.get("BeamSequence", ())}
    assert "LINAC_7" in names
    assert "DEMO_LINAC" not in names


@pytest.mark.peer
def test_a_run_against_orthanc_goes_on_where_a_missing_peer_stopped_it(
    tmp_path: Path, folder: Path, orthanc_peer: OrthancPeer
) -> None:
    status = ["--statusFileName", "done.txt"]
    with taker(plan_refused_unless("LA7")) as to:
        assert store(to, "data", *status, cwd=tmp_path).returncode == 1
    command = words("data", orthanc_peer.host, orthanc_peer.dicom_port, "ORTHANC", *status)

    done = run(command, cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert orthanc_peer.statistics()["CountInstances"] == len(ALL) - 4
