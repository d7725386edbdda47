"""Dagster's SQLite event log, without building a database engine anew for every event.

Dagster's own class makes an engine, connects, asks the database for its version and syncs the disk three to
six times an event: 40 ms each on two cores, and a run of this house has some 600 events. Here an engine lives
as long as the process and keeps its connections, and a commit is synced at checkpoints: the file stays
consistent after a crash, and what a power cut could take are the last lines of a log, never a fact of ours.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import sqlalchemy as db
from dagster import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sql import create_engine
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes.config_class import ConfigurableClassData
from sqlalchemy.pool import QueuePool


class ReusingSqliteEventLogStorage(SqliteEventLogStorage):
    """One engine per file, whose pool gives each thread a connection of its own."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, db.Engine] = {}
        self._batch: tuple[ExitStack, dict[str, db.Connection]] | None = None
        super().__init__(base_dir=base_dir, inst_data=inst_data)
        self._db_lock = threading.RLock()  # type: ignore[assignment]  # a batch holds it while its events ask for it

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """As Dagster builds it from dagster.yaml."""
        return cls(inst_data=inst_data, **config_value)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events that belong together in one transaction a file."""
        with self._db_lock, ExitStack() as stack:
            self._batch = (stack, {})
            try:
                for event in events:
                    self.store_event(event)
            finally:
                self._batch = None

    @contextmanager
    def _connect(self, shard: str) -> Iterator[db.Connection]:
        with self._db_lock:
            if self._batch is None:
                with self._opened(shard) as connection:
                    yield connection
            else:
                stack, connections = self._batch
                if shard not in connections:
                    connections[shard] = stack.enter_context(self._opened(shard))
                yield connections[shard]

    @contextmanager
    def _opened(self, shard: str) -> Iterator[db.Connection]:
        engine = self._engines.get(shard)
        if engine is None:
            engine = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=QueuePool,
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
            )
            self._initdb(engine)
            self._initialized_dbs.add(shard)
            db.event.listen(engine, "connect", _sync_at_checkpoints)
            self._engines[shard] = engine
        with engine.connect() as connection, connection.begin():
            yield connection

    def dispose(self) -> None:
        """Let go of every engine."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()
        super().dispose()


def _sync_at_checkpoints(connection: Any, _: Any) -> None:
    connection.execute("pragma synchronous = normal")
