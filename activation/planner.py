"""Compares what the marts want with what the destination acknowledged: the difference is the plan."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import duckdb
import pyarrow as pa

from activation.adapters.base import OperationKind
from activation.config import Sync
from activation.errors import ConfigError, ProjectionError
from activation.guards import FormerRun, GuardStop, Planned, SourceState, full_because, stops
from activation.intents import PlannedOperation
from activation.ledger import Ledger
from activation.payload import payload_sql
from activation.projection import project
from activation.sql_files import read_sql

SAMPLES = 5
FETCH_ROWS = 20_000
NEEDED_TABLES = (
    "audience_memberships", "audience_exclusions", "audiences", "contact_points", "profiles", "suppressions",
    "consent_states",
)  # fmt: skip
# where the names that a source may have stand
SOURCE_NAMES = {"audience": ("audience_name", "audiences"), "profiles": ("purpose", "contact_points")}


@dataclass(frozen=True)
class Plan:
    """What a sync would do, in counts that add up, with a hash over every operation.

    `approval_hash` is over every operation but opt-outs, which leave whatever becomes of the plan.
    `invalid`: rows without a usable key or value, by code. `blocked`: operations that wait or were refused,
    by reason. `held_back`: people whom the source keeps out of this channel, by reason. `samples`: masked
    keys. `api_calls` and `seconds`: how many requests, and the least time that the destination's rate windows
    give them. `cost` is in `currency`, None where the destination has no price.
    """

    sync_name: str
    source: str
    destination: str
    mode: str
    definition_hash: str
    adds: int
    updates: int
    removes: int
    erases: int
    opt_outs: int
    foreigners: int
    unchanged: int
    desired: int
    acknowledged: int
    invalid: Mapping[str, int]
    blocked: Mapping[str, int]
    held_back: Mapping[str, int]
    samples: Mapping[str, tuple[str, ...]]
    made_of: Mapping[str, str]
    full_because: str | None
    api_calls: int
    seconds: float
    cost: float | None
    currency: str | None
    plan_hash: str
    approval_hash: str
    ledger_seq: int
    guards: tuple[GuardStop, ...]

    @property
    def operations(self) -> int:
        """How many operations the plan holds."""
        return self.adds + self.updates + self.removes + self.erases

    @property
    def is_impossible(self) -> bool:
        """Whether a guard stops it that nobody's approval can lift."""
        return any(not guard.can_be_approved for guard in self.guards)


def plan_sync(
    sync: Sync,
    *,
    warehouse: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    state: Literal["projection", "ledger"] = "projection",
    source: SourceState | None = None,
    listed: Iterable[str] = (),
) -> Plan:
    """Plan one sync on this connection; its operations stay in temporary tables for `planned_operations`.

    `state`: with "projection" the warehouse's picture of the ledger is brought up to date first, which needs
    a writable connection; with "ledger" the acknowledged state is read from the ledger itself, for a preview
    on a read-only snapshot. `source` says how the marts stand; without it no guard looks at their age and
    checks. `listed`: the keys that the destination says it has, in a mode that takes all. Raises ConfigError
    for an unknown audience or column, ProjectionError when it cannot know what was acknowledged.
    """
    columns = _columns(warehouse, sync)
    _check_source(warehouse, sync)
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
    _register(warehouse, "listed", [(key,) for key in listed], [("destination_key", pa.string())])
    warehouse.execute("create or replace temp table plan_listed as select * from listed")
    warehouse.unregister("listed")
    desired = _filled(
        read_sql("plan_desired"),
        members=sync.source.members_sql,
        members_table=sync.source.members_table,
        key=expressions.key,
        payload=expressions.payload,
        has_bad_value=expressions.has_bad_value,
    )
    warehouse.execute(desired, _source_values(sync))
    warehouse.execute(
        read_sql("plan_changes"),
        {
            "sync_name": sync.name,
            "channel": sync.channel,
            "on_new": sync.mode.on_new,
            "on_changed": sync.mode.on_changed,
            "on_left": sync.mode.on_left,
            "on_opt_out": sync.mode.on_opt_out,
        },
    )
    return _summarise(
        warehouse, ledger, sync, ledger_seq=ledger_seq, made_of=expressions.made_of, source=source
    )


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


def planned_samples(warehouse: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str | None]]:
    """(operation, key, payload) of a few operations of each kind of the plan last made on this connection."""
    return warehouse.execute(read_sql("plan_samples"), {"samples": SAMPLES}).fetchall()


def forgotten_keys(warehouse: duckdb.DuckDBPyConnection, sync: Sync) -> list[str]:
    """Of the plan last made on this connection: acknowledged keys that need no operation to be forgotten."""
    if not sync.mode.forgets_left:
        return []
    return [row[0] for row in warehouse.execute(read_sql("plan_forgotten")).fetchall()]


def mask(destination_key: str) -> str:
    """A stand-in for a raw key: enough to recognise one's own, too little to contact anyone."""
    name, at, domain = destination_key.partition("@")
    if at:
        return f"{name[:1]}***@{domain[:1]}***"
    return f"***{destination_key[-2:]}" if len(destination_key) > 4 else "***"


