"""Tests of the images and of compose.yaml in a Docker engine; only `make compose-test` collects them.

They need root, Debian's docker.io and debootstrap, and minutes; `DICOMTOOLS_COMPOSE_TEST` names a
folder for the engine's own data, which is kept, so that a second run has its images already.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.engine import Engine
from tests.compose.images import Images
from tests.compose.stack import PEERS, Stack

FOLDER = os.environ.get("DICOMTOOLS_COMPOSE_TEST", "")

collect_ignore_glob = [] if FOLDER else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine.running(Path(FOLDER).resolve()) as engine:
        yield engine


@pytest.fixture(scope="session")
def images(engine: Engine) -> Images:
    """Every image that compose.yaml names, built or stood in for."""
    images = Images(engine)
    images.make_all()
    return images


@pytest.fixture(scope="module")
def stack(
    engine: Engine, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """compose.yaml with two replicas of each service, and a PACS that takes its time."""
    with Stack(engine, images, tmp_path_factory.mktemp("stack"), profiles=("demo",)) as stack:
        stack.environment["PEERS"] = PEERS
        stack.up("--scale", "store-scp=2", "--scale", "indexer=2", "--scale", "qr-gateway=2")
        yield stack
