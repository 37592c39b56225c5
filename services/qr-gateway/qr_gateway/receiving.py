"""What answers the C-STORE sub-operations of C-GET: the instance lands, the table gives the status."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from dicomcore.dimse import SUCCESS, status_of
from dicomcore.errors import DicomToolsError
from dicomcore.received import Received
from dicomio.landing import Lander

log = structlog.get_logger(__name__)


def receiver(lander: Lander) -> Callable[[Received], int]:
    """Return a receiver for C-GET; Success is answered only when the instance has landed."""

    def receive(received: Received) -> int:
        try:
            lander.land(received)
        except DicomToolsError as exc:
            status = status_of(exc)
            log.warning("instance_refused", problem=exc.sentence, status=f"0x{status:04X}")
            return status
        return SUCCESS

    return receive
