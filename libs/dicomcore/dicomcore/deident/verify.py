"""Proof after the fact: an output is compared with its original, knowing nothing of the engine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from dicomcore.deident.byte_finder import MIN_BYTES, ByteFinder, MakeRulesOut
from dicomcore.deident.elements import Path, Seen, walk
from dicomcore.deident.encoded import Encoded, open_encoded
from dicomcore.deident.encrypted import ENCRYPTED_CONTENT, is_enveloped
from dicomcore.deident.identifiers import Finder, KnownIdentifiers
from dicomcore.deident.rules import SPECIFIC_CHARACTER_SET
from dicomcore.deident.types import AttributeType, attribute_type, iod_of
from dicomcore.deident.values import DUMMY_SEQUENCES
from dicomcore.deident.vrs import BINARY, DATES, NUMBERS_AS_TEXT, TEXT
from dicomcore.errors import Unreadable
from dicomcore.model import InstanceHeader
from dicomcore.readers.charsets import decode

_NUMERIC_GROUPS = frozenset(
    (0x0028, 0x3002, 0x3004, 0x3006, 0x3008, 0x300A, 0x300C, 0x5400, 0x7FE0)
)
_HEAD = 512
"""Bytes of a deflated object that are looked at before it is inflated: preamble and file meta."""
_UID_LIKE = re.compile(rb"\d+(?:\.\d+){3,}")
_SOP_CLASS_UID, _REMOVED, _BIRTH_DATE = 0x00080016, 0x00120062, 0x00100030
_NEEDED = (AttributeType.ONE, AttributeType.ONE_C, AttributeType.TWO)
_NUMBERS = BINARY | NUMBERS_AS_TEXT
_BLOCK = 1 << 18
"""Bytes of a value that are compared at a time."""
MAX_CACHED = 1 << 15
"""Values whose verdict is remembered: the slices of a series say the same, most of the time."""
_REMEMBERED_BYTES = 256


class Fault(StrEnum):
    """What is wrong with an output."""

    UNREADABLE = "unreadable"
    IDENTIFIER = "identifier"
    """A known identifier is in it."""
    BULK = "bulk"
    """Pixels, contours, doses, control points are not those of the original."""
    REQUIRED = "required"
    """An attribute of type 1 or 2 that the original had is gone, or its value is."""
    REFERENCES = "references"
    """The references are not those of the original under new UIDs."""
    NOT_SEALED = "not_sealed"
    """What should be encrypted attributes is no CMS EnvelopedData."""
    NOT_DECLARED = "not_declared"
    """Patient Identity Removed (0012,0062) is not YES."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, and where it is; never the value."""

    fault: Fault
    tag: str = ""
    """Tags of the sequences around it and its own, joined by dots; empty for the whole object."""


