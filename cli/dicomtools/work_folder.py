"""Where a retrieval keeps what has landed until it is exported: a folder that a crash leaves behind.

It lies in the export folder, so that the same command finds it again and goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from dicomio.files import write_atomically
from dicomtools.folder.listing import WORK_FOLDER
from dicomtools.problems import CommandProblem

NAME = WORK_FOLDER

_LOCK = "lock"
_OF_THE_LOCK = (_LOCK, f"{_LOCK}-journal")
"""The journal is there while the lock is held, and after a crash."""


class WorkFolder:
    """The folder of one running command."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept = False

    @property
    def objects(self) -> Path:
        """Where the temporary object store is."""
        return self.path / "objects"

    def ledger(self, identity: str) -> Ledger:
        """Return the ledger of one retrieval; `identity` is anything that tells it from others."""
        return Ledger(self.path / f"ledger-{hashlib.sha256(identity.encode()).hexdigest()[:32]}")

    def keep(self) -> None:
        """Leave the folder for the next run: not everything that was asked for is exported."""
        self.kept = True

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield an empty folder for files that are not to be exported yet; it is removed at the end."""
        folder = self.path / "staged"
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def holds_anything(self) -> bool:
        """Whether the next run would gain from what is here."""
        return any(
            path.is_file() and path.name not in _OF_THE_LOCK for path in self.path.rglob("*")
        )


@dataclass(frozen=True, slots=True)
class Ledger:
    """How far a retrieval had come."""

    path: Path

    def read(self) -> bytes | None:
        """Return what was written last; None if there is nothing."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, body: bytes) -> None:
        """Replace what was written before."""
        write_atomically(self.path, body)

    def remove(self) -> None:
        """Forget it: the next retrieval starts anew."""
        self.path.unlink(missing_ok=True)


@contextmanager
def work_folder(export_path: Path) -> Iterator[WorkFolder]:
    """Hold the work folder of an export path.

    It is removed at the end, unless it was to be kept or an exception ended the block; empty, it is
    removed in any case, and so is an export path that did not exist before and is still empty.

    Raises
    ------
    CommandProblem
        Another command works on this path, or the folder cannot be made.
    """
    existed = export_path.exists()
    folder = WorkFolder(export_path / NAME)
    try:
        folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise CommandProblem(f"The folder {export_path} cannot be made: {exc.strerror}") from exc
    lock = _locked(folder.path / _LOCK)
    done = False
    try:
        with closing(lock):
            yield folder
            done = not folder.kept
    finally:
        if done or not folder.holds_anything():
            shutil.rmtree(folder.path, ignore_errors=True)
        if not existed:
            with suppress(OSError):  # not empty: that is what it is for
                export_path.rmdir()


@contextmanager
def private_work_folder(export_path: Path) -> Iterator[WorkFolder]:
    """Hold a work folder in the system's folder for temporary files, for originals.

    Only a lock lies in the export path. Nothing is kept for the next run, whatever happens.

    Raises
    ------
    CommandProblem
        Another command works on this path, or a folder cannot be made.
    """
    with work_folder(export_path), _temporary() as folder:
        yield WorkFolder(Path(folder))


def _temporary() -> TemporaryDirectory[str]:
    """Return a folder that only its owner may enter."""
    try:
        return TemporaryDirectory(prefix="dicomtools-", ignore_cleanup_errors=False)
    except OSError as exc:
        raise CommandProblem(f"No folder for temporary files can be made: {exc.strerror}") from exc


def is_occupied(path: Path) -> bool:
    """Whether a folder holds anything that a retrieval did not leave there to go on with."""
    with suppress(OSError):  # absent, or unusable: that is said when it is to be written into
        return any(entry.name != NAME for entry in path.iterdir())
    return False


def _locked(path: Path) -> sqlite3.Connection:
    """Return a lock that the operating system takes back when the process dies.

    SQLite's own file lock, because it is the one that the standard library has on every system.
    """
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as exc:
        connection.close()
        raise CommandProblem(
            f"Another dicomtools writes into {path.parent.parent}. Wait for it, or use another "
            "--path."
        ) from exc
    return connection
