"""Checks of the way to a DICOM system: its name, the network, C-ECHO, C-FIND."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from dicomcore.errors import DicomToolsError, NotFound
from dicomcore.ports import Pacs, QueryLevel, TransferRequest
from dicomcore.uids import InstanceUID, SeriesUID, StudyUID, parse_uid
from dicomio.diagnosis.advice import Advice
from dicomio.diagnosis.findings import ECHO, FIND, NAME, TCP, Finding, Outcome

CONNECT_TIMEOUT_S = 10.0
MANY_PLAN_SERIES = 30
NOBODY = "DICOMTOOLS-DOCTOR"
"""A patient ID that no query finds: what counts is that it is answered."""
_SMALL_FIRST = ("RTPLAN", "RTSTRUCT", "RTRECORD", "REG")


@dataclass(frozen=True, slots=True)
class Address:
    """Who is examined, and by whom."""

    host: str
    port: int
    calling_ae_title: str
    called_ae_title: str
    tls: bool


class ConnectionChecks:
    """The checks of one system; each method is one of them, and may block for a while.

    Parameters
    ----------
    patient_id
        Whose data are looked for; empty: nobody's.
    """

    def __init__(self, at: Address, pacs: Pacs, advice: Advice, patient_id: str = "") -> None:
        self._at = at
        self._pacs = pacs
        self._advice = advice
        self._patient_id = patient_id
        self._small: tuple[str, str, str] | None = None

    @property
    def found_object(self) -> bool:
        """Whether `find` has seen an object of the patient's to try a transfer with."""
        return self._small is not None

    def name(self) -> Finding:
        """Look up the host's name."""
        try:
            found = socket.getaddrinfo(self._at.host, self._at.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            reason = getattr(exc, "strerror", None) or exc
            observed = f"{self._at.host} is not known ({reason})"
            return Finding(NAME, Outcome.FAILED, observed, (self._advice.spelling,))
        addresses = dict.fromkeys(str(address[4][0]) for address in found)
        return Finding(NAME, Outcome.OK, f"{self._at.host} is {', '.join(addresses)}")

    def tcp(self) -> Finding:
        """Connect."""
        advice, address = self._advice, f"{self._at.host}:{self._at.port}"
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
            return Finding(TCP, Outcome.FAILED, observed, (advice.running, advice.same_ports))
        except TimeoutError:
            observed = f"{address} did not answer within {CONNECT_TIMEOUT_S:.0f} s"
            tips = (advice.client_to_server, advice.same_ports)
            return Finding(TCP, Outcome.FAILED, observed, tips)
        except OSError as exc:
            observed = f"{address} is not reached ({exc.strerror or exc})"
            tips = (advice.network, advice.client_to_server)
            return Finding(TCP, Outcome.FAILED, observed, tips)
        return Finding(TCP, Outcome.OK, f"{address} takes connections")

    def echo(self) -> Finding:
        """Send C-ECHO; once, however often this is called."""
        return self._echo_finding

    def find(self) -> Finding:
        """Send C-FIND: for the patient, or for nobody, to see that it is answered."""
        started, wanted = time.monotonic(), self._patient_id
        try:
            studies = self._studies(wanted or NOBODY)
            series = [one for study in studies for one in self._series(study)]
            self._small = self._object_in(series)
        except DicomToolsError as exc:
            return self.failed(FIND, exc)
        if not wanted:
            took = f"in {1000 * (time.monotonic() - started):.0f} ms"
            return Finding(FIND, Outcome.OK, f"queries are answered {took}")
        if not studies:
            tips = ("Is the patient ID exact, upper and lower case alike?",)
            return Finding(FIND, Outcome.WARNING, "the patient is not found", tips)
        plans = sum(modality == "RTPLAN" for *_, modality in series)
        observed = f"{len(studies)} studies, {len(series)} series, {plans} of plans"
        if plans > MANY_PLAN_SERIES:
            return Finding(FIND, Outcome.WARNING, observed, (self._advice.many_plans,))
        return Finding(FIND, Outcome.OK, observed)

    def failed(self, check: str, error: DicomToolsError) -> Finding:
        """Return the finding of a check that ended with an error of ours."""
        reason = error.facts.get("reason") or error.facts.get("status")
        observed = f"{error.sentence} ({reason})" if reason else error.sentence
        return Finding(check, Outcome.FAILED, observed, self._advice.of_connection(error))

    def request(self) -> TransferRequest:
        """Return what asks for the object that `find` has seen.

        Raises
        ------
        NotFound
            There is none.
        InvalidUid
            The system told UIDs that are none.
        """
        study, series, uid = self._chosen()
        return TransferRequest(
            QueryLevel.IMAGE,
            self._patient_id,
            StudyUID(parse_uid(study)),
            SeriesUID(parse_uid(series)),
            (InstanceUID(parse_uid(uid)),),
        )

    def classes(self) -> list[str]:
        """Return the SOP class of that object, as C-GET has to know it.

        Raises
        ------
        NotFound
            The system does not tell.
        PeerRefused, PeerUnavailable
        """
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

    @cached_property
    def _echo_finding(self) -> Finding:
        try:
            seconds = self._pacs.echo()
        except DicomToolsError as exc:
            return self.failed(ECHO, exc)
        titles = f"{self._at.calling_ae_title} is answered by {self._at.called_ae_title}"
        tls = ", over TLS" if self._at.tls else ""
        return Finding(ECHO, Outcome.OK, f"{titles}{tls} in {1000 * seconds:.0f} ms")

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

    def _chosen(self) -> tuple[str, str, str]:
        if self._small is None:
            raise NotFound("the patient has no object that is listed")
        return self._small
