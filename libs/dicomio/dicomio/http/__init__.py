"""HTTP for the services, on aiohttp: typed routes, OpenAPI 3.1, problem+json, probes, streams."""

from dicomio.http.app import make_app
from dicomio.http.audited import Audited, AuditSink, Notes
from dicomio.http.auth import Access, Principal
from dicomio.http.buckets import Rate
from dicomio.http.connections import ConnectionLimits
from dicomio.http.cursors import decode_cursor, encode_cursor
from dicomio.http.discovery import Discovery
from dicomio.http.edge import principal_of
from dicomio.http.loopback import is_loopback
from dicomio.http.mounts import Mount
from dicomio.http.oidc import OidcOptions
from dicomio.http.onward import Onward, OnwardOptions
from dicomio.http.probes import Check
from dicomio.http.problems import Problem, answer_to
from dicomio.http.roles import Role
from dicomio.http.routes import EVENT_STREAM, AnyRoute, Call, Input, Nothing, Reply, Route
from dicomio.http.server import Server, serve
from dicomio.http.settings import AccessSettings
from dicomio.http.site import site
from dicomio.http.sse import ServerEvent, stream_events
from dicomio.http.tokens import BearerToken

__all__ = [
    "EVENT_STREAM",
    "Access",
    "AccessSettings",
    "AnyRoute",
    "AuditSink",
    "Audited",
    "BearerToken",
    "Call",
    "Check",
    "ConnectionLimits",
    "Discovery",
    "Input",
    "Mount",
    "Notes",
    "Nothing",
    "OidcOptions",
    "Onward",
    "OnwardOptions",
    "Principal",
    "Problem",
    "Rate",
    "Reply",
    "Role",
    "Route",
    "Server",
    "ServerEvent",
    "answer_to",
    "decode_cursor",
    "encode_cursor",
    "is_loopback",
    "make_app",
    "principal_of",
    "serve",
    "site",
    "stream_events",
]
