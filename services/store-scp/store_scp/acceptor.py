"""pynetdicom's acceptor, made safe against peers that are slow, silent or many."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from typing import Any, cast

import structlog
from pynetdicom.transport import ThreadedAssociationServer

from store_scp.messages import GuardedRequestHandler

log = structlog.get_logger()

POLL_S = 0.1
"""How soon `stop` is noticed."""
_LISTEN_BACKLOG = 128


class Acceptor(ThreadedAssociationServer):
    """Accepts connections in a thread of its own, and each association in another.

    It differs from its base where that lets a peer do harm:

    * the TLS handshake is done in the connection's thread, with a deadline; the base does it in the
      accepting one, where a peer that connects and says nothing keeps everyone else out;
    * a socket has a time-out; without, a peer that vanishes inside a PDU leaves its thread for ever;
    * connections that have not asked for an association yet are limited too;
    * errors go to the log, not to standard error with a traceback.
    """

    request_queue_size = _LISTEN_BACKLOG
    daemon_threads = False
    block_on_close = True

    def __init__(self, *args: Any, max_instance_bytes: int, **kwargs: Any) -> None:
        kwargs["request_handler"] = GuardedRequestHandler
        super().__init__(*args, **kwargs)
        self.max_instance_bytes = max_instance_bytes
        self._thread = threading.Thread(
            target=lambda: self.serve_forever(poll_interval=POLL_S), name="store-scp-acceptor"
        )

    def start(self) -> None:
        """Start to accept."""
        self._thread.start()

    def shutdown(self) -> None:
        """Stop to accept; associations go on."""
        socketserver.BaseServer.shutdown(self)
        self._thread.join()
        self.server_close()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Return a new connection as it is: TLS comes later."""
        return cast(socket.socket, self.socket).accept()

    def verify_request(self, *_request: Any) -> bool:
        """Return whether there is room for one more connection.

        Above `maximum_associations` a peer is told so, which takes a thread; far above it is not.
        """
        room = len(self.active_associations) < 2 * self.ae.maximum_associations + 8
        if not room:
            log.warning("connection_was_refused", reason="too many connections")
        return room

    def finish_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any
    ) -> None:
        """Make the association; runs in the connection's thread."""
        connection = cast(socket.socket, request)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.settimeout(self.ae.acse_timeout)
        if self.ssl_context is not None:
            connection = self.ssl_context.wrap_socket(connection, server_side=True)
        connection.settimeout(self.ae.network_timeout)
        super().finish_request(connection, client_address)

    def handle_error(self, *_request: Any) -> None:
        """Log why a connection became no association."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):  # the handshake failed, or the peer has gone
            log.warning("connection_failed", error=type(error).__name__)
        else:
            log.error("connection_failed", exc_info=error)
