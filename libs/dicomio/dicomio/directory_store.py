"""The object store on a folder: nothing is overwritten, nothing is half there, on any system."""

# Paths are strings on the way of each object: as `Path` they cost as much as the system calls.
# ruff: noqa: PTH102, PTH108, PTH112, PTH113

from __future__ import annotations

import errno
import itertools
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from dicomcore.errors import (
    InvalidRequest,
    NotFound,
    ObjectStoreFull,
    ObjectStoreUnavailable,
)
from dicomcore.keys import check_key, check_prefix
from dicomcore.ports import ObjectStat
from dicomio.durable import link_or_rename_absent, sync_directory
from dicomio.folder_layout import entries, listed_from, place
from dicomio.new_files import NewFiles
from dicomio.parts import Parts
from dicomio.usage import UsageEstimate

STAGING = ".staging"
"""Where objects are written before they get their key; no key starts with a dot."""
LEFTOVER_AFTER_S = 900.0
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}
_NOT_A_KEY_HERE = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}
_KNOWN_DIRECTORIES = 50_000


class DirectoryStore:
    """`ObjectStore` on the folder `root`, which is made if it is absent.

    Threads and processes may share the folder. An object is written to a file in `root`/.staging, made
    durable, and then linked to its name: a link fails where the name exists, so that of two writers
    exactly one wins, and a reader never sees a part of an object. Which file is which key is said in
    `dicomio.folder_layout`. Two keys of which one continues the other after a slash cannot both exist
    here. On file systems that do not tell upper from lower case,
    keys must differ in more than that.

    Parameters
    ----------
    capacity_bytes
        What the objects may take up; above it a put raises `ObjectStoreFull`. Without it the file
        system's own limit holds.
    leftover_after_s
        A staged file that nobody has written to for so long belongs to a process that is gone; looked
        for at the start and as often.

    Raises
    ------
    ObjectStoreUnavailable
        The folder cannot be made.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        capacity_bytes: int | None = None,
        leftover_after_s: float = LEFTOVER_AFTER_S,
    ) -> None:
        self._root = _long_path(Path(root).absolute())
        self._staging = self._root / STAGING
        self._capacity_bytes = capacity_bytes
        self._leftover_after_s = leftover_after_s
        self._usage = UsageEstimate(lambda start_after: self.list("", start_after=start_after))
        self._names = itertools.count()
        self._files = NewFiles()
        self._base = f"{self._root}{os.sep}"
        self._staged = f"{self._staging}{os.sep}{uuid4().hex}-"
        self._durable_directories: set[str] = set()
        self._cleaned_at = time.monotonic()
        self._cleaning = threading.Lock()
        with self._writing():
            self._staging.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._remove_leftovers()

    def put(self, key: str, parts: Sequence[bytes | memoryview], *, sha256: str = "") -> bool:  # noqa: ARG002 - for servers
        path = self._place(key)
        folder = path.rpartition(os.sep)[0]
        body = Parts(parts)
        with self._writing():
            self._remove_leftovers_if_due()
            if self._capacity_bytes is not None and not os.path.isfile(path):
                self._refuse_above_capacity(body.size_bytes)
            # the directories first: the file's own way to the disk often takes them along
            unsynced, is_fresh = self._make_directories(folder)
            if not is_fresh and os.path.isfile(path):
                # who wrote it may not have come to this yet
                self._sync(folder, unsynced)
                return False
            staged = f"{self._staged}{next(self._names)}.part"
            try:
                self._files.write(staged, body)
                created = self._give_name(staged, path, unsynced)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(staged)
        if created:
            self._usage.written(body.size_bytes)
        return created

    def get(self, key: str) -> bytes:
        path = self._path(key)
        with self._reading(path):
            return path.read_bytes()

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise InvalidRequest("range is negative", offset=offset, length=length)
        path = self._path(key)
        with self._reading(path), path.open("rb") as file:
            file.seek(offset)
            # an absurd length must not become a buffer
            return file.read(min(length, max(0, path.stat().st_size - offset)))

    def stat(self, key: str) -> ObjectStat:
        path = self._path(key)
        with self._reading(path):
            if path.is_dir():
                raise NotFound("no such object")
            return _stat(key, path.stat())

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectStat]:
        folder, _, _ = check_prefix(prefix).rpartition("/")
        return self._walk(listed_from(folder), prefix, start_after)

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            with self._reading(path):
                size_bytes = self.stat(key).size_bytes
                path.unlink()
                sync_directory(path.parent)
        except NotFound:
            return
        self._usage.written(-size_bytes)

    def presign(self, key: str, *, expires_s: int) -> str | None:  # noqa: ARG002 - the port's form
        check_key(key)
        return None

    def fill_ratio(self) -> float | None:
        with self._writing():
            if self._capacity_bytes is not None:
                return self._usage.used_bytes() / self._capacity_bytes
            disk = shutil.disk_usage(self._root)
            return disk.used / disk.total if disk.total else None

    def close(self) -> None:
        pass

    def _path(self, key: str) -> Path:
        return Path(self._place(key))

    def _place(self, key: str) -> str:
        return self._base + place(check_key(key)).replace("/", os.sep)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn errors of the operating system into ours."""
        try:
            yield
        except OSError as exc:
            if exc.errno in _FULL:
                raise ObjectStoreFull("no room in the folder", errno=exc.errno) from exc
            if exc.errno in _NOT_A_KEY_HERE:
                raise InvalidRequest("folder cannot hold such a key", errno=exc.errno) from exc
            raise ObjectStoreUnavailable("folder does not answer", errno=exc.errno) from exc

    @contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        """Do as `_writing` does, but an absent object is an answer, if the store itself is there."""
        with self._writing():
            try:
                yield
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as exc:
                self._demand_root()
                raise NotFound("no such object") from exc
            except PermissionError as exc:  # what Windows says of a directory
                if not path.is_dir():
                    raise
                raise NotFound("no such object") from exc

    def _demand_root(self) -> None:
        """Tell an absent object from an absent store: a volume that is not mounted any more."""
        if not self._staging.is_dir():
            raise ObjectStoreUnavailable("folder of the object store is gone")

    def _refuse_above_capacity(self, size_bytes: int) -> None:
        if self._capacity_bytes is None:
            return
        if self._usage.used_bytes() + size_bytes > self._capacity_bytes:
            raise ObjectStoreFull("capacity is used up", capacity_bytes=self._capacity_bytes)

    def _give_name(self, staged: str, path: str, unsynced: Sequence[str]) -> bool:
        """Link a finished object to its name, durably; return whether the name was free.

        Parameters
        ----------
        unsynced
            Directories on the way to it that may not survive a power cut yet.
        """
        folder = path.rpartition(os.sep)[0]
        try:
            created = link_or_rename_absent(staged, path, claims=self._staging)
        except FileNotFoundError:
            # somebody removed a folder that we know: make it again
            self._durable_directories.clear()
            unsynced, _ = self._make_directories(folder)
            created = link_or_rename_absent(staged, path, claims=self._staging)
        if not created and os.path.isdir(path):
            raise InvalidRequest("key is the beginning of other keys")
        # also for the loser of a race: the winner may not have come to it yet
        self._sync(folder, unsynced)
        return created

    def _make_directories(self, directory: str) -> tuple[Sequence[str], bool]:
        """Make the way down to `directory`.

        Returns
        -------
        tuple
            The part of it that may not survive a power cut, which is all that we have not synced
            ourselves: another process may have made it a moment ago. And whether `directory` is new:
            then nothing was in it.
        """
        known, unsynced = self._durable_directories, list[str]()
        step = directory
        while len(step) > len(self._base) and step not in known:
            unsynced.append(step)
            step = step.rpartition(os.sep)[0]
        is_fresh = False
        for step in reversed(unsynced):
            try:
                os.mkdir(step, 0o700)
                is_fresh = True
            except FileExistsError:
                is_fresh = False
            except FileNotFoundError:
                if not known:
                    raise
                # somebody removed a folder that we know
                known.clear()
                return self._make_directories(directory)
        return unsynced[::-1], is_fresh

    def _sync(self, directory: str, unsynced: Sequence[str]) -> None:
        """Return once the names in `directory`, and those of the `unsynced` ones, are on the medium."""
        sync_directory(directory)
        for step in unsynced:
            sync_directory(step.rpartition(os.sep)[0])
        if len(self._durable_directories) >= _KNOWN_DIRECTORIES:
            self._durable_directories.clear()
        self._durable_directories.update(unsynced)

    def _walk(self, folder: str, prefix: str, start_after: str) -> Iterator[ObjectStat]:
        """Yield objects below `folder` in byte order of their keys; one directory in memory per level."""
        try:
            with self._reading(self._root / folder):
                found = list(entries(self._root, folder))
        except NotFound:
            return
        for key, path in found:
            if key.endswith("/"):
                below_prefix = key.startswith(prefix) or prefix.startswith(key)
                if below_prefix and (key > start_after or start_after.startswith(key)):
                    yield from self._walk(path[:-1], prefix, start_after)
            elif key.startswith(prefix) and key > start_after:
                try:
                    with self._reading(self._root / path):
                        stat = _stat(key, (self._root / path).stat())
                except NotFound:  # deleted since the folder was read
                    continue
                yield stat

    def _remove_leftovers_if_due(self) -> None:
        if time.monotonic() - self._cleaned_at < self._leftover_after_s:
            return
        if self._cleaning.acquire(blocking=False):
            try:
                self._cleaned_at = time.monotonic()
                self._remove_leftovers()
            finally:
                self._cleaning.release()

    def _remove_leftovers(self) -> None:
        """Remove what crashed writers left; a slow writer that loses its file gets an error, no more."""
        with os.scandir(self._staging) as entries:
            for entry in entries:
                # gone by another's hand, or open elsewhere (Windows)
                with suppress(FileNotFoundError, PermissionError):
                    if time.time() - entry.stat().st_mtime > self._leftover_after_s:
                        Path(entry.path).unlink()


def _stat(key: str, status: os.stat_result) -> ObjectStat:
    return ObjectStat(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _long_path(path: Path) -> Path:
    """Return `path` so that Windows does not stop at 260 characters; three UIDs alone may take 192."""
    if sys.platform == "win32" and not str(path).startswith("\\\\"):
        return Path(f"\\\\?\\{path}")
    return path
