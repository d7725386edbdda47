"""How a run is asked to stop: no new claims, what is in flight may end within its budget, the rest waits."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

Value = TypeVar("Value")


class StopExpiredError(Exception):
    """The budget of a stop is over before what was in flight had ended."""


class Stop:
    """Whether a run was asked to stop (`asked` says by what), and whether its budget is over by now."""

    def __init__(self) -> None:
        self.asked: str | None = None
        self.is_expired = False
        self._waiting: set[asyncio.Future[None]] = set()

    def ask(self, by: str) -> None:
        """Ask for a stop; asked a second time, what is in flight is not waited for any more.

        May be called from a signal handler or another thread.
        """
        self.is_expired = self.is_expired or self.asked is not None
        self.asked = self.asked or by
        self._wake()

    def expire(self) -> None:
        """Do not wait any more for what is in flight."""
        self.is_expired = True
        self._wake()

    @property
    def reason(self) -> str:
        """For a report."""
        return f"asked to stop ({self.asked}); what is left waits for the next run"

    async def wait(self) -> None:
        """Return once somebody has asked, or asked again."""
        with self._changed() as changed:
            await changed

    async def pause(self, sleep: Awaitable[None]) -> None:
        """Sleep, but no longer than until somebody asks to stop."""
        if self.asked is None:
            await self._first(asyncio.ensure_future(sleep), lambda: self.asked is not None)
        elif asyncio.iscoroutine(sleep):
            sleep.close()

    async def within_budget(self, work: Awaitable[Value]) -> Value:
        """What the work gives; StopExpiredError, and the work is left, when the budget is over before."""
        task = asyncio.ensure_future(work)
        if await self._first(task, lambda: self.is_expired):
            return task.result()
        raise StopExpiredError

    async def _first(self, task: "asyncio.Future[Any]", is_over: Callable[[], bool]) -> bool:
        """Whether the task ended before that; it is cancelled if not."""
        try:
            while not task.done() and not is_over():
                with self._changed() as changed:
                    await asyncio.wait({task, changed}, return_when=asyncio.FIRST_COMPLETED)
            return task.done()
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    @contextmanager
    def _changed(self) -> Iterator["asyncio.Future[None]"]:
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            yield future
        finally:
            self._waiting.discard(future)
            future.cancel()

    def _wake(self) -> None:
        for future in list(self._waiting):
            with suppress(RuntimeError):  # its loop is closed: nobody waits there any more
                future.get_loop().call_soon_threadsafe(_settle, future)


@contextmanager
def asked_by(stop: Stop, signals: Iterable[signal.Signals]) -> Iterator[None]:
    """While the block lasts, these signals ask for a stop; afterwards they mean what they meant before.

    Only the main thread can be told so; in any other the block changes nothing.
    """
    wanted = list(signals) if threading.current_thread() is threading.main_thread() else []

    def ask(number: int, _: FrameType | None) -> None:
        stop.ask(signal.Signals(number).name)

    former = {number: signal.getsignal(number) for number in wanted}
    for number in wanted:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
