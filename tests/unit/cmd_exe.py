"""What `cmd.exe` does with a batch file, as far as our files use it; written from its rules, not from our code.

A line is read in phases: (1) percent signs, quoted or not; (2) special characters and quotation marks,
with `^`; then either a command of `cmd` itself, or a program, whose own start-up code splits the rest of
the line into arguments. Anything that our files do not need is an AssertionError: an expansion of a
variable nobody set, an operator nobody wrote, a label, a second command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

OPERATORS = "&|<>"


@dataclass
class Token:
    """A run of characters, or an operator that stood unquoted."""

    text: str
    operator: bool = False


def percent_phase(line: str, variables: dict[str, str]) -> str:
    """Phase 1: `%%` is a percent sign, `%NAME%` a variable; nothing else may begin with one."""
    out, at = "", 0
    while at < len(line):
        if line[at] != "%":
            out += line[at]
            at += 1
        elif line[at : at + 2] == "%%":
            out += "%"
            at += 2
        else:
            end = line.find("%", at + 1)
            name = line[at + 1 : end] if end > 0 else line[at + 1 :]
            assert name in variables, f"expands {name!r}"
            out += variables[name]
            at = end + 1
    return out


def special_phase(line: str) -> list[Token]:
    """Phase 2: operators outside of quotation marks; `^` takes the meaning of what follows it there."""
    tokens, current, quoted, at = [], "", False, 0
    while at < len(line):
        char = line[at]
        if char == '"':
            quoted = not quoted
            current += char
        elif quoted or char not in OPERATORS + "^":
            current += char
        elif char == "^":
            at += 1
            assert at < len(line), "a line that goes on"
            current += line[at]
        else:
            doubled = line[at : at + 2]
            operator = doubled if doubled in ("&&", "||", ">>", "<<") else char
            tokens += [Token(current), Token(operator, operator=True)]
            current = ""
            at += len(operator) - 1
        at += 1
    return [*tokens, Token(current)]


def argv(line: str, *, doubled_marks: bool = True) -> list[str]:
    """CommandLineToArgvW; `doubled_marks`: whether `""` in quotes is one, as since 2008, or ends them."""
    line = line.strip(" \t")
    if line.startswith('"'):  # the program: up to the next mark, without escapes
        end = line.index('"', 1)
        words, rest = [line[1:end]], line[end + 1 :]
    else:
        name, _, rest = line.partition(" ")
        words = [name]
    at = 0
    while at < len(rest):
        if rest[at] in " \t":
            at += 1
            continue
        word, quoted = "", False
        while at < len(rest) and (quoted or rest[at] not in " \t"):
            slashes = 0
            while rest[at : at + 1] == "\\":
                slashes += 1
                at += 1
            if rest[at : at + 1] == '"':
                word += "\\" * (slashes // 2)
                if slashes % 2:
                    word += '"'
                elif quoted and doubled_marks and rest[at + 1 : at + 2] == '"':
                    word += '"'
                    at += 1
                else:
                    quoted = not quoted
                at += 1
            else:
                word += "\\" * slashes
                if at < len(rest) and (quoted or rest[at] not in " \t"):
                    word += rest[at]
                    at += 1
        words.append(word)
    return words


@dataclass
class Cmd:
    """One run of a batch file."""

    program: Callable[[list[str]], int]
    """Called with a program and its arguments; returns its exit code."""
    copy_fails: bool = False
    variables: dict[str, str] = field(
        default_factory=lambda: {"DATE": "31.01.2026", "TIME": "12:00:00,00", "ERRORLEVEL": "0"}
    )
    files: dict[str, list[str]] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)
    copied: list[tuple[str, str]] = field(default_factory=list)
    exit_code: int | None = None

    def run(self, text: str) -> Cmd:
        assert text.endswith("\r\n")
        lines = text.split("\r\n")[:-1]
        assert lines[0] == "@echo off"
        assert "DisableDelayedExpansion" in lines[1]
        assert all("\n" not in line and "\r" not in line and "\x1a" not in line for line in lines)
        for line in lines[1:]:
            assert len(line.encode("utf-16-le")) // 2 < 8191
            assert self.exit_code is None
            if line:
                self._line(special_phase(percent_phase(line, self.variables)))
        assert self.exit_code is not None
        return self

    def _line(self, tokens: list[Token]) -> None:
        first = tokens[0].text
        if first.startswith("if "):
            words = first[3:]
            wanted = not words.startswith("not ")
            condition, _, then = words.removeprefix("not ").partition(" ")
            left, equal, right = condition.partition("==")
            assert equal
            if (left == right) is wanted:
                self._line([Token(then), *tokens[1:]])
            return
        operators = [token.text for token in tokens if token.operator]
        if "||" in operators:
            at = next(n for n, token in enumerate(tokens) if token == Token("||", operator=True))
            self._line(tokens[:at])
            if self.variables["ERRORLEVEL"] != "0":
                self._line([Token(tokens[at + 1].text.lstrip(" ")), *tokens[at + 2 :]])
            return
        if operators and operators[0] == ">>":  # the redirection comes first, then the command
            assert first == ""
            assert len(operators) == 1
            name, _, command = tokens[2].text.lstrip(" ").partition(" ")
            assert command.startswith("echo(")
            self.files.setdefault(name.strip('"'), []).append(command.removeprefix("echo("))
            return
        assert operators in ([], [">"]), operators
        if operators:
            assert tokens[2].text.split(" ")[0] == "nul"
        self._command(first)

    def _command(self, line: str) -> None:
        name = line.split(" ", maxsplit=1)[0]
        if name.startswith("echo("):
            self.printed.append(line.removeprefix("echo("))
        elif name == "set":
            variable, _, value = line.removeprefix('set "').removesuffix('"').partition("=")
            self.variables[variable] = value
        elif name in ("setlocal", "chcp"):
            assert name == "setlocal" or line.strip() == "chcp 65001"
        elif name == "copy":
            marks = line.split('"')
            assert marks[::2] == ["copy /y ", " ", marks[4]], line
            assert marks[4].strip() == "", line
            self.copied.append((marks[1], marks[3]))
            self.variables["ERRORLEVEL"] = "1" if self.copy_fails else "0"
        elif name == "exit":
            self.exit_code = int(line.removeprefix("exit /b "))
        else:
            words = argv(line)
            assert words == argv(line, doubled_marks=False), "depends on the program's run-time"
            self.variables["ERRORLEVEL"] = str(self.program(words))
