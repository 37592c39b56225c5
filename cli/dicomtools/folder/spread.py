"""Many files over several processes; a few are read right here, before others could have started."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from multiprocessing.context import BaseContext

from dicomtools.folder.tasks import Outcome, Task, perform

ALONE_S = 0.3
"""About what it takes to start another process from scratch."""
ALONE_BEFORE_FORK_S = 0.05
CHUNK = 64
"""Files that travel together: few enough for a bar that moves, many enough for the postage."""
_AHEAD = 4
"""Chunks in flight for each process."""


def processors() -> int:
    """Return how many processors this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def read_all(
    task: Task,
    paths: Sequence[str],
    *,
    processes: int,
    with_heads: bool,
    alone_s: float | None = None,
) -> Iterator[Outcome]:
    """Yield the outcome of each file, in order.

    No process is started before the first outcome is asked for, and none afterwards: whoever draws
    a bar from a thread of its own may do so from then on.

    Parameters
    ----------
    alone_s
        So long everything is read by this process; None: about what it takes to start others.
    """
    done: list[Outcome] = []
    context = _context()
    if alone_s is None:
        alone_s = ALONE_BEFORE_FORK_S if context.get_start_method() == "fork" else ALONE_S
    until = time.monotonic() + alone_s
    for path in paths:
        if processes > 1 and time.monotonic() >= until:
            break
        done.append(perform(task, path, with_head=with_heads))
    rest = paths[len(done) :]
    if len(rest) < CHUNK:
        yield from done
        yield from (perform(task, path, with_head=with_heads) for path in rest)
        return
    executor = ProcessPoolExecutor(processes, mp_context=context, initializer=_no_interrupt)
    try:
        yield from _pooled(executor, task, rest, done, processes, with_heads=with_heads)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _pooled(
    executor: ProcessPoolExecutor,
    task: Task,
    paths: Sequence[str],
    done: Sequence[Outcome],
    processes: int,
    *,
    with_heads: bool,
) -> Iterator[Outcome]:
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    flying: deque[tuple[Sequence[str], Future[list[Outcome]] | None]] = deque()
    waiting = deque(chunks)
    broken = False

    def send() -> None:
        nonlocal broken
        while waiting and len(flying) < _AHEAD * processes:
            chunk = waiting.popleft()
            try:
                flying.append((chunk, executor.submit(_chunk, task, chunk, with_heads)))
            except BrokenExecutor:
                broken = True
                flying.append((chunk, None))

    send()
    yield from done
    while flying:
        chunk, future = flying.popleft()
        try:
            outcomes = None if future is None else future.result()
        except BrokenExecutor:
            outcomes = None  # a process was killed, for its memory perhaps: this one goes on
        yield from outcomes if outcomes is not None else _chunk(task, chunk, with_heads)
        send()


def _chunk(task: Task, paths: Sequence[str], with_heads: bool) -> list[Outcome]:  # noqa: FBT001
    return [perform(task, path, with_head=with_heads) for path in paths]


def _context() -> BaseContext:
    """A fork is quick and safe while there is one thread; elsewhere processes start from scratch."""
    alone = sys.platform == "linux" and threading.active_count() == 1
    return multiprocessing.get_context("fork" if alone else "spawn")


def _no_interrupt() -> None:
    """Ctrl-C goes to all processes of a terminal; the one that asked for the work deals with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
