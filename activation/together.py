"""Carries out several syncs in one event loop, so that none waits for another's destination.

Each sync is a task, each destination has one room for all its syncs. What uses the warehouse or writes to
the ledger is synchronous, so only one sync does so at a time; what asks the network is awaited.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from activation.config import Sync
from activation.errors import LedgerBusyError, LedgerCorruptError, LedgerStorageError, ProjectionError
from activation.outside import Engine, OpenDestination, open_room
from activation.reports import SyncReport
from activation.room import Room
from activation.stopping import asked_by

# without them nothing can be promised to anybody
ENDS_ALL = (LedgerBusyError, LedgerCorruptError, LedgerStorageError, ProjectionError)


class Run(Protocol):
    """One sync to be carried out."""

    @property
    def sync(self) -> Sync:
        """Which."""

    @property
    def destination(self) -> OpenDestination:
        """Where to."""

    async def carry_out(self, room: Room) -> SyncReport:
        """From recovery to the last batch, on the adapter that is open by then."""


@dataclass(frozen=True)
class Ended:
    """How one sync ended; `error` is what ended it, if anything was raised."""

    report: SyncReport
    error: Exception | None = None


def each_ended(runs: Sequence[Run], engine: Engine) -> Iterator[Ended]:
    """How each sync ended, as it ends.

    A sync that comes after others of the same run starts when those have ended without an error, else it is
    not started. Whatever a sync raises ends that sync alone; a failure of the ledger or of its picture in the
    warehouse ends all, and is raised here. A generator that is closed early stops the others as a signal
    would. Between two reports nothing moves.
    """
    with asyncio.Runner(loop_factory=engine.new_loop) as runner:
        together = _Together(runs, engine)
        ended = together.carry_out()
        try:
            while True:
                with asked_by(engine.stop, engine.signals):
                    one = runner.run(_next(ended))
                if one is None:
                    return
                yield one
        except GeneratorExit:
            engine.stop.ask("whoever started it")
            while runner.run(_next(ended)) is not None:
                pass
            raise


async def _next(ended: AsyncIterator[Ended]) -> Ended | None:
    return await anext(ended, None)


class _Together:
    """The syncs of one run."""

    def __init__(self, runs: Sequence[Run], engine: Engine) -> None:
        self._runs = runs
        self._engine = engine

    async def carry_out(self) -> AsyncIterator[Ended]:
        """Start everything; give each end as it comes."""
        self._queue: asyncio.Queue[Ended | BaseException] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self._ends: dict[str, asyncio.Future[Ended]] = {
            run.sync.name: loop.create_future() for run in self._runs
        }
        places: dict[int, list[Run]] = {}
        for run in self._runs:
            places.setdefault(id(run.destination), []).append(run)
        tasks = [loop.create_task(self._serve(at_one_place)) for at_one_place in places.values()]
        helpers = [loop.create_task(self._watch_budget()), loop.create_task(self._tell())]
        try:
            for _ in self._runs:
                ended = await self._queue.get()
                if isinstance(ended, BaseException):
                    raise ended
                yield ended
            await asyncio.gather(*tasks)  # the adapters are closed
        finally:
            for task in (*tasks, *helpers):
                task.cancel()

    async def _serve(self, runs: Sequence[Run]) -> None:
        """All the syncs of one destination: its adapter is opened once, and they share its room."""
        first = runs[0]
        tasks: list[asyncio.Task[None]] = []
        try:
            async with first.destination.adapter:
                room = open_room(first.sync, first.destination, self._engine)
                tasks = [asyncio.get_running_loop().create_task(self._carry_out(run, room)) for run in runs]
                await asyncio.gather(*tasks)
        except Exception as error:  # noqa: BLE001 - it is told as how these syncs ended
            for run in runs:
                if not self._ends[run.sync.name].done():
                    self._end(run, error)
        except BaseException as error:  # whoever waits for the ends of these syncs would wait for ever
            self._queue.put_nowait(error)
            raise
        finally:
            for task in tasks:
                task.cancel()

    async def _carry_out(self, run: Run, room: Room) -> None:
        stop, former = self._engine.stop, await self._await_former(run.sync)
        if former is not None:
            self._end(run, _not_started(run.sync, f"it comes after {former!r}, which did not end well"))
        elif stop.asked is not None:
            self._end(run, _not_started(run.sync, stop.reason))
        else:
            try:
                self._end(run, await run.carry_out(room))
            except Exception as error:  # noqa: BLE001 - it ends this sync, and is told
                self._end(run, error)
            finally:
                self._engine.progress.ended(run.sync.name)

    async def _await_former(self, sync: Sync) -> str | None:
        """Wait for the syncs that this one comes after; gives the first that did not end well."""
        for name in sync.after:
            if name in self._ends:
                ended = await asyncio.shield(self._ends[name])
                if ended.error is not None or ended.report.error is not None or ended.report.guards:
                    return name
        return None

    def _end(self, run: Run, how: SyncReport | Exception) -> None:
        if isinstance(how, ENDS_ALL):
            self._queue.put_nowait(how)
            return
        if isinstance(how, SyncReport):
            ended = Ended(how)
        else:
            text = " ".join(str(how).split()) or type(how).__name__
            ended = Ended(_empty(run.sync, text), how)
        self._ends[run.sync.name].set_result(ended)
        self._queue.put_nowait(ended)

    async def _watch_budget(self) -> None:
        """Once asked to stop, give what is in flight so long and no longer."""
        stop = self._engine.stop
        while stop.asked is None:
            await stop.wait()
        await self._engine.sleep(self._engine.patience.drain.total_seconds())
        stop.expire()

    async def _tell(self) -> None:
        """Tell whoever watches how far it is, now and then."""
        progress = self._engine.progress
        with suppress(asyncio.CancelledError):
            while progress.tell is not None:
                await asyncio.sleep(progress.every_seconds)
                if lines := progress.lines():
                    progress.tell(lines)


def _not_started(sync: Sync, why: str) -> SyncReport:
    return _empty(sync, f"not started: {why}")


def _empty(sync: Sync, error: str) -> SyncReport:
    return SyncReport(sync.name, sync.destination.name, None, error=error)
