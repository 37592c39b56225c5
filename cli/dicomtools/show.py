"""`dicomtools show`: the reference tree, or the list, of the DICOM files in a folder."""

from __future__ import annotations

import asyncio
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
    """Print what is below the path; return 0 if there is at least one patient.

    Raises
    ------
    CommandProblem
        There is no such folder, or the server does not answer.
    """
    configure_logs(layers, default="error")
    if values.text("server"):
        return asyncio.run(_show_server(values))
    defaults = pairs(values.many("defaultMachines"), option="defaultMachines")
    headers, paths, skipped = _read(values)
    patient = values.by_name["patientId"]
    trees = build_trees(
        with_default_machines(header, defaults)
        for header in headers
        if patient is None or header.patient_id == patient
    )
    print(rendered(trees, values.text("format"), paths), end="")
    skipped.report(sys.stderr, "not shown")
    return _told(trees)


def rendered(trees: Sequence[PatientTree], form: str, paths: Paths) -> str:
    """Return trees as `flat`, `tree`, `json` (a list of patients) or `html`."""
    if form == "html":
        return html(trees)
    if form == "json":
        return f"[{','.join(render.to_json(tree).decode() for tree in trees)}]\n"
    if form == "flat":
        return "".join(render.flat(tree, paths) for tree in trees)
    return "".join(map(render.text, trees))


async def _show_server(values: Values) -> int:
    """Print what a running system has of one patient, or of all."""
    from dicomtools.index_client import index_client  # what only this needs takes a while to load

    trees = []
    async with index_client(values.text("server"), values.text("token")) as client:
        chosen = values.text("patientId")
        wanted = [chosen] if chosen else [one async for one in client.patient_ids()]
        for patient_id in wanted:
            tree = await client.tree(patient_id)
            if tree is not None:
                trees.append(tree)
    print(rendered(trees, values.text("format"), {}), end="")
    return _told(trees)


def _told(trees: Sequence[PatientTree]) -> int:
    if not trees:
        print("There is nothing to show.", file=sys.stderr)
    return OK if trees else FAILED


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
