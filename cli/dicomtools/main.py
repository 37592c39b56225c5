"""`dicomtools`: read the words on the command line, carry out the command, return the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from dicomcore.errors import DicomToolsError
from dicomtools import commands
from dicomtools.config import Values, resolve
from dicomtools.options import Command, nearest, parse_command_line
from dicomtools.problems import CommandProblem, advice
from dicomtools.settings import Layer, layers

Run = Callable[[Values, Sequence[Layer]], int]

OK = 0
FAILED = 1
_HELP = frozenset(("-?", "-h", "--help", "/?", "/h"))


def main(words: Sequence[str] | None = None) -> int:
    """Carry out one command; return 0 if all of it was done, otherwise 1.

    Parameters
    ----------
    words
        The command line without the program's name; None: the process's own.
    """
    try:
        return _run(list(sys.argv[1:] if words is None else words))
    except DicomToolsError as exc:
        print(advice(exc), file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
    except BrokenPipeError:
        # `dicomtools show … | head`: the reader has enough. Python would complain once more
        # when it flushes standard output on exit, so that goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def _run(words: list[str]) -> int:
    if not words or words[0] in _HELP:
        from dicomtools.helptext import overview

        print(overview([command for command, _ in _COMMANDS.values()]))
        return OK if words else FAILED
    if words[0] == "--version":
        from importlib.metadata import version

        print(version("dicomtools"))
        return OK
    command, run = _chosen(words[0])
    if any(word in _HELP for word in words[1:]):
        from dicomtools.helptext import command_help

        print(command_help(command))
        return OK
    found = layers()
    _refuse_what_is_no_text(words)
    values, warnings = resolve(command, parse_command_line(command, words[1:]), found)
    for warning in warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    return run(values, found)


def _chosen(name: str) -> tuple[Command, Run]:
    if name in _COMMANDS:
        return _COMMANDS[name]
    meant = nearest(name, list(_COMMANDS))
    hint = f" Did you mean {meant}?" if meant else ""
    raise CommandProblem(f"'{name}' is not a command.{hint} 'dicomtools --help' lists them.")


def _refuse_what_is_no_text(words: Sequence[str]) -> None:
    """Refuse bytes that Python could not decode: they would fail later, in many places."""
    try:
        "".join(words).encode()
    except UnicodeEncodeError as exc:
        raise CommandProblem(
            "A word on the command line is no text in this system's encoding."
        ) from exc


# A command's modules are imported when it runs: help is instant, and what one command needs
# cannot break another.


def _retrieve(values: Values, found: Sequence[Layer]) -> int:
    from dicomtools.retrieve import run

    return run(values, found)


def _store(values: Values, found: Sequence[Layer]) -> int:
    from dicomtools.store import run

    return run(values, found)


def _search(values: Values, found: Sequence[Layer]) -> int:
    from dicomtools.search import run

    return run(values, found)


def _show(values: Values, found: Sequence[Layer]) -> int:
    from dicomtools.show import run

    return run(values, found)


def _reveal(values: Values, found: Sequence[Layer]) -> int:
    from dicomtools.reveal import run

    return run(values, found)


def _doctor(values: Values, found: Sequence[Layer]) -> int:
    from dicomtools.doctor import run

    return run(values, found)


def _completion(values: Values, found: Sequence[Layer]) -> int:
    from dicomtools.completion import run

    return run(values, found, [command for command, _ in _COMMANDS.values()])


def _up(values: Values, found: Sequence[Layer]) -> int:
    from dicomtools.up import run

    return run(values, found)


def _demo(values: Values, found: Sequence[Layer]) -> int:
    from dicomtools.demo.run import run

    return run(values, found)


def _demo_pacs(values: Values, found: Sequence[Layer]) -> int:
    from dicomtools.demo_pacs import run

    return run(values, found)


_COMMANDS: dict[str, tuple[Command, Run]] = {
    command.name: (command, run)
    for command, run in (
        (commands.RETRIEVE, _retrieve),
        (commands.STORE, _store),
        (commands.SEARCH, _search),
        (commands.SHOW, _show),
        (commands.REVEAL, _reveal),
        (commands.DOCTOR, _doctor),
        (commands.COMPLETION, _completion),
        (commands.UP, _up),
        (commands.DEMO, _demo),
        (commands.DEMO_PACS, _demo_pacs),
    )
}

if __name__ == "__main__":
    sys.exit(main())
