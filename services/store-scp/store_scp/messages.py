"""pynetdicom's DIMSE provider, made safe against messages that are malformed or without end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import RequestHandler

log = structlog.get_logger()

_INVALID_PDU = "Evt19"
"""Unrecognised or invalid PDU received (PS3.8 table 9-6): the state machine aborts."""
_NO_UID = UID("0.0")


class GuardedDimse(DIMSEServiceProvider):
    """Decodes messages in the association's network thread.

    It differs from its base in what a peer can do to it:

    * a command set that cannot be decoded ends the association with an A-ABORT; the base ends the
      thread with an exception and the peer with a closed connection;
    * a data set that grows beyond the limit does, too; the base takes it all into memory;
    * a C-STORE request without a UID is answered; the base ignores it, and the peer waits.
    """

    def __init__(
        self, association: Association, *, max_instance_bytes: int, too_large: Callable[[], None]
    ) -> None:
        super().__init__(association)
        self._max_instance_bytes = max_instance_bytes
        self._too_large = too_large

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take one PDU's worth of a message."""
        try:
            super().receive_primitive(primitive)
        except Exception as exc:  # noqa: BLE001 - the edge: a decoder may raise anything
            log.warning("message_was_invalid", error=type(exc).__name__)
            self.message = None
            self.dul.event_queue.put(_INVALID_PDU)
            return
        data_set = None if self.message is None else self.message.data_set
        if data_set is not None and data_set.tell() > self._max_instance_bytes:
            self.message = None
            self._too_large()

    def get_msg(self, block: bool = False) -> Any:  # noqa: FBT001, FBT002 - the base's form
        """Return the next whole message with its context ID, or two None."""
        context_id, message = super().get_msg(block)
        if isinstance(message, C_STORE) and message.MessageID is not None:
            # no data set can be the instance of no UID: this is answered with a mismatch
            message.AffectedSOPClassUID = message.AffectedSOPClassUID or _NO_UID
            message.AffectedSOPInstanceUID = message.AffectedSOPInstanceUID or _NO_UID
        return context_id, message


class GuardedRequestHandler(RequestHandler):
    """Makes associations with a `GuardedDimse`; the server tells the limit."""

    def _create_association(self) -> Association:
        association = super()._create_association()
        limit: int = self.server.max_instance_bytes  # type: ignore[attr-defined] # our Acceptor's

        def too_large() -> None:
            log.error(
                "instance_was_too_large",
                calling_ae=association.requestor.ae_title,
                limit_bytes=limit,
            )
            association.abort(block=False)

        association.dimse = GuardedDimse(association, max_instance_bytes=limit, too_large=too_large)
        return association
