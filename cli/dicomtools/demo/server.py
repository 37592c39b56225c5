"""The association server of the demo PACS: pynetdicom negotiates, the PACS answers each message."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import BaseServer
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import (
    AE,
    ALL_TRANSFER_SYNTAXES,
    AllStoragePresentationContexts,
    build_context,
    evt,
)
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from dicomtools.demo.archive import Entry

VERIFICATION = "1.2.840.10008.1.1"
# Query/Retrieve information models: FIND, MOVE, GET (PS3.4 C.6.1.3, C.6.2.3)
PATIENT_ROOT = tuple(f"1.2.840.10008.5.1.4.1.2.1.{n}" for n in (1, 2, 3))
STUDY_ROOT = tuple(f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))

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
        contexts: list[PresentationContext],
        *,
        serve: Serve,
        requested: Callable[[evt.Event], None],
    ) -> None:
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, requested),
            (evt.EVT_CONN_OPEN, send_at_once),
        ]
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
            if context is None or not self.server.serve(assoc, message, context):
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


def supported_contexts(
    entries: Iterable[Entry], private: Iterable[str]
) -> list[PresentationContext]:
    """Return what is accepted: verification, both information models, every storage class.

    Of the transfer syntaxes that are proposed for a class, an acceptor takes the first of its own:
    those in which the archive holds that class come first, so that nothing is encoded anew.
    """
    contexts = [build_context(VERIFICATION)]
    contexts += [build_context(model) for model in PATIENT_ROOT + STUDY_ROOT]
    syntaxes: dict[str, dict[str, None]] = {
        str(context.abstract_syntax): {} for context in AllStoragePresentationContexts
    }
    syntaxes.update({sop_class: {} for sop_class in private})
    for entry in entries:
        syntaxes.setdefault(entry.sop_class_uid, {})[entry.transfer_syntax_uid] = None
    plain = dict.fromkeys((str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)))
    others = dict.fromkeys(map(str, ALL_TRANSFER_SYNTAXES))
    for sop_class, held in syntaxes.items():
        context = build_context(sop_class, list(held | plain | others))
        # both roles: C-STORE to us, and C-GET, in which the requestor is the storage SCP
        context.scu_role = context.scp_role = True
        contexts.append(context)
    return contexts
