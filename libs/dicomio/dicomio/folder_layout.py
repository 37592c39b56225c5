"""Where in a folder an object is: all instances of a series side by side, not each in a folder of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from dicomcore.errors import InvalidRequest

_INSTANCE = re.compile(r"(instances/[^/]+/[^/]+/[0-9.]+)/([0-9a-f]{16}\.dcm)", re.ASCII)
_SERIES = re.compile(r"instances/[^/]+/[^/]+", re.ASCII)
_BELOW_SERIES = re.compile(r"(instances/[^/]+/[^/]+)/[^/]+", re.ASCII)
_JOINED = re.compile(r"([0-9.]+)_([0-9a-f]{16}\.dcm)", re.ASCII)


def place(key: str) -> str:
    """Return the path of an object below the root, with slashes.

    An instance `…/<instance>/<digest>.dcm` is the file `<instance>_<digest>.dcm` in the folder of its
    series: a folder for each would have to be made, and made durable, before each could be acknowledged,
    and would cost the file system as much as the object's own entry does. Every other key is its path.

    Raises
    ------
    InvalidRequest
        The key of something else has this form.
    """
    instance = _INSTANCE.fullmatch(key)
    if instance is not None:
        return f"{instance[1]}_{instance[2]}"
    folder, _, name = key.rpartition("/")
    if _JOINED.fullmatch(name) and _SERIES.fullmatch(folder):
        raise InvalidRequest("folder cannot hold such a key")
    return key


def listed_from(folder: str) -> str:
    """Return the folder to read for keys that begin with `folder` and a slash."""
    below = _BELOW_SERIES.fullmatch(folder)
    return folder if below is None else below[1]


def entries(root: Path, folder: str) -> Iterator[tuple[str, str]]:
    """Yield what a folder holds in byte order of the keys: each key, and the path below the root.

    A folder is a key that ends with a slash.
    """
    if _SERIES.fullmatch(folder) is None:
        found = _read(root, folder)
    else:
        found = []
        for key, path in _read(root, folder):
            if key.endswith("/"):  # its keys are to be sorted among those of files that are joined
                # what nobody could get from there is not said to be there
                found += [one for one in _read(root, path[:-1]) if place(one[0]) == one[1]]
            else:
                name = key.rpartition("/")[2]
                joined = _JOINED.fullmatch(name)
                found.append((key if joined is None else f"{folder}/{joined[1]}/{joined[2]}", path))
    yield from sorted(found)


def _read(root: Path, folder: str) -> list[tuple[str, str]]:
    base = f"{folder}/" if folder else ""
    with os.scandir(root / folder) as listing:
        return [
            2 * (f"{base}{entry.name}/" if entry.is_dir() else base + entry.name,)
            for entry in listing
            if not entry.name.startswith(".")
        ]
