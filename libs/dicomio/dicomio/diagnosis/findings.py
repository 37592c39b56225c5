"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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


NAME = "Host name (DNS)"
TCP = "Network (TCP)"
ECHO = "DICOM connection (C-ECHO)"
FIND = "Queries (C-FIND)"
LISTEN = "Listening port"
TRANSFER = "Transfer of one object"


def not_tried(check: str) -> Finding:
    """Return the finding of a check that what failed before leaves no room for."""
    return Finding(check, Outcome.SKIPPED, "not tried, because of what failed before")
