"""A small load balancer for TCP: new connections go to the replicas whose `/readyz` says yes, in turn."""

from __future__ import annotations

import http.client
import itertools
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

ASK_EVERY_S = 0.1
TIMEOUT_S = 30.0
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Backend:
    """A replica: where it serves, and where it says how it is."""

    port: int
    http_port: int

    def ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Balancer:
    """Forwards bytes, and counts the connections that no replica took."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.refused = 0
        """Connections for which there was no replica, or that it did not take."""
        self._lock = threading.Lock()
        self._backends: list[Backend] = []
        self._ready: list[Backend] = []
        self._turn = itertools.count()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, name="balancer-watch"),
            threading.Thread(target=self._accept, name="balancer-accept"),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in list(self._threads):
            thread.join(TIMEOUT_S)
        self._listener.close()

    def add(self, backend: Backend) -> None:
        with self._lock:
            self._backends.append(backend)

    def ready(self) -> list[Backend]:
        """Return who gets new connections, as of the last time that they were asked."""
        with self._lock:
            return list(self._ready)

    def _watch(self) -> None:
        while not self._stopping.wait(ASK_EVERY_S):
            with self._lock:
                known = list(self._backends)
            ready = [one for one in known if one.ready()]
            with self._lock:
                self._ready = ready

    def _accept(self) -> None:
        while not self._stopping.is_set():
            client, _ = self._listener.accept()
            ready = self.ready()
            try:
                chosen = ready[next(self._turn) % len(ready)]
                server = socket.create_connection(("127.0.0.1", chosen.port), timeout=TIMEOUT_S)
            except (OSError, ZeroDivisionError):
                client.close()
                if not self._stopping.is_set():
                    self.refused += 1
                continue
            server.settimeout(None)
            ended = threading.Barrier(2)
            for source, target in ((client, server), (server, client)):
                thread = threading.Thread(target=_pump, args=(source, target, ended))
                self._threads.append(thread)
                thread.start()


def _pump(source: socket.socket, target: socket.socket, ended: threading.Barrier) -> None:
    """Hand on what one side says until it ends; whoever is last closes its socket, and so does the other."""
    with suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    with suppress(threading.BrokenBarrierError):
        ended.wait(TIMEOUT_S)
    source.close()
