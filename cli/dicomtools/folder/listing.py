"""Which files a folder holds: by pattern, with what tells whether one has changed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from fnmatch import translate
from typing import NamedTuple

ALL = "*.*"
WORK_FOLDER = ".dicomtools"
"""Where a retrieval keeps what has landed; see `dicomtools.work_folder`."""
MANIFEST = "manifest.json"
"""`dicomcore.export.MANIFEST_NAME`, without all that an export needs."""


class Entry(NamedTuple):
    """One file."""

    path: str
    size_bytes: int
    modified_ns: int
    """Since 1970, in nanoseconds."""


def list_files(folder: str, pattern: str = ALL) -> Iterator[Entry]:
    """Yield the regular files below a folder whose name matches: folder by folder, by name.

    As on Windows, where the pattern comes from: `*.*` is every file, and case does not matter.
    Manifests and work folders of our own are left out, links to folders are not followed, and a
    folder that may not be read is passed over.
    """
    yield from _below(folder, _matcher(pattern))


def _matcher(pattern: str) -> Callable[[str], object] | None:
    """Return what says whether a name in lower case fits; None if every name does."""
    return None if pattern in (ALL, "*") else re.compile(translate(pattern.lower())).match


def _below(folder: str, matches: Callable[[str], object] | None) -> Iterator[Entry]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        return
    folders = []
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry)
            elif (
                entry.name != MANIFEST
                and (matches is None or matches(entry.name.lower()))
                and entry.is_file()
            ):
                facts = entry.stat()
                yield Entry(entry.path, facts.st_size, facts.st_mtime_ns)
        except OSError:  # it went away in between
            continue
    for entry in folders:
        if entry.name != WORK_FOLDER:
            yield from _below(entry.path, matches)
