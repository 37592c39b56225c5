"""The pseudonym map: who became whom, in a file of its own that only its owner reads."""

from __future__ import annotations

import os
from pathlib import Path

from dicomcore.pseudonym_map import Renamed, encode_map
from dicomtools.problems import CommandProblem


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
        raise CommandProblem(f"--mapFile cannot be written: {exc.strerror}") from exc
