"""Runs one sync in a process of its own and kills it at a named point, as `kill -9` would."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path

import duckdb

from activation.config import Sync, load_definitions
from activation.delivery import deliver, recover
from activation.destinations import open_destinations
from activation.engine import Desk, run_sync
from activation.ledger import Ledger
from activation.ledger_places import LedgerPlace
from activation.outside import Engine, OpenDestination


def run_and_die(folder: str, place: LedgerPlace, sync_name: str, point: str, occurrence: int) -> None:
    """Run the sync; at the `occurrence`-th passing of `point` the process is gone, with nothing flushed."""
    root = Path(folder)
    sync = load_definitions(root).sync(sync_name)
    with (
        duckdb.connect(str(root / "warehouse.duckdb")) as warehouse,
        Ledger(place) as ledger,
        open_destinations(
            files_root=root / "destinations",
            sandbox_path=root / "unused.sqlite",
            clock=now,
            resolve_secret=str,
        ) as destinations,
    ):
        run_sync(
            sync,
            warehouse=warehouse,
            ledger=ledger,
            destination=destinations.get(sync.destination),
            engine=replace(Engine(clock=now), at=killer(point, occurrence)),
            desk=Desk(root / "plans", "tests"),
        )


def deliver_only(folder: str, place: LedgerPlace, sync_name: str, start: Barrier) -> None:
    """What an engine does beside another, from the same moment on: settle what is stranded, then deliver."""
    root = Path(folder)
    sync = load_definitions(root).sync(sync_name)
    with (
        Ledger(place) as ledger,
        open_destinations(
            files_root=root / "destinations",
            sandbox_path=root / "unused.sqlite",
            clock=now,
            resolve_secret=str,
        ) as destinations,
    ):
        start.wait(60)
        asyncio.run(_recover_and_deliver(sync, ledger, destinations.get(sync.destination)))


async def _recover_and_deliver(sync: Sync, ledger: Ledger, destination: OpenDestination) -> None:
    engine = Engine(clock=now)
    async with destination.adapter:
        await recover(sync, ledger=ledger, destination=destination, engine=engine)
        await deliver(sync, ledger=ledger, destination=destination, engine=engine)


def now() -> datetime:
    return datetime.now(UTC)


def killer(point: str, occurrence: int) -> Callable[[str], None]:
    passed = 0

    def at(reached: str) -> None:
        nonlocal passed
        passed += reached == point
        if reached == point and passed == occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    return at
