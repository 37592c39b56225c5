"""C-FIND keys checked before they go out, and replies compared again when they come in.

A PACS reads `*`, `?` and a backslash as patterns (PS3.4 C.2.2.2), and some ignore keys and return
everything; so neither what a caller typed nor what a peer answered is taken on trust.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.multival import MultiValue

from dicomcore.catalogue import exact
from dicomcore.errors import InvalidRequest, InvalidUid
from dicomcore.uids import parse_uid

UNIQUE = frozenset({"PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"})
"""Who or what a reply is about: one that does not say so is about nobody."""
_RESERVED = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet"})
_WITH_WILDCARDS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_IN_TIME = frozenset({"DA", "TM", "DT"})
_MOMENTS = re.compile(r"[0-9.:+\- ]*", re.ASCII)
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Compared:
    """Replies that match what was asked, and what became of the others."""

    matches: tuple[Dataset, ...]
    dropped: int
    """Replies that do not match, though the peer sent them."""
    unverified: tuple[str, ...]
    """Keys that some reply did not answer, so that the peer's word is all there is."""


def checked_keys(keys: Mapping[str, str], *, allow_wildcards: bool) -> Mapping[str, str]:
    """Return the keys as they may be sent.

    Parameters
    ----------
    keys
        Keyword, or path `Sequence/Keyword`, to value; the empty value asks for the attribute.

    Raises
    ------
    InvalidRequest
        A keyword is unknown, a path does not lead through sequences, a value is a pattern where
        none is allowed, or not one of its VR. The position of the key (from 1) is in the facts:
        the key itself came from a caller and may be anything.
    """
    for position, (path, value) in enumerate(keys.items(), start=1):
        try:
            _check(_vr_of(path), value, allow_wildcards=allow_wildcards)
        except (InvalidRequest, InvalidUid) as exc:
            raise InvalidRequest(exc.sentence, position=position) from None
    return dict(keys)


def compare(replies: Iterable[Dataset], keys: Mapping[str, str]) -> Compared:
    """Return the replies that match `keys`, compared on our side.

    Parameters
    ----------
    keys
        As `checked_keys` returned them.

    Notes
    -----
    Text is compared exactly, without padding; names without regard to case and empty components
    (PS3.4 C.2.2.2.1 leaves both to the peer); numbers as numbers; dates as ranges. Times are
    taken as the peer matched them: replies differ in precision.
    """
    asked = {path: value for path, value in keys.items() if value}
    matches: list[Dataset] = []
    unverified: dict[str, None] = {}
    dropped = 0
    for reply in replies:
        verdicts = {path: _matches(reply, path, value) for path, value in asked.items()}
        if any(verdict is False for verdict in verdicts.values()):
            dropped += 1
            continue
        matches.append(reply)
        unverified.update((path, None) for path, verdict in verdicts.items() if verdict is None)
    return Compared(tuple(matches), dropped, tuple(sorted(unverified)))


def _vr_of(path: str) -> str:
    """Return the VR of a path's last attribute."""
    *through, last = path.split("/")
    if len(through) >= _MAX_DEPTH:
        raise InvalidRequest("a path is too deep")
    for keyword in (*through, last):
        if keyword in _RESERVED:
            raise InvalidRequest("this key is set by the query itself")
        if not keyword or tag_for_keyword(keyword) is None:
            raise InvalidRequest("a keyword is not in the data dictionary")
    if any(dictionary_VR(keyword) != "SQ" for keyword in through):
        raise InvalidRequest("a path does not lead through sequences")
    return dictionary_VR(last)


def _check(vr: str, value: str, *, allow_wildcards: bool) -> None:
    if not value:
        return
    if vr == "SQ":
        raise InvalidRequest("a sequence has no value: name an attribute in it")
    if vr == "UI":
        for uid in value.split("\\"):  # list of UID matching, PS3.4 C.2.2.2.2
            parse_uid(uid)
    elif vr in _IN_TIME:
        if _MOMENTS.fullmatch(value) is None:
            raise InvalidRequest("not a date or time, nor a range of them")
    elif allow_wildcards and vr in _WITH_WILDCARDS:
        exact(value.replace("*", "").replace("?", ""))
    else:
        exact(value)


def _matches(reply: Dataset, path: str, value: str) -> bool | None:
    """Return whether a reply matches one key; None if it does not say."""
    *through, keyword = path.split("/")
    holders = [reply]
    for sequence in through:
        holders = [item for holder in holders for item in holder.get(sequence) or ()]
    found = [text for holder in holders for text in _texts(holder, keyword)]
    if not found:
        return False if path in UNIQUE else None
    vr = dictionary_VR(keyword)
    if vr in ("TM", "DT"):
        return None
    return any(_same(vr, text, value) for text in found)


def _texts(holder: Dataset, keyword: str) -> list[str]:
    value = holder.get(keyword)
    if value is None:
        return []
    values = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    return [text for text in (str(one).strip(" \0") for one in values) if text]


def _same(vr: str, found: str, asked: str) -> bool:
    if vr == "UI":
        return found in asked.split("\\")
    if vr == "DA":
        return _within(found, asked.strip())
    if vr in ("IS", "DS"):
        return _number(found) == _number(asked)
    if vr == "PN":
        groups = {_name(found), *(_name(group) for group in found.split("="))}
        return any(_like(group, _name(asked)) for group in groups)
    return _like(found, asked.strip(" "))


def _like(found: str, asked: str) -> bool:
    """Compare with `*` and `?` in `asked`; without them, and without leave, it holds none."""
    pattern = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in asked)
    return re.fullmatch(pattern, found, re.DOTALL) is not None


def _name(text: str) -> str:
    return text.strip(" ").rstrip("^= ").casefold()


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _within(found: str, asked: str) -> bool:
    first, dash, last = asked.partition("-")
    if not dash:
        return found == asked
    return (not first or found >= first) and (not last or found <= last)
