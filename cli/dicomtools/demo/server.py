"""The association server of the demo PACS: pynetdicom negotiates, the PACS answers each message."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from socketserver import BaseServer
from typing import Any

import structlog
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from dicomio.pacs.contexts import (
    PATIENT_ROOT_FIND,
    PATIENT_ROOT_GET,
    PATIENT_ROOT_MOVE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)
from dicomio.pynetdicom_config import configure

PATIENT_ROOT = (PATIENT_ROOT_FIND, PATIENT_ROOT_MOVE, PATIENT_ROOT_GET)
STUDY_ROOT = (STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET)

log = structlog.get_logger()

Serve = Callable[[Association, Any, PresentationContext], bool]
"""Answers a DIMSE request; False leaves it to pynetdicom."""


class Server(ThreadedAssociationServer):
    """Listens from construction on; `stop` ends it and every association.

    pynetdicom's own service classes decide the counters and the final status of a retrieval and
    encode every data set anew; a PACS that lies, and one that is quick, must do that itself.
    """

    daemon_threads = True

    def __init__(
        self,
        ae: AE,
        address: tuple[str, int],
        *,
        serve: Serve,
        requested: Callable[[evt.Event], None],
    ) -> None:
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, requested),
            (evt.EVT_CONN_OPEN, send_at_once),
        ]
        # any storage class in any transfer syntax and role is accepted as well: see `configure`
        configure()
        contexts = [build_context(uid) for uid in (VERIFICATION, *PATIENT_ROOT, *STUDY_ROOT)]
        super().__init__(ae, address, ae.ae_title, contexts, None, handlers, _Handler)
        self.serve = serve
        self._accepting = threading.Thread(
            target=self.serve_forever, args=(0.1,), name="demo-pacs", daemon=True
        )
        self._accepting.start()

    def stop(self) -> None:
        """Close the port, abort what is still there, and wait for its threads."""
        BaseServer.shutdown(self)
        self.server_close()
        self._accepting.join()
        for association in self.active_associations:
            association.abort()
            association.join(10)


class _Handler(RequestHandler):
    """Hands the DIMSE requests of an association to the server's `serve`."""

    server: Server

    def _create_association(self) -> Association:
        assoc = super()._create_association()
        # the one place where pynetdicom chooses a service class for a message; it has no hook
        otherwise = assoc._serve_request  # noqa: SLF001

        def serve_request(message: Any, context_id: int) -> None:
            context = assoc._accepted_cx.get(context_id)  # noqa: SLF001
            try:
                served = context is not None and self.server.serve(assoc, message, context)
            except Exception:  # the edge: a fault of ours must not leave the peer waiting
                log.exception("request_failed", calling_ae_title=assoc.requestor.ae_title)
                assoc.abort()
                return
            if not served:
                otherwise(message, context_id)

        vars(assoc)["_serve_request"] = serve_request
        return assoc


def send_at_once(event: evt.Event) -> None:
    """Switch Nagle's algorithm off for a connection that has just been opened.

    A message is two PDUs or more: with it, the second waits for the peer's delayed acknowledgement
    of the first, 40 ms for each instance and each response.
    """
    connection: Any = event.assoc.dul.socket
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def reject_for_the_moment(event: evt.Event) -> None:
    """Reject the association that is being requested: transient, temporary congestion."""
    assoc = event.assoc
    assoc.acse.send_reject(0x02, 0x03, 0x01)
    assoc.is_rejected = True
    evt.trigger(assoc, evt.EVT_REJECTED, {})
    assoc.kill()
