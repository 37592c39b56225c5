"""What the commands that read a folder take alike, from their options."""

from __future__ import annotations

from pathlib import Path

from dicomtools.config import Values
from dicomtools.folder.listing import ALL
from dicomtools.folder.reading import How
from dicomtools.problems import CommandProblem
from dicomtools.settings import cache_folder


def how_to_read(values: Values) -> How:
    """Return how files are to be read."""
    return How(
        pattern=values.text("searchPattern") or ALL,
        processes=int(values.text("processes") or 0),
        cache_root=None if values.flag("noCache") else cache_folder() / "folders",
    )


def existing_folder(values: Values) -> str:
    """Return the folder that was given.

    Raises
    ------
    CommandProblem
        There is none, or none was given.
    """
    folder = values.text("path")
    if not folder:
        raise CommandProblem("--path is missing: a folder; or --server: the address of a system")
    if not Path(folder).is_dir():
        raise CommandProblem(f"There is no folder {folder}")
    return folder
