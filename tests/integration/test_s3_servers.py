"""S3 servers that are older, full or failing, as far as `S3Store` must get along with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import uuid4

import pytest

from dicomcore.errors import InvalidRequest, ObjectStoreFull, ObjectStoreUnavailable
from dicomio.s3_store import S3Store
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


def test_an_object_beyond_one_put_is_refused_before_it_is_sent(server: Server) -> None:
    block = memoryview(bytes(1 << 20))
    server.behaviour.seen.clear()

    with pytest.raises(InvalidRequest):
        server.store.put(server.prefix + "huge", [block] * (5 * 1024 + 1))

    assert server.behaviour.seen == []
