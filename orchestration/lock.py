"""The one lock that every writer of the warehouse takes.

An flock belongs to the open file, so the kernel frees it when its holder ends, however it ends:
there is no stale lock to clear. The text inside the file only tells who holds it.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from orchestration.errors import WarehouseBusyError

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class LockHolder:
    """Who holds the lock: process id, what it does, and since when (UTC, ISO 8601)."""

    pid: int
    what: str
    since: str

    def __str__(self) -> str:
        """For a sentence that says who is in the way."""
        return f"process {self.pid} ({self.what}, since {self.since})"


@contextmanager
def warehouse_lock(
    path: Path,
    *,
    what: str,
    wait_seconds: float,
    now: Callable[[], datetime],
    on_wait: Callable[[LockHolder | None], None] | None = None,
) -> Iterator[LockHolder]:
    """Hold the lock for the length of the block; `on_wait` is told once whom we wait for.

    Raises WarehouseBusyError when nobody let go within `wait_seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(descriptor, path, wait_seconds=wait_seconds, on_wait=on_wait)
        holder = LockHolder(os.getpid(), what, now().isoformat(timespec="seconds"))
        _write(descriptor, json.dumps(asdict(holder)))
        try:
            yield holder
        finally:
            _write(descriptor, "")
    finally:
        os.close(descriptor)


def lock_holder(path: Path) -> LockHolder | None:
    """Who holds the lock now; None when it is free."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path) or LockHolder(0, "unknown", "unknown")
    finally:
        os.close(descriptor)
    return None


def _acquire(
    descriptor: int,
    path: Path,
    *,
    wait_seconds: float,
    on_wait: Callable[[LockHolder | None], None] | None,
) -> None:
    deadline = time.monotonic() + wait_seconds
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(path)
            if time.monotonic() >= deadline:
                who = str(holder) if holder else "another process"
                raise WarehouseBusyError(
                    f"The warehouse is in use: {who} holds {path} and did not let go within "
                    f"{wait_seconds:g} s. Wait for it to end, or raise CDP_LOCK_WAIT_SECONDS."
                ) from None
            if on_wait is not None and not told and holder is not None:
                on_wait(holder)
                told = True
            time.sleep(POLL_SECONDS)
        else:
            return


def _write(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def _read(path: Path) -> LockHolder | None:
    """The text may be empty or torn for an instant; then nothing is known."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return LockHolder(int(content["pid"]), str(content["what"]), str(content["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
