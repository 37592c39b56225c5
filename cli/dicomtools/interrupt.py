"""Ctrl-C as a request to stop in order; a second one stops at once."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType


@contextmanager
def interruptible(notice: str) -> Iterator[Event]:
    """Yield an event that Ctrl-C (SIGINT) or a termination request (SIGTERM) sets.

    Parameters
    ----------
    notice
        Printed when the first one comes.

    Notes
    -----
    From the second Ctrl-C on, Python's own `KeyboardInterrupt` is raised as usual.
    """
    asked = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        asked.set()
        print(notice, file=sys.stderr, flush=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in before:
        signal.signal(number, stop)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
