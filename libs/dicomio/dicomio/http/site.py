"""The files of a web page: read once, answered from memory, compressed where that is smaller."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from types import MappingProxyType

from aiohttp import web

from dicomio.http.mounts import Mount

INDEX = "index.html"
TYPES = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".ico": "image/x-icon",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".png": "image/png",
        ".svg": "image/svg+xml",
        ".txt": "text/plain; charset=utf-8",
        ".woff2": "font/woff2",
    }
)
"""What is served; a file of any other kind is not, whoever has put it there."""

Policy = Callable[[], Awaitable[str]]
"""The Content-Security-Policy as it is now."""


@dataclass(frozen=True, slots=True)
class File:
    """One file in memory."""

    media_type: str
    body: bytes = field(repr=False)
    packed: bytes | None = field(repr=False)
    """gzip; None where it would save nothing."""
    digest: str

    def response(self, request: web.Request) -> web.Response:
        """Return the file, compressed if the caller takes that; 304 if the caller has it.

        Notes
        -----
        RFC 9110 8.8.3: a strong entity tag names bytes, so each encoding has its own.
        """
        packed = self.packed if _takes_gzip(request.headers.get("Accept-Encoding", "")) else None
        etag = self.digest if packed is None else f"{self.digest}-gzip"
        headers = {"Cache-Control": "no-cache", "ETag": f'"{etag}"'}
        if self.packed is not None:
            headers["Vary"] = "Accept-Encoding"
        if any(tag.value in ("*", etag) for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = self.media_type
        if packed is not None:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=self.body if packed is None else packed, headers=headers)


def site(root: Traversable, policy: Policy) -> Sequence[Mount]:
    """Return what serves the files below a folder, `/` being its `index.html`.

    Each file has a path of its own and nothing else is looked up: there is no path that could lead
    out of the folder. No one has to sign in for them; there is nothing of a patient in them.

    Parameters
    ----------
    policy
        Content-Security-Policy of every one of them.
    """
    mounts = [
        Mount(template=f"/{name}", handler=_answering(file, policy), public=True)
        for name, file in _files(root)
    ]
    index = next((mount for mount in mounts if mount.template == f"/{INDEX}"), None)
    if index is not None:
        mounts.append(Mount(template="/", handler=index.handler, public=True))
    return mounts


def _answering(
    file: File, policy: Policy
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = file.response(request)
        response.headers["Content-Security-Policy"] = await policy()
        return response

    return answer


def _files(folder: Traversable, above: str = "") -> Iterator[tuple[str, File]]:
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        # a name with braces would be a template, one with a dot in front is nobody's business
        if entry.name.startswith((".", "_")) or set("{}") & set(entry.name):
            continue
        if entry.is_dir():
            yield from _files(entry, f"{above}{entry.name}/")
        else:
            media_type = TYPES.get(entry.name[entry.name.rfind(".") :])
            if media_type is not None:
                yield above + entry.name, _file(media_type, entry.read_bytes())


def _file(media_type: str, body: bytes) -> File:
    packed = gzip.compress(body, 9, mtime=0)
    return File(
        media_type=media_type,
        body=body,
        packed=packed if len(packed) < len(body) else None,
        digest=hashlib.sha256(body).hexdigest()[:32],
    )


def _takes_gzip(accepted: str) -> bool:
    """Whether a caller takes gzip (RFC 9110 12.5.3): named, or meant by `*`, and not with weight 0."""
    weights: dict[str, bool] = {}
    for part in accepted.lower().split(","):
        coding, _, parameters = part.partition(";")
        name, _, weight = parameters.strip().partition("=")
        zero = name.strip() == "q" and not weight.strip().strip("0.")
        weights[coding.strip()] = not zero
    return weights.get("gzip", weights.get("*", False))
