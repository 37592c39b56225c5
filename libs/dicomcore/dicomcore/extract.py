"""The values of wanted tag paths out of an encoded object: of all else, the headers are stepped over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from dicomcore.criteria import Value
from dicomcore.errors import Unreadable
from dicomcore.query import Found
from dicomcore.readers.access import Item
from dicomcore.readers.charsets import decode
from dicomcore.readers.collect import CHARSET_TAG, Truncated, Walk, Wanted, collect_items
from dicomcore.readers.part10 import Opened, encoding_at, inflated, open_object
from dicomcore.tagpath import Path, Step
from dicomcore.values import values_of
from dicomcore.walk import Encoding

FIRST_WINDOW_BYTES = 16 * 1024
"""Enough for all of an image but its pixels, which is what there are many of."""
_REMEMBERED_BYTES = 128
"""Values no longer than this are decoded once: those of a series are mostly the same."""
PIXEL_DATA = 0x7FE00000
"""The first tag of the group that pixel data are in."""
Window = Callable[[int, int], bytes]
"""Offset and length, in bytes → that part of an object; shorter at its end."""
_GROWTH = 8
_DATA_SET = 0x00030000
_EXPLICIT = Encoding(implicit_vr=False, little_endian=True)
_IMPLICIT = Encoding(implicit_vr=True, little_endian=True)


class Declined(Exception):
    """The bytes do not tell by themselves what a value is: a reader of whole data sets has to say."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is wanted of a data set or of the items of a sequence, in the form that a walk needs."""

    wanted: Wanted
    attributes: Sequence[Step]
    sequences: Mapping[Step, Plan]
    last: int
    """The greatest tag that is wanted at this level; 0 if none is."""
    meta: Plan | None = field(default=None)
    """What is wanted of File Meta Information."""

    @property
    def all_attributes(self) -> Sequence[Step]:
        """The attributes at this level, then those of File Meta Information."""
        return self.attributes if self.meta is None else (*self.attributes, *self.meta.attributes)


def make_plan(paths: Iterable[Path]) -> Plan:
    """Return the plan that finds the values of these paths."""
    distinct = tuple(dict.fromkeys(paths))
    meta = [path for path in distinct if path[0].tag < _DATA_SET]
    return _plan(
        [path for path in distinct if path[0].tag >= _DATA_SET],
        meta=_plan(meta) if meta else None,
    )


def extract(data: bytes, plan: Plan) -> Found:
    """Return what a whole object, with or without Part 10 header, holds of the wanted paths.

    Raises
    ------
    Unreadable
        Not DICOM, or damaged before the last of what is wanted.
    Declined
        A value has no VR of its own, and the dictionary does not settle it: US or SS.
    """
    return extract_from(lambda at, length: data[at : at + length], len(data), plan)


def extract_from(window: Window, size_bytes: int, plan: Plan, first: bytes = b"") -> Found:
    """Return the same from an object that is fetched in parts: its beginning, then what is needed.

    Parameters
    ----------
    first
        The beginning, if it is there already: `FIRST_WINDOW_BYTES`, or less if that is all.

    Raises
    ------
    Unreadable, Declined
        As `extract`; and whatever `window` raises.
    """
    try:
        return _extract(first or window(0, FIRST_WINDOW_BYTES), window, size_bytes, plan)
    except Truncated as exc:
        raise Unreadable("the data set is cut off", size_bytes=size_bytes) from exc


def head_length(data: bytes, size_bytes: int) -> int | None:
    """Return how many bytes of an object hold all before its pixel data, if `data` holds them.

    Parameters
    ----------
    data
        The beginning of the object.
    size_bytes
        Of all of it.
    """
    try:
        opened = open_object(data)
        walk = Walk(encoding_at(data, opened.start), Wanted(), PIXEL_DATA - 1)
        end = walk.feed(data, opened.start)
    except (Truncated, Unreadable):
        return None
    whole = end == size_bytes == len(data)
    return end if not opened.deflated and (walk.passed or whole) else None


# ── plans ───────────────────────────────────────────────────────────────────────────────────


def _plan(paths: Sequence[Path], meta: Plan | None = None) -> Plan:
    below: dict[Step, list[Path]] = {}
    for path in paths:
        if len(path) > 1:
            below.setdefault(path[0], []).append(path[1:])
    attributes = [path[0] for path in paths if len(path) == 1]
    sequences = {step: _plan(inner) for step, inner in below.items()}
    steps = (*attributes, *sequences)
    public = [step.tag for step in attributes if not is_private(step)]
    wanted = Wanted(
        values={tag: tag for tag in (*public, CHARSET_TAG)},
        sequences={s.tag: (s.tag, p.wanted) for s, p in sequences.items() if not is_private(s)},
        private_groups=frozenset(step.tag >> 16 for step in steps if is_private(step)),
        with_vr=True,
    )
    ends = (step.tag | (0xFFFF if is_private(step) else 0) for step in steps)
    return Plan(wanted, attributes, sequences, max(ends, default=0), meta)


def is_private(step: Step) -> bool:
    """Return whether a step names a private attribute."""
    return bool(step.tag >> 16 & 1)


# ── walking ─────────────────────────────────────────────────────────────────────────────────


def _extract(first: bytes, window: Window, size_bytes: int, plan: Plan) -> Found:
    try:
        opened = open_object(first)
    except Truncated:
        if len(first) >= size_bytes:
            raise
        first = window(0, size_bytes)
        opened = open_object(first)
    values: dict[Step, Sequence[Value]] = {}
    if plan.meta is not None:
        values.update(_of_meta(opened, plan.meta))
    if opened.deflated:
        item, encoding = _inflated(open_object(window(0, size_bytes)), plan)
    else:
        encoding = encoding_at(first, opened.start)
        item = _walked(opened, encoding, window, size_bytes, plan)
    found = _found(item, plan, encoding)
    return Found({**values, **found.values}, found.items) if values else found


