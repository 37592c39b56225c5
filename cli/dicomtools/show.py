"""`dicomtools show`: the reference tree, or the list, of the DICOM files in a folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from dicomcore import render
from dicomcore.header import header_from_json
from dicomcore.model import InstanceHeader
from dicomcore.render_html import html
from dicomcore.sending.machines import with_default_machines
from dicomcore.tree import PatientTree, build_trees
from dicomtools.config import Values
from dicomtools.folder.options import existing_folder, how_to_read
from dicomtools.folder.progress import Bar
from dicomtools.folder.reading import FolderReading
from dicomtools.folder.tasks import HeaderTask
from dicomtools.log_level import configure_logs
from dicomtools.settings import Layer
from dicomtools.skipped import Skipped
from dicomtools.store_options import pairs

OK = 0
FAILED = 1
Paths = Mapping[str, Sequence[str]]
"""SOP Instance UID → the files that hold it."""


def run(values: Values, layers: Sequence[Layer]) -> int:
    """Print what is below the path; return 0 if at least one DICOM file was read.

    Raises
    ------
    CommandProblem
        There is no such folder.
    """
    configure_logs(layers, default="error")
    defaults = pairs(values.many("defaultMachines"), option="defaultMachines")
    headers, paths, skipped = _read(values)
    trees = build_trees(with_default_machines(header, defaults) for header in headers)
    print(rendered(trees, values.text("format"), paths), end="")
    skipped.report(sys.stderr, "not shown")
    return OK if headers else FAILED


def rendered(trees: Sequence[PatientTree], form: str, paths: Paths) -> str:
    """Return trees as `flat`, `tree`, `json` (a list of patients) or `html`."""
    if form == "html":
        return html(trees)
    if form == "json":
        return f"[{','.join(render.to_json(tree).decode() for tree in trees)}]\n"
    if form == "flat":
        return "".join(render.flat(tree, paths) for tree in trees)
    return "".join(map(render.text, trees))


def _read(values: Values) -> tuple[Sequence[InstanceHeader], Paths, Skipped]:
    reading = FolderReading(existing_folder(values), HeaderTask(), how_to_read(values))
    headers: list[InstanceHeader] = []
    paths: dict[str, list[str]] = {}
    skipped = Skipped()
    with Bar(len(reading.entries)) as bar:
        for entry, outcome in reading:
            bar.step()
            if outcome.problem:
                skipped.add(entry.path, outcome.problem)
                continue
            header = header_from_json(outcome.body)
            headers.append(header)
            paths.setdefault(header.ref.sop_instance_uid, []).append(entry.path)
    return headers, paths, skipped
