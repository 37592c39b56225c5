"""Starts real programs as peers on free loopback ports, waits until they answer, and stops them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

LOOPBACK = "127.0.0.1"
STARTUP_S = 60.0
POLL_S = 0.05


class NotStarted(RuntimeError):
    """A program ended, or did not answer in time; its output is in the message."""


def required_program(name: str) -> str:
    """Return where a program is; the test is skipped if it is not on this machine."""
    found = shutil.which(name, path=None) or shutil.which(name, path="/usr/sbin:/usr/local/bin")
    if found is None:
        pytest.skip(f"the program {name!r} is not on this machine")
    return found


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listened on a moment ago; all differ."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]


def listens(port: int) -> bool:
    """Return whether somebody accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def wait_until(condition: Callable[[], bool], *, what: str, deadline_s: float = STARTUP_S) -> None:
    """Return as soon as `condition` holds; `AssertionError` that names `what` when time is up."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(POLL_S)


@contextlib.contextmanager
def running(
    command: Sequence[str], *, log_path: Path, ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process once it is ready; end it afterwards, by force after ten seconds.

    Raises
    ------
    NotStarted
        It ended by itself (a port was taken meanwhile, say), or was not ready in time.
    """
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # some fork a child for each association
        )
        try:
            _await_ready(process, log_path, ready)
            yield process
        finally:
            _signal_group(process, signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                _signal_group(process, signal.SIGKILL)
                process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _await_ready(
    process: subprocess.Popen[bytes], log_path: Path, ready: Callable[[], bool]
) -> None:
    end = time.monotonic() + STARTUP_S
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            raise NotStarted(log_path.read_text(errors="replace")[-2000:])
        time.sleep(POLL_S)