def _of_meta(opened: Opened, plan: Plan) -> Mapping[Step, Sequence[Value]]:
    """File Meta Information has explicit VRs in little endian (PS3.10 7.1)."""
    at = 132 if opened.data[128:132] == b"DICM" else 0
    if not opened.start:
        return {}
    walk = Walk(_EXPLICIT, plan.wanted, plan.last)
    walk.feed(opened.data[at : opened.start], 0)
    return _found(walk.item, plan, _EXPLICIT).values


def _walked(
    opened: Opened, encoding: Encoding, window: Window, size_bytes: int, plan: Plan
) -> Item:
    walk = Walk(encoding, plan.wanted, plan.last)
    data, base, start = opened.data, 0, opened.start
    length = FIRST_WINDOW_BYTES
    while True:
        position = walk.feed(data, start)
        at = base + position
        if walk.passed or at == size_bytes:
            return walk.item
        if at > size_bytes or base + len(data) >= size_bytes:
            raise Truncated
        if position == start:  # one element is needed whole, and longer than what was fetched
            length *= _GROWTH
        data, base, start = window(at, length), at, 0
        if not data:  # it became shorter meanwhile
            raise Truncated


def _inflated(opened: Opened, plan: Plan) -> tuple[Item, Encoding]:
    """Inflate as little as the wanted attributes need."""
    for data, whole in inflated(opened):
        try:
            encoding = encoding_at(data, 0)
        except Truncated:
            continue
        walk = Walk(encoding, plan.wanted, plan.last)
        if (walk.feed(data, 0) == len(data) and whole) or walk.passed:
            return walk.item, encoding
    raise Truncated


# ── from what was kept to values ────────────────────────────────────────────────────────────


def _found(item: Item, plan: Plan, encoding: Encoding) -> Found:
    charset, little_endian = item.charset, encoding.little_endian
    values: dict[Step, Sequence[Value]] = {}
    for step in plan.attributes:
        for tag, vr, encoded, creator in _kept(item, step):
            known = vr_of(tag, vr, creator) if not vr or vr == b"UN" else vr
            short = len(encoded) <= _REMEMBERED_BYTES
            read = _short_values if short else values_of
            values[step] = read(known, encoded, charset, little_endian=little_endian)
    below = plan.sequences.items()
    return Found(values, {step: _items(item, step, inner, encoding) for step, inner in below})


_short_values = lru_cache(maxsize=16384)(values_of)


def _items(item: Item, step: Step, plan: Plan, encoding: Encoding) -> Sequence[Found]:
    if not is_private(step):
        return [_found(part, plan, encoding) for part in item.items(step.tag)]
    for tag, vr, encoded, creator in _kept(item, step):
        known = vr_of(tag, vr, creator)
        # UN holds implicit VRs (PS3.5 6.2.2), but some writers put explicit ones there
        for used in (encoding,) if known == b"SQ" and vr != b"UN" else (_IMPLICIT, encoding):
            parts = collect_items(encoded, used, item.charset, plan.wanted)
            if parts:
                return [_found(part, plan, used) for part in parts]
    return ()


def _kept(item: Item, step: Step) -> Iterable[tuple[int, bytes, bytes, str]]:
    """Return tag, VR, encoded value and private creator of what a step names; mostly of one element."""
    if is_private(step):
        return _kept_private(item, step)
    stored = item.encoded(step.tag)
    return () if stored is None else ((step.tag, *stored, ""),)


def _kept_private(item: Item, step: Step) -> Iterator[tuple[int, bytes, bytes, str]]:
    for tag, creator in _candidates(item, step):
        stored = item.encoded(tag)
        if stored is not None:
            yield tag, *stored, creator


def _candidates(item: Item, step: Step) -> Iterator[tuple[int, str]]:
    """Yield the tags that a private step may have in an item, with the creators of their blocks."""
    group = step.tag & 0xFFFF0000
    creators = {
        tag & 0xFF: decode(stored[1], item.charset).strip(" \0")
        for tag in item.tags()
        if 0x10 <= tag - group <= 0xFF and (stored := item.encoded(tag)) is not None
    }
    if not step.creator:
        yield step.tag, creators.get(step.tag >> 8 & 0xFF, "")
        return
    for block, creator in creators.items():
        if creator == step.creator:
            yield group | block << 8 | step.tag & 0xFF, creator


@lru_cache(maxsize=4096)
def vr_of(tag: int, vr: bytes, creator: str) -> bytes:
    """Return the VR of an element: its own, or for an implicit VR and UN that of the dictionary.

    Raises
    ------
    Declined
        The dictionary names several: other attributes tell which.
    """
    if vr not in (b"", b"UN"):
        return vr
    step = Step(tag)
    known = step.vr
    if not tag & 0xFFFF:  # group lengths (PS3.5 7.2)
        known = "UL"
    elif not known and creator:
        known = _private_vr(tag, creator)
    if known.startswith("US or"):
        raise Declined
    return known.partition(" ")[0].encode("ascii") or b"UN"


def _private_vr(tag: int, creator: str) -> str:
    from pydicom.datadict import private_dictionary_VR  # it loads all of pydicom

    try:
        return private_dictionary_VR(tag, creator)
    except KeyError:
        return ""
