"""The three services as processes on real servers, each of which can be killed and started again."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp

from dicomcore.keys import INSTANCES, parse_object_key
from dicomio.s3_store import S3Store
from tests.servers.ports import free_ports
from tests.servers.weed import Weed

DEADLINE_S = 180.0
STORE_SCP, INDEXER, GATEWAY = "store_scp", "indexer", "qr_gateway"
SERVICES = (STORE_SCP, INDEXER, GATEWAY)


@dataclass
class Trio:
    """store-scp, indexer and qr-gateway, on S3, NATS and PostgreSQL."""

    folder: Path
    store: S3Store
    environments: dict[str, dict[str, str]]
    dicom_port: int
    urls: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def on(cls, weed: Weed, nats_servers: str, database_url: str, folder: Path) -> Self:
        options = weed.options(f"trio-{uuid.uuid4().hex}")
        dicom, *http = free_ports(4)
        shared = {
            "S3_ENDPOINT": options.endpoint,
            "S3_BUCKET": options.bucket,
            "S3_ACCESS_KEY": options.access_key,
            "S3_SECRET_KEY": options.secret_key,
            "S3_SECURE": "false",
            "NATS_SERVERS": nats_servers,
        }
        own = {
            STORE_SCP: {"STORE_SCP_PORT": str(dicom)},
            INDEXER: {"INDEXER_DATABASE_URL": database_url, "INDEXER_ACK_WAIT_S": "2"},
            GATEWAY: {
                "QR_GATEWAY_MOVE_DESTINATION": "STORE-SCP",
                "QR_GATEWAY_LEASE_S": "1.5",
                "QR_GATEWAY_ACK_WAIT_S": "2",
            },
        }
        store = S3Store(options)
        store.ensure_bucket()
        trio = cls(
            folder,
            store,
            {
                name: {**shared, **own[name], f"{name.upper()}_HTTP_PORT": str(port)}
                for name, port in zip(SERVICES, http, strict=True)
            },
            dicom,
            {n: f"http://127.0.0.1:{p}" for n, p in zip(SERVICES, http, strict=True)},
        )
        trio._stack.callback(store.close)
        return trio

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.processes):
            self.kill(name)
        self._stack.close()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", name],
                env={**os.environ, **self.environments[name]},
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    async def until_ready(self, name: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                assert self.processes[name].poll() is None, self.log(name)
                try:
                    status, _ = await self.ask(name, "GET", "/readyz")
                except aiohttp.ClientError:
                    status = 0
                if status == 200:
                    return
                await asyncio.sleep(0.1)

    async def ask(self, name: str, method: str, path: str, **how: Any) -> tuple[int, Any]:
        timeout = aiohttp.ClientTimeout(30)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, self.urls[name] + path, **how) as response,
        ):
            return response.status, await response.json()

    def landed(self) -> set[str]:
        keys = [parse_object_key(stat.key) for stat in self.store.list(INSTANCES)]
        return {str(key.ref.sop_instance_uid) for key in keys}
