"""Files and directory entries that survive a power cut, and names that are never overwritten."""

# Paths are strings on the way of each object: as `Path` they cost as much as the system calls.
# ruff: noqa: PTH104, PTH110

from __future__ import annotations

import errno
import hashlib
import os
import sys
from pathlib import Path

StrPath = str | os.PathLike[str]

_NO_LINKS = {
    errno.EPERM,  # vfat, exFAT on Linux
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.ENOTSUP,  # exFAT and SMB on macOS
    errno.EMLINK,
}


def sync_file(descriptor: int) -> None:
    """Return once the contents of an open file are on the medium."""
    if sys.platform == "darwin":
        import fcntl

        try:
            # fsync stops at the drive's cache there
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError:  # network volumes do not know it
            os.fsync(descriptor)
        return
    os.fsync(descriptor)


def sync_directory(directory: StrPath) -> None:
    """Return once the names in a directory are on the medium, where the system lets one ask for it."""
    if os.name == "nt":  # a directory cannot be opened; NTFS journals names itself
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # some network mounts
            raise
    finally:
        os.close(descriptor)


def link_or_rename_absent(source: StrPath, target: StrPath, *, claims: Path) -> bool:
    """Give the file `source` the name `target` if nothing has it; return whether it was free.

    Atomic between threads and processes. `source` may or may not remain.

    Parameters
    ----------
    claims
        A directory for lock files, used only where the file system has no hard links.

    Raises
    ------
    OSError
        Also when another writer is at the same name right now, and there are no hard links: EAGAIN.
    """
    try:
        if os.name == "nt":
            os.rename(source, target)  # refuses to replace, unlike on POSIX
        else:
            os.link(source, target)
    except FileExistsError:
        return False
    except OSError as exc:
        if os.name == "nt" or exc.errno not in _NO_LINKS:
            raise
        return rename_absent(source, target, claims=claims)
    return True


def rename_absent(source: StrPath, target: StrPath, *, claims: Path) -> bool:
    """Do as `link_or_rename_absent` does, without hard links.

    A lock file stands for the right to the name. A crash leaves it behind; who cleans `claims` of old
    files frees the name.
    """
    claim = claims / f"{hashlib.sha256(os.fsencode(target)).hexdigest()}.claim"
    try:
        os.close(os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as exc:
        raise BlockingIOError(errno.EAGAIN, "another writer is at this name") from exc
    try:
        if os.path.exists(target):
            return False
        os.rename(source, target)
        return True
    finally:
        claim.unlink(missing_ok=True)
