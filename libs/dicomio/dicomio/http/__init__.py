"""HTTP for the services, on aiohttp: typed routes, OpenAPI 3.1, problem+json, probes, streams."""

from dicomio.http.app import make_app
from dicomio.http.auth import Access, BearerToken, is_loopback
from dicomio.http.cursors import decode_cursor, encode_cursor
from dicomio.http.probes import Check
from dicomio.http.problems import Problem, answer_to
from dicomio.http.routes import EVENT_STREAM, AnyRoute, Call, Input, Nothing, Reply, Route
from dicomio.http.server import Server, serve
from dicomio.http.sse import ServerEvent, stream_events

__all__ = [
    "EVENT_STREAM",
    "Access",
    "AnyRoute",
    "BearerToken",
    "Call",
    "Check",
    "Input",
    "Nothing",
    "Problem",
    "Reply",
    "Route",
    "Server",
    "ServerEvent",
    "answer_to",
    "decode_cursor",
    "encode_cursor",
    "is_loopback",
    "make_app",
    "serve",
    "stream_events",
]
