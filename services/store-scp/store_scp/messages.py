"""pynetdicom's protocol machinery, made safe against what peers send and when they leave."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from typing import Any

import structlog
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.fsm import TRANSITION_TABLE, StateMachine
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket, RequestHandler

log = structlog.get_logger()

_INVALID_PDU = "Evt19"
"""Unrecognised or invalid PDU received (PS3.8 table 9-6): the state machine aborts."""
_LOCAL_EVENTS = frozenset(("Evt7", "Evt8", "Evt9", "Evt11", "Evt14", "Evt15"))
"""Primitives that we hand to the provider: accept, reject, data, release request and reply, abort."""
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


class GuardedStateMachine(StateMachine):
    """The state machine of PS3.8 9.2, in the association's network thread.

    When a peer aborts while its instance is being landed, the response comes too late: there is no
    association any more to send it on. The base raises, which ends the thread with an exception;
    here what is too late is dropped. A peer that gets no response sends again.
    """

    def do_action(self, event: str) -> None:
        """Do what the table says; nothing that it does not know leaves the thread as an exception."""
        if event in _LOCAL_EVENTS and (event, self.current_state) not in TRANSITION_TABLE:
            with suppress(Empty):
                self.dul.to_provider_queue.get(block=False)
            log.debug("request_came_too_late", event_number=event, state=self.current_state)
            return
        try:
            super().do_action(event)
        except Exception as exc:  # noqa: BLE001 - the edge: actions decode what the peer sent
            log.warning("association_failed", error=type(exc).__name__, state=self.current_state)
            if self.dul.socket is not None:
                self.dul.socket.close()
            self.dul.kill_dul()


class GuardedSocket(AssociationSocket):
    """The connection; closed also when the peer has closed it first.

    The base leaves it to the garbage collector then.
    """

    def _shutdown_socket(self) -> None:
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()


class GuardedRequestHandler(RequestHandler):
    """Makes associations with guarded parts; the server tells the limit."""

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

        association.dul.socket = GuardedSocket(association, client_socket=self.request)
        # this and the base's socket have both put "connected" into the queue: once is enough
        association.dul.event_queue.get_nowait()
        association.dul.state_machine = GuardedStateMachine(association.dul)
        association.dimse = GuardedDimse(association, max_instance_bytes=limit, too_large=too_large)
        return association
