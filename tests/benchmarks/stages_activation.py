"""Measures activation's stages: plan, intents, delivery to the sandbox and to files, the projection.

python -m tests.benchmarks.stages_activation ROWS planning|postgres|sandbox|files -> one JSON line per stage;
`limit` names the script in limits/ that does the unavoidable part only.
"""

import dataclasses
import json
import logging
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from activation.config import Sync, load_definitions
from activation.delivery import Engine
from activation.destinations import open_destinations
from activation.engine import Desk, refresh_denials_from_marts, run_sync
from activation.intents import open_run
from activation.ledger import Ledger
from activation.planner import plan_sync, planned_operations
from tests.activation.warehouse import build_warehouse
from tests.activation.world import DESTINATIONS, write_definitions
from tests.postgres import postgres_server

BENCH_DESTINATIONS = DESTINATIONS.replace(
    "max_batch_rows: 4\n  timeout", "max_batch_rows: 500\n  timeout"
).replace("max_batch_rows: 4\n", "max_batch_rows: 50000\n")


@dataclass(frozen=True)
class Measure:
    """One stage's result; `peak_mib` is the process's highest resident memory so far."""

    stage: str
    rows: int
    seconds: float
    peak_mib: float
    limit: str


def measure_planning(rows: int) -> list[Measure]:
    """Plan a first sync of all rows, write its intents, then plan again after 1% of the rows changed."""
    found: list[Measure] = []
    with filled_warehouse(rows) as (folder, warehouse, ledger):
        sync = load(folder, "to_csv")
        with _timed(found, "plan, first sync", rows, "diff_limit.py"):
            plan = plan_sync(sync, warehouse=warehouse, ledger=ledger)
        with _timed(found, "write intents", rows, "ledger_limit.py"):
            open_run(
                ledger,
                sync,
                planned_operations(warehouse),
                count=plan.operations,
                plan_hash=plan.plan_hash,
                planned_at_seq=plan.ledger_seq,
                made_of=plan.made_of,
                now=now(),
            )
        _acknowledge_everything(ledger)
        plan_sync(sync, warehouse=warehouse, ledger=ledger)
        warehouse.execute("update marts.profiles set country_code = 'FR' where order_count % 100 = 7")
        with _timed(found, "plan, 1% changed", rows, "diff_limit.py"):
            changed = plan_sync(sync, warehouse=warehouse, ledger=ledger)
        expected = (0, rows // 100, 0)
        if (changed.adds, changed.updates, changed.removes) != expected:
            raise RuntimeError(f"{expected} was expected, found {changed}")
    return found


def measure_postgres(rows: int) -> list[Measure]:
    """Write the intents of a first sync into a ledger in PostgreSQL, on this machine, with fsync on."""
    found: list[Measure] = []
    with filled_warehouse(rows) as (folder, warehouse, _), postgres_server() as server:
        sync = load(folder, "to_csv")
        with Ledger(server.new_place()) as ledger:
            plan = plan_sync(sync, warehouse=warehouse, ledger=ledger)
            with _timed(found, "write intents, PostgreSQL", rows, "ledger_limit.py"):
                open_run(
                    ledger,
                    sync,
                    planned_operations(warehouse),
                    count=plan.operations,
                    plan_hash=plan.plan_hash,
                    planned_at_seq=plan.ledger_seq,
                    made_of=plan.made_of,
                    now=now(),
                )
    return found


def measure_delivery(rows: int, sync_name: str) -> list[Measure]:
    """Run a first sync from plan to projection, then a run with nothing new."""
    found: list[Measure] = []
    limit = "http_limit.py + ledger_limit.py" if sync_name == "to_sandbox" else "ledger_limit.py"
    with filled_warehouse(rows) as (folder, warehouse, ledger), ExitStack() as stack:
        sync = load(folder, sync_name)
        destinations = stack.enter_context(
            open_destinations(
                files_root=folder / "destinations",
                sandbox_path=folder / "sandbox.sqlite",
                clock=now,
                resolve_secret=str,
            )
        )
        refresh_denials_from_marts(warehouse, ledger, watermark=now(), now=now())
        destination = destinations.get(sync.destination)
        for stage in (f"whole run {sync_name}", f"run with nothing new {sync_name}"):
            with _timed(found, stage, rows, limit):
                report = run_sync(
                    sync,
                    warehouse=warehouse,
                    ledger=ledger,
                    destination=destination,
                    engine=Engine(clock=now),
                    desk=Desk(folder / "plans", "bench"),
                )
        if report.unchanged != rows or report.operations:
            raise RuntimeError(f"a second run without operations was expected, found {report}")
    return found


STAGES = {
    "planning": measure_planning,
    "postgres": measure_postgres,
    "sandbox": lambda rows: measure_delivery(rows, "to_sandbox"),
    "files": lambda rows: measure_delivery(rows, "to_csv"),
}


def load(folder: Path, name: str) -> Sync:
    """A sync of the bench's world."""
    return load_definitions(folder).sync(name)


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def filled_warehouse(rows: int) -> Iterator[tuple[Path, duckdb.DuckDBPyConnection, Ledger]]:
    """A warehouse with that many members, an empty ledger."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        write_definitions(folder, destinations=BENCH_DESTINATIONS)
        warehouse = stack.enter_context(duckdb.connect(str(folder / "warehouse.duckdb")))
        build_warehouse(warehouse)
        warehouse.execute(
            "insert into marts.audience_memberships select 'new_customers', 'c' || i, 'email', 'email',"
            " md5(i::varchar), 'person' || i || '@example.com', 'granted', timestamp '2010-12-01'"
            f" from range({rows}) t(i)"
        )
        warehouse.execute(
            "insert into marts.profiles (canonical_id, first_name, country_code, lifetime_value, order_count)"
            f" select 'c' || i, 'Name' || i, 'GB', i * 1.25, i from range({rows}) t(i)"
        )
        yield folder, warehouse, stack.enter_context(Ledger(folder / "ledger.sqlite"))


def _acknowledge_everything(ledger: Ledger) -> None:
    """Stand in for a delivery whose speed is another stage's business."""
    with ledger.write() as transaction:
        transaction.execute(
            "insert into acknowledged select sync_name, destination_key, canonical_id, identifier_key,"
            " payload_hash, payload, 0, ? from operations",
            (transaction.ledger_seq,),
        )
        transaction.touch_open_runs("to_csv")
        transaction.execute(
            "update operations set state = 'delivered', is_open = null, ledger_seq = ?",
            (transaction.ledger_seq,),
        )


@contextmanager
def _timed(found: list[Measure], stage: str, rows: int, limit: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found.append(Measure(stage, rows, seconds, peak, limit))


def main(rows: int, stage: str) -> None:
    """Measure one group of stages in this process."""
    logging.disable(logging.WARNING)
    for measure in STAGES[stage](rows):
        print(json.dumps(dataclasses.asdict(measure)))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
