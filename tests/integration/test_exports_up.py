"""An export from `dicomtools up`: one machine, one folder, no server."""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dicomcore.header import read_header
from dicomio.directory_store import DirectoryStore
from dicomtools.system import SystemOptions, running_system
from tests import factories
from tests.export_world import landed

PATIENT = factories.small_patient(patient_id="AT-HOME", plans=1)
DEADLINE_S = 120.0


async def until(session: aiohttp.ClientSession, url: str, *ended: str) -> dict[str, Any]:
    """What an address answers once its `state` is one of these."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            async with session.get(url) as answer:
                assert answer.status == 200, await answer.text()
                said: dict[str, Any] = await answer.json()
            if said["state"] in ended:
                return said
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("times", [2])
async def test_an_anonymised_archive_is_the_same_after_a_restart(
    tmp_path: Path, times: int
) -> None:
    store = DirectoryStore(tmp_path / "data" / "objects")
    landed(store, PATIENT.datasets)
    store.close()
    archives = []
    for _ in range(times):
        async with (
            running_system(SystemOptions(data=tmp_path / "data")) as system,
            aiohttp.ClientSession() as session,
        ):
            async with session.post(f"{system.http_url}/v1/reindex", json={}) as answer:
                assert answer.status == 202
            await until(session, f"{system.http_url}/v1/reindex", "complete")
            order = {
                "selection": {"patient": "AT-HOME"},
                "anonymise": {"allow_burned_in": ["rt_image"]},
                "destination": {"zip": True},
            }
            async with session.post(f"{system.http_url}/v1/exports", json=order) as answer:
                assert answer.status == 202, await answer.text()
                job = await answer.json()
            url = f"{system.http_url}/v1/exports/{job['id']}"
            export = await until(session, url, "complete", "partial", "failed")
            assert export["state"] == "complete", export
            async with session.get(f"{url}/zip") as answer:
                archives.append(zipfile.ZipFile(io.BytesIO(await answer.read())))

    files = [
        {name: archive.read(name) for name in archive.namelist() if name.endswith(".dcm")}
        for archive in archives
    ]
    assert files[0] == files[1], "the key is kept"
    assert len(files[0]) == len(PATIENT.datasets)
    read = [read_header(body, complete=True) for body in files[0].values()]
    names = {header.patient_id for header in read if header is not None}
    assert len(names) == 1
    assert "AT-HOME" not in names
    key = tmp_path / "data" / "deident.key"
    assert key.stat().st_mode & 0o077 == 0
    assert list((tmp_path / "data" / "spool").iterdir()) == []
