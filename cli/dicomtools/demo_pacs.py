"""`dicomtools demo-pacs`: a DICOM system to try things on, with faults to switch on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from pydicom import Dataset

from dicomcore.errors import Unavailable
from dicomtools.addresses import ae_title, parse_destination
from dicomtools.commands import FAULTS
from dicomtools.config import Values
from dicomtools.demo.faults import Faults
from dicomtools.demo.pacs import DemoPacs
from dicomtools.demo.patients import twelve_plans
from dicomtools.demo.sizes import SIZES
from dicomtools.interrupt import interruptible
from dicomtools.log_level import configure_logs
from dicomtools.options import Kind
from dicomtools.problems import CommandProblem
from dicomtools.settings import Layer

OK = 0


def run(values: Values, layers: Sequence[Layer]) -> int:
    """Listen until Ctrl-C.

    Raises
    ------
    CommandProblem
        There is no such folder, the port cannot be used, an option cannot be understood.
    """
    configure_logs(layers, default="warning")
    pacs = DemoPacs(
        _source(values),
        ae_title=ae_title(values.text("aet"), option="aet"),
        host=values.text("bindAddress"),
        port=values.number("port"),
        destinations=dict(
            parse_destination(text, option="destination") for text in values.many("destination")
        ),
        faults=faults_of(values),
    )
    with interruptible("Stopping.") as stop:
        try:
            pacs.start()
        except (OSError, Unavailable) as exc:
            raise CommandProblem(f"Port {pacs.port} cannot be used; give another --port.") from exc
        try:
            print(
                f"{pacs.ae_title} listens on {pacs.host}:{pacs.port}; Ctrl-C ends it.", flush=True
            )
            stop.wait()
        finally:
            pacs.stop()
    return OK


def faults_of(values: Values) -> Faults:
    """Return the faults that are switched on."""
    given: dict[str, object] = {}
    for field, option in zip(fields(Faults), FAULTS, strict=True):
        if option.kind is Kind.MANY:
            given[field.name] = frozenset(values.many(option.name))
        elif values.by_name[option.name] is not None:
            given[field.name] = values.by_name[option.name]
    return Faults(**given)  # type: ignore[arg-type] # each option has its field's type


def _source(values: Values) -> Path | list[Dataset]:
    if not values.text("path"):
        return twelve_plans(sizes=SIZES[values.text("size")]).datasets
    folder = Path(values.text("path"))
    if not folder.is_dir():
        raise CommandProblem(f"There is no folder {folder}")
    return folder
