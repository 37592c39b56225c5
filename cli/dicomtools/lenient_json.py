"""JSON as people write it: comments, trailing commas and a byte order mark are no errors."""

from __future__ import annotations

import codecs
import json
import re

from dicomtools.problems import CommandProblem

# compiled when there is something to read: most commands find no file
_COMMENT = r'("(?:\\.|[^"\\])*")|//[^\r\n]*|/\*.*?\*/'
_TRAILING_COMMA = r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])'
_NOT_NEWLINE = r"[^\r\n]"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""What Windows editors put before a text they call `UTF-8` or `Unicode`."""


def parse(body: bytes, *, name: str) -> object:
    """Return the value that a settings file holds; an empty file is an empty object.

    Parameters
    ----------
    name
        The file's name, for messages.

    Raises
    ------
    CommandProblem
        Not JSON even so; the words name the file and the line (counted from 1).
    """
    text = _decoded(body, name)
    plain = _without_trailing_commas(_without_comments(text))
    if not plain.strip():
        return {}
    try:
        return json.loads(plain, parse_constant=_no_constant)
    except json.JSONDecodeError as exc:
        raise CommandProblem(f"{name}, line {exc.lineno}: {_explained(exc)}") from exc
    except RecursionError as exc:
        raise CommandProblem(f"{name}: nested too deeply") from exc
    except ValueError as exc:
        raise CommandProblem(f"{name}: {exc}") from exc


def _decoded(body: bytes, name: str) -> str:
    encoding, skip = next(
        ((encoding, len(mark)) for mark, encoding in _MARKS if body.startswith(mark)), ("utf-8", 0)
    )
    try:
        return body[skip:].decode(encoding)
    except UnicodeDecodeError as exc:
        line = body[skip : skip + exc.start].count(b"\n") + 1
        raise CommandProblem(
            f"{name}, line {line}: the text is not UTF-8. Save the file as UTF-8."
        ) from exc


def _without_comments(text: str) -> str:
    """Return the text with blanks for comments: positions, and so line numbers, stay."""

    def blank(found: re.Match[str]) -> str:
        return found[1] or re.sub(_NOT_NEWLINE, " ", found[0])

    return re.sub(_COMMENT, blank, text, flags=re.DOTALL)


def _without_trailing_commas(text: str) -> str:
    return re.sub(_TRAILING_COMMA, lambda found: found[1] or " ", text)


def _no_constant(text: str) -> object:
    # json.loads takes NaN and Infinity, which no option can mean
    raise ValueError(f"{text} is not a value")


def _explained(exc: json.JSONDecodeError) -> str:
    if exc.msg.startswith("Invalid \\"):
        return r'a backslash must be written twice, as in "C:\\Temp\\Export"'
    return f"{exc.msg} (column {exc.colno})"
