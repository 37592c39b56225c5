"""The HTTP interface of single objects for people: the header as rows, and a small picture."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from dicomcore.errors import NotFound
from dicomcore.header_rows import HeaderRow, HeaderRows, header_rows
from dicomcore.keys import DIGEST_LENGTH
from dicomcore.ports import IndexDb, IndexedInstance, ObjectStore
from dicomcore.uids import parse_instance_uid
from dicomio.http import AnyRoute, Call, Input, Notes, Role, Route
from indexer.thumbnails import RENDERER, thumbnail

_PNG = "image/png"
_CACHE = "private, no-cache"
"""The browser may keep a picture, and asks with its entity tag whether it still is the one."""
_FIRST_BYTES = 64 * 1024
_GROWTH = 8
_RENDERED_AT_ONCE = 2
"""Each may need some hundred MB."""


class InstancePath(Input):
    """An instance by SOP Instance UID (0008,0018)."""

    sop_instance_uid: str


class VersionQuery(Input):
    """Which version."""

    version: str = Field(default="", pattern="^([0-9a-f]{16})?$")
    """The first 16 hexadecimal digits of the digest, as in the object key; empty for the newest."""


class ThumbnailQuery(VersionQuery):
    """Which picture."""

    size: int = Field(default=256, ge=16, le=1024)
    """Of the longer side, in pixels."""


class AttributeRow(BaseModel):
    """One attribute of a data set, or of an item of a sequence."""

    model_config = ConfigDict(frozen=True)
    tag: str
    """As `(300A,00B0)`."""
    keyword: str
    name: str
    vr: str
    values: tuple[str, ...] = Field(repr=False)
    truncated: bool
    """Whether values, characters of them, or items are left out."""
    length_bytes: int | None
    """As encoded; null where delimiters end the value."""
    bulk: bool
    """Whether it has no values that are texts."""
    items: tuple[tuple[AttributeRow, ...], ...]


class Attributes(BaseModel):
    """The header of one version of an instance, file meta information first."""

    model_config = ConfigDict(frozen=True)
    sop_instance_uid: str
    object_key: str
    sha256: str
    """Hexadecimal; the first 16 digits where the object was only listed."""
    cut: bool
    """Whether something is left out that no row tells of: damage, or too much."""
    attributes: tuple[AttributeRow, ...] = Field(repr=False)


def object_routes(index: IndexDb, store: ObjectStore) -> Sequence[AnyRoute]:
    """Return the operations that read objects."""
    handlers = _Handlers(index, store)
    return (
        Route(
            method="GET",
            template="/v1/instances/{sop_instance_uid}/attributes",
            handler=handlers.attributes,
            operation_id="getInstanceAttributes",
            role=Role.READER,
            summary="The header of an instance, every attribute in its place, bulk values left out",
            responses={200: Attributes},
            path=InstancePath,
            query=VersionQuery,
            errors=(404, 422),
            tags=("instances",),
        ),
        Route(
            method="GET",
            template="/v1/instances/{sop_instance_uid}/thumbnail",
            handler=handlers.thumbnail,
            operation_id="getInstanceThumbnail",
            role=Role.READER,
            summary="A small picture of an image or a dose; of several frames the middle one",
            responses={200: _PNG, 304: None},
            path=InstancePath,
            query=ThumbnailQuery,
            request_headers={"If-None-Match": "Answers 304 if the picture has one of these ETags"},
            errors=(404, 422),
            tags=("instances",),
        ),
    )


class _Handlers:
    def __init__(self, index: IndexDb, store: ObjectStore) -> None:
        self._index = index
        self._store = store
        self._rendering = asyncio.Semaphore(_RENDERED_AT_ONCE)

    async def attributes(self, call: Call[InstancePath, VersionQuery]) -> Attributes:
        one = await self._version(call.path, call.query, call.notes)
        return await asyncio.to_thread(_attributes, self._store, one)

    async def thumbnail(self, call: Call[InstancePath, ThumbnailQuery]) -> web.StreamResponse:
        one = await self._version(call.path, call.query, call.notes)
        size = call.query.size
        tag = f"{one.sha256[:DIGEST_LENGTH]}-{size}-{RENDERER}"
        headers = {"ETag": f'"{tag}"', "Cache-Control": _CACHE}
        if any(known.value in ("*", tag) for known in call.http.if_none_match or ()):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        async with self._rendering:
            picture = await asyncio.to_thread(
                thumbnail, self._store, one.object_key, one.size_bytes, size=size
            )
        return web.Response(body=picture, content_type=_PNG, headers=headers)

    async def _version(
        self, path: InstancePath, query: VersionQuery, notes: Notes
    ) -> IndexedInstance:
        """Return the version that is asked for, and note whose it is."""
        uid = parse_instance_uid(path.sop_instance_uid)
        wanted = query.version
        versions = [one for one in await self._index.versions(uid) if one.sha256.startswith(wanted)]
        if not versions:
            raise NotFound("no such instance in the index", sop_instance_uid=uid)
        newest = versions[-1]
        if newest.header is not None:
            notes.about(newest.header.patient_id)
        return newest


def _attributes(store: ObjectStore, one: IndexedInstance) -> Attributes:
    found = _read(store, one)
    return Attributes(
        sop_instance_uid=one.ref.sop_instance_uid,
        object_key=one.object_key,
        sha256=one.sha256,
        cut=found.cut,
        attributes=tuple(map(_row, found.rows)),
    )


def _read(store: ObjectStore, one: IndexedInstance) -> HeaderRows:
    """Read as much of an object as its header takes."""
    length = _FIRST_BYTES
    while length < one.size_bytes:
        found = header_rows(store.get_range(one.object_key, 0, length), complete=False)
        if found is not None:
            return found
        length *= _GROWTH
    found = header_rows(store.get(one.object_key), complete=True)
    return found if found is not None else HeaderRows((), cut=True)


def _row(row: HeaderRow) -> AttributeRow:
    return AttributeRow(
        tag=f"({row.tag >> 16:04X},{row.tag & 0xFFFF:04X})",
        keyword=row.keyword,
        name=row.name,
        vr=row.vr,
        values=row.values,
        truncated=row.truncated,
        length_bytes=row.length_bytes,
        bulk=row.bulk,
        items=tuple(tuple(map(_row, item)) for item in row.items),
    )
