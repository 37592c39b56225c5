"""A proxy before an S3 server that behaves like an older, a full or a failing one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the proxy does to requests; may be changed while it runs."""

    drop_conditions: bool = False
    """Take `If-None-Match` away: servers ignored it until 2024."""
    damage: bool = False
    """Change the last byte of what is PUT."""
    answers: list[tuple[str, int, bytes]] = field(default_factory=list)
    """Method, status and body that answer the next requests of that method instead."""
    seen: list[str] = field(default_factory=list)
    """The methods of all requests."""


@dataclass(frozen=True)
class S3Proxy:
    """Where it listens, and how it behaves."""

    endpoint: str
    behaviour: Behaviour


@contextmanager
def s3_proxy(target: str) -> Iterator[S3Proxy]:
    """Forward to the S3 server at `target` (`host:port`) inside the block.

    The Host header stays the proxy's, so that signatures, which cover it, stay good.
    """
    behaviour = Behaviour()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            behaviour.seen.append(self.command)
            if behaviour.damage and self.command == "PUT" and body:
                body = body[:-1] + bytes([body[-1] ^ 1])
            for answer in behaviour.answers:
                if answer[0] == self.command:
                    behaviour.answers.remove(answer)
                    kind = "application/xml" if answer[2].startswith(b"<Error>") else "text/html"
                    self.answer(answer[1], {"Content-Type": kind}, answer[2])
                    return
            headers = dict(self.headers.items())
            if behaviour.drop_conditions:
                headers.pop("If-None-Match", None)
            with closing(HTTPConnection(target, timeout=60)) as connection:
                connection.request(self.command, self.path, body=body, headers=headers)
                response = connection.getresponse()
                kept = {
                    name: value
                    for name, value in response.getheaders()
                    if name.lower() not in {"transfer-encoding", "connection"}
                }
                self.answer(response.status, kept, response.read())

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            if not any(name.lower() == "content-length" for name in headers):
                self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = forward  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield S3Proxy(f"127.0.0.1:{server.server_address[1]}", behaviour)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
