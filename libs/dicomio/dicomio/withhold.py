"""What of a log line may be patient data; the doubtful is withheld."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from pathlib import PurePath
from traceback import extract_tb
from uuid import UUID

from dicomcore.errors import DicomToolsError

WITHHELD = "<withheld>"

_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_LONGEST_TEXT = 500
_DEEPEST = 6
_MOST_LINKS = 8

# Words of a key, split at underscores and capitals, that make its value patient data. An
# attribute's keyword (`PatientName`, `AccessionNumber`) and its snake case are the same words.
_WORDS = frozenset(
    ("patient", "patients", "accession", "birth", "birthdate", "birthday", "dob", "mrn",
     "dataset", "ds", "identifier", "identifiers", "header", "label", "labels",
     "physician", "physicians", "operator", "operators", "comment", "comments",
     "description", "descriptions", "surname", "forename", "phone", "email",
     "url", "uri", "body", "payload")
)  # fmt: skip
_PHRASES = frozenset(
    ("plan_id", "plan_name", "course_id", "first_name", "last_name", "person_name", "study_id",
     "structure_name", "structure_set_id", "roi_name", "study_date", "admission_id", "query_string")
)  # fmt: skip
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def safe_name(event: object) -> str:
    """Return the name of an event, if it is a constant name and not a text made at run time."""
    if isinstance(event, str) and _NAME.fullmatch(event):
        return event
    return f"{WITHHELD} (an event is named by a constant in snake case)"


def safe_facts(facts: Mapping[str, object]) -> dict[str, object]:
    """Return the facts of a line with patient data, and what may be, replaced."""
    return {key: _fact(key, value, _DEEPEST) for key, value in facts.items()}


def safe_exception(error: BaseException) -> list[dict[str, object]]:
    """Return an exception and what caused it, latest first: type, text, and where.

    The text of an error of ours is a fixed sentence with facts; any other text is withheld, for
    it may quote a value ("could not convert string to float: …"). Of an `OSError` the number is
    named. Local variables are never part of it.
    """
    chain: list[dict[str, object]] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and len(chain) < _MOST_LINKS and id(link) not in seen:
        seen.add(id(link))
        chain.append({"type": _type_name(link), "text": _text(link), "at": _places(link)})
        if isinstance(link, BaseExceptionGroup):
            for member in link.exceptions:
                chain += safe_exception(member)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain[:_MOST_LINKS]


def _fact(key: str, value: object, depth: int) -> object:
    words, may_identify = _judged(key)
    if may_identify and not _is_count(words, value):
        return WITHHELD
    return _value(value, depth)


@lru_cache(maxsize=1024)  # keys are constants: each line has the same few
def _judged(key: str) -> tuple[str, bool]:
    """Return the words of a key, and whether its value may be patient data."""
    words = _CAPITAL.sub("_", key).lower().replace("-", "_").replace(".", "_").strip("_")
    return words, not _WORDS.isdisjoint(words.split("_")) or any(
        f"_{phrase}_" in f"_{words}_" for phrase in _PHRASES
    )


def _is_count(words: str, value: object) -> bool:
    """`patients=3`, `number_of_patients=3`, `known_patient=True` tell nothing about anyone."""
    if isinstance(value, bool) or value is None:
        return True
    return isinstance(value, int) and words.endswith(("patients", "_bytes"))


def _value(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | UUID | date | PurePath):
        return _short(str(value))
    if isinstance(value, BaseException):
        return f"{_type_name(value)}: {_text(value)}"
    if depth > 0 and isinstance(value, Mapping):
        return {str(key): _fact(str(key), inner, depth - 1) for key, inner in value.items()}
    if depth > 0 and isinstance(value, list | tuple | set | frozenset):
        return [_value(inner, depth - 1) for inner in value]
    # bytes, data sets, person names, headers: nobody knows what their text holds
    return f"{WITHHELD} ({type(value).__name__})"


def _short(text: str) -> str:
    if "^" in text:  # a person name (PS3.5 6.2.1) under a key that does not say so
        return WITHHELD
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _text(error: BaseException) -> str:
    if isinstance(error, DicomToolsError):
        facts = ", ".join(f"{key}={value}" for key, value in safe_facts(error.facts).items())
        return f"{error.sentence} ({facts})" if facts else error.sentence
    if isinstance(error, OSError) and error.errno is not None:
        return errno.errorcode.get(error.errno, str(error.errno))
    return WITHHELD


def _places(error: BaseException) -> list[str]:
    """Return where it passed, innermost last; numbers and names of source code only."""
    return [
        f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in extract_tb(error.__traceback__)
    ]
