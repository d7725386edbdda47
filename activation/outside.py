"""What a delivery stands between: time, waiting and who we are; a destination; and what it came to."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from activation.adapters.base import Adapter, Capabilities
from activation.breaker import Breaker
from activation.claims import Worker
from activation.config import Sync
from activation.outcomes import Recorded
from activation.patience import Patience
from activation.progress import Progress
from activation.room import Room, Windows
from activation.stopping import Stop
from activation.times import Clock
from activation.workers import process_is_alive, this_process


@dataclass(frozen=True)
class Engine:
    """The outside of a delivery: time, waiting, who we are, and a hook that tests use to kill us.

    `stop` is how a run is asked to stop; each of `signals` asks for it while the engine runs.
    """

    clock: Clock
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    patience: Patience = field(default_factory=Patience)
    worker_name: str = ""
    is_alive: Callable[[str], bool] | None = None
    at: Callable[[str], None] = lambda _: None
    progress: Progress = field(default_factory=Progress)
    stop: Stop = field(default_factory=Stop)
    signals: tuple[signal.Signals, ...] = ()
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None

    def worker(self) -> Worker:
        """Ourselves, as claims know us."""
        return Worker(
            self.worker_name or this_process(), self.patience.lease, self.is_alive or process_is_alive
        )

    async def pause(self, wait: timedelta) -> None:
        """Wait so long, or until the run is asked to stop."""
        if wait > timedelta(0):
            await self.stop.pause(self.sleep(wait.total_seconds()))


@dataclass(frozen=True)
class OpenDestination:
    """A destination ready to be used: its adapter, and its rate windows shared by all its syncs."""

    adapter: Adapter
    capabilities: Capabilities
    windows: Windows


@dataclass
class Delivery:
    """How delivering one sync ended; `stopped` says why it ended early."""

    delivered: int = 0
    accepted: int = 0
    rejected: int = 0
    deferred: int = 0
    unknown: int = 0
    batches: int = 0
    sync_run_ids: set[str] = field(default_factory=set)
    stopped: str | None = None
    retry_after: timedelta = timedelta(0)

    def note(self, recorded: Recorded, sync_run_id: str) -> None:
        """Count what one batch came to."""
        self.batches += 1
        self.sync_run_ids.add(sync_run_id)
        self._count(recorded)

    def add(self, other: "Delivery") -> None:
        """Count what another part of the same run came to; the latter says whether it stopped."""
        self.batches += other.batches
        self.sync_run_ids |= other.sync_run_ids
        self._count(other)
        self.stopped = other.stopped or self.stopped
        self.retry_after = other.retry_after

    def _count(self, found: "Recorded | Delivery") -> None:
        self.delivered += found.delivered
        self.accepted += found.accepted
        self.rejected += found.rejected
        self.deferred += found.deferred
        self.unknown += found.unknown


def open_room(sync: Sync, destination: OpenDestination, engine: Engine) -> Room:
    """The way into the sync's destination; all syncs of a destination share one in a run."""
    name = sync.destination.name
    return Room(
        slots=destination.capabilities.concurrency,
        windows=destination.windows,
        breaker=Breaker(name, engine.patience.tolerance(name, sync.destination.outage)),
        clock=engine.clock,
        sleep=engine.sleep,
        stop=engine.stop,
        on_wait=lambda what: engine.progress.waits(name, what),
    )
