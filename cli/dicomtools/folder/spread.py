"""Many files over several processes; a few are read right here, before others could have started."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dicomtools.folder.performing import Performer
from dicomtools.folder.tasks import Outcome, Task

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor

ALONE_S = 0.3
"""About what it takes to start another process from scratch."""
ALONE_BEFORE_FORK_S = 0.005
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
    performer = Performer(task, with_heads=with_heads)
    forks = may_fork()
    if alone_s is None:
        alone_s = ALONE_BEFORE_FORK_S if forks else ALONE_S
    until = time.monotonic() + alone_s
    done: list[Outcome] = []
    for path in paths:
        if processes > 1 and time.monotonic() >= until:
            break
        done.append(performer.outcome(path))
    rest = paths[len(done) :]
    if not rest:
        yield from done
    elif forks:
        from dicomtools.folder.forked import read_forked

        others = read_forked(performer, rest, helpers=processes - 1)
        yield from _after(done, others)
    else:
        yield from _after(done, _pooled(task, rest, processes, with_heads=with_heads))


def may_fork() -> bool:
    """Return whether a fork is safe: on Linux, while there is one thread. It is quick, and knows all."""
    return sys.platform == "linux" and threading.active_count() == 1


def _after(done: Sequence[Outcome], others: Iterator[Outcome]) -> Iterator[Outcome]:
    """Yield what is done and then the others, which are begun before anything is yielded."""
    first = next(others)
    yield from done
    yield first
    yield from others


def _pooled(
    task: Task, paths: Sequence[str], processes: int, *, with_heads: bool
) -> Iterator[Outcome]:
    """Yield outcomes from processes that start from scratch."""
    import multiprocessing  # all this takes a while to load
    from concurrent.futures import ProcessPoolExecutor

    executor = ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_no_interrupt
    )
    try:
        yield from _in_flight(executor, task, paths, processes, with_heads=with_heads)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _in_flight(
    executor: ProcessPoolExecutor,
    task: Task,
    paths: Sequence[str],
    processes: int,
    *,
    with_heads: bool,
) -> Iterator[Outcome]:
    from concurrent.futures import BrokenExecutor

    waiting = deque(paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK))
    flying: deque[tuple[Sequence[str], Future[list[Outcome]] | None]] = deque()
    broken = False

    def send() -> None:
        nonlocal broken
        while waiting and len(flying) < _AHEAD * processes:
            chunk = waiting.popleft()
            future = None
            if not broken:
                try:
                    future = executor.submit(_chunk, task, chunk, with_heads)
                except BrokenExecutor:
                    broken = True
            flying.append((chunk, future))

    send()
    while flying:
        chunk, future = flying.popleft()
        try:
            outcomes = None if future is None else future.result()
        except BrokenExecutor:
            outcomes = None  # a process was killed, for its memory perhaps: this one goes on
        yield from outcomes if outcomes is not None else _chunk(task, chunk, with_heads)
        send()


_performers: dict[tuple[Task, bool], Performer] = {}


def _chunk(task: Task, paths: Sequence[str], with_heads: bool) -> list[Outcome]:  # noqa: FBT001
    """Return outcomes, in a process that reads one folder and ends."""
    performer = _performers.setdefault((task, with_heads), Performer(task, with_heads=with_heads))
    return [performer.outcome(path) for path in paths]


def _no_interrupt() -> None:
    """Ctrl-C goes to all processes of a terminal; the one that asked for the work deals with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
