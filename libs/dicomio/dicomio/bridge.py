"""The only crossing between threads and the event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from dicomcore.errors import Unavailable

T = TypeVar("T")
P = ParamSpec("P")

WORKERS = 8
WAITING = 64
_START_S = 30.0


class Bridge:
    """Carries coroutines from threads to one loop, and blocking calls from the loop to a pool.

    Parameters
    ----------
    loop
        Where the coroutines run: NATS, aiohttp and the local bus live on it.
    workers
        Threads for blocking calls. A C-MOVE holds one for minutes, so the pool is not the loop's
        default executor, which `asyncio.to_thread` shares with everything else.
    waiting
        Calls that may wait for a thread; one more is `Unavailable`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, workers: int = WORKERS, waiting: int = WAITING
    ) -> None:
        self._loop = loop
        self._limit = workers + waiting
        self._outstanding = 0
        self._count = threading.Lock()
        self._pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="blocking")
        self._closed = False

    def call(self, coro: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Run `coro` on the loop and return its result; blocks this thread, at most `timeout_s`.

        Context variables of this thread travel along.

        Raises
        ------
        Unavailable
            No result in time (the coroutine is cancelled; what it did so far is unknown), or the
            loop has stopped.
        RuntimeError
            Called from the loop's own thread, which would wait for itself for ever.
        """
        if _running_loop() is self._loop:
            coro.close()
            raise RuntimeError("bridge.call from the loop's own thread would wait for itself")
        try:
            if not self._loop.is_running():
                raise RuntimeError("not running")
            future = asyncio.run_coroutine_threadsafe(coro, self._loop)
        except RuntimeError as exc:
            coro.close()
            raise Unavailable("the event loop has stopped") from exc
        try:
            return future.result(timeout_s)
        except concurrent.futures.CancelledError as exc:
            raise Unavailable("cancelled: the event loop is stopping") from exc
        except TimeoutError as exc:
            if future.done():  # the coroutine's own TimeoutError, not ours
                raise
            future.cancel()
            raise Unavailable("no answer from the event loop in time", timeout_s=timeout_s) from exc
        except BaseException:
            future.cancel()  # KeyboardInterrupt in the waiting thread: leave nothing running
            raise

    async def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `fn(*args, **kwargs)`, called in a thread of the pool.

        Context variables travel along. A call that waits for a thread is cancelled with its task;
        one that runs goes on to its end, and only its result is dropped.

        Raises
        ------
        Unavailable
            Too many calls wait already, or the bridge is closed.
        """
        with self._count:
            if self._closed:
                raise Unavailable("the bridge is closed")
            if self._outstanding >= self._limit:
                raise Unavailable("too many blocking calls wait for a thread", limit=self._limit)
            self._outstanding += 1
            work = functools.partial(contextvars.copy_context().run, fn, *args, **kwargs)
            future = self._pool.submit(work)
        future.add_done_callback(self._finished)
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Cancel the calls that wait, let those that run finish, end the threads."""
        with self._count:
            self._closed = True
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    def _finished(self, _future: concurrent.futures.Future[T]) -> None:
        with self._count:
            self._outstanding -= 1


class LoopThread:
    """An event loop in a thread of its own, for the command line, which is synchronous.

    A context manager that gives the `Bridge` to the loop. Leaving it cancels what still runs
    there, closes the bridge and joins the thread.
    """

    def __init__(self, *, workers: int = WORKERS, waiting: int = WAITING) -> None:
        self._workers, self._waiting = workers, waiting
        self._started: concurrent.futures.Future[Bridge] = concurrent.futures.Future()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="event-loop")

    def start(self) -> Bridge:
        """Start the thread and return the bridge to its loop."""
        self._thread.start()
        return self._started.result(_START_S)

    def stop(self) -> None:
        """Stop the loop and wait for its thread; no error when it has stopped already."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and self._thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> Bridge:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self) -> None:
        with asyncio.Runner() as runner:  # its exit cancels tasks and ends the default executor
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        bridge = Bridge(self._loop, workers=self._workers, waiting=self._waiting)
        try:
            self._started.set_result(bridge)
            await self._stop.wait()
        finally:
            await bridge.close()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
