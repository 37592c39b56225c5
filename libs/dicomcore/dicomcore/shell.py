r"""Words quoted for the shell that reads them, so that none can become a command.

`sh`
    POSIX.1-2017, Shell Command Language, 2.2.2: between single quotes every character is itself.
`bat`
    A batch file's line is read three times: `cmd` replaces `%…%`, whatever is quoted; then it takes
    `& | < > ( ) ^` for its own, unless they stand in quotation marks or behind `^`; the program at last
    splits the rest into arguments (CommandLineToArgvW), where `\"` is a quotation mark. `cmd` knows no
    `\"`: for it every quotation mark opens or closes. So a word with one in it is written with `^`
    before each special character, quotation marks included, and `cmd` never sees an open quotation.
    Delayed expansion has to be off (`setlocal DisableDelayedExpansion`), otherwise `!` is special, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from enum import StrEnum

from dicomcore.errors import InvalidRequest

LONGEST_BAT_LINE = 8000
"""`cmd` reads 8191 characters of a line at most, and cuts the rest off without a word."""
_PLAIN = re.compile(r"[A-Za-z0-9_./=:@+-]+", re.ASCII)
"""Words that both shells take as they are. `~` is not among them: at the start it is a home folder."""
_SPECIAL_TO_CMD = re.compile(r'[\^&|<>()"]')
_BACKSLASHES = re.compile(r'(\\*)("|\Z)')
_PROGRAM = re.compile(r"dicomtools(\.exe)?", re.IGNORECASE | re.ASCII)
_NAMED = re.compile(r"[A-Za-z0-9_.-]*dicomtools[A-Za-z0-9_.-]*", re.IGNORECASE | re.ASCII)


class Shell(StrEnum):
    """Who reads a command."""

    BAT = "bat"
    SH = "sh"


def quoted(word: str, shell: Shell) -> str:
    """Return a word as it is written in a file for the shell; the program gets exactly `word`.

    Raises
    ------
    InvalidRequest
        The shell cannot express it: NUL in both, control characters (line breaks among them) in a
        batch file, half of a surrogate pair.
    """
    check(word, shell)
    if _PLAIN.fullmatch(word):
        return word
    return _for_sh(word) if shell is Shell.SH else _for_bat(word)


def command_line(words: Sequence[str], shell: Shell) -> str:
    """Return a command: its program and the arguments, each quoted.

    Raises
    ------
    InvalidRequest
        A word cannot be expressed; there is none; the line is longer than `cmd` reads; or the first one
        is no program that takes arguments as they are.
    """
    program = _program(words[0] if words else "", shell)
    line = " ".join([program, *(quoted(word, shell) for word in words[1:])])
    check_line(line, shell)
    return line


def _program(name: str, shell: Shell) -> str:
    """Return the program as it is written, always in quotes unless it is the usual one.

    Without a folder it could be a command of the shell's own (`eval`, `call`), that reads its
    arguments as commands again; so does a batch file.
    """
    check(name, shell)
    if _PROGRAM.fullmatch(name):
        return name
    if not re.search(r"[/\\]", name) and _NAMED.fullmatch(name) is None:
        raise InvalidRequest("the program is dicomtools, or a path with a folder")
    if shell is Shell.SH:
        return _for_sh(name)
    if name.lower().rstrip(". ").endswith((".bat", ".cmd")):
        raise InvalidRequest("a batch file cannot be given these arguments safely: name a program")
    if '"' in name:
        raise InvalidRequest("no file on Windows has a quotation mark in its name")
    return _for_bat(name)


def printed(text: str, shell: Shell) -> str:
    """Return a text as the argument of the shell's own `echo(` (`bat`) or of `printf '%s'` (`sh`).

    Raises
    ------
    InvalidRequest
        As of `quoted`.
    """
    check(text, shell)
    if shell is Shell.SH:
        return _for_sh(text)
    return _careted(text.replace("%", "%%"))


def check(text: str, shell: Shell) -> None:
    """Refuse what a shell cannot express.

    Raises
    ------
    InvalidRequest
    """
    if "\0" in text:
        raise InvalidRequest("a command holds no NUL")
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise InvalidRequest("half of a surrogate pair is no text")
    if shell is Shell.BAT and any(unicodedata.category(each) in _BREAKS for each in text):
        raise InvalidRequest("a batch file cannot express line breaks and control characters")


def check_line(line: str, shell: Shell) -> None:
    """Refuse a line that the shell would not read to its end.

    Raises
    ------
    InvalidRequest
    """
    # in UTF-16, as Windows counts
    if shell is Shell.BAT and len(line.encode("utf-16-le")) // 2 > LONGEST_BAT_LINE:
        raise InvalidRequest("a line of a batch file is too long", most=LONGEST_BAT_LINE)


_BREAKS = frozenset({"Cc", "Zl", "Zp"})


def _for_sh(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _for_bat(word: str) -> str:
    # backslashes count only before a quotation mark, ours at the end included: there each is doubled
    argument = '"' + _BACKSLASHES.sub(_escaped, word) + '"'
    doubled = argument.replace("%", "%%")
    return _careted(doubled) if '"' in word else doubled


def _escaped(found: re.Match[str]) -> str:
    backslashes, mark = found[1], found[2]
    return backslashes * 2 + ('\\"' if mark else "")


def _careted(text: str) -> str:
    return _SPECIAL_TO_CMD.sub(r"^\g<0>", text)
