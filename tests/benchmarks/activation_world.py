"""What the benches of activation measure on: marts with N members, an empty ledger, three syncs."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from activation.config import Sync, load_definitions
from activation.destinations import open_destinations
from activation.engine import Desk, refresh_denials_from_marts, run_sync
from activation.ledger import Ledger
from activation.outside import Engine
from activation.reports import SyncReport
from tests.activation.warehouse import build_warehouse
from tests.activation.world import write_definitions

BATCH_ROWS = 500
# as a deployment has it by default
DUCKDB = {"memory_limit": "2GB", "threads": 2}
DESTINATIONS = """
sandbox:
  type: webhook
  description: the sandbox, in a process of its own
  url: {url}
  max_batch_rows: {batch_rows}
  timeout_seconds: 30
  idempotency_lifetime_hours: {idempotency_lifetime_hours}
  read_back_settles_seconds: 1
  rates: [{rates}]
files:
  type: file
  description: files
  max_batch_rows: 50000
"""
CHANGE = "set country_code = 'FR', last_seen_at = last_seen_at + interval 1 year where order_count % 100 = 7"


def now() -> datetime:
    return datetime.now(UTC)


def build_world(folder: Path, rows: int) -> None:
    """Members c0 to c(N-1), person0@example.com and so on, each with a profile of her own."""
    with open_warehouse(folder) as warehouse:
        build_warehouse(warehouse)
        warehouse.execute(
            "insert into marts.audience_memberships select 'new_customers', 'c' || i, 'email', 'email',"
            " md5(i::varchar), 'person' || i || '@example.com', 'granted', timestamp '2010-12-01'"
            f" from range({rows}) t(i)"
        )
        warehouse.execute(
            "insert into marts.profiles (canonical_id, first_name, country_code, lifetime_value, order_count,"
            " last_seen_at) select 'c' || i, 'Name' || i, 'GB', i * 1.25, i,"
            f" timestamp '2010-01-01' + to_seconds(i) from range({rows}) t(i)"
        )
    with Ledger(folder / "ledger.sqlite"):
        pass  # made here, so that no stage pays for it


def change_one_percent(folder: Path) -> None:
    """Give each hundredth person another country, and the moment of it."""
    with open_warehouse(folder) as warehouse:
        warehouse.execute(f"update marts.profiles {CHANGE}")


def point_to_sandbox(
    folder: Path,
    url: str = "builtin:sandbox",
    *,
    batch_rows: int = BATCH_ROWS,
    rates: str = "",
    idempotency_lifetime_hours: int = 24,
) -> None:
    """Write the syncs and the destinations, with the sandbox at that address."""
    write_definitions(
        folder,
        destinations=DESTINATIONS.format(
            url=url,
            batch_rows=batch_rows,
            rates=rates,
            idempotency_lifetime_hours=idempotency_lifetime_hours,
        ),
    )


def load(folder: Path, name: str) -> Sync:
    """A sync of the bench's world."""
    return load_definitions(folder).sync(name)


@contextmanager
def open_warehouse(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse as a deployment opens it."""
    with duckdb.connect(str(folder / "warehouse.duckdb"), config=DUCKDB) as warehouse:
        warehouse.execute("set TimeZone = 'UTC'")
        yield warehouse


def run(folder: Path, sync_name: str) -> SyncReport:
    """One run of a sync from plan to projection, as a deployment carries it out."""
    with (
        open_warehouse(folder) as warehouse,
        Ledger(folder / "ledger.sqlite") as ledger,
        open_destinations(
            files_root=folder / "destinations",
            sandbox_path=folder / "sandbox.sqlite",
            clock=now,
            resolve_secret=str,
        ) as destinations,
    ):
        sync = load(folder, sync_name)
        refresh_denials_from_marts(warehouse, ledger, watermark=now(), now=now())
        return run_sync(
            sync,
            warehouse=warehouse,
            ledger=ledger,
            destination=destinations.get(sync.destination),
            engine=Engine(clock=now),
            desk=Desk(folder / "plans", "bench"),
        )


def acknowledge_everything(folder: Path, sync_name: str) -> None:
    """Stand in for a delivery whose speed is another stage's business."""
    with Ledger(folder / "ledger.sqlite") as ledger, ledger.write() as transaction:
        transaction.execute(
            "insert into acknowledged select sync_name, destination_key, canonical_id, identifier_key,"
            " payload_hash, payload, 0, ? from operations",
            (transaction.ledger_seq,),
        )
        transaction.execute(
            "insert into batches (sync_name, sync_run_id, idempotency_key, state, owner, token, lease_until,"
            " attempts, first_attempt_at, last_attempt_at, first_operation, last_operation, claimed_seq,"
            " answered_at, answered_seq, ledger_seq) select sync_name, sync_run_id, sync_run_id, 'settled',"
            " '', 1, 0, 1, 0, 0, first_operation, last_operation, ?, 0, ?, ? from sync_runs",
            (transaction.ledger_seq,) * 3,
        )
        transaction.execute(
            "update sync_runs set next_operation = last_operation + 1, rest = 'claimed', ledger_seq = ?"
            " where sync_name = ?",
            (transaction.ledger_seq, sync_name),
        )


def query(path: Path, statement: str) -> list[tuple[int | str, ...]]:
    """What a SQLite file answers, read from outside of the process that writes it."""
    connection = sqlite3.connect(path, timeout=30)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()
