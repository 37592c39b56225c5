"""A list of what a stream holds is whole, or an error: never a part that looks like all of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import nats.errors
import pytest

from dicomio.nats_listing import latest_messages


def message(number: int, *, left: int) -> Any:
    sequence = SimpleNamespace(consumer=number, stream=number)
    return SimpleNamespace(
        subject=f"s.{number}", metadata=SimpleNamespace(sequence=sequence, num_pending=left)
    )


@dataclass
class Server:
    """Stands in for JetStream, and for the one consumer that a list makes."""

    pending: int
    answers: list[list[Any]]
    """Of one fetch after another; an empty one is a time-out."""
    delivered: int = 0
    """What the server says it has sent, and what it says is left, when it is asked."""
    left: int = 0
    name: str = "list"
    deleted: list[str] = field(default_factory=list)

    async def add_consumer(self, _stream: str, _config: object) -> Any:
        return SimpleNamespace(name=self.name, num_pending=self.pending)

    async def delete_consumer(self, _stream: str, name: str) -> None:
        self.deleted.append(name)

    async def pull_subscribe_bind(self, **_: object) -> Server:
        return self

    async def fetch(self, _batch: int, *, timeout: float) -> list[Any]:
        assert timeout > 0
        answer = self.answers.pop(0) if self.answers else []
        if not answer:
            raise nats.errors.TimeoutError
        return answer

    async def consumer_info(self) -> Any:
        return SimpleNamespace(
            delivered=SimpleNamespace(consumer_seq=self.delivered), num_pending=self.left
        )

    async def unsubscribe(self) -> None:
        pass


async def subjects(server: Server) -> list[str]:
    jetstream: Any = server
    found = await latest_messages(jetstream, "S", "s.>", timeout_s=0.05)
    assert server.deleted == [server.name]
    return [one.subject for one in found]


async def test_batches_are_put_together() -> None:
    server = Server(3, [[message(1, left=2), message(2, left=1)], [message(3, left=0)]])

    assert await subjects(server) == ["s.1", "s.2", "s.3"]


async def test_an_empty_stream_is_not_asked() -> None:
    assert await subjects(Server(0, [])) == []


async def test_what_is_purged_meanwhile_is_not_waited_for() -> None:
    server = Server(3, [[message(1, left=2)], []], delivered=1, left=0)

    assert await subjects(server) == ["s.1"]


async def test_what_comes_late_is_waited_for() -> None:
    server = Server(2, [[message(1, left=1)], [], [message(2, left=0)]], delivered=2, left=0)

    assert await subjects(server) == ["s.1", "s.2"]


@pytest.mark.parametrize(("delivered", "left"), [(3, 0), (1, 2)], ids=["lost", "held back"])
async def test_a_part_is_an_error(delivered: int, left: int) -> None:
    server = Server(3, [[message(1, left=2)]], delivered=delivered, left=left)

    with pytest.raises(nats.errors.Error):
        await subjects(server)
    assert server.deleted == [server.name]


async def test_a_gap_is_an_error() -> None:
    server = Server(3, [[message(1, left=2), message(3, left=0)]])

    with pytest.raises(nats.errors.Error):
        await subjects(server)
