"""The log level of appsettings.json, in .NET's words or ours."""

from __future__ import annotations

from collections.abc import Sequence

from dicomio import logs
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
    logs.configure("dicomtools", log_level(layers, default=default), json=False)


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
