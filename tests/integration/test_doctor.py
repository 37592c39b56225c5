"""`dicomtools doctor` against systems that work, and that fail in the ways people meet."""

from __future__ import annotations

import copy
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicomcore.errors import PeerRefused, PeerUnavailable
from dicomio.diagnosis.connection import Address, ConnectionChecks
from dicomio.pacs import DicomPacs
from dicomtools.connection import Connection, peer_of
from dicomtools.demo.faults import ALWAYS, Faults
from dicomtools.demo.pacs import DemoPacs
from dicomtools.demo.patients import small_patient
from dicomtools.doctor_checks import DoctorOptions, examine
from dicomtools.findings import ADVICE, Finding, Outcome
from tests import factories
from tests.peers.processes import LOOPBACK, free_ports
from tests.peers.scripted import Line, scripted_peer

PATIENT = small_patient(patient_id="CANARY-DOCTOR")
AET = "TEST_SCU"
CHECKS = ["DNS", "TCP", "C-ECHO", "C-FIND", "Listening", "Transfer"]


def options(
    port: int,
    *,
    host: str = LOOPBACK,
    patient_id: str = PATIENT.patient_id,
    listen_port: int | None = None,
    use_get: bool = False,
    called: str = "DEMO_PACS",
) -> DoctorOptions:
    return DoctorOptions(
        Connection(host, port, AET, called, None),
        patient_id,
        listen_port or free_ports(1)[0],
        use_get,
    )


def outcomes(found: list[Finding]) -> list[Outcome]:
    return [finding.outcome for finding in found]


def said(finding: Finding) -> str:
    return " ".join(finding.lines())


@contextmanager
def clinic(faults: Faults = Faults(), *, listen_port: int = 0, datasets=None) -> Iterator[DemoPacs]:  # noqa: B008
    destinations = {AET: (LOOPBACK, listen_port)} if listen_port else {}
    made = DemoPacs(datasets or PATIENT.datasets, destinations=destinations, faults=faults)
    with made:
        yield made


def test_where_all_is_well_everything_is_ok_and_one_object_arrived() -> None:
    (listen_port,) = free_ports(1)
    with clinic(listen_port=listen_port) as at:
        found = list(examine(options(at.port, listen_port=listen_port)))

        assert outcomes(found) == [Outcome.OK] * len(CHECKS), [said(one) for one in found]
        assert len(at.sent) == 1
    assert all(check in finding.check for check, finding in zip(CHECKS, found, strict=True))
    assert not any(PATIENT.patient_id in said(one) for one in found)


def test_with_get_nothing_listens_and_one_object_arrives() -> None:
    with clinic() as at:
        found = list(examine(options(at.port, use_get=True)))

        assert outcomes(found) == [Outcome.OK] * 5, [said(one) for one in found]
        assert len(at.sent) == 1


def test_without_a_patient_nothing_is_transferred() -> None:
    with clinic() as at:
        found = list(examine(options(at.port, patient_id="")))

        assert outcomes(found) == [Outcome.OK] * 5 + [Outcome.SKIPPED]
        assert not at.sent
    assert "--patientId" in said(found[-1])


def test_an_unknown_host_is_said_and_what_follows_is_not_tried() -> None:
    found = list(examine(options(104, host="nowhere.invalid")))

    assert outcomes(found)[0] is Outcome.FAILED
    assert outcomes(found)[1:4] == [Outcome.SKIPPED] * 3
    assert "Is --hostName spelt right?" in said(found[0])
    assert found[4].outcome is Outcome.OK


def test_a_port_on_which_nobody_listens_points_to_the_service_and_the_port() -> None:
    (port,) = free_ports(1)

    found = list(examine(options(port)))

    assert outcomes(found)[:3] == [Outcome.OK, Outcome.FAILED, Outcome.SKIPPED]
    assert found[1].advice == (ADVICE.running, ADVICE.same_ports)


def test_a_service_that_is_not_dicom_is_recognised() -> None:
    def no_dicom(line: Line) -> None:
        line.read_pdu()
        line.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        line.wait_for_end()

    with scripted_peer(no_dicom) as port:
        at = Address(LOOPBACK, port, AET, "DEMO_PACS", tls=False)
        pacs = DicomPacs(peer_of(options(port).connection))
        found = ConnectionChecks(at, pacs, ADVICE).echo()

    assert found.outcome is Outcome.FAILED
    assert "Another service listens on this port" in said(found)


