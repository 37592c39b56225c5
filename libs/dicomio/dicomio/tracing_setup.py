"""The tracer of a service: OpenTelemetry's if traces are wanted, else one that does nothing."""

from __future__ import annotations

from dicomcore.errors import InvalidRequest
from dicomio.tracing import NO_TRACER, Tracer, TracingOptions


def make_tracer(options: TracingOptions, *, service: str, version: str) -> Tracer:
    """Return a tracer; one that traces nothing unless traces are enabled.

    Raises
    ------
    InvalidRequest
        They are, and OpenTelemetry is not installed.
    """
    if not options.enabled:
        return NO_TRACER
    try:
        from dicomio.tracing_otel import OtelTracer
    except ImportError as exc:
        raise InvalidRequest("traces need the extra 'otel': dicomtools[otel]") from exc
    return OtelTracer.over_otlp(service, version)
