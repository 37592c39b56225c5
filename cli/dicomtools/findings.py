"""What a diagnosis observes, and what it advises."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dicomcore.errors import DicomToolsError


class Outcome(StrEnum):
    """How a check ended."""

    OK = "OK"
    FAILED = "FAILED"
    WARNING = "WARNING"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, what was seen, what to do."""

    check: str
    outcome: Outcome
    observed: str
    advice: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return it as people read it."""
        return [
            f"{self.outcome.value:<8}{self.check}: {self.observed}",
            *(f"        - {line}" for line in self.advice),
        ]


CLIENT_TO_SERVER = (
    "Is the firewall open from this computer to the DICOM system, on the system's own port?"
)
SERVER_TO_CLIENT = (
    "Is the firewall open from the DICOM system to this computer, on the port "
    "DicomStorage.PortNumber? C-MOVE delivers over a connection of its own, in that direction."
)
SAME_PORTS = "Do --hostName and --hostPort name what the DICOM system listens on?"
RUNNING = (
    "Is the DICOM service running? On Eclipse and ARIA: are the DICOM services enabled, started and "
    "listening?"
)
REGISTERED = (
    "Is --callingAet registered in the DICOM system as a trusted application entity, spelt the same, "
    "upper and lower case alike?"
)
CALLED = "Is --calledAet the title of the DICOM system's own application entity?"
DESTINATION = (
    "Is --callingAet registered in the DICOM system as a destination, with this computer's address "
    "and the port DicomStorage.PortNumber?"
)
USE_GET = "--useGet needs no connection back, where the DICOM system has C-GET."
TLS_NAMES = (
    "--caFile names the certificates to trust; the name in the system's certificate must be the one "
    "that --hostName gives."
)
NO_TLS_THERE = "Does the system speak TLS on this port? Without --useTls it must not."
MANY_PLANS = (
    "Eclipse and ARIA may answer C-MOVE for patients with more than 30 plan series with 'Cannot "
    "understand - Unexpected exception during MOVE'. --planId asks for single plans; where that is "
    "refused as well, try another patient to see that the connection works, and send the server's "
    "log to its support."
)


def connection_advice(error: DicomToolsError) -> tuple[str, ...]:
    """Return what usually helps where a connection or association is not had."""
    words = f"{error.sentence} {error.facts.get('reason') or ''}"
    return next(
        (advice for sign, advice in _ADVICE if sign in words),
        (RUNNING, CLIENT_TO_SERVER, REGISTERED, CALLED),
    )


_ADVICE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("calling AE title not recognised", (REGISTERED,)),
    ("called AE title not recognised", (CALLED,)),
    ("rejected the association for the moment", ("The system is busy: try again later.",)),
    ("rejected the association", (REGISTERED, CALLED)),
    ("certificate is not trusted", (TLS_NAMES,)),
    ("TLS", (NO_TLS_THERE, "--certFile and --keyFile, if it asks for a certificate.")),
    ("host name is unknown", ("Is --hostName spelt right? An IP address does without DNS.",)),
    ("refused the connection", (RUNNING, SAME_PORTS)),
    ("did not answer in time", (CLIENT_TO_SERVER, SAME_PORTS)),
    ("closed the connection", (REGISTERED, SAME_PORTS)),
    ("is not DICOM", (SAME_PORTS, "Another service listens on this port, or the port wants TLS.")),
    ("does not offer", ("The service is not enabled for --callingAet in the DICOM system.",)),
    ("accepts no presentation context", ("Is the service enabled for --callingAet there?",)),
)
"""The first whose words occur in the error, from the particular to the general."""
