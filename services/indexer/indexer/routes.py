"""The HTTP interface of the index: trees, instances, counts, and the rebuild."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Literal

from aiohttp import web
from pydantic import Field

from dicomcore import render
from dicomcore.errors import NotFound
from dicomcore.model import InstanceHeader
from dicomcore.ports import IndexDb, IndexedInstance
from dicomcore.references import Stack
from dicomcore.render_html import html
from dicomcore.tree import build_trees
from dicomcore.uids import parse_instance_uid
from dicomio.http import (
    AnyRoute,
    Call,
    Input,
    Nothing,
    Reply,
    Role,
    Route,
)
from indexer.answers import Incoming, Instance, Stats, Version
from indexer.rebuild import Rebuild, RebuildReport

TreeFormat = Literal["json", "text", "html"]
_REBUILD = "/v1/reindex"
_MEDIA_TYPES: Mapping[TreeFormat, str] = {
    "json": "application/json",
    "text": "text/plain",
    "html": "text/html",
}


class PatientPath(Input):
    """A patient by ID, percent-encoded: an ID may hold slashes, spaces, anything."""

    patient_id: str = Field(repr=False)


class TreeQuery(Input):
    """How the tree is written."""

    format: TreeFormat = "json"


class AnyTreeQuery(TreeQuery):
    """A patient by ID, also by one that no path can hold: the empty one, `.`, `..`."""

    patient_id: str = Field(repr=False)


class InstancePath(Input):
    """An instance by SOP Instance UID (0008,0018)."""

    sop_instance_uid: str


class ReindexRequest(Input):
    """How to rebuild."""

    clear: bool = False
    """Forget everything first; until it has ended, answers are incomplete."""


def index_routes(index: IndexDb, rebuild: Rebuild) -> Sequence[AnyRoute]:
    """Return the operations on an index."""
    handlers = _Handlers(index, rebuild)
    return (
        Route(
            method="GET",
            template="/v1/patients/{patient_id}/tree",
            handler=handlers.tree,
            operation_id="getPatientTree",
            role=Role.READER,
            summary="The patient's reference tree: plans, what they reference, what is unconnected",
            responses={200: tuple(_MEDIA_TYPES.values())},
            path=PatientPath,
            query=TreeQuery,
            errors=(404,),
            tags=("patients",),
        ),
        Route(
            method="GET",
            template="/v1/trees",
            handler=handlers.any_tree,
            operation_id="findPatientTree",
            role=Role.READER,
            summary="The same, for any Patient ID: also the empty one",
            responses={200: tuple(_MEDIA_TYPES.values())},
            query=AnyTreeQuery,
            errors=(404,),
            tags=("patients",),
        ),
        Route(
            method="GET",
            template="/v1/instances/{sop_instance_uid}",
            handler=handlers.instance,
            operation_id="getInstance",
            role=Role.READER,
            summary="Every version of an instance, its references, and who references it",
            responses={200: Instance},
            path=InstancePath,
            errors=(404, 422),
            tags=("instances",),
        ),
        Route(
            method="GET",
            template="/v1/stats",
            handler=handlers.stats,
            operation_id="getStats",
            role=Role.MONITOR,
            summary="How much the index holds",
            responses={200: Stats},
            tags=("operation",),
        ),
        Route(
            method="POST",
            template=_REBUILD,
            handler=handlers.start_rebuild,
            operation_id="startReindex",
            role=Role.ADMIN,
            summary="Rebuild from the object store in the background; one at a time",
            responses={202: RebuildReport},
            body=ReindexRequest,
            tags=("operation",),
        ),
        Route(
            method="GET",
            template=_REBUILD,
            handler=handlers.rebuild_report,
            operation_id="getReindex",
            role=Role.MONITOR,
            summary="How this replica's last rebuild went, or goes",
            responses={200: RebuildReport},
            tags=("operation",),
        ),
    )


class _Handlers:
    def __init__(self, index: IndexDb, rebuild: Rebuild) -> None:
        self._index = index
        self._rebuild = rebuild

    async def tree(self, call: Call[PatientPath, TreeQuery]) -> web.StreamResponse:
        return await self._tree(call.path.patient_id, call.query.format)

    async def any_tree(self, call: Call[Nothing, AnyTreeQuery]) -> web.StreamResponse:
        return await self._tree(call.query.patient_id, call.query.format)

    async def instance(self, call: Call[InstancePath]) -> Instance:
        uid = parse_instance_uid(call.path.sop_instance_uid)
        versions, incoming = await asyncio.gather(
            self._index.versions(uid), self._index.referenced_by(uid)
        )
        if not versions:
            raise NotFound("no such instance in the index", sop_instance_uid=uid)
        for one in versions:
            if one.header is not None:
                call.notes.about(one.header.patient_id)
        return Instance(
            sop_instance_uid=uid,
            conflict=len(versions) > 1,
            versions=tuple(map(_version, versions)),
            referenced_by=tuple(
                Incoming(
                    study_instance_uid=one.source.study_instance_uid,
                    series_instance_uid=one.source.series_instance_uid,
                    sop_instance_uid=one.source.sop_instance_uid,
                    relation=one.relation,
                    level=one.level,
                )
                for one in incoming
            ),
        )

    async def stats(self, _call: Call) -> Stats:
        counts = await self._index.counts()
        return Stats(
            patients=counts.patients,
            instances=counts.instances,
            unreadable=counts.unreadable,
            conflicts=counts.conflicts,
        )

    async def start_rebuild(self, call: Call[Nothing, Nothing, ReindexRequest]) -> Reply:
        # A second request joins the one that runs: the report says how that one began.
        self._rebuild.request(clear=call.body.clear)
        return Reply(self._rebuild.report, HTTPStatus.ACCEPTED, {"Location": _REBUILD})

    async def rebuild_report(self, _call: Call) -> RebuildReport:
        return self._rebuild.report

    async def _tree(self, patient_id: str, written: TreeFormat) -> web.StreamResponse:
        (headers, stacks), conflicts = await asyncio.gather(
            self._index.headers_of(patient_id), self._index.conflicts(patient_id)
        )
        if not headers and not stacks:
            raise NotFound("no such patient in the index")
        body = await asyncio.to_thread(_written, headers, stacks, conflicts, written)
        charset = None if written == "json" else "utf-8"
        return web.Response(body=body, content_type=_MEDIA_TYPES[written], charset=charset)


def _written(
    headers: Sequence[InstanceHeader],
    stacks: Sequence[Stack],
    conflicts: frozenset[str],
    written: TreeFormat,
) -> bytes:
    trees = build_trees(headers, conflicts=conflicts, stacks=stacks)
    if written == "html":
        return html(trees).encode()
    [tree] = trees
    return render.to_json(tree) if written == "json" else render.text(tree).encode()


def _version(one: IndexedInstance) -> Version:
    return Version(
        object_key=one.object_key,
        sha256=one.sha256,
        size_bytes=one.size_bytes,
        stored_at=one.stored_at,
        sop_class_uid=one.sop_class_uid,
        problem=one.problem,
        header=one.header,
    )