class Verifier:
    """Compares the objects of one patient; made once, for the patterns are costly.

    Parameters
    ----------
    known
        As `collect_identifiers` found it, under the same options.
    rules_out
        Makes a quicker proof that none of some texts is among pixels; what it leaves open is searched.
    """

    def __init__(self, known: KnownIdentifiers, rules_out: MakeRulesOut | None = None) -> None:
        self._known = known
        self._finder = Finder(known)
        self._bytes = ByteFinder(known, rules_out)
        self._verdicts: dict[tuple[bytes, bytes, bytes], bool] = {}
        self._uids = frozenset(uid.encode("latin-1") for uid in known.uids)

    def findings(self, original: bytes, output: bytes) -> list[Finding]:
        """Return what is wrong with an output; empty if nothing is.

        Raises
        ------
        Unreadable
            The original is damaged.
        """
        before = _Content(open_encoded(original))
        try:
            after = _Content(open_encoded(output))
        except Unreadable:
            return [Finding(Fault.UNREADABLE)]
        found = (*self._identifiers(after, output), *_compared(before, after))
        return list(dict.fromkeys(found))

    def _identifiers(self, after: _Content, output: bytes) -> Iterator[Finding]:
        if after.top(_REMOVED) != b"YES":
            yield Finding(Fault.NOT_DECLARED)
        # before the data set: the preamble, and what file meta information says
        if self._bytes.contains(output, 0, after.opened.start or _HEAD):
            yield Finding(Fault.IDENTIFIER, "0002")
        data, charset = after.opened.data, b""
        for seen in after.elements:
            vr = seen.vr
            if vr not in TEXT:
                if vr == b"SQ":
                    continue
                yield from self._in_bytes(seen, data)
                if vr in BINARY:
                    continue
            value = data[seen.start : seen.stop]
            if seen.tag == SPECIFIC_CHARACTER_SET:
                charset = value
            if value and self._identifies(seen, value, charset):
                yield Finding(Fault.IDENTIFIER, _where(seen))

    def _in_bytes(self, seen: Seen, data: bytes) -> Iterator[Finding]:
        size = seen.stop - seen.start
        # what is sealed is searched as well: who issued a recipient's certificate is readable in it
        if size >= MIN_BYTES and self._bytes.contains(data, seen.start, seen.stop):
            yield Finding(Fault.IDENTIFIER, _where(seen))
        if seen.tag == ENCRYPTED_CONTENT and not is_enveloped(data[seen.start : seen.stop]):
            yield Finding(Fault.NOT_SEALED, _where(seen))

    def _identifies(self, seen: Seen, value: bytes, charset: bytes) -> bool:
        vr = seen.vr
        if vr in DATES:
            if seen.tag != _BIRTH_DATE:
                return False
            return value.decode("latin-1").strip(" \0") in self._known.birth_dates
        if len(value) > _REMEMBERED_BYTES:
            return self._is_identifier(vr, value, charset)
        key = vr, value, charset
        verdict = self._verdicts.get(key)
        if verdict is None:
            if len(self._verdicts) >= MAX_CACHED:
                self._verdicts.clear()
            verdict = self._verdicts[key] = self._is_identifier(vr, value, charset)
        return verdict

    def _is_identifier(self, vr: bytes, value: bytes, charset: bytes) -> bool:
        if _is_number(vr, value):
            return False
        if vr == b"UI":
            return any(uid in self._uids for uid in value.rstrip(b"\0 ").split(b"\\"))
        text = decode(value, charset)
        if self._finder.contains(text, strong=vr == b"CS") or self._names_uid(value):
            return True
        return self._finder.contains_otherwise(value)

    def _names_uid(self, value: bytes) -> bool:
        return any(uid in self._uids for uid in _UID_LIKE.findall(value))


def reference_findings(
    pairs: Iterable[tuple[InstanceHeader, InstanceHeader]],
) -> list[tuple[InstanceHeader, Finding]]:
    """Return the outputs whose references are not those of their originals, with the finding.

    Parameters
    ----------
    pairs
        Header of each original with that of its output, of a whole export.

    Notes
    -----
    The map from old to new UIDs is read from the pairs themselves: isomorphic means that there is
    one, the same in all objects, and that no two UIDs become one.
    """
    forward: dict[str, str] = {}
    backward: dict[str, str] = {}
    wrong = []
    for before, after in pairs:
        old, new = list(_uids(before)), list(_uids(after))
        same = len(old) == len(new) and _shape(before) == _shape(after)
        for one, other in zip(old, new, strict=False):
            same &= forward.setdefault(one, other) == other
            same &= backward.setdefault(other, one) == one
        if not same:
            wrong.append((after, Finding(Fault.REFERENCES)))
    return wrong


def _uids(header: InstanceHeader) -> Iterator[str]:
    yield header.ref.study_instance_uid
    yield header.ref.series_instance_uid
    yield header.ref.sop_instance_uid
    yield header.frame_of_reference_uid or ""
    for reference in header.references:
        yield reference.uid
        yield reference.series_instance_uid
        yield reference.study_instance_uid


