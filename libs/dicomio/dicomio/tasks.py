"""Ending tasks for sure: an SDK may swallow one cancellation, so it is asked until it is gone."""

from __future__ import annotations

import asyncio
from typing import Any

ASK_AGAIN_S = 0.25


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and return when all have ended, however they did.

    Notes
    -----
    nats-py drops a cancellation that comes while it flushes (`Client._flush_pending`), and
    `asyncio.wait_for` of Python 3.11 one that comes together with the result. A task that is
    cancelled once may therefore go on for as long as it likes.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=ASK_AGAIN_S)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # looked at, so that it is not reported as never retrieved
