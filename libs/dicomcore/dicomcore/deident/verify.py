"""Proof after the fact: an output is compared with its original, knowing nothing of the engine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from dicomcore.deident.byte_finder import ByteFinder
from dicomcore.deident.elements import Path, Seen, walk
from dicomcore.deident.encoded import Encoded, open_encoded
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
_NEEDED = {
    AttributeType.ONE: "value",
    AttributeType.ONE_C: "value",
    AttributeType.TWO: "presence",
}


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
    """

    def __init__(self, known: KnownIdentifiers) -> None:
        self._known = known
        self._finder = Finder(known)
        self._bytes = ByteFinder(known)
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
        return list(
            dict.fromkeys(
                (
                    *self._identifiers(after, output),
                    *_bulk(before, after),
                    *_required(before, after),
                )
            )
        )

    def _identifiers(self, after: _Content, output: bytes) -> Iterator[Finding]:
        if after.top(_REMOVED) != b"YES":
            yield Finding(Fault.NOT_DECLARED)
        # before the data set: the preamble, and what file meta information says
        if self._bytes.contains(output[: after.opened.start or _HEAD]):
            yield Finding(Fault.IDENTIFIER, "0002")
        scan = self._bytes.scan(after.opened.data)
        charset = b""
        for seen in after.elements:
            if seen.vr not in TEXT and scan.contains(seen.start, seen.stop):
                yield Finding(Fault.IDENTIFIER, _where(seen))
            if seen.vr in BINARY or seen.vr == b"SQ":
                continue
            value = after.value(seen)
            if seen.tag == SPECIFIC_CHARACTER_SET:
                charset = value
            if self._identifies(seen, value, charset):
                yield Finding(Fault.IDENTIFIER, _where(seen))

    def _identifies(self, seen: Seen, value: bytes, charset: bytes) -> bool:
        vr = seen.vr
        if not value or _is_number(vr, value):
            return False
        if vr == b"UI":
            return any(uid in self._uids for uid in value.rstrip(b"\0 ").split(b"\\"))
        if vr in DATES:
            day = value.decode("latin-1").strip(" \0")
            return seen.tag == _BIRTH_DATE and day in self._known.birth_dates
        text = decode(value, charset)
        return self._finder.contains(text, strong=vr == b"CS") or self._names_uid(value)

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
        self.elements = list(walk(opened.data, opened.start, opened.encoding))
        self.by_place = {(seen.path, seen.tag): seen for seen in self.elements}
        self.paths = {seen.path for seen in self.elements}

    def value(self, seen: Seen) -> bytes:
        return self.opened.data[seen.start : seen.stop]

    def top(self, tag: int) -> bytes:
        seen = self.by_place.get(((), tag))
        return b"" if seen is None else self.value(seen).strip(b" \0")


def _bulk(before: _Content, after: _Content) -> Iterator[Finding]:
    """Yield numbers of the image, the plan, the dose and the structures that are not the same."""
    for seen in before.elements:
        if seen.tag >> 16 not in _NUMERIC_GROUPS or seen.path not in after.paths:
            continue
        if seen.vr not in BINARY and seen.vr not in NUMBERS_AS_TEXT:
            continue
        if _through_dummy(seen.path):
            continue
        other = after.by_place.get((seen.path, seen.tag))
        if other is None or not _same(before, seen, after, other):
            yield Finding(Fault.BULK, _where(seen))


def _same(before: _Content, seen: Seen, after: _Content, other: Seen) -> bool:
    one = memoryview(before.opened.data)[seen.start : seen.stop]
    two = memoryview(after.opened.data)[other.start : other.stop]
    # views are compared item by item: eight bytes at a time, and no copy is made
    eights = len(one) & ~7
    return (
        len(one) == len(two)
        and one[:eights].cast("Q") == two[:eights].cast("Q")
        and one[eights:] == two[eights:]
    )


def _required(before: _Content, after: _Content) -> Iterator[Finding]:
    iod = iod_of(before.top(_SOP_CLASS_UID).decode("latin-1"))
    for seen in before.elements:
        if seen.path not in after.paths or _through_dummy(seen.path):
            continue
        kind = attribute_type(seen.tag, iod=iod, parent=seen.parent)
        needed = _NEEDED.get(kind) if kind is not None else None
        if needed is None:
            continue
        other = after.by_place.get((seen.path, seen.tag))
        had_value = seen.vr == b"SQ" or before.value(seen).strip(b" \0")
        if kind is AttributeType.ONE_C and other is None:
            continue  # its condition may have gone with what it was about
        if other is None or (needed == "value" and had_value and _is_empty(after, other)):
            yield Finding(Fault.REQUIRED, _where(seen))


def _is_number(vr: bytes, value: bytes) -> bool:
    return vr in NUMBERS_AS_TEXT and not value.translate(None, b"0123456789+-.eE\\ \0")


def _is_empty(content: _Content, seen: Seen) -> bool:
    if seen.vr == b"SQ":
        return (*seen.path, (seen.tag, 0)) not in content.paths
    value = content.value(seen)
    return not (value.strip(b" \0") if seen.vr in TEXT else value)


def _through_dummy(path: Path) -> bool:
    """Return whether a sequence around it may have been replaced by a dummy item."""
    return any(tag in DUMMY_SEQUENCES for tag, _ in path)


def _where(seen: Seen) -> str:
    return ".".join(f"{tag:08X}" for tag in (*(tag for tag, _ in seen.path), seen.tag))
