"""What was read of a folder's files before: valid as long as size and time of change are the same.

It holds patient data. So it is kept apart from the folder, in the user's own cache folder, readable by
the user only, and forgotten when nobody has asked for it in a month.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from dicomtools.folder.listing import Entry
from dicomtools.folder.tasks import Outcome

T = TypeVar("T")

FORMAT = 1
"""Changes whenever the same file would give another body."""
KEPT_DAYS = 31
_SETTLED_NS = 2_000_000_000
"""A file changed so shortly ago may change again without its time changing (FAT: 2 s)."""
_BUSY_S = 5.0
_SCHEMA = """
CREATE TABLE answer (
    task TEXT NOT NULL, name BLOB NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL,
    body BLOB NOT NULL, problem TEXT NOT NULL, PRIMARY KEY (task, name)
) WITHOUT ROWID;
CREATE TABLE head (
    name BLOB PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL, head BLOB NOT NULL
);
"""


class Known(NamedTuple):
    """What is known of one file, as long as it has not changed."""

    size_bytes: int
    modified_ns: int
    body: bytes
    problem: str

    def holds(self, entry: Entry) -> bool:
        """Return whether the file is still the one that was read."""
        return self.size_bytes == entry.size_bytes and self.modified_ns == entry.modified_ns


class FolderCache:
    """The cache of one folder; whatever is wrong with it, the files are read instead.

    Parameters
    ----------
    root
        Where caches are; made, for the user alone, when there is something to keep.
    folder
        The folder whose files it knows; files are named by their paths below it.
    """

    def __init__(self, root: Path, folder: str) -> None:
        name = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:32]
        self._path = root / f"{name}.sqlite"

    def answers(self, task: str) -> dict[str, Known]:
        """Return what is known for a task, by file."""

        def work(database: sqlite3.Connection) -> dict[str, Known]:
            rows = database.execute(
                "SELECT name, size, modified, body, problem FROM answer WHERE task = ?", (task,)
            )
            return {os.fsdecode(name): Known._make(facts) for name, *facts in rows}

        return self._try(work, {}, make=False)

    def heads(self, wanted: Mapping[str, Entry]) -> dict[str, bytes]:
        """Return the beginnings of the files of which they were kept and that have not changed."""

        def work(database: sqlite3.Connection) -> dict[str, bytes]:
            found = {}
            for name, entry in wanted.items():
                facts = (os.fsencode(name), entry.size_bytes, entry.modified_ns)
                row = database.execute(
                    "SELECT head FROM head WHERE name = ? AND size = ? AND modified = ?", facts
                ).fetchone()
                if row is not None:
                    found[name] = row[0]
            return found

        return self._try(work, {}, make=False)

    def keep(
        self, task: str, read: Mapping[str, tuple[Entry, Outcome]], gone: Iterable[str]
    ) -> None:
        """Keep what was read, and forget files that are gone."""
        settled = time.time_ns() - _SETTLED_NS
        rows = [
            (os.fsencode(name), entry.size_bytes, entry.modified_ns, outcome)
            for name, (entry, outcome) in read.items()
            if entry.modified_ns < settled
        ]
        lost = [(os.fsencode(name),) for name in gone]

        def work(database: sqlite3.Connection) -> None:
            with database:
                database.executemany("DELETE FROM answer WHERE name = ?", lost)
                database.executemany("DELETE FROM head WHERE name = ?", lost)
                database.executemany(
                    "INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?, ?, ?)",
                    ((task, *facts, outcome.body, outcome.problem) for *facts, outcome in rows),
                )
                database.executemany(
                    "INSERT OR REPLACE INTO head VALUES (?, ?, ?, ?)",
                    ((*facts, outcome.head) for *facts, outcome in rows if outcome.head),
                )

        if rows or lost:
            self._try(work, None, make=True)

    def _try(self, work: Callable[[sqlite3.Connection], T], otherwise: T, *, make: bool) -> T:
        """Return what the work returns, or something else: a damaged cache is removed."""
        try:
            with closing(self._connect(make=make)) as database:
                return work(database)
        except FileNotFoundError:
            pass  # the first time
        except sqlite3.OperationalError as exc:
            _note("folder_cache_skipped", reason=exc.sqlite_errorname)
        except sqlite3.DatabaseError:
            _note("folder_cache_removed")
            with suppress(OSError):
                self._path.unlink()
        except OSError as exc:
            _note("folder_cache_skipped", reason=exc.strerror)
        return otherwise

    def _connect(self, *, make: bool) -> sqlite3.Connection:
        if make:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # opened first, so that nobody else may read what SQLite would create for everybody
        os.close(os.open(self._path, os.O_RDWR | (os.O_CREAT if make else 0), 0o600))
        os.utime(self._path)
        database = sqlite3.connect(self._path, timeout=_BUSY_S)
        try:
            # after a power cut the cache may be damaged, and is thrown away
            database.execute("PRAGMA synchronous = OFF")
            [[version]] = database.execute("PRAGMA user_version")
            if version != FORMAT:
                tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
                for (table,) in database.execute(tables).fetchall():
                    database.execute(f'DROP TABLE "{table}"')
                database.executescript(f"{_SCHEMA} PRAGMA user_version = {FORMAT};")
        except BaseException:
            database.close()
            raise
        return database


def _note(event: str, **facts: object) -> None:
    """Write to the log if there is one: to load it takes as long as to read three thousand files."""
    if "structlog" in sys.modules:
        import structlog

        if structlog.is_configured():
            structlog.get_logger().info(event, **facts)


def forget_old(root: Path) -> None:
    """Remove the caches that nobody has asked for in a month."""
    oldest = time.time() - KEPT_DAYS * 86400
    for path in root.glob("*.sqlite") if root.is_dir() else ():
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
