"""The operational store, in which every promise is durable before it is acted upon.

This file gives its transactions, on whatever keeps it; `intents`, `claims`, `outcomes`, `gate` and
`projection` speak to it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from activation.errors import ConfigError, LedgerCorruptError
from activation.ledger_places import LedgerPlace
from activation.ledger_sqlite import SqliteStore
from activation.ledger_store import Connection, Cursor, Examination, Store, Values


@dataclass(frozen=True)
class Transaction:
    """One write transaction and the sequence number that stamps every row it touches."""

    connection: Connection
    ledger_seq: int

    def execute(self, statement: str, values: Values = ()) -> Cursor:
        """Run one statement with bound values."""
        return self.connection.execute(statement, values)

    def touch_run(self, sync_run_id: str) -> None:
        """Stamp a run one of whose operations changed: the projection looks for changes run by run."""
        self.execute(
            "update sync_runs set ledger_seq = ? where sync_run_id = ?", (self.ledger_seq, sync_run_id)
        )

    def touch_changed_runs(self, sync_name: str) -> None:
        """Stamp every run of a sync one of whose outcomes this transaction changed."""
        self.execute(
            "update sync_runs set ledger_seq = ? where sync_name = ? and exists (select 1 from outcomes"
            " where operation_number between first_operation and last_operation"
            " and outcomes.ledger_seq = ?)",
            (self.ledger_seq, sync_name, self.ledger_seq),
        )

    def touch_open_runs(self, sync_name: str) -> None:
        """Stamp the runs of a sync that may still hold intents."""
        self.execute(
            "update sync_runs set ledger_seq = ? where sync_name = ? and finished_at is null",
            (self.ledger_seq, sync_name),
        )


class Ledger:
    """A connection to the ledger, made on first use; one per process and thread of work.

    `place` is a SQLite file or a PostgreSQL database. A writer waits for another one for `busy_timeout`.
    """

    def __init__(self, place: LedgerPlace, *, busy_timeout: timedelta = timedelta(seconds=10)) -> None:
        self.place = place
        self._store = _store_at(place, busy_timeout)
        self._is_open = False
        self._last_seq = -1

    @property
    def name(self) -> str:
        """Where it is, for people; never with a password."""
        return self._store.name

    def __enter__(self) -> Self:
        """Open it, creating its tables where there are none yet."""
        if not self._is_open:
            with self._store.clear_errors():
                self._store.open()
            self._is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection; everything committed stays."""
        self._is_open = False
        self._store.close()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A write transaction: committed and on disk when the block ends, undone when it raises.

        The first statement takes the row that every writer takes, so one write transaction follows the other.
        An error that comes out of the commit itself says so: the step may have been kept, and is settled like
        one of a worker that died there.
        """
        self._check_open()
        with self._store.clear_errors():
            connection = self._store.begin_write()
            try:
                (ledger_seq,) = connection.execute(
                    "update ledger_identity set ledger_seq = ledger_seq + 1 returning ledger_seq"
                ).fetchone()
                if ledger_seq <= self._last_seq:
                    raise LedgerCorruptError(
                        f"The ledger {self.name} went back: this process has seen step {self._last_seq}, and "
                        f"it ends at {ledger_seq - 1} now. Nothing was sent. Bring back the one that has "
                        "every step; a standby that had not received them all cannot take its place."
                    )
                yield Transaction(connection, ledger_seq)
                self._store.commit()
            except BaseException:
                self._store.rollback()
                raise
        self._last_seq = ledger_seq

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent picture of the ledger for the length of the block."""
        self._check_open()
        with self._store.clear_errors():
            connection = self._store.begin_read()
            try:
                yield connection
            finally:
                self._store.rollback()

    def sequence(self) -> int:
        """The number of the last write transaction."""
        with self.read() as connection:
            (ledger_seq,) = connection.execute("select ledger_seq from ledger_identity").fetchone()
            return int(ledger_seq)

    def _check_open(self) -> None:
        if not self._is_open:
            raise RuntimeError("the ledger is used outside its `with` block")


def examine_ledger(place: LedgerPlace) -> tuple[Examination, str]:
    """How the ledger there was found, and what a person does when it is damaged; nothing is changed."""
    store = _store_at(place, timedelta(seconds=5))
    return store.examine(), store.mend


def _store_at(place: LedgerPlace, busy_timeout: timedelta) -> Store:
    if isinstance(place, Path):
        return SqliteStore(place, busy_timeout)
    try:
        from activation.ledger_postgres import PostgresStore  # noqa: PLC0415 (psycopg is an extra)
    except ImportError as error:
        raise ConfigError(
            f"The ledger is at {place}, and psycopg, which speaks to PostgreSQL, is not installed; install "
            "it with `pip install 'cdp[postgres]'` and try again."
        ) from error
    return PostgresStore(place, busy_timeout)
