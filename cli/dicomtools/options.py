"""What a command takes: its options as data, and the words on the command line as values."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dicomtools.problems import CommandProblem

Value = str | int | bool | tuple[str, ...] | None


class Kind(StrEnum):
    """What an option's value is."""

    TEXT = "text"
    NUMBER = "number"
    PORT = "port"
    FLAG = "flag"
    MANY = "many"
    """Several texts after one option, which may also be repeated."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option, under the name that users type, without the dashes."""

    name: str
    help: str
    kind: Kind = Kind.TEXT
    required: bool = False
    default: Value = None
    choices: tuple[str, ...] = ()
    setting: str = ""
    """`Section.Key` in the settings, where it is not the command's own section."""

    @property
    def kebab(self) -> str:
        """The same name as `kebab-case`."""
        return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda m: f"-{m[1].lower()}", self.name)

    @property
    def key(self) -> str:
        """The name as PascalCase: the key in options.json."""
        return self.name[:1].upper() + self.name[1:]

    @property
    def spellings(self) -> tuple[str, ...]:
        """What may stand on the command line for it, dashes included; the first is the usual."""
        return tuple(dict.fromkeys((f"--{self.name}", f"--{self.kebab}")))


@dataclass(frozen=True, slots=True)
class Command:
    """One command: what it is called, what it is for, what it takes."""

    name: str
    summary: str
    section: str
    """Its section in options.json."""
    options: tuple[Option, ...]
    notes: str = ""
    """What the help says below the options."""

    def option(self, name: str) -> Option:
        """Return the option of that name."""
        return next(option for option in self.options if option.name == name)


def parse_command_line(command: Command, words: Sequence[str]) -> dict[str, Value]:
    """Return the options that the words give, by name.

    Notes
    -----
    The option syntax of the original: `--name value`, `--name=value`, `--name:value`; a flag
    alone is true and takes `true` or `false` as its next word; a value may begin with one dash;
    an option that takes several values takes them after one another, or repeated, or both.

    Raises
    ------
    CommandProblem
        An unknown option (the words propose the nearest), a value that does not fit, an option
        given twice that takes one value.
    """
    parser = _Parser(prog=f"dicomtools {command.name}", add_help=False, allow_abbrev=False)
    for option in command.options:
        _add(parser, option)
    found, unknown = parser.parse_known_args(_joined(command, words))
    if unknown:
        raise CommandProblem(_unknown(command, unknown[0]))
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(found).items()
    }


def parse_value(option: Option, text: str) -> Value:
    """Return the value that a text means for an option.

    Raises
    ------
    ValueError
        It means none; the message says what would.
    """
    if option.kind is Kind.FLAG:
        return _flag(text)
    if option.kind in (Kind.NUMBER, Kind.PORT):
        return _number(text, maximum=65535 if option.kind is Kind.PORT else None)
    if option.choices and text not in option.choices:
        raise ValueError(f"'{text}' is none of {', '.join(option.choices)}")
    return text


def nearest(word: str, known: Sequence[str]) -> str | None:
    """Return what was probably meant, or None."""
    folded = {name.lower(): name for name in known}
    import difflib

    close = difflib.get_close_matches(word.lower(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


_TWO_DASHES = "\0--"
"""Stands for the value `--`, which argparse would throw away; no word of a command line holds NUL."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override] # argparse: NoReturn by exit
        raise CommandProblem(f"{self.prog}: {message}")


class _Once(argparse.Action):
    """A value that is given twice contradicts itself."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if hasattr(namespace, self.dest):
            parser.error(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    def typed(text: str) -> Value:
        try:
            return parse_value(option, "--" if text == _TWO_DASHES else text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    if option.kind is Kind.FLAG:
        parser.add_argument(
            *option.spellings,
            dest=option.name,
            action=_Once,
            type=typed,
            nargs="?",
            const=True,
            default=argparse.SUPPRESS,
        )
        return
    many = option.kind is Kind.MANY
    parser.add_argument(
        *option.spellings,
        dest=option.name,
        action="extend" if many else _Once,
        nargs="+" if many else None,
        type=typed,
        default=argparse.SUPPRESS,
    )


def _joined(command: Command, words: Sequence[str]) -> list[str]:
    """Return the words as argparse wants them: `:` as `=`, values that begin with a dash tied on.

    `--many=a b` becomes `--many a b`: argparse would take the first value only.
    """
    kinds = {spelling: option.kind for option in command.options for spelling in option.spellings}
    joined: list[str] = []
    waiting = ""
    for word in words:
        head, separator, rest = _split(word)
        kind = kinds.get(head)
        if waiting and _is_value(word, kinds):
            joined[-1] = f"{waiting}={word}"
            waiting = ""
        elif kind is None or not separator:
            joined.append(word)
            waiting = word if kind not in (None, Kind.FLAG) else ""
        else:
            many = kind is Kind.MANY and not rest.startswith("-")
            value = _TWO_DASHES if rest == "--" else rest
            joined += [head, rest] if many else [f"{head}={value}"]
            waiting = ""
    return joined


def _split(word: str) -> tuple[str, str, str]:
    """Return what is before the first `=` or `:`, that separator, and the rest."""
    found = re.search("[=:]", word)
    return (
        (word, "", "") if found is None else (word[: found.start()], found[0], word[found.end() :])
    )


def _is_value(word: str, known: Mapping[str, Kind]) -> bool:
    """Whether a word with one dash can only be meant as a value: `-5`, `-PH 3`."""
    return word.startswith("-") and not word.startswith("--") and word not in known


def _flag(text: str) -> bool:
    folded = text.strip().lower()
    if folded not in ("true", "false"):
        raise ValueError(f"'{text}' is neither true nor false")
    return folded == "true"


def _number(text: str, *, maximum: int | None) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise ValueError(f"'{text}' is not a whole number")
    number = int(text)
    if maximum is not None and not 1 <= number <= maximum:
        raise ValueError(f"'{text}' is not a port number: 1 to {maximum}")
    return number


def _unknown(command: Command, word: str) -> str:
    name = _split(word)[0]
    if not name.startswith("-"):
        return f"dicomtools {command.name}: '{word}' belongs to no option"
    known = [spelling for option in command.options for spelling in option.spellings]
    meant = nearest(name, known)
    hint = f" Did you mean {meant}?" if meant else ""
    return (
        f"dicomtools {command.name}: {name} is not an option.{hint} "
        f"'dicomtools {command.name} --help' lists them."
    )
