"""The ledger in a PostgreSQL database: what several machines that deliver share.

Every writer's first statement updates the one row of `ledger_identity` and so waits for the writer before it;
read committed then shows each later statement all that was committed before. Serializable would give no
more, and make callers repeat what they did.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper

from activation.errors import (
    ActivationError,
    ConfigError,
    LedgerCorruptError,
    LedgerRefusedError,
    LedgerStorageError,
)
from activation.ledger_places import PostgresDatabase
from activation.ledger_postgres_errors import explain, explain_refused_connection
from activation.ledger_schema import COUNTERS, ledger_schema
from activation.ledger_store import SCHEMA_VERSION, Connection, Cursor, Examination, Store, Values
from activation.placeholders import with_psycopg_placeholders
from activation.sql_files import read_sql

CREATION_LOCK = 0x43445031  # "CDP1": one process at a time makes the tables
DURABLE = ("on", "remote_apply")  # values of synchronous_commit under which a commit that returned survives
MARK = f"cdp ledger, version {SCHEMA_VERSION}"  # the comment on ledger_identity tells it from other tables
# A worker that stands still in the middle of a write holds the others up for so long; one whose machine is
# gone, for as long as the server needs to notice.
LONGEST_PAUSE = timedelta(minutes=5)
CONNECTION_DEFAULTS = {
    "application_name": "cdp ledger",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


class PostgresConnection:
    """An open transaction that takes the ledger's statements as they stand in activation/sql."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection
        self._names = count()

    def execute(self, statement: str, values: Values = ()) -> Cursor:
        """Run one statement."""
        if not values:
            return self._connection.execute(statement.encode())
        return self._connection.execute(with_psycopg_placeholders(statement), values)

    def executemany(self, statement: str, rows: Iterable[Values]) -> Cursor:
        """Run one statement for each row, sent one behind the other without waiting for each answer."""
        cursor = self._connection.cursor()
        cursor.executemany(with_psycopg_placeholders(statement), rows)
        return cursor

    @contextmanager
    def stream(self, statement: str, values: Values = ()) -> Iterator[Cursor]:
        """Run a query; its rows stay at the server until they are fetched."""
        with self._connection.cursor(f"rows_{next(self._names)}") as cursor:
            cursor.execute(with_psycopg_placeholders(statement), values or None)
            yield cursor

    def restart_counters(self) -> None:
        """Set each identity's sequence to the highest number there is."""
        for table, column in COUNTERS.items():
            self.execute(
                f"select setval(pg_get_serial_sequence('{table}', '{column}'),"
                f" (select coalesce(max({column}), 0) + 1 from {table}), false)"
            )