def _summarise(
    warehouse: duckdb.DuckDBPyConnection,
    ledger: Ledger,
    sync: Sync,
    *,
    ledger_seq: int,
    made_of: Mapping[str, str],
    source: SourceState | None,
) -> Plan:
    cursor = warehouse.execute(read_sql("plan_counts"), {"on_changed": sync.mode.on_changed})
    names = [column[0] for column in cursor.description]
    counts = dict(zip(names, cursor.fetchall()[0], strict=True))
    reasons: dict[str, dict[str, int]] = {"invalid": {}, "blocked": {}, "held_back": {}}
    statement = _filled(read_sql("plan_reasons"), held_back=sync.source.held_back_sql)
    for kind, reason, rows in warehouse.execute(statement, _source_values(sync)).fetchall():
        reasons[kind][reason] = rows
    samples: dict[str, list[str]] = {}
    for kind, destination_key, _ in planned_samples(warehouse):
        samples.setdefault(kind, []).append(mask(destination_key))
    plan_hash, approval_hash = (
        hashlib.sha256(f"{sync.name}:{sync.definition_hash}:{counts[name]}".encode()).hexdigest()
        for name in ("fingerprint", "fingerprint_to_approve")
    )
    operations = sum(counts[kind] for kind in ("adds", "updates", "removes", "erases"))
    api_calls, seconds = _effort(sync, counts)
    cost = _cost(sync, counts)
    former = _former_run(ledger, sync)
    because = full_because(made_of, former, counts)
    return Plan(
        sync_name=sync.name,
        source=str(sync.source),
        destination=sync.destination.name,
        mode=sync.mode.name,
        definition_hash=sync.definition_hash,
        adds=counts["adds"],
        updates=counts["updates"],
        removes=counts["removes"],
        erases=counts["erases"],
        opt_outs=counts["opt_outs"],
        foreigners=counts["foreigners"],
        unchanged=counts["unchanged"],
        desired=counts["desired"],
        acknowledged=counts["acknowledged"],
        invalid=reasons["invalid"],
        blocked=reasons["blocked"],
        held_back=reasons["held_back"],
        samples={kind: tuple(keys) for kind, keys in samples.items()},
        made_of=made_of,
        full_because=because,
        api_calls=api_calls,
        seconds=seconds,
        cost=cost,
        currency=sync.destination.cost.currency if sync.destination.cost else None,
        plan_hash=plan_hash,
        approval_hash=approval_hash,
        ledger_seq=ledger_seq,
        guards=stops(
            sync,
            Planned(
                counts=counts,
                operations=operations,
                cost=cost,
                full_because=because,
                made_of=made_of,
                former=former,
                source=source,
            ),
        ),
    )


def _effort(sync: Sync, counts: Mapping[str, int]) -> tuple[int, float]:
    """Requests, and the seconds that the destination's windows need for them; the lanes share no batch."""
    capabilities = sync.destination.capabilities
    lanes = (counts["removes"] + counts["erases"], counts["adds"] + counts["updates"])
    calls = sum(math.ceil(lane / capabilities.max_batch_rows) for lane in lanes)
    return calls, max((calls * rate.seconds / rate.limit for rate in capabilities.rates), default=0.0)


def _cost(sync: Sync, counts: Mapping[str, int]) -> float | None:
    price = sync.destination.cost
    if price is None:
        return None
    parts = (
        ("adds", price.add),
        ("updates", price.update),
        ("removes", price.remove),
        ("erases", price.erase),
    )
    return round(sum(counts[name] * each for name, each in parts), 6)


def _former_run(ledger: Ledger, sync: Sync) -> FormerRun | None:
    """Where the last run of this sync delivered to, and how its fields were made."""
    with ledger.read() as connection:
        row = connection.execute(
            "select destination, list_name, made_of from sync_runs where sync_name = ?"
            " order by run_number desc limit 1",
            (sync.name,),
        ).fetchone()
    return None if row is None else FormerRun(row[0], row[1], json.loads(row[2]))


def _source_values(sync: Sync) -> dict[str, str]:
    return {"name": sync.source.name, "channel": sync.channel}


def _columns(warehouse: duckdb.DuckDBPyConnection, sync: Sync) -> dict[str, dict[str, str]]:
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
    return {name: tables[name] for name in (sync.source.members_table, "profiles")}


def _check_source(warehouse: duckdb.DuckDBPyConnection, sync: Sync) -> None:
    column, table = SOURCE_NAMES[sync.source.kind]
    names = [
        row[0]
        for row in warehouse.execute(f"select distinct {column} from marts.{table} order by 1").fetchall()
    ]
    if sync.source.name not in names:
        field = "audience" if sync.source.kind == "audience" else "purpose"
        raise ConfigError(
            f"{sync.file}: source.{field}: {sync.source.name!r} is not in marts.{table}; expected one of: "
            f"{', '.join(names) or '(none)'}. Correct it, or add it to the models and build them."
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


def _filled(statement: str, **parts: str) -> str:
    """The statement without its comments, each `{{ name }}` replaced."""
    for name, part in parts.items():
        statement = statement.replace(f"{{{{ {name} }}}}", part)
    return "\n".join(line for line in statement.splitlines() if not line.lstrip().startswith("--"))
