"""The operational store: a SQLite file in which every promise is durable before it is acted upon.

This file opens it and gives transactions; `intents`, `claims`, `outcomes`, `gate` and `projection` speak to
it.
"""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from activation.errors import (
    ActivationError,
    LedgerBusyError,
    LedgerCorruptError,
    LedgerStorageError,
)

APPLICATION_ID = 0x43445031  # "CDP1": tells a ledger from any other SQLite file
SCHEMA_VERSION = 4


@dataclass(frozen=True)
class Transaction:
    """One write transaction and the sequence number that stamps every row it touches."""

    connection: sqlite3.Connection
    ledger_seq: int

    def execute(self, statement: str, values: Any = ()) -> sqlite3.Cursor:
        """Run one statement with bound values."""
        return self.connection.execute(statement, values)

    def touch_run(self, sync_run_id: str) -> None:
        """Stamp a run one of whose operations changed: the projection looks for changes run by run."""
        self.execute(
            "update sync_runs set ledger_seq = ? where sync_run_id = ?", (self.ledger_seq, sync_run_id)
        )

    def touch_changed_runs(self, sync_name: str) -> None:
        """Stamp every run of a sync one of whose operations this transaction changed."""
        self.execute(
            "update sync_runs set ledger_seq = ? where sync_name = ? and exists (select 1 from operations"
            " where operation_number between first_operation and last_operation"
            " and operations.ledger_seq = ?)",
            (self.ledger_seq, sync_name, self.ledger_seq),
        )

    def touch_open_runs(self, sync_name: str) -> None:
        """Stamp the runs of a sync that may still hold intents."""
        self.execute(
            "update sync_runs set ledger_seq = ? where sync_name = ? and finished_at is null",
            (self.ledger_seq, sync_name),
        )


class Ledger:
    """A connection to the ledger file, made on first use; one per process and thread of work."""

    def __init__(self, path: Path, *, busy_timeout: timedelta = timedelta(seconds=10)) -> None:
        self.path = path
        self._busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        """Open the file, creating it with its tables when it does not exist."""
        if self._connection is None:
            with self._clear_errors():
                self._connection = self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection; everything committed stays."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A write transaction: committed and on disk when the block ends, undone when it raises."""
        connection = self._open_connection()
        with self._clear_errors():
            connection.execute("begin immediate")
            try:
                (ledger_seq,) = connection.execute(
                    "update ledger_identity set ledger_seq = ledger_seq + 1 returning ledger_seq"
                ).fetchone()
                yield Transaction(connection, ledger_seq)
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent picture of the ledger for the length of the block."""
        connection = self._open_connection()
        with self._clear_errors():
            connection.execute("begin")
            try:
                yield connection
            finally:
                connection.execute("rollback")

    def sequence(self) -> int:
        """The number of the last write transaction."""
        with self.read() as connection:
            (ledger_seq,) = connection.execute("select ledger_seq from ledger_identity").fetchone()
            return int(ledger_seq)

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the ledger is used outside its `with` block")
        return self._connection

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.path,
            timeout=self._busy_timeout.total_seconds(),
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            connection.execute("pragma cache_size = -65536")
            self._create_or_check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create_or_check(self, connection: sqlite3.Connection) -> None:
        connection.execute("begin immediate")
        try:
            (application,) = connection.execute("pragma application_id").fetchone()
            (version,) = connection.execute("pragma user_version").fetchone()
            (tables,) = connection.execute("select count(*) from sqlite_schema").fetchone()
            if tables == 0:
                schema = (
                    resources.files("activation")
                    .joinpath("sql/ledger_schema.sql")
                    .read_text(encoding="utf-8")
                )
                for statement in _statements(schema):
                    connection.execute(statement)
                connection.execute("insert into ledger_identity values (?, 0, 0)", (uuid.uuid4().hex,))
                connection.execute(f"pragma application_id = {APPLICATION_ID}")
                connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
            elif (application, version) != (APPLICATION_ID, SCHEMA_VERSION):
                raise LedgerCorruptError(
                    f"{self.path} is not a ledger of version {SCHEMA_VERSION}: found application id "
                    f"{application}, "
                    f"version {version}. Point the ledger to its own file, or restore it from a backup."
                )
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except ActivationError:
            raise
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise LedgerBusyError(
                    f"The ledger {self.path} stayed locked by another process for "
                    f"{self._busy_timeout.total_seconds():g} s; nothing was changed. Wait for it, then "
                    "run again."
                ) from error
            if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise LedgerCorruptError(
                    f"The ledger {self.path} cannot be read ({error}); nothing was sent. Restore it from "
                    "a backup."
                ) from error
            if code in (
                sqlite3.SQLITE_FULL,
                sqlite3.SQLITE_IOERR,
                sqlite3.SQLITE_READONLY,
                sqlite3.SQLITE_CANTOPEN,
            ):
                raise LedgerStorageError(
                    f"The ledger {self.path} could not be written ({error}); the step was undone and "
                    "nothing was "
                    "sent for it. Free space or mend the folder's permissions, then run again."
                ) from error
            raise


def _statements(script: str) -> Iterator[str]:
    """Split at semicolons that end a statement, so that the schema is created in one transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