def _shape(header: InstanceHeader) -> tuple[object, ...]:
    shape = [(r.relation, r.level, r.sop_class_uid) for r in header.references]
    return header.sop_class_uid, header.kind, bool(header.frame_of_reference_uid), *shape


class _Content:
    """The elements of one object, in order and by place."""

    def __init__(self, opened: Encoded) -> None:
        self.opened = opened
        self.elements = walk(opened.data, opened.start, opened.encoding)
        self.by_path: dict[Path, dict[int, Seen]] = {}
        """The elements of each data set by tag; one that only holds nothing is not there."""
        path, there = None, {}
        for seen in self.elements:
            if seen.path is not path:
                path = seen.path
                there = self.by_path.setdefault(path, {})
            there[seen.tag] = seen

    def value(self, seen: Seen) -> bytes:
        return self.opened.data[seen.start : seen.stop]

    def top(self, tag: int) -> bytes:
        seen = self.by_path.get((), {}).get(tag)
        return b"" if seen is None else self.value(seen).strip(b" \0")


def _compared(before: _Content, after: _Content) -> Iterator[Finding]:
    """Yield what was lost: numbers of image, plan, dose and structures, and what the IOD requires."""
    iod = iod_of(before.top(_SOP_CLASS_UID).decode("latin-1"))
    path, others = None, None
    for seen in before.elements:
        if seen.path is not path:
            path = seen.path
            # an item that is gone, or in what a dummy may have replaced, is not compared
            others = None if _through_dummy(path) else after.by_path.get(path)
        if others is None:
            continue
        other, tag = others.get(seen.tag), seen.tag
        is_number = tag >> 16 in _NUMERIC_GROUPS and seen.vr in _NUMBERS
        if is_number and (other is None or not _same(before, seen, after, other)):
            yield Finding(Fault.BULK, _where(seen))
        kind = _needed(tag, iod, seen.parent)
        if kind is not None and _is_lost(before, seen, kind, after, other):
            yield Finding(Fault.REQUIRED, _where(seen))


def _same(before: _Content, seen: Seen, after: _Content, other: Seen) -> bool:
    length = seen.stop - seen.start
    if other.stop - other.start != length:
        return False
    one, two = before.opened.data, after.opened.data
    # bytes are compared as the machine can, views item by item: copies of a block each are quicker
    at = 0
    while at < length:
        stop = min(at + _BLOCK, length)
        if one[seen.start + at : seen.start + stop] != two[other.start + at : other.start + stop]:
            return False
        at = stop
    return True


def _is_lost(
    before: _Content, seen: Seen, kind: AttributeType, after: _Content, other: Seen | None
) -> bool:
    """Return whether a required attribute is gone, or the value that it needs."""
    if other is None:
        # a condition may have gone with what it was about
        return kind is not AttributeType.ONE_C
    if kind is AttributeType.TWO or not _is_empty(after, other):
        return False
    return seen.vr == b"SQ" or bool(before.value(seen).strip(b" \0"))


@lru_cache(maxsize=1 << 14)
def _needed(tag: int, iod: str, parent: int) -> AttributeType | None:
    """Return the type of an attribute that must be there; None: it may go."""
    kind = attribute_type(tag, iod=iod, parent=parent)
    return kind if kind in _NEEDED else None


def _is_number(vr: bytes, value: bytes) -> bool:
    return vr in NUMBERS_AS_TEXT and not value.translate(None, b"0123456789+-.eE\\ \0")


def _is_empty(content: _Content, seen: Seen) -> bool:
    if seen.vr == b"SQ":
        return (*seen.path, (seen.tag, 0)) not in content.by_path
    value = content.value(seen)
    return not (value.strip(b" \0") if seen.vr in TEXT else value)


def _through_dummy(path: Path) -> bool:
    """Return whether a sequence around it may have been replaced by a dummy item."""
    return any(tag in DUMMY_SEQUENCES for tag, _ in path)


def _where(seen: Seen) -> str:
    return ".".join(f"{tag:08X}" for tag in (*(tag for tag, _ in seen.path), seen.tag))
