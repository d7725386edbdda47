"""Copies what changed in the ledger into the warehouse's `activation` schema, in one transaction."""

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from activation.copying import copy_in, fetched
from activation.errors import ProjectionError
from activation.ledger import Ledger
from activation.ledger_store import Connection
from activation.sql_files import read_sql

_TEXT, _WHOLE, _TIME = pa.string(), pa.int64(), pa.timestamp("us")


@dataclass(frozen=True)
class Projection:
    """Where the warehouse's picture stands now, and how many rows it took to bring it there."""

    ledger_seq: int
    sync_runs: int
    operations: int
    acknowledged: int
    removed: int


@dataclass(frozen=True)
class _Part:
    name: str
    fields: tuple[tuple[str, pa.DataType], ...]


_SYNC_RUNS = _Part(
    "sync_runs",
    (
        ("sync_run_id", _TEXT), ("sync_name", _TEXT), ("destination", _TEXT), ("channel", _TEXT),
        ("definition_hash", _TEXT), ("planned_at", _TIME), ("finished_at", _TIME),
        ("adds", _WHOLE), ("updates", _WHOLE), ("removes", _WHOLE),
        ("erases", _WHOLE), ("sends", _WHOLE),
        ("delivered", _WHOLE), ("rejected", _WHOLE), ("suppressed", _WHOLE), ("deferred", _WHOLE),
        ("accepted", _WHOLE), ("in_doubt", _WHOLE), ("ledger_seq", _WHOLE),
    ),
)  # fmt: skip
_OPERATIONS = _Part(
    "operations",
    (
        ("operation_id", _TEXT), ("sync_run_id", _TEXT), ("operation", _TEXT), ("holds", _WHOLE),
        ("destination_key", _TEXT), ("canonical_id", _TEXT), ("identifier_key", _TEXT), ("state", _TEXT),
        ("reason", _TEXT), ("attempts", _WHOLE), ("batch_id", _WHOLE), ("receipt", _TEXT),
        ("finished_at", _TIME), ("superseded_at", _TIME), ("payload_hash", _TEXT), ("ledger_seq", _WHOLE),
    ),
)  # fmt: skip
_ATTEMPTS = _Part(
    "attempts",
    (
        ("batch_id", _WHOLE), ("sync_name", _TEXT), ("sync_run_id", _TEXT), ("token", _WHOLE),
        ("finished_at", _TIME), ("delivered", _WHOLE), ("accepted", _WHOLE), ("rejected", _WHOLE),
        ("deferred", _WHOLE), ("unknown", _WHOLE), ("reason", _TEXT), ("is_late", _WHOLE),
        ("ledger_seq", _WHOLE),
    ),
)  # fmt: skip
_ACKNOWLEDGED = _Part(
    "acknowledged",
    (
        ("sync_name", _TEXT), ("destination_key", _TEXT), ("canonical_id", _TEXT), ("identifier_key", _TEXT),
        ("payload_hash", _TEXT), ("acknowledged_at", _TIME), ("ledger_seq", _WHOLE),
    ),
)  # fmt: skip
_REMOVALS = _Part("removals", (("sync_name", _TEXT), ("destination_key", _TEXT), ("ledger_seq", _WHOLE)))


