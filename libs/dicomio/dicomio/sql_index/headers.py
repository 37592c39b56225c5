"""Headers of the instances of one series as one blob: what images share is kept once."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Hashable, Iterator, Sequence, Set
from dataclasses import fields, replace

from pydantic_core import from_json

from dicomcore.errors import InvalidRequest, Unreadable
from dicomcore.header import header_from_json, header_to_json
from dicomcore.model import ImageDetails, InstanceHeader
from dicomcore.references import Stack
from dicomcore.uids import InstanceRef, InstanceUID

_NO_NUMBER = None
_SHARED = tuple(f.name for f in fields(InstanceHeader) if f.name not in ("ref", "details"))
_BLANK = InstanceUID("0")

_Maker = Callable[[InstanceUID, int | None], InstanceHeader]
Numbered = tuple[int, int | None]
"""Which template, and Instance Number (0020,0013) where the template is of an image."""


def pack_headers(headers: Sequence[InstanceHeader], *, level: int = 6) -> bytes:
    """Return headers of one series; `unpack_headers` wants the SOP Instance UIDs in their order.

    Raises
    ------
    InvalidRequest
        One holds what is no text: a lone surrogate. Readers make none, other callers may.
    """
    templates: dict[Hashable, int] = {}
    written: list[str] = []
    each: list[Numbered] = []
    for header in headers:
        key = _key(header)
        number = templates.get(key)
        if number is None:
            number = templates[key] = len(written)
            written.append(_json(_template(header)))
        details = header.details
        each.append(
            (number, details.instance_number if isinstance(details, ImageDetails) else _NO_NUMBER)
        )
    return _written(written, each, level)


def unpack_headers(blob: bytes, uids: Sequence[str]) -> Iterator[InstanceHeader]:
    """Yield the headers in their order.

    Raises
    ------
    Unreadable
        Not what `pack_headers` wrote, or of other instances.
    """
    makers, each = _opened(blob, len(uids))
    for uid, (number, instance_number) in zip(uids, each, strict=True):
        yield makers[number](InstanceUID(uid), instance_number)


def unpack_stacks(
    blob: bytes, uids: Sequence[str], apart: Set[str]
) -> tuple[list[InstanceHeader], list[Stack]]:
    """Return the headers as they are wanted for a tree: images as stacks, the others one by one.

    Parameters
    ----------
    apart
        SOP Instance UIDs that are wanted one by one: of which there are several versions.

    Raises
    ------
    Unreadable
        Not what `pack_headers` wrote, or of other instances.
    """
    makers, each = _opened(blob, len(uids))
    images = [isinstance(maker(_BLANK, None).details, ImageDetails) for maker in makers]
    if images == [True] and apart.isdisjoint(uids):
        return [], [Stack(makers[0](InstanceUID(uids[0]), None), tuple(uids))]
    single: list[InstanceHeader] = []
    stacked: dict[int, list[str]] = {}
    for uid, (number, instance_number) in zip(uids, each, strict=True):
        if images[number] and uid not in apart:
            stacked.setdefault(number, []).append(uid)
        else:
            single.append(makers[number](InstanceUID(uid), instance_number))
    stacks = [
        Stack(makers[number](InstanceUID(some[0]), None), tuple(some))
        for number, some in stacked.items()
    ]
    return single, stacks


def merge_headers(blobs: Sequence[bytes], counts: Sequence[int]) -> bytes:
    """Return the headers of all blobs, one after the other."""
    if len(blobs) == 1:
        return blobs[0]
    templates: dict[str, int] = {}
    merged: list[Numbered] = []
    for blob, count in zip(blobs, counts, strict=True):
        written, each = _read(blob, count)
        numbers = [templates.setdefault(text, len(templates)) for text in written]
        merged += [(numbers[number], instance_number) for number, instance_number in each]
    return _written(list(templates), merged, 6)


def _opened(blob: bytes, count: int) -> tuple[Sequence[_Maker], Sequence[Numbered]]:
    written, each = _read(blob, count)
    return [_maker(header_from_json(text.encode())) for text in written], each


def _read(blob: bytes, count: int) -> tuple[Sequence[str], Sequence[Numbered]]:
    try:
        written, each = from_json(zlib.decompress(blob))
    except (zlib.error, ValueError) as exc:
        raise Unreadable("not packed headers", size_bytes=len(blob)) from exc
    if len(each) != count:
        raise Unreadable("packed headers of other instances", headers=len(each))
    return written, each


def _written(templates: Sequence[str], each: Sequence[Numbered], level: int) -> bytes:
    return zlib.compress(json.dumps([templates, each], separators=(",", ":")).encode(), level)


def _json(header: InstanceHeader) -> str:
    try:
        return header_to_json(header).decode()
    except ValueError as exc:
        raise InvalidRequest("header holds what is not a text") from exc


def _key(header: InstanceHeader) -> Hashable:
    """Return what two images share if they differ in UID and number only; others share nothing."""
    details = header.details
    if not isinstance(details, ImageDetails):
        return header
    shared = tuple([getattr(header, name) for name in _SHARED])
    ref = header.ref
    place = (ref.study_instance_uid, ref.series_instance_uid)
    return (*shared, *place, details.image_type, details.date)


def _template(header: InstanceHeader) -> InstanceHeader:
    ref = replace(header.ref, sop_instance_uid=_BLANK)
    details = header.details
    if isinstance(details, ImageDetails):
        details = replace(details, instance_number=None)
    return replace(header, ref=ref, details=details)


def _maker(template: InstanceHeader) -> _Maker:
    """Return what makes the headers of one template; a patient may have 100,000 of them."""
    study, series = template.ref.study_instance_uid, template.ref.series_instance_uid
    details = template.details
    image = details if isinstance(details, ImageDetails) else None
    shared = {name: getattr(template, name) for name in _SHARED}

    def make(uid: InstanceUID, number: int | None) -> InstanceHeader:
        ref = InstanceRef(study, series, uid)
        own = details
        if image is not None:
            own = ImageDetails(image_type=image.image_type, date=image.date, instance_number=number)
        return InstanceHeader(ref=ref, details=own, **shared)

    return make
