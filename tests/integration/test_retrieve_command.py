"""`dicomtools retrieve` as people run it: a process of its own, against a PACS on this computer."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dicomcore.errors import PeerRefused, PeerUnavailable
from dicomcore.header import read_header
from dicomio.bridge import LoopThread
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Lander
from dicomio.pacs import ClientTls, DicomPacs, Peer
from dicomtools.commands import RETRIEVE
from dicomtools.config import resolve
from dicomtools.demo.faults import ALWAYS, Faults
from dicomtools.demo.made_up import MadeUpPatient
from dicomtools.demo.pacs import DemoPacs
from dicomtools.demo.patients import small_patient
from dicomtools.options import parse_command_line
from dicomtools.receiver import receiving
from dicomtools.retrieve_options import retrieve_options
from tests.peers.processes import free_ports
from tests.servers.certificates import Authority

FIRST = small_patient(patient_id="CANARY-FIRST", seed=1)
SECOND = small_patient(patient_id="CANARY-SECOND", seed=2)
DATASETS = [*FIRST.datasets, *SECOND.datasets]
AET = "TEST_SCU"
DEADLINE_S = 120


class Clinic:
    """A PACS and the port on which it delivers to the command."""

    def __init__(self, faults: Faults) -> None:
        (self.listen_port,) = free_ports(1)
        self.destinations = {AET: ("127.0.0.1", self.listen_port)}
        self.pacs = DemoPacs(DATASETS, destinations=self.destinations, faults=faults)

    def words(self, path: Path, *words: str, port: int | None = None) -> list[str]:
        return [
            *(sys.executable, "-m", "dicomtools.main", "retrieve"),
            *("--hostName", "127.0.0.1", "--hostPort", str(port or self.pacs.port)),
            *("--callingAet", AET, "--calledAet", self.pacs.ae_title),
            *("--path", str(path), "--listenPort", str(self.listen_port)),
            *words,
        ]

    def run(
        self, path: Path, *words: str, port: int | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(path, *words, port=port),
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=DEADLINE_S,
            cwd=cwd or path.parent,
        )


@contextmanager
def clinic(faults: Faults = Faults()) -> Iterator[Clinic]:  # noqa: B008 - frozen
    made = Clinic(faults)
    with made.pacs:
        yield made


def uids_in(folder: Path) -> set[str]:
    return {path.name[3:-4] for path in folder.glob("*.dcm")}


def manifest_of(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text())


def probed_in(manifest: Any) -> set[str]:
    return {entry["sop_instance_uid"] for entry in manifest["probed"]}


def image_of(patient: MadeUpPatient, label: str) -> str:
    """Return one CT slice of a plan."""
    closure = patient.closure(label)
    return next(
        i.ref.sop_instance_uid
        for i in patient.instances
        if i.modality == "CT" and i.ref.sop_instance_uid in closure
    )


@pytest.mark.parametrize("method", ["move", "get"])
def test_one_plan_comes_with_exactly_what_it_references(tmp_path: Path, method: str) -> None:
    out = tmp_path / "out"
    with clinic() as at:
        words = ["--patientId", FIRST.patient_id, "--planId", "PLAN_1", "--showTree"]

        done = at.run(out, *words, *(["--useGet"] if method == "get" else []))

        assert done.returncode == 0, done.stderr
        closure = FIRST.closure("PLAN_1")
        assert uids_in(out) == closure
        manifest = manifest_of(out)
        # one instance of each series of which C-FIND does not tell whether it belongs to the plan
        assert set(at.pacs.times_sent) == closure | probed_in(manifest)
        assert max(at.pacs.times_sent.values()) == 1
    undecided = {i.ref.series_instance_uid for i in FIRST.instances if i.modality == "MR"}
    assert {entry["series_instance_uid"] for entry in manifest["probed"]} <= undecided
    assert len(manifest["probed"]) <= len(undecided)
    assert manifest["state"] == "complete"
    for entry in manifest["instances"]:
        body = (out / entry["file"]).read_bytes()
        header = read_header(body, complete=True)
        assert hashlib.sha256(body).hexdigest() == entry["sha256"]
        assert header is not None
        assert header.ref.sop_instance_uid == entry["sop_instance_uid"]
        assert header.sop_class_uid == entry["sop_class_uid"]
        assert entry["why"]
    assert "COMPLETE" in done.stdout
    assert f"Patient: {FIRST.patient_id}" in done.stdout
    assert "PLAN_2" not in done.stdout
    assert not (out / ".dicomtools").exists()


def test_without_a_filter_all_of_the_patient_comes_and_nobody_elses(tmp_path: Path) -> None:
    with clinic() as at:
        done = at.run(tmp_path / "out", "--patientId", FIRST.patient_id, "--useGet", "--json")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert uids_in(tmp_path / "out") == {i.ref.sop_instance_uid for i in FIRST.instances}
    assert {line["event"] for line in lines[:-1]} == {"progress"}
    assert lines[-1]["event"] == "result"
    assert lines[-1]["state"] == "complete"
    assert lines[-1]["counts"]["instances"] == len(FIRST.instances)


def test_a_repeated_retrieval_moves_no_file_again_and_writes_the_same(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--patientId", FIRST.patient_id, "--planId", "PLAN_1", "--useGet"]
    with clinic() as at:
        assert at.run(out, *words).returncode == 0
        before = {path.name: path.read_bytes() for path in out.glob("*.dcm")}
        sent = len(at.pacs.sent)

        done = at.run(out, *words, "--force")

        assert done.returncode == 0, done.stderr
        # what was only looked at is not kept, unless a store path is given
        again = {one.sop_instance_uid for one in at.pacs.sent[sent:]}
        assert again == probed_in(manifest_of(out))
    assert {path.name: path.read_bytes() for path in out.glob("*.dcm")} == before


def test_with_a_store_path_another_plan_moves_only_what_is_new(tmp_path: Path) -> None:
    store = ["--storePath", str(tmp_path / "store")]
    words = ["--patientId", FIRST.patient_id, "--useGet", *store]
    with clinic() as at:
        assert at.run(tmp_path / "one", *words, "--planId", "PLAN_1").returncode == 0

        done = at.run(tmp_path / "two", *words, "--planId", "PLAN_2")

        assert done.returncode == 0, done.stderr
        assert uids_in(tmp_path / "two") == FIRST.closure("PLAN_2")
        assert max(at.pacs.times_sent.values()) == 1
        wanted = FIRST.closure("PLAN_1") | FIRST.closure("PLAN_2")
        assert set(at.pacs.times_sent) == wanted | probed_in(manifest_of(tmp_path / "one"))


def test_a_partial_end_says_what_is_missing_and_the_next_run_moves_only_that(
    tmp_path: Path,
) -> None:
    lost = image_of(FIRST, "PLAN_1")
    out = tmp_path / "out"
    words = ["--patientId", FIRST.patient_id, "--planId", "PLAN_1", "--useGet"]
    with clinic(Faults(unretrievable=frozenset({lost}))) as at:
        done = at.run(out, *words)

    assert done.returncode == 1
    assert uids_in(out) == FIRST.closure("PLAN_1") - {lost}
    manifest = manifest_of(out)
    (missing,) = manifest["missing"]
    assert manifest["state"] == "partial"
    assert missing["uid"] == lost
    assert missing["reason"]
    assert "NOT COMPLETE: 1 object missing." in done.stdout
    assert lost in done.stdout
    assert "Next: run the same command again" in done.stdout

    with clinic() as at:
        done = at.run(out, *words, "--force")

        assert done.returncode == 0, done.stderr
        assert set(at.pacs.times_sent) == {lost}
    assert uids_in(out) == FIRST.closure("PLAN_1")
    assert not (out / ".dicomtools").exists()


def test_a_pacs_that_does_not_know_us_is_said_with_what_to_set_there(tmp_path: Path) -> None:
    with clinic() as at:
        at.destinations.clear()

        done = at.run(tmp_path / "out", "--patientId", FIRST.patient_id, "--planId", "PLAN_1")

    assert done.returncode == 1
    assert "it must know --callingAet" in done.stdout
    assert "DicomStorage.PortNumber" in done.stdout


def test_an_unknown_label_lists_those_that_exist_and_leaves_no_folder(tmp_path: Path) -> None:
    with clinic() as at:
        words = ["--patientId", FIRST.patient_id, "--planId", "plan_1", "--useGet"]

        done = at.run(tmp_path / "out", *words)

    assert done.returncode == 1
    assert "no plan with the label 'plan_1'" in done.stdout
    assert "  PLAN_1  [APPROVED]" in done.stdout
    assert "  PLAN_2  [UNAPPROVED]" in done.stdout
    assert not (tmp_path / "out").exists()


def test_one_bad_patient_of_a_list_does_not_cost_the_others(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with clinic() as at:
        words = ["--patientId", f"{FIRST.patient_id};NOBODY;{SECOND.patient_id}"]

        done = at.run(out, *words, "--planId", "PLAN_2", "--useGet")

    assert done.returncode == 1
    assert uids_in(out / FIRST.patient_id) == FIRST.closure("PLAN_2")
    assert uids_in(out / SECOND.patient_id) == SECOND.closure("PLAN_2")
    assert not (out / "NOBODY").exists()
    assert done.stdout.rstrip().endswith("2 of 3 patients are complete. Not complete:\n  NOBODY")


def test_a_port_that_is_taken_is_said_with_the_setting_that_changes_it(tmp_path: Path) -> None:
    with clinic() as at, socket.socket() as taken:
        taken.bind(("0.0.0.0", at.listen_port))  # noqa: S104 - what the receiver binds
        taken.listen()

        done = at.run(tmp_path / "out", "--patientId", FIRST.patient_id)

        assert at.pacs.requests == ()
    assert done.returncode == 1
    assert "is in use by another program" in done.stderr
    assert "DicomStorage.PortNumber" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_not_written_into_without_force(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with clinic() as at:
        done = at.run(out, "--patientId", FIRST.patient_id)

        assert at.pacs.requests == ()
    assert done.returncode == 1
    assert "--force" in done.stderr
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_half_an_anonymisation_is_refused_before_anything_is_asked_or_written(
    tmp_path: Path,
) -> None:
    words = ["--newPatientId", "X", "--newPatientName", "Y"]
    with clinic() as at:
        done = at.run(tmp_path / "out", "--patientId", FIRST.patient_id, *words)

        assert at.pacs.requests == ()
    assert done.returncode == 1
    assert "--newPatientId and --newPatientName without --anonymize" in done.stderr
    assert not (tmp_path / "out").exists()


def test_settings_come_from_the_files_of_the_working_directory(tmp_path: Path) -> None:
    with clinic() as at:
        defaults = {
            "hostName": "127.0.0.1",
            "HostPort": at.pacs.port,
            "CallingAet": AET,
            "CalledAet": at.pacs.ae_title,
            "PlanId": "PLAN_1",
            "Path": "exported",
        }
        (tmp_path / "options.json").write_text(
            f"\ufeff// defaults\n{json.dumps({'RetrieveOptions': defaults})[:-1]},}}",
            encoding="utf-8",
        )
        (tmp_path / "appsettings.json").write_text(
            json.dumps({"DicomStorage": {"PortNumber": at.listen_port}})
        )

        done = subprocess.run(
            [sys.executable, "-m", "dicomtools.main", "retrieve", "--patient-id", FIRST.patient_id],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=DEADLINE_S,
            cwd=tmp_path,
        )

    assert done.returncode == 0, done.stderr
    assert uids_in(tmp_path / "exported") == FIRST.closure("PLAN_1")


def test_at_the_lowest_log_level_nothing_of_the_patient_is_logged(tmp_path: Path) -> None:
    (tmp_path / "appsettings.json").write_text('{"Logging": {"LogLevel": {"Default": "Trace"}}}')
    with clinic() as at:
        words = ["--patientId", FIRST.patient_id, "--planId", "PLAN_1"]

        done = at.run(tmp_path / "out", *words, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "instance_stored" in done.stderr
    assert "CANARY" not in done.stderr
    assert "PLAN_1" not in done.stderr


def test_ctrl_c_keeps_what_has_arrived_and_the_next_run_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--patientId", FIRST.patient_id, "--useGet"]
    with clinic(Faults(stall_after=2, stall_s=DEADLINE_S, stall_times=ALWAYS)) as at:
        command = subprocess.Popen(
            at.words(out, *words, "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=tmp_path,
        )
        assert command.stdout is not None
        for line in command.stdout:
            if json.loads(line)["landed"] >= 2:
                break
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=DEADLINE_S)
        assert command.returncode == 1
        arrived = set(at.pacs.times_sent)
    assert len(arrived) >= 2
    assert uids_in(out) == set()

    with clinic() as at:
        done = at.run(out, *words)

        assert done.returncode == 0, done.stderr
        # what the PACS was just sending may not have landed
        assert len(arrived & set(at.pacs.times_sent)) <= 1
    assert uids_in(out) == {i.ref.sop_instance_uid for i in FIRST.instances}


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "another authority")


@contextmanager
def tls_in_front(of: DemoPacs, signer: Authority) -> Iterator[int]:
    """Yield a port on which the PACS is reached over TLS."""
    identity = signer.issue("pacs")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.cert_file, identity.key_file)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1 << 16):
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", of.port)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)

    async def close(server: asyncio.Server) -> None:
        server.close()
        await server.wait_closed()

    with LoopThread() as bridge:
        server = bridge.call(listen(), 30)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            bridge.call(close(server), 30)


def test_over_tls_a_trusted_certificate_is_accepted(tmp_path: Path, authority: Authority) -> None:
    words = ["--patientId", FIRST.patient_id, "--planId", "PLAN_1", "--useGet", "--useTls"]
    with clinic() as at, tls_in_front(at.pacs, authority) as port:
        done = at.run(tmp_path / "out", *words, "--caFile", str(authority.ca_file), port=port)

    assert done.returncode == 0, done.stderr
    assert uids_in(tmp_path / "out") == FIRST.closure("PLAN_1")


def test_over_tls_a_strangers_certificate_is_refused_unless_any_will_do(
    tmp_path: Path, authority: Authority, stranger: Authority
) -> None:
    words = ["--patientId", FIRST.patient_id, "--planId", "PLAN_1", "--useGet", "--useTls"]
    with clinic() as at, tls_in_front(at.pacs, stranger) as port:
        trusting = ["--caFile", str(authority.ca_file)]
        refused = at.run(tmp_path / "out", *words, *trusting, port=port)
        assert at.pacs.requests == ()
        insecure = at.run(tmp_path / "out", *words, "--insecure", port=port)

    assert refused.returncode == 1
    assert "COMPLETE" not in refused.stdout
    assert insecure.returncode == 0, insecure.stderr
    assert "Warning: --insecure" in insecure.stderr


def test_c_move_over_tls_needs_a_certificate_of_its_own(tmp_path: Path) -> None:
    with clinic() as at:
        done = at.run(tmp_path / "out", "--patientId", FIRST.patient_id, "--useTls")

    assert done.returncode == 1
    assert "--certFile and --keyFile" in done.stderr


def test_what_c_move_delivers_to_speaks_tls_with_the_own_certificate(
    tmp_path: Path, authority: Authority, stranger: Authority
) -> None:
    own = authority.issue("receiver")
    (port,) = free_ports(1)
    words = ["--patientId", "P", "--path", str(tmp_path), "--hostName", "h", "--hostPort", "104"]
    words += ["--callingAet", AET, "--calledAet", "PACS", "--listenPort", str(port), "--useTls"]
    words += ["--certFile", str(own.cert_file), "--keyFile", str(own.key_file)]
    values, _ = resolve(RETRIEVE, parse_command_line(RETRIEVE, words), ())
    lander = Lander(DirectoryStore(tmp_path / "store"), lambda stored, calling: None)

    with receiving(retrieve_options(values), lander):
        trusted = Peer("receiver", AET, "localhost", port, tls=ClientTls(authority.ca_file))
        unknown = Peer("receiver", AET, "localhost", port, tls=ClientTls(stranger.ca_file))
        plain = Peer("receiver", AET, "localhost", port, connect_timeout_s=5)

        assert DicomPacs(trusted).echo() > 0
        for refused in (unknown, plain):
            with pytest.raises((PeerRefused, PeerUnavailable)):
                DicomPacs(refused).echo()
