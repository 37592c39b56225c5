"""Several processes on one DICOM port: started, started again when one dies, stopped together."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time

import structlog

from dicomcore.errors import Unavailable
from store_scp.listener import bound_socket
from store_scp.settings import Settings

log = structlog.get_logger()

TOO_SOON_S = 5.0
"""A process that lives for less cannot start: all of them stop, and whoever started us is told."""


def supervise(settings: Settings) -> None:
    """Run `settings.processes` processes until SIGTERM or SIGINT; they share one listening socket.

    The kernel hands each connection to one that waits: a busy one is passed over. Which is why the
    socket is shared, and not bound by each (SO_REUSEPORT), where a hash of the address decides.

    Raises
    ------
    Unavailable
        The port cannot be bound, or a process ended as soon as it was started.
    """
    try:
        listening = bound_socket(settings.host, settings.port)
    except OSError as exc:
        raise Unavailable(
            "DICOM port cannot be bound", host=settings.host, port=settings.port
        ) from exc
    events: queue.SimpleQueue[_Worker | None] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: events.put(None))
    reading, writing = os.pipe()
    workers: list[_Worker] = []
    with listening:
        try:
            for place in range(settings.processes):
                workers.append(_Worker(settings, place, listening.fileno(), reading, events))
            log.info("workers_started", processes=len(workers), port=listening.getsockname()[1])
            _keep(workers, events, settings, (listening.fileno(), reading))
        finally:
            os.close(writing)
            os.close(reading)
            for worker in workers:
                worker.stop()


def _keep(
    workers: list[_Worker],
    events: queue.SimpleQueue[_Worker | None],
    settings: Settings,
    descriptors: tuple[int, int],
) -> None:
    """Start again what ends, until a signal comes."""
    while (ended := events.get()) is not None:
        if ended.age_s < TOO_SOON_S:
            raise Unavailable("a process ended as soon as it was started", code=ended.code)
        log.error("worker_ended", number=ended.number, code=ended.code)
        workers[ended.number] = _Worker(settings, ended.number, *descriptors, events)


class _Worker:
    """One process, and a thread that waits for its end."""

    def __init__(
        self,
        settings: Settings,
        number: int,
        listening: int,
        parent: int,
        events: queue.SimpleQueue[_Worker | None],
    ) -> None:
        self.number = number
        self._events = events
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "store_scp"],
            env=settings.worker_environment(number, listening, parent),
            pass_fds=(listening, parent),
        )
        self._waiting = threading.Thread(target=self._wait, name=f"worker-{number}")
        self._waiting.start()

    @property
    def age_s(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self._started

    @property
    def code(self) -> int:
        """Its exit code; below 0, the signal that ended it."""
        code = self._process.returncode
        return 0 if code is None else code

    def stop(self) -> None:
        """Ask it to stop, and wait until it has: it has a grace period of its own."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._waiting.join()

    def _wait(self) -> None:
        self._process.wait()
        self._events.put(self)
