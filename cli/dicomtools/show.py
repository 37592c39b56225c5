"""`dicomtools show`: the reference tree, or the list, of the DICOM files in a folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dicomcore import render
from dicomcore.sending.machines import with_default_machines
from dicomcore.tree import build_trees
from dicomtools.config import Values
from dicomtools.headers import ALL, files_below, read_headers
from dicomtools.log_level import configure_logs
from dicomtools.problems import CommandProblem
from dicomtools.settings import Layer
from dicomtools.store_options import pairs

OK = 0
FAILED = 1
SHOWN_FILES = 10


def run(values: Values, layers: Sequence[Layer]) -> int:
    """Print what is below the path; return 0 if at least one DICOM file was read.

    Raises
    ------
    CommandProblem
        There is no such folder.
    """
    configure_logs(layers, default="error")
    folder = Path(values.text("path"))
    if not folder.is_dir():
        raise CommandProblem(f"There is no folder {folder}")
    found = read_headers(files_below(folder, values.text("searchPattern") or ALL))
    defaults = pairs(values.many("defaultMachines"), option="defaultMachines")
    for tree in build_trees(with_default_machines(header, defaults) for header in found.headers):
        flat = values.text("format") == "flat"
        print(render.flat(tree, found.paths) if flat else render.text(tree), end="")
    if found.unreadable:
        print(f"{len(found.unreadable)} files are not shown:", file=sys.stderr)
        for path, reason in found.unreadable[:SHOWN_FILES]:
            print(f"  {path}: {reason}", file=sys.stderr)
        if len(found.unreadable) > SHOWN_FILES:
            print(f"  and {len(found.unreadable) - SHOWN_FILES} more", file=sys.stderr)
    return OK if found.headers else FAILED
