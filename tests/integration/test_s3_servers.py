"""S3 servers that are older, full or failing, as far as `S3Store` must get along with them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import uuid4

import pytest

from dicomcore.errors import InvalidRequest, ObjectStoreFull, ObjectStoreUnavailable
from dicomio.s3_store import MAX_OBJECT_BYTES, MULTIPART_BYTES, S3Store
from tests.servers.s3_proxy import Behaviour, s3_proxy
from tests.servers.weed import Weed

pytestmark = pytest.mark.server


@dataclass
class Server:
    store: S3Store
    behaviour: Behaviour
    prefix: str


@pytest.fixture
def server(weed: Weed) -> Iterator[Server]:
    with s3_proxy(weed.endpoint) as proxy:
        store = S3Store(replace(weed.options("s3-servers"), endpoint=proxy.endpoint))
        store.ensure_bucket()
        yield Server(store, proxy.behaviour, f"test/{uuid4().hex}/")
        store.close()


def error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


def test_a_server_that_ignores_conditions_is_recognised_and_nothing_is_overwritten(
    server: Server,
) -> None:
    server.behaviour.drop_conditions = True

    assert server.store.put(server.prefix + "k", [b"first"])
    assert not server.store.put(server.prefix + "k", [b"second"])

    assert server.store.get(server.prefix + "k") == b"first"


def test_whether_conditions_are_honoured_is_tried_once(server: Server) -> None:
    server.store.put(server.prefix + "1", [b"x"])
    server.behaviour.seen.clear()

    for number in range(2, 5):
        server.store.put(server.prefix + f"{number}", [b"x"])

    assert server.behaviour.seen == ["PUT"] * 3
    assert [stat.key for stat in server.store.list("probe/")] == []


def test_a_put_that_fails_for_a_moment_is_tried_again(server: Server) -> None:
    server.store.put(server.prefix + "warm", [b"x"])
    server.behaviour.answers += [("PUT", 503, error("SlowDown"))]

    assert server.store.put(server.prefix + "k", [b"head", memoryview(b"body" * 100_000)])
    assert server.store.get(server.prefix + "k") == b"head" + b"body" * 100_000


def test_a_put_that_keeps_failing_is_unavailable(server: Server) -> None:
    server.store.put(server.prefix + "warm", [b"x"])
    server.behaviour.answers += [("PUT", 503, error("SlowDown"))] * 10

    with pytest.raises(ObjectStoreUnavailable):
        server.store.put(server.prefix + "k", [b"x"])


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (507, "XMinioStorageFull"),
        (400, "XMinioAdminBucketQuotaExceeded"),
        (403, "QuotaExceeded"),
        (507, "AnythingElse"),
    ],
)
def test_a_full_server_is_full(server: Server, status: int, code: str) -> None:
    server.store.put(server.prefix + "warm", [b"x"])
    server.behaviour.answers += [("PUT", status, error(code))] * 5

    with pytest.raises(ObjectStoreFull):
        server.store.put(server.prefix + "k", [b"x"])


def test_writers_that_meet_at_one_key_try_again(server: Server) -> None:
    server.store.put(server.prefix + "warm", [b"x"])
    server.behaviour.answers += [("PUT", 409, error("ConditionalRequestConflict"))]

    assert server.store.put(server.prefix + "k", [b"x"])

    server.behaviour.answers += [("PUT", 409, error("ConditionalRequestConflict"))] * 20
    with pytest.raises(ObjectStoreUnavailable):
        server.store.put(server.prefix + "other", [b"x"])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("AccessDenied", ObjectStoreUnavailable),
        ("XMinioStorageFull", ObjectStoreFull),
        ("KeyTooLongError", InvalidRequest),
        ("InternalError", ObjectStoreUnavailable),
    ],
)
def test_each_refusal_says_whether_to_try_again(
    server: Server, code: str, expected: type[Exception]
) -> None:
    server.behaviour.answers += [("GET", 403, error(code))] * 5

    with pytest.raises(expected):
        server.store.get(server.prefix + "k")


def test_an_answer_that_is_no_s3_is_unavailable(server: Server) -> None:
    server.behaviour.answers += [("GET", 404, b"<html>a portal</html>")] * 5

    with pytest.raises(ObjectStoreUnavailable):
        server.store.get(server.prefix + "k")


def test_an_object_that_no_upload_can_hold_is_refused_before_it_is_sent(server: Server) -> None:
    block = memoryview(bytes(64 << 20))
    server.behaviour.seen.clear()

    with pytest.raises(InvalidRequest):
        server.store.put(server.prefix + "huge", [block] * (MAX_OBJECT_BYTES // len(block) + 1))

    assert server.behaviour.seen == []


@pytest.mark.parametrize("checks_sha256", [True, False])
def test_what_is_damaged_on_the_way_is_refused(server: Server, checks_sha256: bool) -> None:
    if not checks_sha256:  # an older server: it answers the probes so
        server.behaviour.answers += [("PUT", 200, b""), ("PUT", 412, b""), ("PUT", 200, b"")]
    body = b"x" * 10_000
    sha256 = hashlib.sha256(body).hexdigest()
    assert server.store.put(server.prefix + "whole", [body], sha256=sha256)
    assert server.behaviour.answers == []

    server.behaviour.damage = True
    with pytest.raises(ObjectStoreUnavailable):
        server.store.put(server.prefix + "damaged", [body], sha256=sha256)

    server.behaviour.damage = False
    assert server.store.put(server.prefix + "damaged", [body], sha256=sha256)
    assert server.store.get(server.prefix + "damaged") == body


def test_a_large_object_is_uploaded_in_parts_once(server: Server) -> None:
    body = memoryview(os.urandom(1 << 20) * ((MULTIPART_BYTES >> 20) + 1))
    server.store.put(server.prefix + "small", [b"x"])
    server.behaviour.seen.clear()

    assert server.store.put(server.prefix + "large", [b"header", body])
    parts = server.behaviour.seen.count("PUT")
    server.behaviour.seen.clear()
    assert not server.store.put(server.prefix + "large", [b"header", body])

    assert parts > 1
    assert server.behaviour.seen == ["HEAD"]
    assert server.store.stat(server.prefix + "large").size_bytes == len(body) + 6
    assert server.store.get_range(server.prefix + "large", 0, 106) == b"header" + body[:100]
    assert server.store.get_range(server.prefix + "large", len(body) - 94, 200) == body[-100:]
