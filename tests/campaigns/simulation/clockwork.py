"""Virtual time for workers that take turns: one runs, all others stand still, and the seed says who is next.

Each worker is a thread, but a baton lets only one of them run. It gives the baton away whenever it pauses,
and its event loop pauses whenever it would wait. So a run depends on nothing but its seed.
"""

import asyncio
import heapq
import selectors
import threading
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2010, 12, 10, tzinfo=UTC)
STEPS = 100_000


class Crashed(BaseException):
    """The worker is gone: it does nothing more, and nothing may be written while it unwinds."""


class StuckError(Exception):
    """A run did not end within the steps that it may take."""


class Actor:
    """A worker's thread, which runs only while it has the baton."""

    def __init__(self, clockwork: "Clockwork", main: Callable[[], None]) -> None:
        self._clockwork = clockwork
        self._main = main
        self.baton = threading.Lock()
        self.baton.acquire()
        self.is_doomed = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.baton.acquire()
        try:
            if not self.is_doomed:
                self._main()
        except Crashed:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to whoever runs the clockwork
            self._clockwork.fail(error)
        self._clockwork.leave(self)


class Clockwork:
    """A queue of moments: at each an actor goes on, or something happens. `now` is in seconds since START."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._queue: list[tuple[float, int, Actor | Callable[[], None]]] = []
        self._actors: set[Actor] = set()
        self._running: Actor | None = None
        self._end = threading.Lock()
        self._failure: BaseException | None = None

    def moment(self, offset: float = 0.0) -> datetime:
        """What a clock shows now that is wrong by `offset` seconds."""
        return START + timedelta(seconds=self.now + offset)

    def crash(self) -> None:
        """The actor that runs is gone from here on."""
        if self._running is None:
            raise RuntimeError("only an actor can crash")
        self._running.is_doomed = True
        raise Crashed

    def check(self) -> None:
        """Go no further when the actor that runs has crashed."""
        if self._running is not None and self._running.is_doomed:
            raise Crashed

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """Let something happen; it may not pause."""
        self.steps += 1
        heapq.heappush(self._queue, (self.now + seconds, self.steps, action))

    def start(self, main: Callable[[], None]) -> Actor:
        """A new actor, which begins as soon as whoever runs now pauses."""
        actor = Actor(self, main)
        self._actors.add(actor)
        self._push(0.0, actor)
        return actor

    def pause(self, seconds: float) -> None:
        """Stand still for so long; called by the actor that runs."""
        actor = self._running
        if actor is None:
            raise RuntimeError("only an actor can pause")
        if actor.is_doomed:
            raise Crashed
        self._push(seconds, actor)
        following = self._next()
        if following is not actor:
            self._hand_to(following)
            actor.baton.acquire()
        if actor.is_doomed:
            raise Crashed

    def run(self) -> None:
        """Go on until nothing is left. Raises what an actor raised, StuckError when there is no end."""
        self._end.acquire()
        try:
            self._hand_to(self._next())
            self._end.acquire()  # until the last of them gives it back
        finally:
            self._end.release()
        if self._failure is not None:
            raise self._failure

    def fail(self, error: BaseException) -> None:
        """Note the first thing that went wrong, and let every actor unwind."""
        self._failure = self._failure or error
        self._queue.clear()
        for number, actor in enumerate(sorted(self._actors, key=id)):
            actor.is_doomed = True
            if actor is not self._running:
                heapq.heappush(self._queue, (self.now, number, actor))

    def leave(self, actor: Actor) -> None:
        """The end of an actor: the next goes on."""
        self._actors.discard(actor)
        self._hand_to(self._next())

    def _push(self, seconds: float, actor: Actor) -> None:
        self.steps += 1
        if self.steps > STEPS and not actor.is_doomed:
            raise StuckError(f"no end after {STEPS} steps, at {self.moment():%Y-%m-%d %H:%M:%S}")
        heapq.heappush(self._queue, (self.now + max(0.0, seconds), self.steps, actor))

    def _next(self) -> Actor | None:
        while self._queue:
            moment, _, what = heapq.heappop(self._queue)
            self.now = max(self.now, moment)
            if isinstance(what, Actor):
                return what
            try:
                what()
            except BaseException as error:  # noqa: BLE001 - handed to whoever runs the clockwork
                self.fail(error)
        return None

    def _hand_to(self, actor: Actor | None) -> None:
        self._running = actor
        if actor is None:
            self._end.release()
        else:
            actor.baton.release()


class _Waiting(selectors.SelectSelector):
    """A selector that nothing ever comes through: where a loop would wait, its worker pauses."""

    def __init__(self, clockwork: Clockwork) -> None:
        super().__init__()
        self._clockwork = clockwork

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            self._clockwork.check()
            raise StuckError("a worker waits for something that no clock brings")
        if timeout > 0:
            self._clockwork.pause(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time."""

    def __init__(self, clockwork: Clockwork) -> None:
        super().__init__(_Waiting(clockwork))
        self._clockwork = clockwork
        self.set_exception_handler(_say_what_was_not_asked_for)

    def time(self) -> float:
        return self._clockwork.now


def _say_what_was_not_asked_for(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A crash leaves tasks behind whose end nobody looks at; everything else is said as ever."""
    if not isinstance(context.get("exception"), Crashed):
        loop.default_exception_handler(context)


def run_virtually(clockwork: Clockwork, work: Coroutine[Any, Any, None]) -> None:
    """asyncio.run, on virtual time."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clockwork)) as runner:
        runner.run(work)
