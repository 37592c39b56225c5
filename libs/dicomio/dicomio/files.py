"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, body: bytes) -> None:
    """Write a file under its name in one step: a crash leaves the old one, or none.

    Raises
    ------
    OSError
        Not written; what was there before is unchanged.
    """
    staged = path.with_name(f".{path.name}.part")
    try:
        with staged.open("wb") as file:
            file.write(body)
            file.flush()
            # Without it some file systems rename first and write later: an empty file after a
            # power cut, under the final name.
            os.fsync(file.fileno())
        staged.replace(path)
    except BaseException:
        with suppress(OSError):
            staged.unlink(missing_ok=True)
        raise
