"""What the surroundings say: the environment, and the settings files of the working directory."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dicomtools.lenient_json import parse
from dicomtools.problems import CommandProblem

OPTIONS_FILE = "options.json"
SYSTEM_FILE = "appsettings.json"


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of settings: section → key → value, as it was written."""

    name: str
    sections: Mapping[str, object]


def layers(directory: Path | None = None) -> tuple[Layer, ...]:
    """Return the sources below the command line, the strongest first.

    Parameters
    ----------
    directory
        Where options.json and appsettings.json are looked for; None: the working directory.

    Raises
    ------
    CommandProblem
        A file is there and cannot be read; the words name file and line.
    """
    folder = directory or Path.cwd()
    return (
        environment_layer(os.environ),
        _file_layer(folder / OPTIONS_FILE),
        _file_layer(folder / SYSTEM_FILE),
    )


def environment_layer(variables: Mapping[str, str]) -> Layer:
    """Return the variables named `Section:Key` or `Section__Key` as sections.

    Notes
    -----
    A further part that is a number is a place in a list, as .NET has it:
    `SearchTagOptions__Tag__0`. A third name nests: `Logging__LogLevel__Default`.
    """
    sections: dict[str, object] = {}
    for name in sorted(variables):
        parts = name.replace("__", ":").split(":")
        if len(parts) > 1 and all(parts):
            _put(sections, parts, variables[name])
    return Layer("environment", sections)


def cache_folder(variables: Mapping[str, str] = os.environ, system: str = sys.platform) -> Path:
    """Return where the user's own, disposable files of this program are, as the system has it."""
    home = Path.home()
    if system == "win32":
        base = Path(variables.get("LOCALAPPDATA") or home / "AppData" / "Local")
        return base / "dicomtools" / "Cache"
    if system == "darwin":
        return home / "Library" / "Caches" / "dicomtools"
    return Path(variables.get("XDG_CACHE_HOME") or home / ".cache") / "dicomtools"


def _put(target: dict[str, object], parts: list[str], text: str) -> None:
    for part in parts[:-1]:
        inner = target.setdefault(part, {})
        if not isinstance(inner, dict):
            return
        target = inner
    target[parts[-1]] = text


def _file_layer(path: Path) -> Layer:
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return Layer(path.name, {})
    except OSError as exc:
        raise CommandProblem(f"{path.name} cannot be read: {exc.strerror}") from exc
    value = parse(body, name=path.name)
    if not isinstance(value, dict):
        raise CommandProblem(f"{path.name}: the outermost value must be an object: {{ … }}")
    return Layer(path.name, value)
