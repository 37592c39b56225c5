"""The pseudonym map of a command: who became whom, sealed to a key holder or its owner's alone."""

from __future__ import annotations

import os
from pathlib import Path

from dicomcore.errors import InvalidRequest
from dicomcore.pseudonym_map import Renamed, encode_map
from dicomio.files import write_atomically
from dicomio.sealed import SUFFIX, Recipients, seal
from dicomtools.problems import CommandProblem

DEFAULT_NAME = "anonymization_map.csv"


class PseudonymMap:
    """One file; a line is in it before the patient's objects are exported.

    Parameters
    ----------
    path
        Where the map is appended to. A sealed one is a file of its own for each command, because
        nobody but the key holder can add to it: a number comes into the name if that is taken.
    recipients
        Who can read it; nobody named: whoever can read the file.
    """

    def __init__(self, path: Path, recipients: Recipients = ()) -> None:
        self._path = _with_suffix(path) if recipients else path
        self._recipients = recipients
        self._lines: list[Renamed] = []

    @property
    def path(self) -> Path:
        """Where it is, once there is a line in it."""
        return self._path

    @property
    def is_sealed(self) -> bool:
        """Whether only key holders can read it."""
        return bool(self._recipients)

    def add(self, renamed: Renamed) -> None:
        """Write one more line.

        Raises
        ------
        CommandProblem
            Not written, or not whole.
        """
        if not self._recipients:
            append_to_map(self._path, renamed)
            return
        lines = [*self._lines, renamed]
        try:
            sealed = seal(encode_map(lines), self._recipients)
            if not self._lines:
                self._path = _reserved(self._path)
            write_atomically(self._path, sealed)
        except InvalidRequest as exc:
            raise CommandProblem(f"The map cannot be encrypted: {exc}.") from exc
        except OSError as exc:
            raise _not_written(exc) from exc
        self._lines = lines


def append_to_map(path: Path, renamed: Renamed) -> None:
    """Append a line; a new file begins with the names of the columns.

    Also a file that others could read is its owner's alone afterwards, where the system knows owners.

    Raises
    ------
    CommandProblem
        Not written, or not whole.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            if os.name == "posix":
                path.chmod(0o600)
            file.write(encode_map([renamed], head=not os.fstat(descriptor).st_size))
            file.flush()
            os.fsync(descriptor)
    except OSError as exc:
        raise _not_written(exc) from exc


def _not_written(exc: OSError) -> CommandProblem:
    return CommandProblem(f"--mapFile cannot be written: {exc.strerror}")


def _with_suffix(path: Path) -> Path:
    """Return the path of a sealed file: its name says that it is one."""
    return path if path.suffix.lower() == SUFFIX else path.with_name(path.name + SUFFIX)


def _reserved(path: Path) -> Path:
    """Create an empty file under the first name that is free, so that nobody else takes it."""
    name, number, tried = path.name.removesuffix(SUFFIX), 1, path
    stem, dot, ending = name.partition(".")
    while True:
        try:
            os.close(os.open(tried, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            number += 1
            tried = path.with_name(f"{stem}-{number}{dot}{ending}{SUFFIX}")
        else:
            return tried
