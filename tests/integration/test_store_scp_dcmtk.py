"""DCMTK's SCUs against store-scp."""

from __future__ import annotations

import subprocess
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomcore.landing import prepare
from store_scp.options import ScpOptions
from store_scp.tls import server_context
from tests.instances import CT_IMAGE, RT_PLAN, instance, received
from tests.integration.scp_world import World, world
from tests.peers.processes import required_program
from tests.servers.certificates import Authority

pytestmark = pytest.mark.peer
TIMEOUT_S = 120


def write(folder: Path, dataset: Dataset, syntax: str) -> Path:
    """Write a Part 10 file."""
    path = folder / f"{dataset.SOPInstanceUID}-{syntax}.dcm"
    path.write_bytes(b"".join(bytes(part) for part in prepare(received(dataset, syntax)).parts))
    return path


def run(program: str, *arguments: str | Path) -> None:
    """Run a program to its end; its output shows if it fails."""
    ran = subprocess.run(
        [required_program(program), *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def stored(scp: World) -> list[Dataset]:
    return [pydicom.dcmread(BytesIO(scp.store.get(key))) for key in scp.objects()]


def test_echoscu_is_answered(tmp_path: Path) -> None:
    with world(tmp_path / "objects") as scp:
        run("echoscu", "127.0.0.1", str(scp.port))


@pytest.mark.parametrize(
    ("syntax", "proposal"),
    [
        (ImplicitVRLittleEndian, "-xi"),
        (ExplicitVRLittleEndian, "-xe"),
        (ExplicitVRBigEndian, "-xb"),
        (DeflatedExplicitVRLittleEndian, "-xd"),
    ],
)
def test_storescu_stores_in_the_syntax_that_it_proposes(
    tmp_path: Path, syntax: str, proposal: str
) -> None:
    files = [write(tmp_path, instance(number), syntax) for number in range(5)]
    with world(tmp_path / "objects") as scp:
        run("storescu", proposal, "127.0.0.1", str(scp.port), *files)

        kept = {dataset.SOPInstanceUID: dataset for dataset in stored(scp)}
        assert len(kept) == 5
        for number in range(5):
            dataset = kept[instance(number).SOPInstanceUID]
            assert dataset.file_meta.TransferSyntaxUID == syntax
            assert dataset.RTPlanLabel == f"Plan {number}"
            assert dataset.PixelData == instance(number).PixelData


def test_dcmsend_stores_a_folder_of_several_classes(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(20):
        sop_class_uid = (RT_PLAN, CT_IMAGE)[number % 2]
        write(folder, instance(number, sop_class_uid=sop_class_uid), ExplicitVRLittleEndian)
    with world(tmp_path / "objects") as scp:
        run("dcmsend", "--scan-directories", "127.0.0.1", str(scp.port), folder)

        assert len(stored(scp)) == 20
        assert len(scp.bus.messages) == 20


def test_a_refused_instance_is_reported_by_storescu(tmp_path: Path) -> None:
    path = write(tmp_path, instance(), ImplicitVRLittleEndian)
    with world(tmp_path / "objects") as scp:
        scp.root.rename(scp.root.with_name("away"))
        ran = subprocess.run(
            [required_program("storescu"), "-v", "127.0.0.1", str(scp.port), path],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert "Refused: OutOfResources" in ran.stdout + ran.stderr
        scp.root.with_name("away").rename(scp.root)


def test_storescu_stores_over_tls_with_a_client_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    ours, theirs = authority.issue("server"), authority.issue("client")
    tls = server_context(ours.cert_file, ours.key_file, client_ca_file=authority.ca_file)
    path = write(tmp_path, instance(), ImplicitVRLittleEndian)
    with world(tmp_path / "objects", ScpOptions(tls=tls)) as scp:
        run(
            *("storescu", "+tls", theirs.key_file, theirs.cert_file),
            *("+cf", authority.ca_file, "127.0.0.1", str(scp.port), path),
        )

        assert len(stored(scp)) == 1
