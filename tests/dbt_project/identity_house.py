"""Events of our own making, and the real identity models of the project built over them, tick by tick."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pyarrow as pa

from ingestion.identifiers import IdentifierKey, identifier_rows
from ingestion.raw_tables import RAW_TABLES
from tests.dbt_project.dbt_child import run_dbt

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = IdentifierKey(b"a key of the tests")
IDENTITY = tuple(
    f"+{model}"
    for model in (
        *("identity_first_ids", "identity_changes", "identity_graph", "identity_graph_history"),
        "int_identity_build_ended",
    )
)


@dataclass(frozen=True)
class Seen:
    """One event: the identifiers that it carries, and the day on which it occurred and arrived."""

    event_id: str
    day: float
    user_id: str | None = None
    anonymous_id: str | None = None
    email: str | None = None
    phone: str | None = None
    arrived_day: float | None = None
    source: str = "web"
    name: str = "identified"
    properties: Mapping[str, Any] = field(default_factory=dict)


class IdentityHouse:
    """Add and remove events, build, and ask; `day` is the number of days since START."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warehouse = folder / "warehouse.duckdb"
        folder.mkdir(parents=True, exist_ok=True)
        if self.warehouse.exists():
            return
        with duckdb.connect(str(self.warehouse)) as connection:
            for schema in ("raw", "activation"):
                connection.execute(f"create schema if not exists {schema}")
            for name, columns in RAW_TABLES.items():
                connection.register("given", columns.empty_table())
                connection.execute(f"create table raw.{name} as select * from given")

    def copied_to(self, folder: Path) -> "IdentityHouse":
        """The same house in another folder."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.warehouse, folder / "warehouse.duckdb")
        return IdentityHouse(folder)

    def add(self, events: Iterable[Seen]) -> None:
        """Append events to raw.events and their identifiers to raw.identifiers, as ingestion would."""
        rows, identifiers = [], {}
        batch_id = uuid4().hex
        for number, seen in enumerate(events):
            arrived = START + timedelta(days=seen.day if seen.arrived_day is None else seen.arrived_day)
            properties = dict(seen.properties)
            properties |= {k: v for k, v in (("email", seen.email), ("phone", seen.phone)) if v is not None}
            rows.append(
                {
                    "event_name": seen.name,
                    "event_id": seen.event_id,
                    "occurred_at": START + timedelta(days=seen.day),
                    "received_at": arrived,
                    "source_system": seen.source,
                    "version": "1.0.0",
                    "user_id": seen.user_id,
                    "anonymous_id": seen.anonymous_id,
                    "account_id": "operations" if seen.name == "identity_decided" else None,
                    "properties": json.dumps(properties),
                    "segment": f"{arrived:%Y-%m-%d}/000001.log",
                    "line": number + 1,
                    "batch_id": batch_id,
                }
            )
            carried = [(kind, getattr(seen, kind)) for kind in ("user_id", "anonymous_id", "email", "phone")]
            carried += [
                (properties[f"{end}_type"], properties[f"{end}_identifier"])
                for end in ("from", "to")
                if f"{end}_type" in properties
            ]
            for kind, value in carried:
                if value is not None:
                    former = identifiers.get((kind, value), arrived)
                    identifiers[(kind, value)] = min(former, arrived)
        with duckdb.connect(str(self.warehouse)) as connection:
            known = set(
                connection.execute("select identifier_type, raw_value from raw.identifiers").fetchall()
            )
            new = [
                {
                    "identifier_type": kind,
                    "raw_value": value,
                    "country": None,
                    "first_seen_at": arrived,
                    "batch_id": "b",
                }
                for (kind, value), arrived in identifiers.items()
                if (kind, value) not in known
            ]
            tables = {
                "events": pa.Table.from_pylist(rows, schema=RAW_TABLES["events"]),
                "event_batches": pa.Table.from_pylist(
                    [{"batch_id": batch_id, "accepted": len(rows)}], schema=RAW_TABLES["event_batches"]
                ),
            }
            if new:
                seen_table = pa.Table.from_pylist(new).cast(_SEEN)
                tables["identifiers"] = identifier_rows(seen_table, KEY)
            for name, table in tables.items():
                connection.register("given", table)
                connection.execute(f"insert into raw.{name} by name select * from given")
                connection.unregister("given")

    def add_subscribers(self, subscribers: Iterable[tuple[str, str]], *, day: float) -> str:
        """One file of the legacy cloud, of known keys and addresses; returns the name to remove it by."""
        subscribers = list(subscribers)
        created = f"{START + timedelta(days=day):%m/%d/%Y %I:%M:%S %p}"
        name = sha256(f"{created} {subscribers}".encode()).hexdigest()
        rows = [
            {
                "subscriber_key": key,
                "email_address": address,
                "date_created": created,
                "row_id": f"{key}/{address}/{created}",
                "file_sha256": name,
                "line": number + 1,
            }
            for number, (key, address) in enumerate(subscribers)
        ]
        files = [{"file_sha256": name, "status": "accepted", "row_count": len(rows)}]
        with duckdb.connect(str(self.warehouse)) as connection:
            for table, given in (("legacy_sfmc__subscribers", rows), ("legacy_files", files)):
                connection.register("given", pa.Table.from_pylist(given, schema=RAW_TABLES[table]))
                connection.execute(f"insert into raw.{table} by name select * from given")
                connection.unregister("given")
        return name

    def remove_subscribers(self, name: str) -> None:
        """Take a file of the legacy cloud away again."""
        with duckdb.connect(str(self.warehouse)) as connection:
            for table in ("legacy_sfmc__subscribers", "legacy_files"):
                connection.execute(f"delete from raw.{table} where file_sha256 = ?", [name])

    def decide(self, decision: str, a: tuple[str, str], b: tuple[str, str], *, day: float) -> None:
        """An operator's decision about two identifiers, given as (type, value)."""
        properties = {
            **{"decision": decision, "from_type": a[0], "from_identifier": a[1]},
            **{"to_type": b[0], "to_identifier": b[1], "reason": "a test", "decided_by": "tester"},
        }
        event_id = f"{decision}-{a}-{b}-{day}"
        self.add([Seen(event_id, day, source="operator", name="identity_decided", properties=properties)])

    def suspect(self, pairs: Iterable[tuple[tuple[str, str], tuple[str, str], float]], *, day: float) -> None:
        """What is suspected from now on: pairs of known (type, value) with their scores, and no others."""
        moment = (START + timedelta(days=day)).replace(tzinfo=None)
        with duckdb.connect(str(self.warehouse)) as connection:
            keys = {
                (kind, value): key
                for kind, value, key in connection.execute(
                    "select identifier_type, raw_value, identifier_key from raw.identifiers"
                ).fetchall()
            }
            connection.execute("delete from raw.identity_suspicions")
            for a, b, score in pairs:
                connection.execute(
                    "insert into raw.identity_suspicions values (?, ?, ?, ?, ?, ?, ?)",
                    [*sorted((keys[a], keys[b])), score, "last_name same", "rules", moment, moment],
                )

    def erase(self, event_ids: Sequence[str]) -> None:
        """Take the evidence away, as erasure does."""
        with duckdb.connect(str(self.warehouse)) as connection:
            connection.execute("delete from raw.events where list_contains(?, event_id)", [list(event_ids)])

    def build(
        self,
        *,
        day: float,
        rules: Mapping[str, Any] | None = None,
        full_refresh: bool = False,
        select: Sequence[str] = IDENTITY,
    ) -> None:
        """One tick: the models of identity as of that day."""
        moment = START + timedelta(days=day)
        variables: dict[str, Any] = {"as_of": f"{moment:%Y-%m-%d %H:%M:%S}"}
        if rules is not None:
            variables["identity_rules"] = dict(rules)
        run_dbt(
            self.warehouse,
            [
                *("run", "--select", *select, "--vars", json.dumps(variables)),
                *("--target-path", str(self.folder / "target"), "--log-path", str(self.folder / "logs")),
                *(("--full-refresh",) if full_refresh else ()),
            ],
        )

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a query answers."""
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            return connection.execute(sql, list(parameters)).fetchall()

    def graph(self) -> dict[tuple[str, str], str]:
        """(type, value) to canonical_id."""
        return {
            (kind, value): person
            for kind, value, person in self.rows(
                "select identifier_type, identifier_value, canonical_id from marts.identity_graph"
            )
        }

    def first_ids(self) -> dict[str, str]:
        """The id of every person, and the one she was first known by."""
        return dict(self.rows("select canonical_id, first_canonical_id from marts.identity_first_ids"))

    def redirects(self) -> dict[str, str | None]:
        """Every id ever published, and the one that stands for it now."""
        return dict(self.rows("select canonical_id, current_canonical_id from marts.identity_redirects"))


_SEEN = pa.schema(
    [
        ("identifier_type", pa.string()),
        ("raw_value", pa.string()),
        ("country", pa.string()),
        ("first_seen_at", RAW_TABLES["identifiers"].field("first_seen_at").type),
        ("batch_id", pa.string()),
    ]
)
