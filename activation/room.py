"""The way into one destination, shared by all its syncs of a run: breaker, requests in flight, rate windows.

Whoever wants to send enters first and claims then, so that no lease runs while it waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, Self

from activation.adapters.base import Outcome, reason_of
from activation.breaker import Breaker
from activation.stopping import Stop
from activation.times import Clock

FEW_ANSWERS = 100  # how quick a destination can be is not known sooner


class Windows(Protocol):
    """Rate windows: of this process, or shared with others."""

    def admit(self, now: datetime) -> timedelta:
        """Zero if a request may leave now, and then it counts; else how long to wait before asking again."""

    def arrived(self, admitted_at: datetime, by: datetime) -> None:
        """The request that was admitted then may have arrived as late as `by`; it counts from that moment."""


class RoomClosedError(Exception):
    """Nothing can be sent there any more in this run; the text says why."""


@dataclass(frozen=True)
class Failure:
    """A request that failed as a whole."""

    reason: str
    retry_after: timedelta | None = None

    @classmethod
    def told_by(cls, outcomes: Sequence[Outcome]) -> Self:
        """The failure that the outcomes of a request tell of; the longest wait that they ask for counts."""
        asked = [outcome.retry_after for outcome in outcomes if outcome.retry_after is not None]
        return cls(reason_of(outcomes), max(asked, default=None))


@dataclass(frozen=True)
class Entry:
    """One request's place, from `enter` to `leave`; `era` is what the breaker knows it by."""

    era: int
    admitted_at: datetime


class Room:
    """At most `slots` requests at once, in the order in which they asked.

    `on_wait` is told what entering waits for, and None when it does not any more.
    """

    def __init__(
        self,
        *,
        slots: int,
        windows: Windows,
        breaker: Breaker,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
        stop: Stop,
        on_wait: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self.breaker = breaker
        self._slots = slots
        self._windows = windows
        self._clock = clock
        self._sleep = sleep
        self._stop = stop
        self._on_wait = on_wait
        self._in_flight = 0
        self._answers = 0
        self._quickest = timedelta.max  # from entering to a good answer
        self._door = asyncio.Lock()
        self._changed = asyncio.Event()

    async def enter(self) -> Entry:
        """Wait until one request may leave; `leave` must be told how it ended, with what is given here.

        Raises RoomClosedError when the destination is given up or the run is asked to stop.
        """
        async with self._door:
            while True:
                if self._stop.asked is not None:
                    raise RoomClosedError(self._stop.reason)
                if self.breaker.given_up is not None:
                    raise RoomClosedError(self.breaker.given_up)
                now = self._clock()
                if until := self.breaker.opens_at(now):
                    await self._pause(until - now, f"{self.breaker.state.value} until {until:%H:%M:%S} UTC")
                elif self.breaker.waits_for_probe or self._in_flight >= self._slots:
                    await self._change()
                elif wait := self._windows.admit(now):
                    await self._pause(wait, "its rate limit")
                else:
                    self._in_flight += 1
                    return Entry(self.breaker.enter(), now)

    def leave(self, entry: Entry, *, failure: Failure | None = None, is_unsent: bool = False) -> None:
        """A request has ended; `is_unsent`: nothing was there to be sent."""
        now = self._clock()
        self._in_flight -= 1
        if is_unsent:
            self.breaker.came_back_unsent(entry.era)
        else:
            self._note_arrival(entry, now, is_good=failure is None)
            if failure is None:
                self.breaker.succeeded()
            else:
                self.breaker.failed(entry.era, now, reason=failure.reason, retry_after=failure.retry_after)
        self._changed.set()

    def leave_with_answer(self, entry: Entry, *, is_good: bool, retry_after: timedelta | None) -> None:
        """A page was asked for, which says nothing of whether the destination takes anything.

        So the breaker learns neither that it does nor that it does not; only a wait that it asks for counts.
        """
        now = self._clock()
        self._in_flight -= 1
        self._note_arrival(entry, now, is_good=is_good)
        self.breaker.came_back_unsent(entry.era)
        if retry_after is not None:
            self.breaker.wait_as_asked(now + retry_after)
        self._changed.set()

    def _note_arrival(self, entry: Entry, now: datetime, *, is_good: bool) -> None:
        """Let a request that was slow count from when it may have arrived.

        A destination counts arrivals. Of two requests that left a whole window apart, the first may travel
        longer, and both count in one. What a request took longer than the quickest, it may have taken on
        the way there; while few answers are known, all that it took.
        """
        took = now - entry.admitted_at
        if is_good:
            self._answers += 1
            self._quickest = min(self._quickest, took)
        late = took - self._quickest if self._answers >= FEW_ANSWERS else took
        self._windows.arrived(entry.admitted_at, entry.admitted_at + late)

    def close(self, reason: str) -> None:
        """Let nobody in any more in this run: no request can succeed until a person acts."""
        self.breaker.give_up(reason)
        self._changed.set()

    async def _pause(self, wait: timedelta, what: str) -> None:
        """Wait, but not beyond a change: an answer may have come that opens or closes the room."""
        self._on_wait(what)
        self._changed.clear()
        changed = asyncio.ensure_future(self._changed.wait())
        sleeping = asyncio.ensure_future(self._sleep(wait.total_seconds()))

        async def first() -> None:
            await asyncio.wait({changed, sleeping}, return_when=asyncio.FIRST_COMPLETED)

        try:
            await self._stop.pause(first())
        finally:
            changed.cancel()
            sleeping.cancel()
            self._on_wait(None)

    async def _change(self) -> None:
        self._changed.clear()
        await self._stop.pause(_ignored(self._changed.wait()))


async def _ignored(work: Awaitable[object]) -> None:
    await work
