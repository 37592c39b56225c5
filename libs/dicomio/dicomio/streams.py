"""The streams that events are published into, by name and subject."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stream:
    """A JetStream stream: its name, and what is published into it."""

    name: str
    subjects: tuple[str, ...]
    max_age_s: float | None = None
    """How long events are kept, 0 for ever; None: as the options of the connection say."""
    append_only: bool = False
    """Whether clients can neither delete events nor empty it (set once, when it is made)."""


DICOM = Stream("DICOM", ("dicom.>",))


def audit_stream(retention_s: float) -> Stream:
    """Return the stream of audit events, from which nothing is taken before its time."""
    return Stream("AUDIT", ("audit.>",), max_age_s=retention_s, append_only=True)
