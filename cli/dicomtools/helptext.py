"""The help of the command line: the same words on every Python and every terminal width."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from dicomtools.options import Command, Kind, Option

WIDTH = 100
_INDENT = "  "

DESCRIPTION = (
    "Get one radiotherapy plan, and exactly what it references, out of a DICOM system. "
    "Not validated for clinical use."
)


def overview(commands: Sequence[Command]) -> str:
    """Return the help of `dicomtools` itself."""
    return _page(
        ("Description", textwrap.wrap(DESCRIPTION, WIDTH - len(_INDENT))),
        ("Usage", ["dicomtools [command] [options]"]),
        (
            "Options",
            _columns([("--version", "Show version information"), _HELP_ROW]),
        ),
        ("Commands", _columns([(command.name, command.summary) for command in commands])),
    )


def command_help(command: Command) -> str:
    """Return the help of one command."""
    notes = command.notes.splitlines()
    sections = [
        ("Description", textwrap.wrap(command.summary, WIDTH - len(_INDENT))),
        ("Usage", [f"dicomtools {command.name} [options]"]),
        ("Options", _columns([*(_row(option) for option in command.options), _HELP_ROW])),
    ]
    return _page(*sections, *([("Notes", notes)] if notes else []))


_HELP_ROW = ("-?, -h, --help", "Show help and usage information")


def _row(option: Option) -> tuple[str, str]:
    value = "|".join(option.choices) or ("n" if option.kind is Kind.NUMBER else option.name)
    shown = f"--{option.name}" if option.kind is Kind.FLAG else f"--{option.name} <{value}>"
    if option.kind is Kind.MANY:
        shown += " ..."
    left = f"{shown} (REQUIRED)" if option.required else shown
    if option.default is None or option.default == ():
        return left, option.help
    return left, f"{option.help} [default: {option.default}]"


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    left_width = min(max(len(left) for left, _ in rows), 44) + 2
    right_width = WIDTH - len(_INDENT) - left_width
    lines: list[str] = []
    for left, right in rows:
        wrapped = textwrap.wrap(right, right_width, break_on_hyphens=False)
        too_long = len(left) > left_width - 2
        lines += [left] if too_long else []
        margins = ["" if too_long else left, *("" for _ in wrapped)]
        lines += [
            f"{margin:<{left_width}}{line}" for margin, line in zip(margins, wrapped, strict=False)
        ]
    return lines


def _page(*sections: tuple[str, Sequence[str]]) -> str:
    return "\n".join(
        f"{title}:\n" + "\n".join(f"{_INDENT}{line}".rstrip() for line in lines) + "\n"
        for title, lines in sections
    )
