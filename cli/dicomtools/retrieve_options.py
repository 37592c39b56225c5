"""What `dicomtools retrieve` was asked for, checked as a whole before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dicomtools.addresses import ae_title
from dicomtools.anonymize_options import Anonymization, anonymization, check_new_names
from dicomtools.config import Values
from dicomtools.connection import TlsFiles, tls_files
from dicomtools.patients import Patient, parse_patients, renamed
from dicomtools.problems import CommandProblem
from dicomtools.settings import Layer


@dataclass(frozen=True, slots=True)
class RetrieveOptions:
    """One command."""

    patients: tuple[Patient, ...]
    plan_label: str | None = field(repr=False)
    only_approved: bool
    path: Path
    show_tree: bool
    host: str
    port: int
    calling_ae_title: str
    called_ae_title: str
    use_get: bool
    tls: TlsFiles | None
    force: bool
    store_path: Path | None
    listen_port: int
    as_json: bool
    anonymization: Anonymization | None = None


def retrieve_options(values: Values, layers: Sequence[Layer] = ()) -> RetrieveOptions:
    """Return the options of one command.

    Parameters
    ----------
    layers
        For the settings of anonymisation that are no options.

    Raises
    ------
    CommandProblem
        They contradict each other, or ask for what cannot be done.
    """
    how = anonymization(values, layers)
    patients = parse_patients(values.text("patientId"))
    if how is not None:
        patients = renamed(
            patients, values.text("newPatientId").strip(), values.text("newPatientName").strip()
        )
        check_new_names(patients)
    return RetrieveOptions(
        patients=tuple(patients),
        plan_label=values.text("planId") or None,
        only_approved=values.flag("onlyApprovedPlans"),
        path=Path(values.text("path")),
        show_tree=values.flag("showTree"),
        host=values.text("hostName"),
        port=values.number("hostPort"),
        calling_ae_title=ae_title(values.text("callingAet"), option="callingAet"),
        called_ae_title=ae_title(values.text("calledAet"), option="calledAet"),
        use_get=values.flag("useGet"),
        tls=tls_files(values),
        force=values.flag("force"),
        store_path=_path(values, "storePath"),
        listen_port=values.number("listenPort"),
        as_json=values.flag("json"),
        anonymization=how,
    )


def _path(values: Values, name: str) -> Path | None:
    text = values.text(name)
    return Path(text) if text else None


def confirm_path(
    options: RetrieveOptions, *, occupied: bool, ask: Callable[[str], str] | None
) -> None:
    """Ask before something is written into a folder that holds something already.

    Parameters
    ----------
    ask
        Shows a question and returns the answer; None where nobody is there to answer.

    Raises
    ------
    CommandProblem
        The answer was no, or nobody could be asked.
    """
    if not occupied or options.force:
        return
    if ask is None:
        raise CommandProblem(
            f"{options.path} exists and is not empty. Give --force to write into it; what was "
            "exported there before stays."
        )
    if ask(
        f"{options.path} exists and is not empty. Write into it? [y/N] "
    ).strip().lower() not in (
        "y",
        "yes",
    ):
        raise CommandProblem("Nothing was retrieved and nothing was written.")
