"""Compares what the marts want with what the destination acknowledged: the difference is the plan."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import duckdb
import pyarrow as pa

from activation.adapters.base import KINDS
from activation.config import Sync
from activation.copying import copy_in
from activation.errors import ProjectionError
from activation.guards import FormerRun, GuardStop, Planned, SourceState, full_because, stops
from activation.intents import PlannedOperation
from activation.ledger import Ledger
from activation.listing import Listing
from activation.payload import payload_sql
from activation.plan_inputs import (
    check_source,
    execute,
    execute_each,
    filled,
    lives_sql,
    load_ledger_state,
    members_sql,
    source_columns,
    source_values,
)
from activation.projection import catch_up
from activation.sql_files import read_sql

SAMPLES = 5
FETCH_ROWS = 5_000


@dataclass(frozen=True)
class Plan:
    """What a sync would do, in counts that add up, with a hash over every operation.

    `approval_hash` is over every operation but opt-outs, which leave whatever becomes of the plan. `invalid`:
    rows without a usable key or value, by code. `blocked`: operations that wait or were refused, by reason.
    `held_back`: people whom the source keeps out of this channel, by reason. `samples`: masked keys. `noted`:
    occurrences that were there before the sync began; they are kept in mind and nothing is sent for them.
    `forgotten`: keys that left, and count as new when they come back. `api_calls` and `seconds`: how many
    requests, and the least time that the destination's rate windows give them. `cost` is in `currency`, None
    where the destination has no price.
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
    sends: int
    noted: int
    forgotten: int
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
    is_baseline: bool
    guards: tuple[GuardStop, ...]

    @property
    def operations(self) -> int:
        """How many operations the plan holds."""
        return self.adds + self.updates + self.removes + self.erases + self.sends

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
    listed: Listing | None = None,
) -> Plan:
    """Plan one sync on this connection; its operations stay in temporary tables for `planned_operations`.

    `state`: with "projection" the warehouse's picture of the ledger is brought up to date first, which needs
    a writable connection; with "ledger" the acknowledged state is read from the ledger itself, for a preview
    on a read-only snapshot. `source` says how the marts stand; without it no guard looks at their age and
    checks, and a source of events cannot be planned. `listed`: what the destination says it has, in a mode
    that takes all. Raises ConfigError for an unknown audience or column, ProjectionError when it
    cannot know what was acknowledged.
    """
    columns = source_columns(warehouse, sync)
    check_source(warehouse, sync)
    expressions = payload_sql(sync, columns)
    if state == "projection":
        try:
            ledger_seq = catch_up(warehouse, ledger, sync.name)
        except duckdb.Error as error:
            raise ProjectionError(
                f"The warehouse's activation tables could not be brought up to the ledger ({error}); "
                f"sync {sync.name!r} was not planned. Mend the warehouse, then run again."
            ) from error
        execute_each(
            warehouse,
            filled(read_sql("plan_state_projected"), sync_name=f"'{sync.name}'"),
            {"sync_name": sync.name, "definition_hash": sync.definition_hash},
        )
    else:
        ledger_seq = load_ledger_state(warehouse, ledger, sync)
    listed_keys = () if listed is None else listed.key_parts()
    copy_in(warehouse, "plan_listed", [("destination_key", pa.string())], listed_keys)
    desired = filled(
        read_sql("plan_desired"),
        members=members_sql(sync),
        members_table=sync.source.tables[0],
        key=expressions.key,
        payload=expressions.payload,
        has_bad_value=expressions.has_bad_value,
        lives=lives_sql(sync),
    )
    values = source_values(sync, source)
    execute(warehouse, desired, values)
    execute_each(warehouse, read_sql("plan_repeated"), {})
    former = _former_run(ledger, sync)
    is_baseline = (
        former is None and sync.occurrence is not None and sync.occurrence.starts_with == "newcomers"
    )
    warehouse.execute(
        read_sql("plan_changes"),
        {
            "sync_name": sync.name,
            "channel": sync.channel,
            "on_new": None if is_baseline else sync.mode.on_new,
            "on_changed": sync.mode.on_changed,
            "on_left": sync.mode.on_left,
            "on_opt_out": sync.mode.on_opt_out,
        },
    )
    if sync.forgets_left:
        execute(warehouse, filled(read_sql("plan_forgotten"), stayed=sync.source.stayed_sql), values)
    else:
        warehouse.execute("create or replace temp table plan_forgotten (destination_key varchar)")
    return _summarise(
        warehouse,
        sync,
        former=former,
        ledger_seq=ledger_seq,
        made_of=expressions.made_of,
        source=source,
        is_baseline=is_baseline,
    )


