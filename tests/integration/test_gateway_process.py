"""qr-gateway as a process: what it says when it cannot start, and how it lives without the others."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp

from tests.servers.ports import free_ports

DEADLINE_S = 60.0
TOKEN = "made up for this test"  # noqa: S105


def environment(http_port: int, **more: str) -> dict[str, str]:
    """What the gateway is told; nobody listens where it is sent."""
    s3, nats = free_ports(2)
    told = {
        "S3_ENDPOINT": f"127.0.0.1:{s3}",
        "S3_BUCKET": "objects",
        "S3_ACCESS_KEY": "key",
        "S3_SECRET_KEY": "secret",
        "S3_SECURE": "false",
        "NATS_SERVERS": f"nats://127.0.0.1:{nats}",
        "QR_GATEWAY_HTTP_PORT": str(http_port),
        **more,
    }
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("S3_", "NATS_", "QR_"))}
    return {**inherited, **told}


def start(told: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qr_gateway"],
        env=told,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def test_everything_that_is_missing_is_named_at_once() -> None:
    told = environment(0)
    del told["S3_BUCKET"], told["NATS_SERVERS"]

    done = start({**told, "QR_GATEWAY_JOBS": "many"})

    assert done.returncode == 1
    assert "S3_BUCKET" in done.stderr
    assert "NATS_SERVERS" in done.stderr
    assert "QR_GATEWAY_JOBS" in done.stderr
    assert "Traceback" not in done.stderr


def test_peers_that_cannot_be_understood_stop_the_start() -> None:
    done = start(environment(0, QR_GATEWAY_PEERS=json.dumps({"ARIA": {"host": "pacs"}})))

    assert done.returncode == 1
    assert "peers.ARIA.port" in done.stderr
    assert "Traceback" not in done.stderr


def test_beyond_loopback_it_does_not_start_without_a_token() -> None:
    done = start(environment(0, QR_GATEWAY_HTTP_HOST="0.0.0.0"))  # noqa: S104

    assert done.returncode == 1
    assert "without authentication" in done.stderr
    assert "Traceback" not in done.stderr


async def test_it_lives_without_the_others_says_so_and_stops_in_order(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    peers = {"ARIA": {"ae_title": "ARIA", "host": "127.0.0.1", "port": 104}}
    told = environment(
        port,
        QR_GATEWAY_PEERS=json.dumps(peers),
        QR_GATEWAY_MOVE_DESTINATION="STORE-SCP",
        QR_GATEWAY_HTTP_TOKEN_SHA256=hashlib.sha256(TOKEN.encode()).hexdigest(),
    )
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "qr_gateway"], env=told, stdout=output, stderr=output
        )
    try:
        url = f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            await _until_it_answers(session, url, process, log)
            async with session.get(f"{url}/readyz") as response:
                ready = response.status, await response.json()
            order = {"peer": "ARIA", "patient_id": "CANARY"}
            async with session.post(f"{url}/v1/retrievals", json=order) as response:
                refused = response.status, await response.json()
            async with session.get(f"{url}/v1/peers") as response:
                peers_known = [peer["name"] for peer in (await response.json())["peers"]]
            async with session.get(f"{url}/v1/peers", headers={"Authorization": ""}) as response:
                stranger = response.status
        process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(process.wait, DEADLINE_S)
    finally:
        process.kill()
        process.wait()

    assert ready[0] == 503
    assert set(ready[1]["checks"].values()) == {"unavailable"}
    assert refused[0] == 503
    assert refused[1]["type"].endswith("key-value-unavailable")
    assert peers_known == ["ARIA"]
    assert stranger == 401
    assert code == 0, log.read_text()
    assert "CANARY" not in log.read_text()
    assert "Traceback" not in log.read_text()


async def _until_it_answers(
    session: aiohttp.ClientSession, url: str, process: subprocess.Popen[bytes], log: Path
) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            assert process.poll() is None, log.read_text()
            try:
                async with session.get(f"{url}/livez") as response:
                    assert response.status == 200
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)