def test_a_destination_that_the_system_does_not_know_is_said() -> None:
    with clinic() as at:
        found = list(examine(options(at.port)))

    assert found[-1].outcome is Outcome.FAILED
    assert "0xA801" in said(found[-1])
    assert found[-1].advice == (ADVICE.destination,)


def test_a_success_with_nothing_sent_is_a_failure_here() -> None:
    (listen_port,) = free_ports(1)
    faults = Faults(success_with_nothing=ALWAYS)
    with clinic(faults, listen_port=listen_port) as at:
        found = list(examine(options(at.port, listen_port=listen_port)))

    assert found[-1].outcome is Outcome.FAILED
    assert "Success, and nothing arrived" in said(found[-1])
    assert ADVICE.server_to_client in found[-1].advice


def test_a_system_that_delivers_to_another_port_is_pointed_to_the_firewall_and_the_port() -> None:
    listen_port, registered = free_ports(2)
    with clinic(listen_port=registered) as at:
        found = list(examine(options(at.port, listen_port=listen_port)))

    assert found[-1].outcome is Outcome.FAILED
    assert ADVICE.server_to_client in found[-1].advice
    assert ADVICE.use_get in found[-1].advice


def test_a_listening_port_that_is_taken_is_said_and_no_transfer_is_tried() -> None:
    with clinic() as at, socket.create_server((LOOPBACK, 0)) as taken:
        found = list(examine(options(at.port, listen_port=taken.getsockname()[1])))

    assert outcomes(found)[4:] == [Outcome.FAILED, Outcome.SKIPPED]
    assert "is in use by another program" in said(found[4])


def test_a_patient_who_is_not_found_is_a_warning() -> None:
    with clinic() as at:
        found = list(examine(options(at.port, patient_id="NOBODY")))

    assert found[3].outcome is Outcome.WARNING
    assert found[-1].outcome is Outcome.SKIPPED


def test_more_than_thirty_plan_series_come_with_the_manuals_warning() -> None:
    plans = []
    for number in range(31):
        plan = copy.deepcopy(factories.plan(uid=f"2.25.{number + 1}"))
        plan.SeriesInstanceUID = f"2.25.9{number:02d}"
        plans.append(plan)
    with clinic(datasets=plans) as at:
        found = list(examine(options(at.port, patient_id=str(plans[0].PatientID), use_get=True)))

    assert found[3].outcome is Outcome.WARNING
    assert "31 of plans" in said(found[3])
    assert ADVICE.many_plans in found[3].advice


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (PeerRefused("the peer rejected the association", reason="calling AE title not recognised"),
         ADVICE.registered),
        (PeerRefused("the peer rejected the association", reason="called AE title not recognised"),
         ADVICE.called),
        (PeerRefused("TLS: the peer's certificate is not trusted"), ADVICE.tls_names),
        (PeerRefused("TLS: no agreement with the peer"), ADVICE.no_tls_there),
        (PeerUnavailable("the peer refused the connection"), ADVICE.running),
        (PeerUnavailable("the peer did not answer in time"), ADVICE.client_to_server),
        (PeerUnavailable("something new"), ADVICE.running),
    ],
)  # fmt: skip
def test_each_refusal_has_advice_of_its_own(error: Exception, advice: str) -> None:
    assert advice in ADVICE.of_connection(error)  # type: ignore[arg-type]


def test_as_a_command_it_takes_what_retrieve_takes_from_options_json(tmp_path: Path) -> None:
    (listen_port,) = free_ports(1)
    with clinic(listen_port=listen_port) as at:
        (tmp_path / "options.json").write_text(
            f'{{"RetrieveOptions": {{"HostName": "localhost", "HostPort": {at.port}, '
            f'"CallingAet": "{AET}", "CalledAet": "{at.ae_title}", "ShowTree": true}}}}'
        )
        (tmp_path / "appsettings.json").write_text(
            f'{{"DicomStorage": {{"PortNumber": {listen_port}}}}}'
        )
        command = [sys.executable, "-m", "dicomtools.main", "doctor"]
        done = subprocess.run(
            [*command, "--patientId", PATIENT.patient_id],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        wrong = subprocess.run(
            [*command, "--hostName", "nowhere.invalid"],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "Nothing failed."
    assert wrong.returncode == 1
    assert wrong.stdout.splitlines()[-1] == "1 of the checks failed."
    assert done.stderr == wrong.stderr == ""
