"""The log level of appsettings.json, in .NET's words or ours."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType

from dicomtools.config import setting
from dicomtools.problems import CommandProblem
from dicomtools.settings import Layer

_LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "information": "info",
    "info": "info",
    "warning": "warning",
    "warn": "warning",
    "error": "error",
    "critical": "critical",
    "none": "critical",
}


def configure_logs(layers: Sequence[Layer], *, default: str) -> None:
    """Send the log to standard error, from the configured level up.

    Raises
    ------
    CommandProblem
        `Logging.LogLevel.Default` is no level.
    """
    _configure(log_level(layers, default=default))


def configure_logs_if_needed(layers: Sequence[Layer], *, default: str) -> None:
    """Do the same, but at once only if informative lines are wanted; else when something goes wrong.

    For what is over before the log is loaded.

    Raises
    ------
    CommandProblem
        As above.
    """
    level = log_level(layers, default=default)
    if level in ("debug", "info"):
        _configure(level)
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        _configure(level)  # which sets another hook: nothing of a patient is to be in a traceback
        sys.excepthook(kind, error, trace)

    sys.excepthook = hook


def _configure(level: str) -> None:
    from dicomio import logs

    logs.configure("dicomtools", level, json=False)


def log_level(layers: Sequence[Layer], *, default: str) -> str:
    """Return the level: `Logging.LogLevel.Default`, or `Logging.LogLevel` alone.

    Raises
    ------
    CommandProblem
        It is no level.
    """
    found = setting(layers, "Logging", "LogLevel")
    if isinstance(found, dict):
        found = setting(layers, "Logging", "LogLevel", "Default")
    if found is None:
        return default
    level = _LEVELS.get(str(found).strip().lower())
    if level is None:
        raise CommandProblem(
            f"Logging.LogLevel.Default: '{found}' is none of Trace, Debug, Information, Warning, "
            "Error, Critical, None"
        )
    return level
