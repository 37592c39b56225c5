"""Tracer on OpenTelemetry, sent by OTLP over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dicomcore.errors import Fact
from dicomio.tracing import CURRENT, Kind, Span
from dicomio.withhold import WITHHELD, safe_facts

_CLOSE_MS = 5000
_KINDS: Mapping[Kind, SpanKind] = MappingProxyType(
    {
        Kind.INTERNAL: SpanKind.INTERNAL,
        Kind.SERVER: SpanKind.SERVER,
        Kind.CONSUMER: SpanKind.CONSUMER,
    }
)
_PROPAGATOR = TraceContextTextMapPropagator()
_HEADER = "traceparent"


class OtelTracer:
    """Makes spans of OpenTelemetry; what samples and exports them is `processor`'s business."""

    def __init__(self, service: str, version: str, processor: SpanProcessor) -> None:
        # a provider of our own: what other code in this process traces is none of our business
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service, "service.version": version}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("dicomtools", version)

    @classmethod
    def over_otlp(cls, service: str, version: str) -> OtelTracer:
        """Return a tracer that sends where `OTEL_EXPORTER_OTLP_…` says, from a thread of its own."""
        return cls(service, version, BatchSpanProcessor(OTLPSpanExporter()))

    @contextmanager
    def span(
        self,
        name: str,
        *,
        kind: Kind = Kind.INTERNAL,
        parent: str = "",
        facts: Mapping[str, Fact] | None = None,
    ) -> Iterator[Span]:
        """Yield a span; an exception that leaves it is named by its type, its text stays here."""
        around = _PROPAGATOR.extract({_HEADER: parent or CURRENT.get()}, context=Context())
        span = self._tracer.start_span(name, context=around, kind=_KINDS[kind])
        noted = _Noted(span)
        noted.note(facts or {})
        before = CURRENT.set(_traceparent(span))
        try:
            yield noted
        except BaseException as exc:
            span.set_attribute("error.type", type(exc).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            CURRENT.reset(before)
            span.end()

    def close(self) -> None:
        """Send what waits, and end the thread."""
        self._provider.force_flush(_CLOSE_MS)
        self._provider.shutdown()


class _Noted:
    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    def note(self, facts: Mapping[str, Fact]) -> None:
        for name, value in safe_facts(facts).items():
            if isinstance(value, str) and value.startswith(WITHHELD):
                continue
            if isinstance(value, str | bool | int | float):
                self._span.set_attribute(name, value)


def _traceparent(span: OtelSpan) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
