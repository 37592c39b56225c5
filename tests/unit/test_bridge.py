"""Between threads and the loop: every wait has a deadline, nothing is left running."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicomcore.errors import BusUnavailable, Unavailable
from dicomio.bridge import Bridge, LoopThread

LONG_S = 15.0
WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    made = Bridge(asyncio.get_running_loop(), workers=2, waiting=1)
    yield made
    await made.close()


async def answer(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def test_a_thread_gets_the_result_of_a_coroutine(bridge: Bridge) -> None:
    result = await asyncio.to_thread(lambda: bridge.call(answer(7), LONG_S))

    assert result == 7


async def test_a_thread_gets_the_error_of_a_coroutine(bridge: Bridge) -> None:
    async def fail() -> None:
        raise BusUnavailable("away")

    with pytest.raises(BusUnavailable):
        await asyncio.to_thread(lambda: bridge.call(fail(), LONG_S))


async def test_a_call_that_takes_too_long_is_unavailable_and_cancelled(bridge: Bridge) -> None:
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(Unavailable):
        await asyncio.to_thread(lambda: bridge.call(hang(), 0.05))

    await asyncio.wait_for(cancelled.wait(), LONG_S)


async def test_a_timeout_of_the_coroutine_itself_is_not_taken_for_ours(bridge: Bridge) -> None:
    async def time_out() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await asyncio.to_thread(lambda: bridge.call(time_out(), LONG_S))


async def test_a_call_from_the_loops_own_thread_is_refused_at_once(bridge: Bridge) -> None:
    with pytest.raises(RuntimeError, match="own thread"):
        bridge.call(answer(7), LONG_S)


async def test_a_coroutine_that_is_cancelled_is_unavailable(bridge: Bridge) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(Unavailable):
        await asyncio.to_thread(lambda: bridge.call(cancelled(), LONG_S))


def test_a_call_to_a_loop_that_has_stopped_is_unavailable() -> None:
    thread = LoopThread()
    bridge = thread.start()
    thread.stop()

    with pytest.raises(Unavailable):
        bridge.call(answer(7), LONG_S)


async def test_context_travels_to_the_loop_and_to_the_pool(bridge: Bridge) -> None:
    async def who() -> str:
        return WHO.get()

    def from_thread() -> str:
        WHO.set("association-1")
        return bridge.call(who(), LONG_S)

    with ThreadPoolExecutor(1) as other:
        to_loop = await asyncio.wrap_future(other.submit(from_thread))
    WHO.set("request-1")
    to_pool = await bridge.run(WHO.get)

    assert (to_loop, to_pool) == ("association-1", "request-1")


async def test_a_blocking_call_runs_in_a_thread_of_the_pool(bridge: Bridge) -> None:
    name = await bridge.run(lambda prefix: prefix + threading.current_thread().name, "in ")

    assert name.startswith("in blocking")


async def test_a_blocking_call_passes_its_error_on(bridge: Bridge) -> None:
    with pytest.raises(ZeroDivisionError):
        await bridge.run(divmod, 1, 0)


async def test_more_blocking_calls_than_the_limit_are_unavailable(bridge: Bridge) -> None:
    release = threading.Event()
    calls = [asyncio.create_task(bridge.run(release.wait, LONG_S)) for _ in range(3)]
    await asyncio.sleep(0)

    with pytest.raises(Unavailable):
        await bridge.run(release.wait, LONG_S)
    release.set()

    assert await asyncio.gather(*calls) == [True] * 3
    assert await bridge.run(lambda: "free again") == "free again"


async def test_a_cancelled_call_keeps_its_place_until_its_thread_is_free() -> None:
    bridge = Bridge(asyncio.get_running_loop(), workers=1, waiting=0)
    started, release = threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        release.wait(LONG_S)

    call = asyncio.create_task(bridge.run(block))
    assert await asyncio.to_thread(started.wait, LONG_S)
    call.cancel()
    await asyncio.wait([call])

    with pytest.raises(Unavailable):
        await bridge.run(block)
    release.set()
    await bridge.close()
    assert call.cancelled()


async def test_closing_cancels_what_waits_and_lets_finish_what_runs() -> None:
    bridge = Bridge(asyncio.get_running_loop(), workers=1, waiting=5)
    started, release = threading.Event(), threading.Event()

    def block() -> str:
        started.set()
        release.wait(LONG_S)
        return "finished"

    running = asyncio.create_task(bridge.run(block))
    assert await asyncio.to_thread(started.wait, LONG_S)
    waiting = asyncio.create_task(bridge.run(block))
    await asyncio.sleep(0)
    closing = asyncio.create_task(bridge.close())
    await asyncio.wait([waiting], timeout=LONG_S)
    release.set()
    await closing

    assert await running == "finished"
    assert waiting.cancelled()
    with pytest.raises(Unavailable):
        await bridge.run(block)


def test_a_loop_thread_serves_calls_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())

    with LoopThread(workers=2) as bridge:
        result = bridge.call(answer(7), LONG_S)
        in_pool = bridge.call(bridge.run(threading.get_ident), LONG_S)

    assert result == 7
    assert in_pool != threading.get_ident()
    assert set(threading.enumerate()) == before


def test_stopping_a_loop_thread_cancels_what_still_runs() -> None:
    started, cancelled = threading.Event(), threading.Event()
    tasks: list[asyncio.Task[None]] = []

    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def spawn() -> None:
        tasks.append(asyncio.create_task(hang()))

    with LoopThread() as bridge:
        bridge.call(spawn(), LONG_S)
        assert started.wait(LONG_S)

    assert cancelled.is_set()
    assert tasks[0].cancelled()


def test_stopping_releases_a_thread_that_waits_in_a_call() -> None:
    started = threading.Event()
    thread = LoopThread()
    bridge = thread.start()

    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as other:
        call = other.submit(lambda: bridge.call(hang(), LONG_S))
        assert started.wait(LONG_S)
        thread.stop()

        assert isinstance(call.exception(LONG_S), Unavailable)


def test_stopping_twice_or_without_a_start_is_no_error() -> None:
    thread = LoopThread()
    thread.stop()
    thread.start()

    thread.stop()
    thread.stop()
