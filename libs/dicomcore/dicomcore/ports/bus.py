"""A persistent stream of messages, with durable consumers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """A durable consumer: one position in the stream, shared by all who fetch under its name."""

    durable: str
    subjects: tuple[str, ...]
    """Exact subjects, or with `*` for one token and `>` for the rest, as NATS has them."""
    ack_wait_s: float = 30.0
    """After so long without ack or `in_progress`, a delivery comes again."""
    max_in_flight: int = 1024
    """Deliveries not yet answered, over all who share the consumer."""


class Delivery(Protocol):
    """One message handed out; exactly one of `ack`, `nak`, `term` answers it."""

    @property
    def subject(self) -> str:
        """The subject it was published on."""
        ...

    @property
    def body(self) -> bytes:
        """What was published."""
        ...

    @property
    def attempt(self) -> int:
        """1 on the first delivery."""
        ...

    async def ack(self) -> None:
        """It is done: never again."""
        ...

    async def nak(self, *, delay_s: float) -> None:
        """Not now: again after `delay_s`."""
        ...

    async def term(self, *, reason: str) -> None:
        """It can never be done: not again. `reason` holds no patient data."""
        ...

    async def in_progress(self) -> None:
        """Still at it: `ack_wait_s` starts anew."""
        ...


class Consumer(Protocol):
    """A durable pull consumer."""

    async def fetch(self, max_messages: int, *, timeout_s: float) -> Sequence[Delivery]:
        """Return what is there, at most `max_messages`; waits `timeout_s` for the first one.

        Returns an empty sequence when nothing came in time.

        Raises
        ------
        BusUnavailable
        """
        ...

    async def close(self) -> None:
        """Stop fetching; the durable position stays."""
        ...


class EventBus(Protocol):
    """A persistent stream of messages."""

    async def publish(self, subject: str, body: bytes, *, message_id: str) -> bool:
        """Return once the stream holds the message: True if new, False if `message_id` was seen.

        Raises
        ------
        BusUnavailable
            It may or may not be held: publish again under the same `message_id`.
        """
        ...

    async def consumer(self, spec: ConsumerSpec) -> Consumer:
        """Return the durable consumer of that name; a new one starts at the stream's beginning."""
        ...

    async def healthy(self) -> bool:
        """Return whether the bus would answer now."""
        ...

    async def close(self) -> None:
        """Drain and disconnect."""
        ...


@dataclass(frozen=True, slots=True)
class PastEvent:
    """A message that a stream holds, and its place in it."""

    position: int
    """Only grows; there may be gaps."""
    body: bytes = field(repr=False)


class EventHistory(Protocol):
    """What a stream still holds, for those who look back: no consumer notices."""

    async def past(self, *, before: int | None, limit: int) -> Sequence[PastEvent]:
        """Return at most `limit` messages, newest first; empty where there are none.

        Parameters
        ----------
        before
            Only of positions below this one; None: from the newest on.

        Raises
        ------
        BusUnavailable
        """
        ...
