"""`search` and `show` against a running indexer: the same words as on a folder of the same objects."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dicomio.http import make_app, serve
from dicomtools import index_client
from dicomtools.main import main
from tests.indexer_world import (
    announce,
    embedded_parts,
    image,
    land,
    part10,
    plan,
    running,
    structure_set,
)
from tests.servers.ports import free_ports

DATA_SETS = (
    plan("1.2.3.30", structures="1.2.3.20", label="PROST_1"),
    plan("1.2.3.31", structures="1.2.3.29", label="BREAST"),
    structure_set("1.2.3.20"),
    *(image(f"1.2.3.1{n}", note=f"slice {n}") for n in range(5)),
    image("1.2.4.10", patient_id="P/2 ü"),
)


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    async with embedded_parts(tmp_path) as world, running(world):
        app = make_app(
            "indexer",
            "0",
            world.indexer.routes(),
            metrics_registry=world.registry,
            checks=world.indexer.checks(),
        )
        for ds in DATA_SETS:
            await announce(world.bus, land(world.store, ds))
        await world.settled(len(DATA_SETS))
        server = await serve(app, "127.0.0.1", 0)
        yield server.url
        await server.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The same objects as files."""
    files = tmp_path / "files"
    files.mkdir()
    for ds in DATA_SETS:
        (files / f"{ds.SOPInstanceUID}.dcm").write_bytes(part10(ds))
    return files


async def run(*words: str) -> int:
    return await asyncio.to_thread(main, list(words))


@pytest.mark.parametrize(
    "tags",
    [
        ["RTPlanLabel=?", "(300C,0060)/(0008,1155)=1.2.3.20"],
        ["PatientID=?", "Modality=CT"],
        ["InstanceNumber=..1", "ImageComments=slice ?", "PatientID=P-1"],
    ],
)
async def test_a_system_tells_what_the_folder_tells(
    address: str, folder: Path, tags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search", "--tag", *tags, "--showStatistics"]

    assert await run(*words, "--path", str(folder), "--noCache") == 0
    of_folder = capsys.readouterr().out
    assert await run(*words, "--server", address) == 0
    of_system = capsys.readouterr().out

    of_folder = of_folder.replace("files\n", "instances\n").replace(f"{folder}/", "")
    of_folder = re.sub(r"\.dcm$", "", of_folder, flags=re.M)
    of_system = re.sub(r"^[0-9.]+/[0-9.]+/(?=[0-9])", "", of_system, flags=re.M)
    assert sorted(of_system.splitlines()) == sorted(of_folder.splitlines())


async def test_pages_are_followed_and_series_listed_once(
    address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_client, "PAGE", 2)

    code = await run(
        *("search", "--tag", "Modality=CT", "--showOnlyDirectories"), "--server", f"{address}/"
    )

    series = capsys.readouterr().out.splitlines()
    assert code == 0
    of_images = {f"{ds.StudyInstanceUID}/{ds.SeriesInstanceUID}" for ds in DATA_SETS[3:]}
    assert series == sorted(of_images)


async def test_nothing_found_is_exit_code_2(address: str) -> None:
    assert await run("search", "--tag", "PatientID=nobody", "--server", address) == 2


@pytest.mark.parametrize("form", ["tree", "json", "html", "flat"])
async def test_a_system_shows_what_the_folder_shows(
    address: str, folder: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("show", "--path", str(folder), "--noCache", "--format", form) == 0
    of_folder = capsys.readouterr().out.replace(f", {folder}/", "\0")
    assert await run("show", "--server", address, "--format", form) == 0
    of_system = capsys.readouterr().out

    assert of_system == re.sub("\0.*$", "", of_folder, flags=re.M)
    assert "PROST_1" in of_system
    if form == "json":
        assert [one["patient_id"] for one in json.loads(of_system)] == ["P-1", "P/2 ü"]


async def test_one_patient_may_be_chosen(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("show", "--server", address, "--patientId", "P/2 ü") == 0
    assert capsys.readouterr().out.startswith("Patient: P/2 ü\n")
    assert await run("show", "--server", address, "--patientId", "nobody") == 1


@pytest.mark.parametrize("command", [["search", "--tag", "PatientID=*"], ["show"]])
async def test_a_system_that_is_away_is_said(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(*command, "--server", f"http://127.0.0.1:{free_ports(1)[0]}") == 1
    assert "does not answer" in capsys.readouterr().err


async def test_an_address_that_is_none_and_a_refusal_are_said(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("show", "--server", "somewhere:8080") == 1
    assert "must be an address" in capsys.readouterr().err
    too_many = [f"PatientID=*{n}" for n in range(40)]
    assert await run("search", "--tag", *too_many, "--server", address) == 1
    assert "refused" in capsys.readouterr().err
