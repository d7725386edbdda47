"""Measures whether destinations slow each other: ten of them, one dead and one slow, and the eight alone.

python -m tests.benchmarks.stages_isolation ROWS isolation -> one JSON line, and a table of every destination
on stderr. Each destination is a sandbox in a process of its own; `ROWS` are split over ten,
and two requests a second are allowed at each, which two cores can serve.
"""

import logging
import multiprocessing
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from activation.config import load_definitions
from activation.destinations import open_destinations
from activation.engine import Desk, SyncJob, each_sync, refresh_denials_from_marts
from activation.ledger import Ledger
from activation.outside import Engine
from activation.sandbox.app import Sandbox, SandboxRules
from activation.sandbox.faults import Faults
from activation.sandbox.store import SandboxStore
from tests.activation.world import SYNC
from tests.benchmarks.activation_world import build_world, now, open_warehouse
from tests.benchmarks.measuring import Line, timed

HEALTHY = tuple(f"healthy{number}" for number in range(8))
BATCHES = 16
LIMIT = 2  # requests a second at each destination
SLOW_SECONDS = 8.0
DESTINATION = """
{name}:
  type: webhook
  description: one of ten
  url: {url}
  max_batch_rows: {rows}
  timeout_seconds: 30
  rates: [{{limit: {limit}, seconds: 1}}]
  outage: {{give_up_after_seconds: 20}}
"""
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.benchmarks.stages_isolation", "uvicorn"])


def measure_isolation(rows: int) -> None:
    """The eight alone, then the same eight beside a dead and a slow one."""
    alone = _seconds_to_end(rows // 10, HEALTHY)
    line = Line("eight destinations beside a dead and a slow one", rows // 10 * len(HEALTHY))
    with timed(line):
        beside = _seconds_to_end(rows // 10, (*HEALTHY, "dead", "slow"))
    for name in (*HEALTHY, "dead", "slow"):
        first = f"{alone[name]:8.2f}" if name in alone else " " * 8
        print(
            f"{name:10} alone {first} s, beside a dead and a slow one {beside[name]:8.2f} s", file=sys.stderr
        )
    line.seconds = max(beside[name] for name in HEALTHY)
    line.limit_parts = {"the eight alone": max(alone.values())}
    line.note = (
        f"the dead one was given up after {beside['dead']:.0f} s, the slow one ended after "
        f"{beside['slow']:.0f} s"
    )
    line.print()


def _seconds_to_end(rows: int, names: tuple[str, ...]) -> dict[str, float]:
    with _running(names, rows, limit=LIMIT, rows_per_batch=max(1, rows // BATCHES)) as carry_out:
        return carry_out()


@contextmanager
def _running(
    names: tuple[str, ...], rows: int, *, limit: int, rows_per_batch: int
) -> Iterator[Callable[[], dict[str, float]]]:
    """A world with a sync and a destination for each name; yields what carries them out."""
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        build_world(folder, rows)
        warehouse = stack.enter_context(open_warehouse(folder))
        ledger = stack.enter_context(Ledger(folder / "ledger.sqlite"))
        (folder / "syncs").mkdir(exist_ok=True)
        for file in (folder / "syncs").iterdir():
            file.unlink()
        text = ""
        for name in names:
            url = "http://127.0.0.1:9" if name == "dead" else stack.enter_context(sandbox(folder, name))
            text += DESTINATION.format(name=name, url=url, rows=rows_per_batch, limit=limit)
            sync = SYNC.format(name=name, destination=name, options="{}")
            (folder / "syncs" / f"{name}.yml").write_text(sync)
        (folder / "destinations.yml").write_text(text)
        refresh_denials_from_marts(warehouse, ledger, watermark=now(), now=now())
        destinations = stack.enter_context(
            open_destinations(
                files_root=folder,
                sandbox_path=folder / "unused.sqlite",
                clock=now,
                resolve_secret=str,
                rates_folder=folder / "rates",
            )
        )
        definitions = load_definitions(folder)

        def carry_out() -> dict[str, float]:
            began = time.perf_counter()
            ends = {}
            jobs = [SyncJob(sync, destinations.get(sync.destination)) for sync in definitions.syncs.values()]
            for ended in each_sync(
                jobs,
                warehouse=warehouse,
                ledger=ledger,
                engine=Engine(clock=now),
                desk=Desk(folder / "plans", "bench"),
            ):
                ends[ended.report.sync_name] = time.perf_counter() - began
                delivered = 0 if ended.report.sync_name == "dead" else rows
                if ended.report.delivered != delivered:
                    raise RuntimeError(f"{delivered} rows delivered were expected, found {ended.report}")
            return ends

        yield carry_out


@contextmanager
def sandbox(folder: Path, name: str) -> Iterator[str]:
    """A sandbox in a process of its own; the slow one takes its time to commit."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    seconds = SLOW_SECONDS if name == "slow" else 0.0
    child = CONTEXT.Process(target=serve, args=(str(folder / f"{name}.sqlite"), port, seconds))
    child.start()
    try:
        for _ in range(400):
            try:
                httpx.get(f"http://127.0.0.1:{port}/lists", timeout=1)
                break
            except httpx.HTTPError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.join()


def serve(path: str, port: int, seconds_to_commit: float) -> None:
    """Serve one sandbox until terminated."""
    import uvicorn  # noqa: PLC0415 - only this process serves

    logging.disable()
    rules = SandboxRules(requests_per_second=100, seconds_to_commit=seconds_to_commit)
    app = Sandbox(SandboxStore(Path(path)), rules=rules, faults=Faults(), clock=now).app()
    uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False, lifespan="off")).run()


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    {"isolation": measure_isolation}[sys.argv[2]](int(sys.argv[1]))
