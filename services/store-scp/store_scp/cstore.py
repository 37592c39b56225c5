"""One C-STORE request: land what came, and answer with a status from the table."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from dicomcore.dimse import CANNOT_UNDERSTAND, SUCCESS, status_of
from dicomcore.errors import DicomToolsError, Unavailable
from dicomcore.received import Received, StoredInstance
from dicomio.tracing import NO_TRACER, Kind, Tracer
from store_scp.metrics import ScpMetrics
from store_scp.tally import Tally

log = structlog.get_logger()

Land = Callable[[Received], StoredInstance]
"""The data set is the caller's again when it returns."""
COMMENT_LENGTH = 64
"""Of Error Comment (0000,0902), LO."""


class StoreHandler:
    """Handles C-STORE requests, each in its association's thread."""

    def __init__(self, land: Land, metrics: ScpMetrics, tracer: Tracer = NO_TRACER) -> None:
        self._land = land
        self._metrics = metrics
        self._tracer = tracer

    def __call__(self, received: Callable[[], Received], tally: Tally) -> tuple[int, str]:
        """Return the response's status, and a comment if it is not Success.

        The comment is a fixed sentence of ours, without facts of the instance.
        """
        with self._tracer.span("C-STORE", kind=Kind.SERVER) as span:
            status, comment = self._handled(received, tally)
            span.note({"dicom.status": f"0x{status:04X}"})
        tally.answered(status)
        return status, comment

    def _handled(self, received: Callable[[], Received], tally: Tally) -> tuple[int, str]:
        started = time.perf_counter()
        try:
            stored = self._land(received())
            status, comment = SUCCESS, ""
            tally.stored(stored)
            self._metrics.received_bytes.inc(stored.size_bytes)
            self._metrics.duplicates.inc(not stored.created)
            # the association's line sums these up: one for each costs as much as walking its data set
            log.debug("instance_stored", object_key=str(stored.key), created=stored.created)
        except DicomToolsError as exc:
            status, comment = status_of(exc), exc.sentence[:COMMENT_LENGTH]
            write = log.error if isinstance(exc, Unavailable) else log.warning
            write("instance_refused", status=f"0x{status:04X}", reason=exc.sentence, **exc.facts)
        except Exception:  # the edge: whatever it is, the peer keeps its instance and is told so
            status, comment = CANNOT_UNDERSTAND, "internal error"
            log.exception("instance_refused", status=f"0x{status:04X}")
        self._metrics.instances.labels(f"0x{status:04X}").inc()
        self._metrics.landing_seconds.observe(time.perf_counter() - started)
        return status, comment
