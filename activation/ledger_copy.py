"""Moves a ledger to another store with all it knows: every table, under the same ledger id."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from activation.errors import LedgerBusyError, LedgerCorruptError, PlanRefusedError
from activation.gate import EVERYTHING
from activation.ledger import Ledger, Transaction
from activation.ledger_schema import TABLES
from activation.ledger_store import Connection, Cursor, Values
from activation.times import to_micros

FETCH_ROWS = 20_000
IDENTITY = "ledger_identity"


@dataclass(frozen=True)
class LedgerCopy:
    """What was copied: rows by table. `was_there`: a former copy had ended but for closing its source."""

    ledger_id: str
    rows: dict[str, int]
    was_there: bool = False


def count_rows(connection: Connection) -> dict[str, int]:
    """Rows by table, the identity's left out."""
    return {
        table: connection.execute(f"select count(*) from {table}").fetchone()[0]
        for table in TABLES
        if table != IDENTITY
    }


def copy_ledger(source: Ledger, target: Ledger, *, set_by: str, now: datetime) -> LedgerCopy:
    """Copy every row into an empty ledger, then freeze the source for good; nobody may claim in between.

    The source's writers are held up all the while. The target is durable before the source is frozen: a copy
    that is killed in between is ended by doing it again. Raises PlanRefusedError when the target holds
    something, LedgerBusyError when a batch of the source is on its way.
    """
    with source.write() as leaving:
        (ledger_id,) = leaving.execute("select ledger_id from ledger_identity").fetchone()
        _refuse_what_moved(leaving, source)
        _refuse_what_is_on_its_way(leaving, source, now)
        with target.write() as arriving:
            (target_id,) = arriving.execute("select ledger_id from ledger_identity").fetchone()
            there = count_rows(arriving.connection)
            was_there = target_id == ledger_id
            if was_there and arriving.ledger_seq - 1 != leaving.ledger_seq:
                raise PlanRefusedError(
                    f"{source.name} was copied to {target.name} before, and one of them has gone on since; "
                    "nothing was copied. Give the copy a new database or schema."
                )
            if any(there.values()) and not was_there:
                held = ", ".join(f"{count:,} {table}" for table, count in there.items() if count)
                raise PlanRefusedError(
                    f"The ledger at {target.name} is not empty ({held}), so nothing was copied into it. Give "
                    "the copy a new database or schema."
                )
            rows = there if was_there else _copy_tables(leaving.connection, arriving)
            if rows != (expected := count_rows(leaving.connection)):
                raise LedgerCorruptError(
                    f"The copy of {source.name} at {target.name} would have {rows}; expected {expected}. "
                    "Nothing was copied. Give the copy a new database or schema."
                )
        leaving.execute(
            "insert into freezes (sync_name, reason, set_by, frozen_at) values (?, ?, ?, ?)",
            (EVERYTHING, f"this ledger moved to {target.name}", set_by, to_micros(now)),
        )
    return LedgerCopy(ledger_id, rows, was_there)


def _refuse_what_moved(leaving: Transaction, source: Ledger) -> None:
    (moved,) = leaving.execute(
        "select count(*) from freezes where lifted_at is null and reason like 'this ledger moved to %'"
    ).fetchone()
    if moved:
        raise PlanRefusedError(
            f"The ledger {source.name} has moved already, and is no longer true. Nothing was copied."
        )


def _refuse_what_is_on_its_way(leaving: Transaction, source: Ledger, now: datetime) -> None:
    (on_its_way,) = leaving.execute(
        "select count(*) from batches where state = 'in_flight' and lease_until > ?", (to_micros(now),)
    ).fetchone()
    if on_its_way:
        raise LedgerBusyError(
            f"{on_its_way:,} batches of the ledger {source.name} are on their way; nothing was copied. Let "
            "the run end, or the lease of one that was killed, then copy again."
        )


def _copy_tables(leaving: Connection, arriving: Transaction) -> dict[str, int]:
    (identity,) = leaving.execute("select ledger_id, ledger_seq, removals_pruned_to from ledger_identity")
    copied = {
        table: _copy_table(leaving, arriving.connection, table) for table in TABLES if table != IDENTITY
    }
    arriving.connection.restart_counters()
    arriving.execute(
        "update ledger_identity set ledger_id = ?, ledger_seq = ?, removals_pruned_to = ?", tuple(identity)
    )
    return copied


def _copy_table(leaving: Connection, arriving: Connection, table: str) -> int:
    with leaving.stream(f"select * from {table}") as rows:
        names = [column[0] for column in rows.description]
        marks = ", ".join("?" * len(names))
        return arriving.executemany(
            f"insert into {table} ({', '.join(names)}) values ({marks})", _each(rows)
        ).rowcount


def _each(rows: Cursor) -> Iterator[Values]:
    while chunk := rows.fetchmany(FETCH_ROWS):
        yield from chunk
