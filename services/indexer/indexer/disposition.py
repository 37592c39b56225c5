"""What becomes of a message that could not be handled: the one table from errors to JetStream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dicomcore.errors import Conflict, DicomToolsError, NotFound, Rejected, Unavailable

_FIRST_DELAY_S = 1.0
_LONGEST_DELAY_S = 60.0
_DOUBLINGS = 6


@dataclass(frozen=True, slots=True)
class Again:
    """Nak: deliver once more after a while."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Dead:
    """Publish on the dead-letter subject, then term."""

    reason: str
    """A fixed sentence and facts, no patient data."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How often a message is tried that fails in one way."""

    attempts: int | None
    """Deliveries before it is dead; None: without end, because the message is not at fault."""


BY_ERROR: Mapping[type[DicomToolsError], Rule] = MappingProxyType(
    {
        # The store, the bus or the index is away. However long that lasts, the object is to be
        # indexed when they are back.
        Unavailable: Rule(attempts=None),
        # Announced after it was durable, so it should be there: a store that lags behind itself
        # gets half a minute, then somebody has removed the object.
        NotFound: Rule(attempts=6),
        Conflict: Rule(attempts=6),
        Rejected: Rule(attempts=1),
    }
)
"""By class; a class without an entry has that of the nearest one above it."""

UNEXPECTED = Rule(attempts=6)
"""A fault of ours: perhaps of this moment only, but it must not stop the queue."""


def rule_for(kind: type[Exception]) -> Rule:
    """Return the rule of an error class."""
    for cls in kind.__mro__:
        if issubclass(cls, DicomToolsError) and cls in BY_ERROR:
            return BY_ERROR[cls]
    return UNEXPECTED


def disposition(error: Exception, attempt: int) -> Again | Dead:
    """Return what to do with a message that raised `error`.

    Parameters
    ----------
    attempt
        Which delivery this was; 1 is the first.
    """
    attempts = rule_for(type(error)).attempts
    if attempts is not None and attempt >= attempts:
        # Only our own errors promise a text without patient data.
        known = isinstance(error, DicomToolsError)
        return Dead(str(error) if known else f"unexpected {type(error).__name__}")
    doublings = min(max(attempt, 1) - 1, _DOUBLINGS)
    return Again(min(_FIRST_DELAY_S * 2**doublings, _LONGEST_DELAY_S))
