"""What an export holds, over HTTP: its manifest, its files by address, all of it as one archive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import structlog
from aiohttp import web

from dicomcore.errors import DicomToolsError, NotFound
from dicomcore.export import MANIFEST_NAME, Manifest, encode_manifest
from dicomcore.ports import ObjectStore
from dicomio.bridge import Bridge
from dicomio.exporting.bucket import read_manifest
from dicomio.exporting.zipping import entries_of, zipped
from dicomio.jobs.views import Listing, part_of
from indexer.exporting.views import ExportItem, ExportItemPage, item_of

log = structlog.get_logger(__name__)

_MANIFESTS_KEPT = 4
_LARGEST_KEPT = 20_000
"""Files of a manifest that is kept in memory for who pages through it; a larger one is read each time."""
ZIP_TYPE = "application/zip"
_END = b""


class Downloads:
    """Reads the export bucket for callers; used on one event loop."""

    def __init__(self, store: ObjectStore, bridge: Bridge, *, url_ttl_s: int) -> None:
        """`url_ttl_s`: how long an address may be used."""
        self._store = store
        self._bridge = bridge
        self._url_ttl_s = url_ttl_s
        # who pages through an export asks for it again and again; it never changes
        self._manifests: dict[str, Manifest] = {}

    async def manifest(self, prefix: str) -> Manifest:
        """Return the manifest of an export; `NotFound` if it has none, or none yet."""
        known = self._manifests.get(prefix)
        if known is None:
            try:
                known = await self._bridge.run(read_manifest, self._store, prefix)
            except NotFound:
                raise NotFound("the export has no manifest, or none yet") from None
            if len(known.instances) > _LARGEST_KEPT:
                return known
            while len(self._manifests) >= _MANIFESTS_KEPT:
                self._manifests.pop(next(iter(self._manifests)), None)
            self._manifests[prefix] = known
        return known

    async def manifest_response(self, prefix: str) -> web.Response:
        """Return the manifest as a file."""
        body = await asyncio.to_thread(encode_manifest, await self.manifest(prefix))
        return web.Response(
            body=body,
            content_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{MANIFEST_NAME}"'},
        )

    async def items(self, prefix: str, listing: Listing, *, with_urls: bool) -> ExportItemPage:
        """Return a page of files.

        Parameters
        ----------
        with_urls
            Whether the files are in the bucket at all.
        """
        manifest = await self.manifest(prefix)
        every = tuple(sorted(manifest.instances, key=lambda entry: entry.file))
        shown, following = part_of(every, listing)

        def page() -> list[ExportItem]:
            ttl = self._url_ttl_s
            return [
                item_of(
                    one,
                    self._store.presign(prefix + one.file, expires_s=ttl) if with_urls else None,
                )
                for one in shown
            ]

        return ExportItemPage(items=tuple(await self._bridge.run(page)), next=following)

    async def archive(self, request: web.Request, prefix: str, name: str) -> web.StreamResponse:
        """Send an export as one archive while it is made: a chunk of it is in memory, no more.

        An archive that cannot be made to its end is cut off: the connection is, so that nobody takes
        a part for the whole.
        """
        manifest = await self.manifest(prefix)
        entries = await self._bridge.run(entries_of, manifest, self._store, prefix)
        chunks = zipped(entries, self._store, at=manifest.created_at)
        response = web.StreamResponse(
            headers={
                "Content-Type": ZIP_TYPE,
                "Content-Disposition": f'attachment; filename="{name}.zip"',
            }
        )
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        first = await self._bridge.run(_next_of, chunks)  # what fails at once is a problem document
        await response.prepare(request)
        try:
            with suppress(ConnectionError):  # the caller has left
                await self._send(response, first, chunks)
        except DicomToolsError as exc:
            log.warning("archive_cut_off", problem=exc.sentence)
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _send(
        self, response: web.StreamResponse, first: bytes, chunks: Iterator[bytes]
    ) -> None:
        chunk = first
        while chunk:
            await response.write(chunk)
            chunk = await self._bridge.run(_next_of, chunks)
        await response.write_eof()


def _next_of(chunks: Iterator[bytes]) -> bytes:
    """Return the next chunk that holds anything; empty at the end."""
    return next((chunk for chunk in chunks if chunk), _END)
