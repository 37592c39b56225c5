"""compose.seaweedfs.yaml: another object store in MinIO's place, killed, nothing lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dicomtools.demo.patients import small_patient
from tests.compose.engine import Engine
from tests.compose.images import Images
from tests.compose.sender import Sender
from tests.compose.stack import Stack

PATIENT = small_patient(patient_id="COMPOSE-WEED", slices=20, seed=400)


@pytest.fixture
def stack(
    engine: Engine, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("seaweedfs")
    with Stack(engine, images, folder, seaweedfs=True) as stack:
        stack.up()
        yield stack


def test_seaweedfs_holds_what_was_acknowledged_after_it_was_killed(stack: Stack) -> None:
    # given: the stack on SeaweedFS
    (store,), (scp,) = stack.containers("s3"), stack.containers("store-scp")

    # when: a patient is sent, and the store killed and started again
    with Sender(PATIENT.datasets, lambda: stack.address(scp, 11112)) as sender:
        sender.finish()
    stack.kill(store)
    stack.start(store)

    # then: everything is there, and the index knows it
    stored = stack.stored()
    assert set(stored) == sender.acknowledged
    assert all(stored.values())
    assert stack.until_indexed(len(stored))["instances"] == len(stored)
