"""What `dicomtools store` was asked for, checked as a whole before anything is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicomcore.errors import InvalidRequest
from dicomcore.sending.machines import parse_pairs
from dicomcore.sending.values import Policy
from dicomtools.config import Values
from dicomtools.connection import Connection, connection
from dicomtools.folder.listing import ALL
from dicomtools.problems import CommandProblem

MAX_ASSOCIATIONS = 16


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """One command."""

    path: Path
    search_pattern: str
    show_messages: bool
    status_file: Path | None
    policy: Policy
    connection: Connection
    associations: int
    dry_run: bool


def store_options(values: Values) -> StoreOptions:
    """Return the options of one command.

    Raises
    ------
    CommandProblem
        They contradict each other, or ask for what cannot be done.
    """
    path = Path(values.text("path"))
    if not path.exists():
        raise CommandProblem(f"There is no folder {path}")
    associations = values.number("associations")
    if not 1 <= associations <= MAX_ASSOCIATIONS:
        raise CommandProblem(f"--associations: 1 to {MAX_ASSOCIATIONS}")
    status_file = values.text("statusFileName")
    return StoreOptions(
        path=path,
        search_pattern=values.text("searchPattern") or ALL,
        show_messages=values.flag("showMessages"),
        status_file=Path(status_file) if status_file else None,
        policy=Policy(
            machine_mapping=pairs(values.many("machineMapping"), option="machineMapping"),
            default_machines=pairs(values.many("defaultMachines"), option="defaultMachines"),
            any_receiver=values.flag("allowAnyManufacturer"),
        ),
        connection=connection(values),
        associations=associations,
        dry_run=values.flag("dryRun"),
    )


def pairs(texts: Sequence[str], *, option: str) -> Mapping[str, str]:
    """Return the pairs of an option such as `A=B C=D`.

    Raises
    ------
    CommandProblem
        One is no pair, or a name cannot be written into a plan; the words quote it.
    """
    # in options.json and in the environment, several may stand in one text
    words = [word for text in texts for word in _words(text)]
    for number, word in enumerate(words, start=1):
        try:
            parse_pairs(words[:number])
        except InvalidRequest as exc:
            raise CommandProblem(
                f"--{option}: '{word}': {exc.sentence}. Write it as A=B, several as A=B C=D."
            ) from exc
    return parse_pairs(words)


def _words(text: str) -> Sequence[str]:
    """Return the pairs in a text; blanks belong to names unless each part is a pair."""
    parts = text.split()
    return parts if len(parts) > 1 and all("=" in part for part in parts) else [text]
