"""Delivers in a process of its own, which stops itself at a named point, as if it were suspended."""

import asyncio
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from activation.config import load_definitions
from activation.delivery import deliver, recover
from activation.destinations import open_destinations
from activation.ledger import Ledger
from activation.outside import Engine
from activation.patience import Patience
from tests.activation.crash_child import now


def deliver_and_stop(folder: str, point: str, lease: timedelta) -> None:
    """Settle what others left, then deliver; at the first passing of `point` stand still until SIGCONT."""
    has_stopped = False

    def at(reached: str) -> None:
        nonlocal has_stopped
        if reached == point and not has_stopped:
            has_stopped = True
            os.kill(os.getpid(), signal.SIGSTOP)

    deliver_with(folder, at=at, lease=lease)


def deliver_with(folder: str, *, at: Callable[[str], None], lease: timedelta) -> None:
    """Settle what others left, then deliver, with a hook at the engine's points."""
    root = Path(folder)
    sync = load_definitions(root).sync("to_sandbox")
    engine = Engine(clock=now, at=at, patience=Patience(lease=lease, first_wait=timedelta(milliseconds=10)))
    with (
        Ledger(root / "ledger.sqlite") as ledger,
        open_destinations(
            files_root=root, sandbox_path=root / "unused.sqlite", clock=now, resolve_secret=str
        ) as destinations,
    ):
        destination = destinations.get(sync.destination)

        async def work() -> None:
            async with destination.adapter:
                await recover(sync, ledger=ledger, destination=destination, engine=engine)
                await deliver(sync, ledger=ledger, destination=destination, engine=engine)

        asyncio.run(work())
