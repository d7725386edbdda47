"""Compares what the marts want with what the destination acknowledged: the difference is the plan."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import duckdb
import pyarrow as pa

from activation.adapters.base import OperationKind
from activation.config import Sync
from activation.errors import ConfigError, ProjectionError
from activation.intents import PlannedOperation
from activation.ledger import Ledger
from activation.payload import payload_sql
from activation.projection import project
from activation.sql_files import read_sql

SAMPLES = 5
FETCH_ROWS = 20_000
NEEDED_TABLES = (
    "audience_memberships", "audience_exclusions", "audiences", "profiles", "suppressions", "consent_states",
)  # fmt: skip


@dataclass(frozen=True)
class GuardStop:
    """Why a plan may not run by itself. `can_be_approved` says whether a person's yes lets it run."""

    name: str
    message: str
    can_be_approved: bool


@dataclass(frozen=True)
class Plan:
    """What a sync would do, in counts that add up, with a hash over every operation.

    `invalid`: rows without a usable key or value, by code. `blocked`: operations that wait or were refused,
    by reason. `held_back`: people whom the audience keeps out of this channel, by reason. `samples`: masked
    keys.
    """

    sync_name: str
    destination: str
    definition_hash: str
    adds: int
    updates: int
    removes: int
    opt_outs: int
    unchanged: int
    desired: int
    acknowledged: int
    invalid: Mapping[str, int]
    blocked: Mapping[str, int]
    held_back: Mapping[str, int]
    samples: Mapping[str, tuple[str, ...]]
    plan_hash: str
    ledger_seq: int
    guard: GuardStop | None

    @property
    def operations(self) -> int:
        """How many operations the plan holds."""
        return self.adds + self.updates + self.removes


def plan_sync(
    sync: Sync,
    *,
    warehouse: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    state: Literal["projection", "ledger"] = "projection",
) -> Plan:
    """Plan one sync on this connection; its operations stay in temporary tables for `planned_operations`.

    `state`: with "projection" the warehouse's picture of the ledger is brought up to date first, which needs
    a writable connection; with "ledger" the acknowledged state is read from the ledger itself, for a preview
    on a read-only snapshot. Raises ConfigError for an unknown audience or column, ProjectionError when it
    cannot know what was acknowledged.
    """
    columns = _columns(warehouse)
    _check_audience(warehouse, sync)
    expressions = payload_sql(sync, columns)
    if state == "projection":
        try:
            ledger_seq = project(warehouse, ledger).ledger_seq
        except duckdb.Error as error:
            raise ProjectionError(
                f"The warehouse's activation tables could not be brought up to the ledger ({error}); "
                f"sync {sync.name!r} was not planned. Mend the warehouse, then run again."
            ) from error
        _execute_each(
            warehouse,
            read_sql("plan_state_projected"),
            {"sync_name": sync.name, "definition_hash": sync.definition_hash},
        )
    else:
        ledger_seq = _load_ledger_state(warehouse, ledger, sync)
    statement = read_sql("plan_desired")
    for name in ("key", "payload", "has_bad_value"):
        statement = statement.replace(f"{{{{ {name} }}}}", getattr(expressions, name))
    warehouse.execute(_without_comments(statement), {"audience": sync.audience, "channel": sync.channel})
    warehouse.execute(read_sql("plan_changes"), {"sync_name": sync.name, "channel": sync.channel})
    return _summarise(warehouse, ledger, sync, ledger_seq)


def planned_operations(
    warehouse: duckdb.DuckDBPyConnection, *, only_opt_outs: bool = False
) -> Iterator[PlannedOperation]:
    """The operations of the plan last made on this connection, removals first, streamed in chunks."""
    cursor = warehouse.execute(read_sql("plan_operations"), {"only_opt_outs": only_opt_outs})
    while rows := cursor.fetchmany(FETCH_ROWS):
        for kind, destination_key, canonical_id, identifier_key, payload, payload_hash in rows:
            yield PlannedOperation(
                OperationKind(kind), destination_key, canonical_id, identifier_key, payload, payload_hash
            )


def mask(destination_key: str) -> str:
    """A stand-in for a raw key: enough to recognise one's own, too little to contact anyone."""
    name, at, domain = destination_key.partition("@")
    if at:
        return f"{name[:1]}***@{domain[:1]}***"
    return f"***{destination_key[-2:]}" if len(destination_key) > 4 else "***"


def _summarise(warehouse: duckdb.DuckDBPyConnection, ledger: Ledger, sync: Sync, ledger_seq: int) -> Plan:
    cursor = warehouse.execute(read_sql("plan_counts"))
    names = [column[0] for column in cursor.description]
    counts = dict(zip(names, cursor.fetchall()[0], strict=True))
    reasons: dict[str, dict[str, int]] = {"invalid": {}, "blocked": {}, "held_back": {}}
    for kind, reason, rows in warehouse.execute(
        read_sql("plan_reasons"), {"audience": sync.audience, "channel": sync.channel}
    ).fetchall():
        reasons[kind][reason] = rows
    samples: dict[str, list[str]] = {}
    for kind, destination_key in warehouse.execute(read_sql("plan_samples"), {"samples": SAMPLES}).fetchall():
        samples.setdefault(kind, []).append(mask(destination_key))
    fingerprint = f"{sync.name}:{sync.definition_hash}:{counts['fingerprint']}"
    return Plan(
        sync_name=sync.name,
        destination=sync.destination.name,
        definition_hash=sync.definition_hash,
        adds=counts["adds"],
        updates=counts["updates"],
        removes=counts["removes"],
        opt_outs=counts["opt_outs"],
        unchanged=counts["unchanged"],
        desired=counts["desired"],
        acknowledged=counts["acknowledged"],
        invalid=reasons["invalid"],
        blocked=reasons["blocked"],
        held_back=reasons["held_back"],
        samples={kind: tuple(keys) for kind, keys in samples.items()},
        plan_hash=hashlib.sha256(fingerprint.encode()).hexdigest(),
        ledger_seq=ledger_seq,
        guard=_guard(ledger, sync, counts),
    )


