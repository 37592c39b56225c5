"""NATS clients that never reached a server can be closed all the same."""

from __future__ import annotations

import asyncio

from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from tests.servers.ports import free_ports

DEADLINE_S = 30.0


async def test_a_bus_that_never_connected_is_closed_whenever_it_is_asked_to() -> None:
    # a cancellation that meets a refused connection is lost in the SDK, so one try proves nothing
    (nobody,) = free_ports(1)
    options = NatsOptions(
        servers=(f"nats://127.0.0.1:{nobody}",), connect_timeout_s=0.1, reconnect_wait_s=0.0
    )

    async def opened_and_closed(number: int) -> None:
        bus = await NatsBus.open(options, required=False)
        await asyncio.sleep(number / 1000)
        await bus.close()

    async with asyncio.timeout(DEADLINE_S):
        for number in range(12):
            await opened_and_closed(number)
