"""Tasks are ended for sure, also those that swallow a cancellation."""

from __future__ import annotations

import asyncio

from dicomio.tasks import end


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)

    await asyncio.wait_for(end(task), 20)

    assert task.cancelled()
    assert swallowed == 2


async def test_tasks_that_have_ended_already_are_left_as_they_are() -> None:
    async def failed() -> None:
        raise ValueError

    async def done() -> int:
        return 1

    tasks = [asyncio.create_task(failed()), asyncio.create_task(done())]
    await asyncio.wait(tasks)

    await end(*tasks)

    assert tasks[1].result() == 1
    assert isinstance(tasks[0].exception(), ValueError)
