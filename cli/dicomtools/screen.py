"""How a running retrieval shows: a bar on a terminal, lines elsewhere, JSON where it was asked for.

Progress goes to standard error, results to standard output; with JSON, JSON alone goes to standard
output and what people read goes to standard error.
"""

from __future__ import annotations

import json
import sys
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from qr_gateway.retrieval import model

_UNITS = ("kB", "MB", "GB", "TB")


class Screen(Protocol):
    """Where a command shows what it does. `progress` may be called from any thread."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def progress(self, progress: model.Progress) -> None:
        """Show how a retrieval stands."""
        ...

    def say(self, text: str) -> None:
        """Show a line for people."""
        ...

    def result(self, facts: dict[str, object]) -> None:
        """Hand out a result for programs."""
        ...


def make_screen(*, as_json: bool) -> Screen:
    """Return what fits: JSON if it was asked for, a bar on a terminal, otherwise lines."""
    if as_json:
        return JsonScreen(sys.stdout, sys.stderr)
    if sys.stderr.isatty():
        return BarScreen()
    return LineScreen(sys.stdout, sys.stderr)


def in_words(progress: model.Progress) -> str:
    """Return a progress as one line."""
    moved = f"{size_in_words(progress.bytes_moved)} moved"
    step = progress.step or progress.state.value
    return f"{step}: {progress.landed} of {progress.expected} instances, {moved}"


def size_in_words(size_bytes: int) -> str:
    """Return a size in units of 1000 bytes, to three figures."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    power = min((len(str(size_bytes)) - 1) // 3, len(_UNITS))
    size = size_bytes / 1000**power
    return f"{size:.3g} {_UNITS[power - 1]}" if size < 999.5 else f"{size:.0f} {_UNITS[power - 1]}"


class _Plain:
    """What the screens without a bar share: nothing to set up, nothing to take down."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class LineScreen(_Plain):
    """Lines: one when the step changes and one for each tenth of it, so that a log stays short."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._shown: tuple[str, int] | None = None

    def progress(self, progress: model.Progress) -> None:
        tenth = 10 * progress.landed // max(progress.expected, 1)
        if (progress.step, tenth) != self._shown:
            self._shown = (progress.step, tenth)
            print(in_words(progress), file=self._err, flush=True)

    def say(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def result(self, facts: dict[str, object]) -> None:
        del facts  # people read `say`


class JsonScreen(_Plain):
    """One JSON object a line."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._shown: model.Progress | None = None

    def progress(self, progress: model.Progress) -> None:
        if progress != self._shown:
            self._shown = progress
            self._print({"event": "progress", **progress.model_dump(mode="json")})

    def say(self, text: str) -> None:
        print(text, file=self._err, flush=True)

    def result(self, facts: dict[str, object]) -> None:
        self._print({"event": "result", **facts})

    def _print(self, facts: dict[str, object]) -> None:
        print(json.dumps(facts), file=self._out, flush=True)


class BarScreen:
    """A bar that moves; everything said scrolls above it."""

    def __init__(self) -> None:
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} instances, {task.fields[moved]} moved"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hide()

    def progress(self, progress: model.Progress) -> None:
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task("", total=0, moved="")
        self._bar.update(
            self._task,
            description=progress.step,
            completed=progress.landed,
            total=progress.expected,
            moved=size_in_words(progress.bytes_moved),
        )

    def say(self, text: str) -> None:
        self._hide()
        # not through rich: brackets in a label are no markup, and a line is not wrapped
        print(text, flush=True)

    def result(self, facts: dict[str, object]) -> None:
        del facts

    def _hide(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._bar.stop()
            self._task = None
