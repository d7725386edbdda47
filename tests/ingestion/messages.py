"""Messages in the Segment wire format, and a small house around an event log, for the tests of ingestion."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from ingestion.event_log import EventLog
from ingestion.identifiers import IdentifierKey
from ingestion.load import EventLoadReport, load_events
from ingestion.records import Note, Record
from ingestion.registry import Registry, load_registry
from ingestion.warehouse import RawWarehouse

NOW = datetime(2010, 12, 1, 9, 0, tzinfo=UTC)
LOADED_AT = datetime(2010, 12, 2, 0, 0, tzinfo=UTC)
KEY = IdentifierKey(b"a key for tests only")


def message(event_id: str = "m-1", event: str = "Product Viewed", **changes: Any) -> dict[str, Any]:
    """A message that is right; a change to ... (Ellipsis) leaves the key out."""
    whole = {
        "messageId": event_id,
        "type": "track",
        "event": event,
        "userId": "12345",
        "timestamp": "2010-12-01T08:26:00.000Z",
        "properties": {"sku": "85123A"},
        "context": {},
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not ...}


def raw(event_id: str = "m-1", event: str = "Product Viewed", **changes: Any) -> bytes:
    """`message` as its bytes; also with what orjson would refuse to write."""
    return json.dumps(message(event_id, event, **changes), separators=(",", ":")).encode()


@dataclass(frozen=True)
class House:
    """An event log, a warehouse file and what loading needs, all in one folder."""

    folder: Path

    @property
    def log(self) -> EventLog:
        return EventLog(self.folder / "event_log")

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse.duckdb"

    def receive(
        self, *lines: bytes, at: datetime = NOW, source: str = "web", note: Note | None = None
    ) -> None:
        self.log.append(Record(at, source, line, note) for line in lines)

    def furnish(self) -> None:
        """Put a warehouse there with every table of `raw` and no row: making them takes dlt half a second."""
        if not self.warehouse.exists():
            self.warehouse.write_bytes(_empty_warehouse())

    def load(
        self, registry: Registry | None = None, *, makes_tables: bool = False, **options: Any
    ) -> EventLoadReport:
        if not makes_tables:
            self.furnish()
        return load_events(
            log=self.log,
            registry=registry or load_registry(),
            warehouse=self.warehouse,
            work_folder=self.folder / "work",
            key=KEY,
            clock=lambda: LOADED_AT,
            **options,
        )

    def rows(self, sql: str, parameters: Iterable[object] = ()) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            return connection.execute(sql, list(parameters)).fetchall()

    def content(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of the tables that events end in, in an order that says nothing about loading."""
        return {
            table: sorted(self.rows(f"select * from raw.{table}"), key=repr)
            for table in ("events", "events_quarantined", "events_duplicated", "identifiers")
        }


@cache
def _empty_warehouse() -> bytes:
    with TemporaryDirectory() as folder:
        warehouse = Path(folder) / "warehouse.duckdb"
        with RawWarehouse(warehouse, Path(folder) / "work"):
            pass
        return warehouse.read_bytes()