def _guard(ledger: Ledger, sync: Sync, counts: Mapping[str, int]) -> GuardStop | None:
    moved_from = _former_place(ledger, sync)
    if moved_from is not None and counts["acknowledged"]:
        return GuardStop(
            "target_changed",
            f"Sync {sync.name!r} now points to {sync.destination.name}/{sync.target.list_name}, but its "
            f"{counts['acknowledged']} members were delivered to {moved_from}; they would stay there for "
            "ever. "
            "Point it back, or give the new place a sync of its own.",
            can_be_approved=False,
        )
    if counts["acknowledged"] and not counts["desired_rows"]:
        return GuardStop(
            "empty_source",
            f"Sync {sync.name!r} would remove all {counts['acknowledged']} members, because audience "
            f"{sync.audience!r} has none at channel {sync.channel!r}. If that is right, run it with --yes.",
            can_be_approved=True,
        )
    removes = counts["removes"] - counts["opt_outs"]
    allowed = max(sync.guards.max_removed_share * counts["acknowledged"], sync.guards.max_removed)
    if removes > allowed:
        return GuardStop(
            "removals",
            f"Sync {sync.name!r} would remove {removes} of {counts['acknowledged']} members (opt-outs not "
            "counted); "
            f"its guards allow {int(allowed)}. Look at `cdp sync plan {sync.name}`; if it is right, run "
            "it with --yes.",
            can_be_approved=True,
        )
    return None


def _former_place(ledger: Ledger, sync: Sync) -> str | None:
    """Where the last run of this sync delivered to, if that is not where it points now."""
    with ledger.read() as connection:
        row = connection.execute(
            "select destination, list_name from sync_runs where sync_name = ? order by run_number desc "
            "limit 1",
            (sync.name,),
        ).fetchone()
    if row is None or row == (sync.destination.name, sync.target.list_name):
        return None
    return f"{row[0]}/{row[1]}"


def _columns(warehouse: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    rows = warehouse.execute(
        "select table_name, column_name, data_type from information_schema.columns where table_schema = "
        "'marts'"
    ).fetchall()
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        tables.setdefault(table, {})[column] = kind
    missing = [f"marts.{table}" for table in NEEDED_TABLES if table not in tables]
    if missing:
        raise ConfigError(
            f"The warehouse has no {', '.join(missing)}; expected the public marts that dbt builds. Run "
            "`cdp run` first."
        )
    return {name: tables[name] for name in ("audience_memberships", "profiles")}


def _check_audience(warehouse: duckdb.DuckDBPyConnection, sync: Sync) -> None:
    names = [
        row[0] for row in warehouse.execute("select audience_name from marts.audiences order by 1").fetchall()
    ]
    if sync.audience not in names:
        raise ConfigError(
            f"{sync.file}: audience: {sync.audience!r} is not in marts.audiences; expected one of: "
            f"{', '.join(names) or '(none)'}. Correct it, or add the audience's model and build it."
        )


def _load_ledger_state(warehouse: duckdb.DuckDBPyConnection, ledger: Ledger, sync: Sync) -> int:
    with ledger.read() as connection:
        (ledger_seq,) = connection.execute("select ledger_seq from ledger_identity").fetchone()
        values = {"sync_name": sync.name, "definition_hash": sync.definition_hash}
        acknowledged = connection.execute(read_sql("ledger_acknowledged"), values).fetchall()
        blocked = connection.execute(read_sql("ledger_blocked"), values).fetchall()
    text = pa.string()
    names = ("destination_key", "canonical_id", "identifier_key", "payload_hash")
    _register(warehouse, "ledger_acknowledged", acknowledged, [(name, text) for name in names])
    warehouse.execute("create or replace temp table plan_acknowledged as select * from ledger_acknowledged")
    _register(
        warehouse,
        "ledger_blocked",
        blocked,
        [("destination_key", text), ("payload_hash", text), ("is_unsettled", pa.int64())],
    )
    warehouse.execute(
        "create or replace temp table plan_blocked as select sha256($sync_name || ':' || destination_key) as"
        " destination_key_hash, payload_hash, is_unsettled = 1 as is_unsettled from ledger_blocked",
        {"sync_name": sync.name},
    )
    warehouse.unregister("ledger_acknowledged")
    warehouse.unregister("ledger_blocked")
    return int(ledger_seq)


def _register(
    warehouse: duckdb.DuckDBPyConnection,
    name: str,
    rows: list[tuple[object, ...]],
    fields: list[tuple[str, pa.DataType]],
) -> None:
    columns = list(zip(*rows, strict=True)) or [()] * len(fields)
    arrays = [pa.array(column, type=kind) for column, (_, kind) in zip(columns, fields, strict=True)]
    warehouse.register(name, pa.table(arrays, schema=pa.schema(fields)))


def _execute_each(warehouse: duckdb.DuckDBPyConnection, script: str, values: Mapping[str, object]) -> None:
    """Run the statements of a script, each with those of the values that it names."""
    for statement in script.split(";"):
        if statement.strip():
            warehouse.execute(
                statement, {name: value for name, value in values.items() if f"${name}" in statement}
            )


def _without_comments(statement: str) -> str:
    return "\n".join(line for line in statement.splitlines() if not line.lstrip().startswith("--"))
