"""The checks of `dicomtools doctor`, one after another; what cannot be tried any more is skipped."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dicomcore.errors import DicomToolsError, NotFound
from dicomcore.ports import Pacs
from dicomcore.received import Received, StoredInstance
from dicomio.diagnosis.connection import Address, ConnectionChecks
from dicomio.diagnosis.findings import ECHO, FIND, LISTEN, NAME, TCP, TRANSFER, not_tried
from dicomio.diagnosis.transfer import NO_OBJECT, got, moved, unwatched
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Lander
from dicomio.pacs import DicomPacs
from dicomtools.connection import Connection, TlsFiles, peer_of
from dicomtools.findings import ADVICE, Finding, Outcome
from dicomtools.problems import CommandProblem
from dicomtools.receiver import receiving
from qr_gateway.receiving import receiver

ARRIVAL_TIMEOUT_S = 5.0
"""After the final response, for an object that comes over a slower way than the response."""


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """What is examined."""

    connection: Connection
    patient_id: str
    """Of whom one small object is moved; empty: nobody."""
    listen_port: int
    use_get: bool

    @property
    def calling_ae_title(self) -> str:
        """AE title of this computer."""
        return self.connection.calling_ae_title

    @property
    def tls(self) -> TlsFiles | None:
        """How connections are secured."""
        return self.connection.tls


def examine(options: DoctorOptions) -> Iterator[Finding]:
    """Yield the findings, each as soon as it is known."""
    at = options.connection
    pacs: Pacs = DicomPacs(peer_of(at))
    address = Address(
        at.host, at.port, at.calling_ae_title, at.called_ae_title, tls=at.tls is not None
    )
    checks = ConnectionChecks(address, pacs, ADVICE, options.patient_id)
    alive = True
    for name, check in (
        (NAME, checks.name),
        (TCP, checks.tcp),
        (ECHO, checks.echo),
        (FIND, checks.find),
    ):
        finding = check() if alive else not_tried(name)
        alive = alive and finding.outcome is not Outcome.FAILED
        yield finding
    if not options.use_get:
        listening = _listen(options)
        yield listening
        alive = alive and listening.outcome is Outcome.OK
    yield _transfer(options, checks, pacs) if alive else not_tried(TRANSFER)


def _listen(options: DoctorOptions) -> Finding:
    try:
        with receiving(options, _Nowhere()):  # type: ignore[arg-type] # takes nothing
            observed = f"this computer can listen on port {options.listen_port}"
            return Finding(LISTEN, Outcome.OK, observed)
    except CommandProblem as exc:
        return Finding(LISTEN, Outcome.FAILED, exc.words)
    except DicomToolsError as exc:
        return Finding(LISTEN, Outcome.FAILED, str(exc))


def _transfer(options: DoctorOptions, checks: ConnectionChecks, pacs: Pacs) -> Finding:
    if not options.patient_id:
        advice = ("--patientId of some patient tries it with one small object.",)
        return Finding(TRANSFER, Outcome.SKIPPED, "not tried without a patient", advice)
    if not checks.found_object:
        return NO_OBJECT
    with tempfile.TemporaryDirectory(prefix="dicomtools-doctor-") as folder:
        store = DirectoryStore(Path(folder))
        arrived: list[StoredInstance] = []
        lander = Lander(store, lambda stored, _: arrived.append(stored))
        try:
            if options.use_get:
                return _get(checks, pacs, lander, arrived)
            return _move(options, checks, pacs, lander, arrived)
        except CommandProblem as exc:
            return Finding(TRANSFER, Outcome.FAILED, exc.words)
        except DicomToolsError as exc:
            return checks.failed(TRANSFER, exc)
        finally:
            store.close()


def _move(
    options: DoctorOptions,
    checks: ConnectionChecks,
    pacs: Pacs,
    lander: Lander,
    arrived: list[StoredInstance],
) -> Finding:
    with receiving(options, lander):
        outcome = pacs.move(
            checks.request(),
            destination=options.calling_ae_title,
            progress=unwatched,
            cancelled=lambda: False,
        )
        end = time.monotonic() + ARRIVAL_TIMEOUT_S
        while outcome.status == 0 and not arrived and time.monotonic() < end:
            time.sleep(0.05)
    return moved(outcome, arrived=bool(arrived), advice=ADVICE)


def _get(
    checks: ConnectionChecks, pacs: Pacs, lander: Lander, arrived: list[StoredInstance]
) -> Finding:
    outcome = pacs.get(
        checks.request(),
        sop_class_uids=checks.classes(),
        receive=receiver(lander),
        progress=unwatched,
        cancelled=lambda: False,
    )
    return got(outcome, arrived=bool(arrived), otherwise="Without --useGet, C-MOVE is used.")


class _Nowhere:
    """A lander for a receiver to which nobody delivers."""

    def land(self, received: Received) -> StoredInstance:
        raise NotFound("nothing is expected", size_bytes=len(received.data))
