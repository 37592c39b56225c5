"""Traces, if somebody wants them: spans with facts of ours, never with what a peer or caller sent.

Off unless an OTLP endpoint is configured; then OpenTelemetry (the extra `otel`) does the work, in
`dicomio.tracing_otel`. A trace goes on where an event is consumed: the W3C `traceparent` travels in
the CloudEvent and in a NATS header.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from dicomcore.errors import Fact

CURRENT: ContextVar[str] = ContextVar("traceparent", default="")
"""Of the innermost span; empty where there is none."""


class Kind(Enum):
    """What a span is to others (OpenTelemetry SpanKind)."""

    INTERNAL = "internal"
    SERVER = "server"
    CONSUMER = "consumer"


class Span(Protocol):
    """Something that takes time."""

    def note(self, facts: Mapping[str, Fact]) -> None:
        """Add facts; what may be patient data is left out."""
        ...


class Tracer(Protocol):
    """Makes spans, from any thread or task."""

    def span(
        self,
        name: str,
        *,
        kind: Kind = Kind.INTERNAL,
        parent: str = "",
        facts: Mapping[str, Fact] | None = None,
    ) -> AbstractContextManager[Span]:
        """Return a span that lasts as long as its block.

        Parameters
        ----------
        name
            A constant, or made of constants.
        parent
            A `traceparent` (W3C Trace Context 3.2) from elsewhere; empty: the span around this one.
        facts
            By OpenTelemetry's names.
        """
        ...

    def close(self) -> None:
        """Send what waits, for a few seconds."""
        ...


class NoTracer:
    """Traces nothing, at no cost."""

    @contextmanager
    def span(
        self,
        name: str,
        *,
        kind: Kind = Kind.INTERNAL,
        parent: str = "",
        facts: Mapping[str, Fact] | None = None,
    ) -> Iterator[Span]:
        """Yield a span that keeps nothing."""
        del name, kind, parent, facts
        yield _NO_SPAN

    def close(self) -> None:
        """Do nothing."""


class _NoSpan:
    def note(self, facts: Mapping[str, Fact]) -> None:
        del facts


_NO_SPAN = _NoSpan()
NO_TRACER = NoTracer()


@dataclass(frozen=True, slots=True)
class TracingOptions:
    """Whether there are traces; where they go is said by OpenTelemetry's own variables."""

    enabled: bool = False


def current_traceparent() -> str:
    """Return what an event is given to carry on; empty where there is no trace."""
    return CURRENT.get()
