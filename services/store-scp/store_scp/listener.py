"""Connections accepted in a thread of its own, and each served in another."""

from __future__ import annotations

import itertools
import selectors
import socket
import threading
import time
from contextlib import suppress

import structlog

from store_scp.association import AcceptedAssociation, Surroundings

log = structlog.get_logger()

_BACKLOG = 128
_PAUSE_S = 0.1
"""After an accept that failed: no descriptor is free, perhaps."""
_ABORT_TIMEOUT_S = 15.0
"""For an aborted association to end its thread; it lets the peer read the A-ABORT first."""


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; `OSError` if it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


class Listener:
    """Serves whoever connects, until it is stopped.

    Parameters
    ----------
    maximum_connections
        Above it the oldest connection is closed that has not asked for an association yet: whoever
        opens many and says nothing closes their own. Where all have asked, or twice as many are
        there, the new one is closed.
    """

    def __init__(
        self, sock: socket.socket, surroundings: Surroundings, *, maximum_connections: int
    ) -> None:
        self._socket = sock
        self._around = surroundings
        self._maximum = maximum_connections
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._running: dict[threading.Thread, AcceptedAssociation] = {}
        self._woken, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._accept_all, name="store-scp-listener")

    @property
    def port(self) -> int:
        """The bound port."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Start to accept."""
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's form
        self._thread.start()

    def stop(self, grace_s: float) -> tuple[int, int]:
        """Stop to accept, let associations finish for `grace_s`, abort the rest.

        Returns
        -------
        tuple
            How many finished, and how many were aborted.
        """
        self._wake.send(b"!")
        self._thread.join()
        for sock in (self._socket, self._wake, self._woken):
            sock.close()
        with self._lock:
            running = dict(self._running)
        _join(running, grace_s)
        left = {thread: one for thread, one in running.items() if thread.is_alive()}
        for association in left.values():
            association.abort()
        _join(left, _ABORT_TIMEOUT_S)
        return len(running) - len(left), len(left)

    def _accept_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    break
                self._accept()
        # Whoever waits to be accepted is connected already, as far as they know: closed now, they are refused.
        for _ in range(_BACKLOG):
            if not self._accept():
                return

    def _accept(self) -> bool:
        """Serve one connection; False if none waited, or none could be taken."""
        try:
            connection, origin = self._socket.accept()
        except BlockingIOError:  # another process was quicker, or the peer has gone
            return False
        except OSError as exc:
            log.warning("connection_failed", error=type(exc).__name__)
            self._woken.settimeout(_PAUSE_S)
            with suppress(TimeoutError):
                self._woken.recv(1, socket.MSG_PEEK)
            return False
        connection.setblocking(True)  # noqa: FBT003 - the standard library's form
        address = str(origin[0])
        reason = self._refusal(address)
        if reason:
            log.warning("connection_was_refused", reason=reason, address=address)
            connection.close()
            return True
        self._serve(connection, address)
        return True

    def _refusal(self, address: str) -> str:
        """Return why a connection is not taken; empty if it is, and there is room for it."""
        if not self._around.options.callers.reachable_from(address):
            return "nobody is admitted from this address"
        with self._lock:
            running = list(self._running.values())
        if len(running) < self._maximum:
            return ""
        silent = next((one for one in running if one.silent), None)
        if silent is None or len(running) >= 2 * self._maximum:
            return "too many connections"
        silent.abort()
        return ""

    def _serve(self, connection: socket.socket, address: str) -> None:
        number = next(self._numbers)
        association = AcceptedAssociation(connection, number, self._around, address=address)
        thread = threading.Thread(target=self._run, name=f"association-{number}")
        with self._lock:
            self._running[thread] = association
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads
            log.exception("connection_was_refused", reason="no thread")
            with self._lock:
                del self._running[thread]
            connection.close()

    def _run(self) -> None:
        thread = threading.current_thread()
        with self._lock:
            association = self._running[thread]
        try:
            association.serve()
        finally:
            with self._lock:
                del self._running[thread]


def _join(threads: dict[threading.Thread, AcceptedAssociation], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
