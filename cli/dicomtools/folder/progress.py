"""A bar on a terminal while files are read; nothing at all where nobody looks, or where it is quick."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress

SHOWN_AFTER_S = 0.5
"""What takes less needs no bar. More than `dicomtools.folder.spread.ALONE_S`: processes start first."""
_REDRAWN_S = 0.1


class Bar:
    """So many of so many files.

    Parameters
    ----------
    total
        How many files there are.
    visible
        Whether there is somebody to look; None: if standard error is a terminal.
    """

    def __init__(self, total: int, *, visible: bool | None = None) -> None:
        self._total = total
        self._visible = sys.stderr.isatty() if visible is None else visible
        self._done = 0
        self._next = time.monotonic() + SHOWN_AFTER_S
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hide()

    def step(self) -> None:
        """Count one more file."""
        self._done += 1
        if not self._visible or self._done % 16 or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _REDRAWN_S
        if self._bar is None:
            self._bar = _bar()
            self._bar.add_task("", total=self._total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=self._done)

    def say(self, text: str) -> None:
        """Print a line on standard output; not through rich, which would wrap it."""
        if self._bar is not None and sys.stdout.isatty():
            self._hide()
        print(text)

    def _hide(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        BarColumn(),
        TextColumn("{task.completed}/{task.total} files"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
