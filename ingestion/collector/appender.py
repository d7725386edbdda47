"""Group commit: everything that waits is written and synced at once, and only then is anyone answered."""

import asyncio
import errno
import time
from concurrent.futures import ThreadPoolExecutor

import structlog

from ingestion.collector.metrics import Metrics
from ingestion.errors import EventLogFullError, TransientIngestionError
from ingestion.event_log import EventLog
from ingestion.records import DayLines

_log = structlog.get_logger(__name__)


class QueueFullError(TransientIngestionError):
    """More waits to be written than this worker may hold; the sender should come again."""


class Appender:
    """One writer of the event log in this process. Call `start` inside the event loop."""

    def __init__(self, log: EventLog, metrics: Metrics, *, queue_bytes: int) -> None:
        self._log = log
        self._metrics = metrics
        self._most = queue_bytes
        self._queued = 0
        self._waiting: list[tuple[DayLines, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="append")
        self._task: asyncio.Task[None] | None = None
        self.failed_at: float | None = None

    def start(self) -> None:
        """Begin to write what comes."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Write what still waits, then stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        self._thread.shutdown()

    async def append(self, lines: DayLines) -> None:
        """Return once the lines are durable.

        Raises QueueFullError at once, or EventLogFullError when nothing of them was kept.
        """
        size = len(lines.data)
        if self._queued and self._queued + size > self._most:
            raise QueueFullError("More events wait than this collector may hold; send them again later.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((lines, done))
        self._queued += size
        self._wake.set()
        # A sender that hangs up takes back its wait, not what is on its way to the disk.
        await done

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting or not self._closing:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            group, self._waiting = self._waiting, []
            lines = [each for each, _ in group]
            self._metrics.queued.set(self._queued)
            start = time.perf_counter()
            error: Exception | None = None
            try:
                await loop.run_in_executor(self._thread, self._log.append_lines, lines)
                self.failed_at = None
            except Exception as problem:  # noqa: BLE001 (whatever it is, those who wait must be told)
                error = self._as_transient(problem)
                self.failed_at = time.monotonic()
            self._metrics.commit_seconds.observe(time.perf_counter() - start)
            self._queued -= sum(len(each.data) for each in lines)
            self._metrics.queued.set(self._queued)
            for _, done in group:
                if done.done():
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)

    def _as_transient(self, problem: Exception) -> Exception:
        reason = errno.errorcode.get(getattr(problem, "errno", None) or 0, type(problem).__name__)
        _log.error("events.not_appended", reason=reason)
        if isinstance(problem, EventLogFullError):
            return problem
        failure = TransientIngestionError(f"The event log could not be extended ({reason}).")
        failure.__cause__ = problem
        return failure
