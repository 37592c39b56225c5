"""The list of files that have been stored: written as each one is, read by the next run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from dicomtools.problems import CommandProblem

_BOM = "\ufeff"


class StatusFile:
    """One path in a line.

    A line is written and made durable after the success of its file, so that a run that is killed at
    any moment leaves no file in the list that is not stored. What was stored in that very moment may
    be missing from it; it is sent once more, and C-STORE of the same instance twice is harmless.
    """

    def __init__(self, file: FileIO, listed: Iterator[str]) -> None:
        self._file = file
        self._names: set[str] = set()
        self._files: set[tuple[int, int]] = set()
        for line in listed:
            self._add(line)

    def __contains__(self, path: Path) -> bool:
        """Whether a file is listed, under whatever spelling of its path."""
        return _name(path) in self._names or _identity(path) in self._files

    def record(self, path: Path) -> None:
        """Append a file; durable when this returns.

        Raises
        ------
        OSError
            It could not be written.
        """
        line = str(path.absolute())
        if any(character in line for character in "\r\n"):
            return  # two lines would be two other files: it is sent again instead
        self._file.write(line.encode("utf-8", "surrogateescape") + b"\n")
        os.fsync(self._file.fileno())
        self._add(line)

    def _add(self, line: str) -> None:
        for path in _readings(line):
            self._names.add(_name(path))
            identity = _identity(path)
            if identity is not None:
                self._files.add(identity)


@contextmanager
def status_file(path: Path) -> Iterator[StatusFile]:
    """Open a list, which need not exist.

    Raises
    ------
    CommandProblem
        It cannot be read or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # unbuffered and in append mode: a line is one write, which another process cannot split
        file = FileIO(path, "a+")
    except OSError as exc:
        raise CommandProblem(f"--statusFileName: {path}: {exc.strerror}") from exc
    with file:
        try:
            file.seek(0)
            content = file.readall()
            if content and not content.endswith(b"\n"):
                file.write(b"\n")
        except OSError as exc:
            raise CommandProblem(f"--statusFileName: {path}: {exc.strerror}") from exc
        yield StatusFile(file, _lines(content))


def _lines(content: bytes) -> Iterator[str]:
    """Yield the lines; the last one only if it was finished.

    The beginning of a path that a power cut left may be the path of another file.
    """
    text = content.decode("utf-8", "surrogateescape")
    for line in text.removeprefix(_BOM).split("\n")[:-1]:
        name = line.strip("\r\t ").strip('"')
        if name and "\0" not in name:  # a power cut may leave zeros
            yield name


def _readings(line: str) -> Iterator[Path]:
    """Yield the paths that a line can mean: the list may come from another program or system."""
    yield Path(line)
    if os.sep == "/" and "\\" in line:
        yield Path(line.replace("\\", "/"))


def _name(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what the file system tells a file by, so that case and mounts do not matter."""
    with suppress(OSError, ValueError):
        found = path.stat()
        if found.st_ino:
            return found.st_dev, found.st_ino
    return None
