"""The ledger in a SQLite file: a write-ahead log, and every commit on disk before it returns."""

import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from activation.errors import (
    ActivationError,
    LedgerBusyError,
    LedgerCorruptError,
    LedgerRefusedError,
    LedgerStorageError,
)
from activation.ledger_schema import ledger_schema
from activation.ledger_store import SCHEMA_VERSION, Connection, Cursor, Examination, Store, Values

APPLICATION_ID = 0x43445031  # "CDP1": tells a ledger from any other SQLite file


class SqliteConnection:
    """The open file; sqlite3 reads `?` and `:name` by itself, and gives rows one by one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Values = ()) -> Cursor:
        """Run one statement."""
        return self._connection.execute(statement, values)

    def executemany(self, statement: str, rows: Iterable[Values]) -> Cursor:
        """Run one statement for each row of values."""
        return self._connection.executemany(statement, rows)

    @contextmanager
    def stream(self, statement: str, values: Values = ()) -> Iterator[Cursor]:
        """Run a query; its rows stay in the file until they are fetched."""
        cursor = self._connection.execute(statement, values)
        try:
            yield cursor
        finally:
            cursor.close()

    def restart_counters(self) -> None:
        """Nothing to do: SQLite goes on after the highest number there is."""


class SqliteStore(Store):
    """One SQLite file."""

    def __init__(self, path: Path, busy_timeout: timedelta) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self._path)

    @property
    def mend(self) -> str:
        """How it is restored."""
        return f"restore {self._path} from a backup"

    def open(self) -> None:
        """Open the file, creating it with its tables when it does not exist."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path,
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
        self._connection = connection

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def begin_write(self) -> Connection:
        """Take the file's only write lock."""
        connection = self._opened()
        connection.execute("begin immediate")
        return SqliteConnection(connection)

    def begin_read(self) -> Connection:
        """See the file as it is at the first statement."""
        connection = self._opened()
        connection.execute("begin")
        return SqliteConnection(connection)

    def commit(self) -> None:
        """Write to the disk."""
        self._opened().execute("commit")

    def rollback(self) -> None:
        """Undo what is open."""
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("rollback")

    def examine(self) -> Examination:
        """Ask SQLite to check the file."""
        if not self._path.exists():
            return Examination(exists=False)
        try:
            connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
            try:
                answers = [str(row[0]) for row in connection.execute("pragma quick_check").fetchall()]
            finally:
                connection.close()
        except sqlite3.Error as error:
            answers = [str(error)]
        return Examination(exists=True, problem="" if answers == ["ok"] else answers[0])

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the ledger is used outside its `with` block")
        return self._connection

    def _create_or_check(self, connection: sqlite3.Connection) -> None:
        connection.execute("begin immediate")
        try:
            (application,) = connection.execute("pragma application_id").fetchone()
            (version,) = connection.execute("pragma user_version").fetchone()
            (tables,) = connection.execute("select count(*) from sqlite_schema").fetchone()
            if tables == 0:
                for statement in _statements(ledger_schema("sqlite")):
                    connection.execute(statement)
                connection.execute("insert into ledger_identity values (?, 0, 0)", (uuid.uuid4().hex,))
                connection.execute(f"pragma application_id = {APPLICATION_ID}")
                connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
            elif (application, version) != (APPLICATION_ID, SCHEMA_VERSION):
                raise LedgerCorruptError(
                    f"{self._path} is not a ledger of version {SCHEMA_VERSION}: found application id "
                    f"{application}, version {version}. Point the ledger to its own file, or restore it from "
                    "a backup."
                )
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise

    @contextmanager
    def clear_errors(self) -> Iterator[None]:
        """By SQLite's result code."""
        try:
            yield
        except ActivationError:
            raise
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise LedgerBusyError(
                    f"The ledger {self._path} stayed locked by another process for "
                    f"{self._busy_timeout.total_seconds():g} s; nothing was changed. Wait for it, then "
                    "run again."
                ) from error
            if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise LedgerCorruptError(
                    f"The ledger {self._path} cannot be read ({error}); nothing was sent. Restore it from "
                    "a backup."
                ) from error
            if code in (
                sqlite3.SQLITE_FULL,
                sqlite3.SQLITE_IOERR,
                sqlite3.SQLITE_READONLY,
                sqlite3.SQLITE_CANTOPEN,
            ):
                raise LedgerStorageError(
                    f"The ledger {self._path} could not be written ({error}); the step was undone and "
                    "nothing was sent for it. Free space or mend the folder's permissions, then run again."
                ) from error
            if code == sqlite3.SQLITE_CONSTRAINT:
                raise LedgerRefusedError(
                    f"The ledger {self._path} refused what breaks its own rules ({error}); the step was "
                    "undone and nothing was sent for it. Report it: no command asks for that."
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
