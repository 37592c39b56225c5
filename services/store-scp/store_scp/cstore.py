"""One C-STORE request: land what came, and answer with a status from the table."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from typing import cast

import structlog
from pydicom import Dataset
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from dicomcore.dimse import CANNOT_UNDERSTAND, SUCCESS, status_of
from dicomcore.errors import DicomToolsError, Unavailable
from dicomcore.received import Received, StoredInstance
from store_scp.metrics import ScpMetrics

log = structlog.get_logger()

Land = Callable[[Received], StoredInstance]
_COMMENT_LENGTH = 64


class StoreHandler:
    """Handles EVT_C_STORE, in the association's thread."""

    def __init__(self, land: Land, metrics: ScpMetrics) -> None:
        self._land = land
        self._metrics = metrics

    def __call__(self, event: Event) -> Dataset:
        """Return the response's status, and a comment if it is not Success."""
        started = time.perf_counter()
        try:
            stored = self._land(received(event))
            status, comment = SUCCESS, ""
            self._metrics.received_bytes.inc(stored.size_bytes)
            self._metrics.duplicates.inc(not stored.created)
            log.info(
                "instance_stored",
                object_key=str(stored.key),
                size_bytes=stored.size_bytes,
                created=stored.created,
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
            )
        except DicomToolsError as exc:
            status, comment = status_of(exc), exc.sentence
            write = log.error if isinstance(exc, Unavailable) else log.warning
            write("instance_refused", status=f"0x{status:04X}", reason=exc.sentence, **exc.facts)
        except Exception:  # the edge: whatever it is, the peer keeps its instance and is told so
            status, comment = CANNOT_UNDERSTAND, "internal error"
            log.exception("instance_refused", status=f"0x{status:04X}")
        self._metrics.instances.labels(f"0x{status:04X}").inc()
        self._metrics.landing_seconds.observe(time.perf_counter() - started)
        return _response(status, comment)


def received(event: Event) -> Received:
    """Return the request as it came; the data set is not copied."""
    request = cast(C_STORE, event.request)
    data = cast(BytesIO, request.DataSet)
    return Received(
        sop_class_uid=str(request.AffectedSOPClassUID),
        sop_instance_uid=str(request.AffectedSOPInstanceUID),
        transfer_syntax_uid=str(event.context.transfer_syntax),
        data=data.getbuffer(),
        calling_ae_title=event.assoc.requestor.ae_title,
    )


def _response(status: int, comment: str) -> Dataset:
    response = Dataset()
    response.Status = status
    if comment:
        # Error Comment (0000,0902), LO: a fixed sentence of ours, no facts of the instance
        response.ErrorComment = comment[:_COMMENT_LENGTH]
    return response