def planned_operations(
    warehouse: duckdb.DuckDBPyConnection, *, only_opt_outs: bool = False
) -> Iterator[PlannedOperation]:
    """The operations of the plan last made on this connection, removals first, streamed in chunks."""
    cursor = warehouse.execute(read_sql("plan_operations"), {"only_opt_outs": only_opt_outs})
    while rows := cursor.fetchmany(FETCH_ROWS):
        for kind, destination_key, canonical_id, identifier_key, payload, payload_hash, lives in rows:
            yield PlannedOperation(
                KINDS[kind], destination_key, canonical_id, identifier_key, payload, payload_hash, lives
            )


def planned_samples(warehouse: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str | None]]:
    """(operation, key, payload) of a few operations of each kind of the plan last made on this connection."""
    return warehouse.execute(read_sql("plan_samples"), {"samples": SAMPLES}).fetchall()


def forgotten_keys(warehouse: duckdb.DuckDBPyConnection) -> list[str]:
    """Of the plan last made on this connection: acknowledged keys that need no operation to be forgotten."""
    statement = "select destination_key from plan_forgotten order by destination_key"
    return [row[0] for row in warehouse.execute(statement).fetchall()]


def noted_keys(warehouse: duckdb.DuckDBPyConnection, plan: Plan) -> list[tuple[str, str, str]] | None:
    """(key, canonical id, identifier key) of the occurrences that were there before the sync began.

    None where the plan is not the first of a sync that starts with newcomers.
    """
    if not plan.is_baseline:
        return None
    return warehouse.execute(
        "select destination_key, canonical_id, identifier_key from plan_desired where invalid_code is null"
    ).fetchall()


def mask(destination_key: str) -> str:
    """A stand-in for a raw key: enough to recognise one's own, too little to contact anyone."""
    name, at, domain = destination_key.partition("@")
    if at:
        return f"{name[:1]}***@{domain[:1]}***"
    return f"***{destination_key[-2:]}" if len(destination_key) > 4 else "***"


def _summarise(
    warehouse: duckdb.DuckDBPyConnection,
    sync: Sync,
    *,
    former: FormerRun | None,
    ledger_seq: int,
    made_of: Mapping[str, str],
    source: SourceState | None,
    is_baseline: bool,
) -> Plan:
    cursor = warehouse.execute(read_sql("plan_counts"))
    names = [column[0] for column in cursor.description]
    counts = dict(zip(names, cursor.fetchall()[0], strict=True))
    reasons: dict[str, dict[str, int]] = {"invalid": {}, "blocked": {}, "held_back": {}}
    statement = filled(read_sql("plan_reasons"), held_back=sync.source.held_back_sql)
    for kind, reason, rows in execute(warehouse, statement, source_values(sync, source)).fetchall():
        reasons[kind][reason] = rows
    samples: dict[str, list[str]] = {}
    for kind, destination_key, _ in planned_samples(warehouse):
        samples.setdefault(kind, []).append(mask(destination_key))
    plan_hash, approval_hash = (
        hashlib.sha256(f"{sync.name}:{sync.definition_hash}:{counts[name]}".encode()).hexdigest()
        for name in ("fingerprint", "fingerprint_to_approve")
    )
    operations = sum(counts[kind] for kind in ("adds", "updates", "removes", "erases", "sends"))
    api_calls, seconds = _effort(sync, counts)
    cost = _cost(sync, counts)
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
        sends=counts["sends"],
        noted=counts["desired"] if is_baseline else 0,
        forgotten=counts["forgotten"],
        is_baseline=is_baseline,
        opt_outs=counts["opt_outs"],
        foreigners=counts["foreigners"],
        unchanged=_unchanged(warehouse, sync, counts, is_baseline=is_baseline),
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


def _unchanged(
    warehouse: duckdb.DuckDBPyConnection, sync: Sync, counts: Mapping[str, int], *, is_baseline: bool
) -> int:
    """Wanted keys that need nothing: all but those that differ, where each of these has an operation."""
    if sync.mode.on_new and sync.mode.on_changed and not is_baseline:
        return counts["desired"] - counts["differing"]
    row = warehouse.execute(read_sql("plan_unchanged"), {"on_changed": sync.mode.on_changed}).fetchone()
    return 0 if row is None else int(row[0])


def _effort(sync: Sync, counts: Mapping[str, int]) -> tuple[int, float]:
    """Requests, and the seconds that the destination's windows need for them; the lanes share no batch."""
    capabilities = sync.destination.capabilities
    lanes = (counts["removes"] + counts["erases"], counts["adds"] + counts["updates"] + counts["sends"])
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
        ("sends", price.send),
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