def create_activation_schema(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Create the schema and its empty tables where missing, so that dbt can always select from them."""
    warehouse.execute(read_sql("projection_schema"))


def project(warehouse: duckdb.DuckDBPyConnection, ledger: Ledger) -> Projection:
    """Bring `activation.*` up to the ledger's present sequence number.

    Raises ProjectionError when the warehouse has seen another ledger, or more of this one than the file
    holds: planning on such a picture could send again or forget to remove.
    """
    create_activation_schema(warehouse)
    with ledger.read() as connection:
        ledger_id, ledger_seq, pruned_to = connection.execute("select * from ledger_identity").fetchone()
        seen = _seen(warehouse, ledger, ledger_id, ledger_seq)
        if seen == ledger_seq:
            return Projection(ledger_seq, 0, 0, 0, 0)
        # Removals before `pruned_to` are gone from the ledger: a picture older than that is drawn anew.
        is_redrawn = seen < pruned_to
        warehouse.execute("begin transaction")
        try:
            since = {"since": seen}
            runs = _copy(warehouse, connection, _SYNC_RUNS, read_sql("changed_sync_runs"), since)
            operations = _copy(warehouse, connection, _OPERATIONS, read_sql("changed_operations"), since)
            _copy(warehouse, connection, _ATTEMPTS, read_sql("changed_attempts"), since)
            acknowledged = _copy(
                warehouse,
                connection,
                _ACKNOWLEDGED,
                read_sql("changed_acknowledged"),
                {"since": 0 if is_redrawn else seen},
            )
            removed = _copy(warehouse, connection, _REMOVALS, read_sql("changed_removals"), since)
            if is_redrawn:
                warehouse.execute("delete from activation.acknowledged")
            for statement in read_sql("projection_merge").split(";"):
                if statement.strip():
                    warehouse.execute(statement)
            warehouse.execute("delete from activation.projection_state")
            warehouse.execute(
                "insert into activation.projection_state values (?, ?)", [ledger_id, ledger_seq]
            )
            warehouse.execute("commit")
        except BaseException:
            warehouse.execute("rollback")
            raise
    _prune_removals(ledger, ledger_seq)
    return Projection(ledger_seq, runs, operations, acknowledged, removed)


def catch_up(warehouse: duckdb.DuckDBPyConnection, ledger: Ledger, sync_name: str) -> int:
    """Bring what `activation.*` says of one sync up to the ledger, whose sequence number this gives.

    Nothing is copied while only other syncs have changed. Raises ProjectionError as `project` does.
    """
    create_activation_schema(warehouse)
    with ledger.read() as connection:
        ledger_id, ledger_seq, pruned_to = connection.execute("select * from ledger_identity").fetchone()
        seen = _seen(warehouse, ledger, ledger_id, ledger_seq)
        values = {"sync_name": sync_name, "since": seen}
        is_changed = connection.execute(read_sql("sync_changed"), values).fetchone() is not None
    if seen >= pruned_to and not is_changed:
        return int(ledger_seq)
    return project(warehouse, ledger).ledger_seq


def projected_sequence(warehouse: duckdb.DuckDBPyConnection) -> tuple[str, int] | None:
    """(ledger id, sequence number) that the warehouse has seen; None before the first projection."""
    exists = warehouse.execute(
        "select 1 from information_schema.tables where table_schema = 'activation' and table_name = "
        "'projection_state'"
    ).fetchone()
    if not exists:
        return None
    row = warehouse.execute("select ledger_id, ledger_seq from activation.projection_state").fetchone()
    return None if row is None else (row[0], row[1])


def _seen(warehouse: duckdb.DuckDBPyConnection, ledger: Ledger, ledger_id: str, ledger_seq: int) -> int:
    state = projected_sequence(warehouse)
    if state is None:
        return -1
    if state[0] != ledger_id or state[1] > ledger_seq:
        found = (
            "another ledger"
            if state[0] != ledger_id
            else f"it up to {state[1]}, while it ends at {ledger_seq}"
        )
        raise ProjectionError(
            f"The warehouse's activation tables cannot follow the ledger {ledger.name}: they have seen "
            f"{found}. "
            "Restore the ledger that belongs to this warehouse; nothing is planned until then."
        )
    return state[1]


def _copy(
    warehouse: duckdb.DuckDBPyConnection,
    connection: Connection,
    part: _Part,
    statement: str,
    values: dict[str, int],
) -> int:
    """The rows of a ledger query, in the temporary table `changed_<part>`; returns how many."""
    with connection.stream(statement, values) as cursor:
        return copy_in(warehouse, f"changed_{part.name}", part.fields, fetched(cursor))


def _prune_removals(ledger: Ledger, ledger_seq: int) -> None:
    with ledger.read() as connection:
        has_any = connection.execute("select 1 from acknowledged_removals limit 1").fetchone()
    if has_any:
        with ledger.write() as transaction:
            transaction.execute("delete from acknowledged_removals where ledger_seq <= ?", (ledger_seq,))
            transaction.execute(
                "update ledger_identity set removals_pruned_to = ? where removals_pruned_to < ?",
                (ledger_seq, ledger_seq),
            )