class PostgresStore(Store):
    """One PostgreSQL database, or the schema of it that its address puts first in the search path."""

    def __init__(self, place: PostgresDatabase, busy_timeout: timedelta) -> None:
        self._place = place
        self._busy_timeout = busy_timeout
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._ledger_id: str | None = None

    @property
    def name(self) -> str:
        """Host and database."""
        return str(self._place)

    @property
    def mend(self) -> str:
        """What mends it."""
        return f"see that PostgreSQL answers at {self.name}, or restore the database from a backup"

    def open(self) -> None:
        """Connect, check what a ledger needs of its server, and create the tables where there are none."""
        connection = self._connect()
        try:
            self._check_server(connection)
            ledger_id = self._find(connection) or self._create(connection)
            if self._ledger_id not in (None, ledger_id):
                raise LedgerCorruptError(
                    f"The ledger at {self.name} is another one than before the connection was lost. Nothing "
                    "was sent. See what the server's address leads to."
                )
        except BaseException:
            connection.close()
            raise
        self._connection, self._ledger_id = connection, ledger_id

    def close(self) -> None:
        """Let go; the server undoes what is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def begin_write(self) -> Connection:
        """Read committed: the caller's first statement takes the row that writers follow each other by."""
        return self._begin("begin isolation level read committed, read write")

    def begin_read(self) -> Connection:
        """Repeatable read: the first statement fixes the picture; it holds nobody up, and may last."""
        return self._begin(
            "begin isolation level repeatable read, read only;"
            " set local idle_in_transaction_session_timeout = 0"
        )

    def commit(self) -> None:
        """Flush to the server's disk. An answer that never came is an error: it was kept or not."""
        connection = self._opened()
        try:
            answer = connection.execute("commit").statusmessage
        except psycopg.OperationalError as error:
            if connection.closed:
                raise LedgerStorageError(
                    f"The connection to the ledger at {self.name} was lost while a step was being kept "
                    f"({_in_one_line(error)}): it was kept or not, and nothing is sent for it. The next run "
                    "settles it like one of a worker that died there."
                ) from None
            raise
        if answer != "COMMIT":  # the server's answer to the commit of a transaction that had failed
            raise LedgerRefusedError(
                f"The ledger at {self.name} undid a step in which a statement had failed; nothing was sent "
                "for it. Report it: an error was passed over."
            )

    def rollback(self) -> None:
        """Undo what is open; a connection on which that fails is given up, and the server undoes it."""
        connection = self._connection
        if connection is None or connection.closed:
            return
        try:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute("rollback")
        except psycopg.Error:
            connection.close()

    @contextmanager
    def clear_errors(self) -> Iterator[None]:
        """By PostgreSQL's error code. The server's own text is not passed on: it quotes the rows."""
        try:
            yield
        except ActivationError:
            raise
        except psycopg.Error as error:
            is_lost = self._connection is not None and self._connection.closed
            raise explain(error, self.name, self._busy_timeout, is_lost=is_lost) from None

    def examine(self) -> Examination:
        """Connect, and read the ledger's identity."""
        try:
            with self.clear_errors():
                connection = self._connect()
                try:
                    self._check_server(connection)
                    return Examination(exists=self._find(connection) is not None)
                finally:
                    connection.close()
        except ActivationError as error:
            return Examination(exists=True, problem=str(error))

    def _opened(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            raise RuntimeError("the ledger is used outside its `with` block")
        return self._connection

    def _begin(self, statement: str) -> Connection:
        if self._opened().closed:
            self.open()  # a transaction begins anew: one that was lost with its connection was told so
        connection = self._opened()
        if connection.info.transaction_status != TransactionStatus.IDLE:
            raise RuntimeError("a transaction of this ledger is open already")
        connection.execute(statement.encode())
        return PostgresConnection(connection)

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        try:
            given = conninfo_to_dict(self._place.url)
        except psycopg.ProgrammingError:  # its text would quote the address, with the password
            raise ConfigError(
                f"The ledger's address {self.name} (CDP_LEDGER_URL) cannot be read by libpq; expected "
                "postgresql://USER@HOST/DATABASE, special characters percent-encoded."
            ) from None
        try:
            address = make_conninfo("", **{**CONNECTION_DEFAULTS, **given})
            connection = psycopg.connect(address, autocommit=True, context=_adapters())
        except psycopg.Error as error:
            text = _in_one_line(error).replace(str(given.get("password") or "\0"), "***")
            raise explain_refused_connection(text, self.name) from None
        return connection

    def _check_server(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        row = connection.execute(
            "select pg_is_in_recovery(), current_setting('synchronous_commit'), current_setting('fsync'),"
            " current_setting('server_encoding'), current_schema()"
        ).fetchone()
        is_standby, synchronous_commit, fsync, encoding, schema = row or (None,) * 5
        if is_standby:
            raise LedgerStorageError(
                f"The server of the ledger at {self.name} is a standby, which can only be read. Nothing was "
                "sent. Point CDP_LEDGER_URL to the primary (`target_session_attrs=read-write` finds it)."
            )
        if synchronous_commit not in DURABLE or fsync != "on":
            raise ConfigError(
                f"The server of the ledger at {self.name} has synchronous_commit={synchronous_commit} and "
                f"fsync={fsync}; expected {' or '.join(DURABLE)}, and on: a step that was not on the disk "
                "could be sent twice. Nothing was sent. Correct it for the server, the database and the user."
            )
        if encoding != "UTF8":
            raise ConfigError(
                f"The database of the ledger at {self.name} keeps {encoding}; expected UTF8. Create it with "
                "`encoding 'UTF8' template template0`."
            )
        if schema is None:
            raise ConfigError(
                f"The ledger's address {self.name} leads to no schema that exists; create the one that "
                "search_path names, or take it out."
            )
        settings = (
            ("synchronous_commit", synchronous_commit),  # as checked, whatever the server is told later
            ("lock_timeout", _milliseconds(self._busy_timeout)),
            ("idle_in_transaction_session_timeout", _milliseconds(LONGEST_PAUSE)),
            ("plan_cache_mode", "force_custom_plan"),  # a plan made for an empty table outlives its reason
            ("cursor_tuple_fraction", "1"),  # a stream is read to its end
            (
                "jit",
                "off",
            ),  # it expects too much of a range in a join, and compiles longer than it runs
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "10"),
            ("tcp_keepalives_count", "3"),
        )
        for setting, value in settings:
            connection.execute("select set_config(%s, %s, false)", (setting, str(value)))

    def _find(self, connection: psycopg.Connection[tuple[Any, ...]]) -> str | None:
        """The id of the ledger that is there; None where nothing is."""
        mark, others = _one(connection.execute(read_sql("ledger_postgres_look")).fetchall())
        if mark is None and not others:
            return None
        if mark != MARK:
            raise LedgerCorruptError(
                f"What is at {self.name} is no ledger of version {SCHEMA_VERSION}: found "
                f"{mark or f'{others} other tables'}. Point CDP_LEDGER_URL to a database or a schema of its "
                "own, or restore it from a backup."
            )
        (ledger_id,) = _one(connection.execute("select ledger_id from ledger_identity").fetchall())
        return str(ledger_id)

    def _create(self, connection: psycopg.Connection[tuple[Any, ...]]) -> str:
        connection.execute("begin isolation level read committed, read write")
        connection.execute("select pg_advisory_xact_lock(%s)", (CREATION_LOCK,))
        ledger_id = self._find(connection)
        if ledger_id is None:
            ledger_id = uuid.uuid4().hex
            connection.execute(ledger_schema("postgres").encode())
            connection.execute(f"comment on table ledger_identity is '{MARK}'".encode())
            connection.execute("insert into ledger_identity values (%s, 0, 0)", (ledger_id,))
        connection.execute("commit")
        return ledger_id


def _adapters() -> AdaptersMap:
    """One type for whole numbers and one for texts, so that a statement means the same for every value."""
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_dumper(int, Int8Dumper)
    adapters.register_dumper(str, StrDumper)
    return adapters


def _one(rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    (row,) = rows
    return row


def _milliseconds(duration: timedelta) -> int:
    return max(1, int(duration / timedelta(milliseconds=1)))  # 0 would mean for ever


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
