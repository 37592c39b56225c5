"""The checks of `dicomtools doctor`, one after another; what cannot be tried any more is skipped."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dicomcore.errors import DicomToolsError, NotFound
from dicomcore.ports import Pacs, QueryLevel, SubOperations, TransferOutcome, TransferRequest
from dicomcore.received import Received, StoredInstance
from dicomcore.uids import InstanceUID, SeriesUID, StudyUID
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Lander
from dicomio.pacs import DicomPacs
from dicomtools import findings
from dicomtools.connection import Connection, TlsFiles, peer_of
from dicomtools.findings import Finding, Outcome
from dicomtools.problems import CommandProblem
from dicomtools.receiver import receiving
from qr_gateway.receiving import receiver

CONNECT_TIMEOUT_S = 10.0
ARRIVAL_TIMEOUT_S = 5.0
"""After the final response, for an object that comes over a slower way than the response."""
MANY_PLAN_SERIES = 30
NOBODY = "DICOMTOOLS-DOCTOR"
"""A patient ID that no query finds: what counts is that it is answered."""
_SMALL_FIRST = ("RTPLAN", "RTSTRUCT", "RTRECORD", "REG")


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
    yield from _Examination(options).findings()


class _Examination:
    def __init__(self, options: DoctorOptions) -> None:
        self._options = options
        self._at = options.connection
        self._pacs: Pacs = DicomPacs(peer_of(options.connection))
        self._small: tuple[str, str, str] | None = None
        """Study, Series and SOP Instance UID of an object to try with."""

    def findings(self) -> Iterator[Finding]:
        alive = True
        for check in (self._name, self._tcp, self._echo, self._find):
            finding = check() if alive else self._not_tried(check)
            alive = alive and finding.outcome is not Outcome.FAILED
            yield finding
        if not self._options.use_get:
            listening = self._listen()
            yield listening
            alive = alive and listening.outcome is Outcome.OK
        yield self._transfer() if alive else self._not_tried(self._transfer)

    def _not_tried(self, check: Callable[[], Finding]) -> Finding:
        name = _NAMES[check.__name__]
        return Finding(name, Outcome.SKIPPED, "not tried, because of what failed before")

    # ── network ─────────────────────────────────────────────────────────────────────────────

    def _name(self) -> Finding:
        name = _NAMES["_name"]
        try:
            found = socket.getaddrinfo(self._at.host, self._at.port, type=socket.SOCK_STREAM)
        except OSError as exc:
            return Finding(
                name,
                Outcome.FAILED,
                f"{self._at.host} is not known ({exc.strerror or exc})",
                ("Is --hostName spelt right? An IP address does without DNS.",),
            )
        addresses = dict.fromkeys(str(address[4][0]) for address in found)
        return Finding(name, Outcome.OK, f"{self._at.host} is {', '.join(addresses)}")

    def _tcp(self) -> Finding:
        name = _NAMES["_tcp"]
        address = f"{self._at.host}:{self._at.port}"
        try:
            # a connection without a word keeps some systems waiting for half a minute: it is
            # made only where C-ECHO failed, to tell why
            if self._echo_finding.outcome is not Outcome.OK:
                with socket.create_connection((self._at.host, self._at.port), CONNECT_TIMEOUT_S):
                    pass
        except ConnectionRefusedError:
            observed = (
                f"{address} refused it: that computer is there and nothing listens on the port"
            )
            return Finding(name, Outcome.FAILED, observed, (findings.RUNNING, findings.SAME_PORTS))
        except TimeoutError:
            observed = f"{address} did not answer within {CONNECT_TIMEOUT_S:.0f} s"
            advice = (findings.CLIENT_TO_SERVER, findings.SAME_PORTS)
            return Finding(name, Outcome.FAILED, observed, advice)
        except OSError as exc:
            observed = f"{address} is not reached ({exc.strerror or exc})"
            advice = (
                "Is this computer in the network that leads there?",
                findings.CLIENT_TO_SERVER,
            )
            return Finding(name, Outcome.FAILED, observed, advice)
        return Finding(name, Outcome.OK, f"{address} takes connections")

    # ── DICOM ───────────────────────────────────────────────────────────────────────────────

    def _echo(self) -> Finding:
        return self._echo_finding

    @cached_property
    def _echo_finding(self) -> Finding:
        name = _NAMES["_echo"]
        try:
            seconds = self._pacs.echo()
        except DicomToolsError as exc:
            return _failed(name, exc)
        titles = f"{self._at.calling_ae_title} is answered by {self._at.called_ae_title}"
        tls = ", over TLS" if self._at.tls is not None else ""
        return Finding(name, Outcome.OK, f"{titles}{tls} in {1000 * seconds:.0f} ms")

    def _find(self) -> Finding:
        name, started = _NAMES["_find"], time.monotonic()
        wanted = self._options.patient_id
        try:
            studies = self._studies(wanted or NOBODY)
            series = [one for study in studies for one in self._series(study)]
            self._small = self._object_in(series)
        except DicomToolsError as exc:
            return _failed(name, exc)
        if not wanted:
            return Finding(name, Outcome.OK, f"queries are answered {_since(started)}")
        if not studies:
            advice = ("Is the patient ID exact, upper and lower case alike?",)
            return Finding(name, Outcome.WARNING, "the patient is not found", advice)
        plans = sum(modality == "RTPLAN" for *_, modality in series)
        observed = f"{len(studies)} studies, {len(series)} series, {plans} of plans"
        if plans > MANY_PLAN_SERIES:
            return Finding(name, Outcome.WARNING, observed, (findings.MANY_PLANS,))
        return Finding(name, Outcome.OK, observed)

    def _studies(self, patient_id: str) -> list[str]:
        keys = {"PatientID": patient_id, "StudyInstanceUID": ""}
        found = self._pacs.find(QueryLevel.STUDY, keys)
        # some systems ignore keys: what is not the patient's is nothing to us
        return [
            str(one.StudyInstanceUID)
            for one in found
            if "StudyInstanceUID" in one and str(one.get("PatientID", patient_id)) == patient_id
        ]

    def _series(self, study: str) -> list[tuple[str, str, str]]:
        keys = {"StudyInstanceUID": study, "SeriesInstanceUID": "", "Modality": ""}
        found = self._pacs.find(QueryLevel.SERIES, keys)
        return [
            (study, str(one.SeriesInstanceUID), str(one.get("Modality", "")))
            for one in found
            if "SeriesInstanceUID" in one and str(one.get("StudyInstanceUID", study)) == study
        ]

    def _object_in(self, series: list[tuple[str, str, str]]) -> tuple[str, str, str] | None:
        """Return one object that is small, if the patient has one: plans before images."""
        rank: Mapping[str, int] = {modality: n for n, modality in enumerate(_SMALL_FIRST)}
        for study, uid, _ in sorted(series, key=lambda one: rank.get(one[2], len(rank)))[:3]:
            keys = {"StudyInstanceUID": study, "SeriesInstanceUID": uid, "SOPInstanceUID": ""}
            for one in self._pacs.find(QueryLevel.IMAGE, keys):
                if "SOPInstanceUID" in one:
                    return study, uid, str(one.SOPInstanceUID)
        return None

    # ── the way back ────────────────────────────────────────────────────────────────────────

    def _listen(self) -> Finding:
        name, port = _NAMES["_listen"], self._options.listen_port
        try:
            with receiving(self._options, _Nowhere()):  # type: ignore[arg-type] # takes nothing
                return Finding(name, Outcome.OK, f"this computer can listen on port {port}")
        except CommandProblem as exc:
            return Finding(name, Outcome.FAILED, exc.words)
        except DicomToolsError as exc:
            return Finding(name, Outcome.FAILED, str(exc))

    def _transfer(self) -> Finding:
        name = _NAMES["_transfer"]
        if not self._options.patient_id:
            advice = ("--patientId of some patient tries it with one small object.",)
            return Finding(name, Outcome.SKIPPED, "not tried without a patient", advice)
        if self._small is None:
            return Finding(name, Outcome.SKIPPED, "the patient has no object that is listed")
        with tempfile.TemporaryDirectory(prefix="dicomtools-doctor-") as folder:
            store = DirectoryStore(Path(folder))
            try:
                return self._get(store) if self._options.use_get else self._move(store)
            except CommandProblem as exc:
                return Finding(name, Outcome.FAILED, exc.words)
            except DicomToolsError as exc:
                return _failed(name, exc)
            finally:
                store.close()

    def _move(self, store: DirectoryStore) -> Finding:
        arrived: list[StoredInstance] = []
        lander = Lander(store, lambda stored, _: arrived.append(stored))
        with receiving(self._options, lander):
            outcome = self._pacs.move(
                self._request(),
                destination=self._at.calling_ae_title,
                progress=_nothing,
                cancelled=lambda: False,
            )
            end = time.monotonic() + ARRIVAL_TIMEOUT_S
            while outcome.status == 0 and not arrived and time.monotonic() < end:
                time.sleep(0.05)
        return _moved(outcome, arrived=bool(arrived))

    def _get(self, store: DirectoryStore) -> Finding:
        arrived: list[StoredInstance] = []
        lander = Lander(store, lambda stored, _: arrived.append(stored))

        outcome = self._pacs.get(
            self._request(),
            sop_class_uids=self._classes(),
            receive=receiver(lander),
            progress=_nothing,
            cancelled=lambda: False,
        )
        name = _NAMES["_transfer"]
        if arrived:
            return Finding(name, Outcome.OK, "C-GET brought one object over the same connection")
        observed = f"C-GET was answered 0x{outcome.status:04X} and brought nothing"
        return Finding(name, Outcome.FAILED, observed, ("Without --useGet, C-MOVE is used.",))

    def _classes(self) -> list[str]:
        study, series, uid = self._chosen()
        keys = {
            "StudyInstanceUID": study,
            "SeriesInstanceUID": series,
            "SOPInstanceUID": uid,
            "SOPClassUID": "",
        }
        found = self._pacs.find(QueryLevel.IMAGE, keys)
        classes = {str(one.SOPClassUID) for one in found if one.get("SOPClassUID")}
        if not classes:
            raise NotFound("the DICOM system does not tell the object's SOP class")
        return sorted(classes)

    def _chosen(self) -> tuple[str, str, str]:
        if self._small is None:
            raise NotFound("the patient has no object that is listed")
        return self._small

    def _request(self) -> TransferRequest:
        study, series, uid = self._chosen()
        return TransferRequest(
            QueryLevel.IMAGE,
            self._options.patient_id,
            StudyUID(study),
            SeriesUID(series),
            (InstanceUID(uid),),
        )


class _Nowhere:
    """A lander for a receiver to which nobody delivers."""

    def land(self, received: Received) -> StoredInstance:
        raise NotFound("nothing is expected", size_bytes=len(received.data))


_NAMES = {
    "_name": "Host name (DNS)",
    "_tcp": "Network (TCP)",
    "_echo": "DICOM connection (C-ECHO)",
    "_find": "Queries (C-FIND)",
    "_listen": "Listening port",
    "_transfer": "Transfer of one object",
}
_UNKNOWN_DESTINATION = 0xA801


def _moved(outcome: TransferOutcome, *, arrived: bool) -> Finding:
    name, answered = _NAMES["_transfer"], f"C-MOVE was answered 0x{outcome.status:04X}"
    if arrived:
        return Finding(name, Outcome.OK, "C-MOVE delivered one object: the system reaches us")
    if outcome.status == _UNKNOWN_DESTINATION:
        observed = f"{answered}: the system does not know where --callingAet is"
        return Finding(name, Outcome.FAILED, observed, (findings.DESTINATION,))
    if outcome.status == 0:
        observed = (
            f"{answered} Success, and nothing arrived: it was sent somewhere else, or nowhere"
        )
        advice = (findings.DESTINATION, findings.SERVER_TO_CLIENT, findings.USE_GET)
        return Finding(name, Outcome.FAILED, observed, advice)
    comment = f" ({outcome.comment})" if outcome.comment.isprintable() and outcome.comment else ""
    advice = (findings.SERVER_TO_CLIENT, findings.DESTINATION, findings.USE_GET)
    return Finding(name, Outcome.FAILED, f"{answered}{comment}, and nothing arrived", advice)


def _failed(name: str, error: DicomToolsError) -> Finding:
    reason = error.facts.get("reason") or error.facts.get("status")
    observed = f"{error.sentence} ({reason})" if reason else error.sentence
    return Finding(name, Outcome.FAILED, observed, findings.connection_advice(error))


def _since(started: float) -> str:
    return f"in {1000 * (time.monotonic() - started):.0f} ms"


def _nothing(progress: SubOperations) -> None:
    del progress
