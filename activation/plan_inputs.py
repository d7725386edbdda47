"""What a plan is computed from: the rows of a sync's source and what the ledger knows."""

import re
from collections.abc import Mapping
from datetime import timedelta

import duckdb
import pyarrow as pa

from activation.config import Sync
from activation.copying import copy_in, fetched
from activation.errors import ConfigError
from activation.guards import SourceState
from activation.ledger import Ledger
from activation.source import ADDRESS
from activation.sql_files import read_sql

NEEDED_TABLES = (
    "audience_memberships", "audience_exclusions", "audiences", "contact_points", "profiles", "suppressions",
    "consent_states",
)  # fmt: skip
NEEDED_FOR_SENDS = ("event_stream", "identity_first_ids", "identity_redirects")
# where the names that a source may have stand: the key of the file, column and mart
SOURCE_NAMES = {
    "audience": (("audience", "audience_name", "audiences"),),
    "profiles": (("purpose", "purpose", "contact_points"),),
    "events": (("events", "event_name", "event_stream"), ("purpose", "purpose", "contact_points")),
}


def source_values(sync: Sync, source: SourceState | None) -> dict[str, object]:
    """The parameters of the source's statements; events need the moment that the marts are of."""
    if sync.source.events is not None and source is None:
        raise ValueError("expected the moment that the marts are of: events are only good for a while")
    return sync.source.values(as_of=source.as_of if source else None, within=sync.sends_within)


def members_sql(sync: Sync) -> str:
    """The rows of the source; of a source of people in mode append with their occurrence keys."""
    if sync.occurrence is None or sync.source.events is not None:
        return sync.source.members_sql
    return filled(read_sql("source_occurrences"), rows=sync.source.members_sql)


def lives_sql(sync: Sync) -> str:
    """How many microseconds from now on an operation may still leave, as an expression over a row."""
    if sync.sends_within is None:
        return "null::bigint"
    if sync.source.events is None:
        return f"{sync.sends_within // timedelta(microseconds=1)}::bigint"
    return f"epoch_us({sync.source.tables[0]}.occurred_at) - epoch_us($since::timestamp)"


def source_columns(warehouse: duckdb.DuckDBPyConnection, sync: Sync) -> dict[str, dict[str, str]]:
    """Mart -> column -> type of what a mapping may name, the rows' own mart first.

    Raises ConfigError when a mart is missing that planning reads.
    """
    rows = warehouse.execute(
        "select table_name, column_name, data_type from information_schema.columns where table_schema = "
        "'marts'"
    ).fetchall()
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        tables.setdefault(table, {})[column] = kind
    needed = (*NEEDED_TABLES, *(NEEDED_FOR_SENDS if sync.occurrence else ()))
    missing = [f"marts.{table}" for table in needed if table not in tables]
    if missing:
        raise ConfigError(
            f"The warehouse has no {', '.join(missing)}; expected the public marts that dbt builds. Run "
            "`cdp run` first."
        )
    rows_of, *beside = sync.source.tables
    borrowed = {column: tables[table][column] for table in beside for column in ADDRESS}
    return {rows_of: tables[rows_of] | borrowed, "profiles": tables["profiles"]}


def check_source(warehouse: duckdb.DuckDBPyConnection, sync: Sync) -> None:
    """Raise ConfigError when the source names something that the marts do not have."""
    for field, column, table in SOURCE_NAMES[sync.source.kind]:
        statement = f"select distinct {column} from marts.{table} order by 1"
        names = [row[0] for row in warehouse.execute(statement).fetchall()]
        found = getattr(sync.source, field)
        if found not in names:
            raise ConfigError(
                f"{sync.file}: source.{field}: {found!r} is not in marts.{table}; expected one of: "
                f"{', '.join(names) or '(none)'}. Correct it, or add it to the models and build them."
            )


def load_ledger_state(warehouse: duckdb.DuckDBPyConnection, ledger: Ledger, sync: Sync) -> int:
    """Make plan_acknowledged and plan_blocked from the ledger itself; gives its sequence number."""
    text = pa.string()
    acknowledged = [
        (name, text) for name in ("destination_key", "canonical_id", "identifier_key", "payload_hash")
    ]
    blocked = [("destination_key", text), ("payload_hash", text), ("is_unsettled", pa.int64())]
    values = {"sync_name": sync.name, "definition_hash": sync.definition_hash}
    with ledger.read() as connection:
        (ledger_seq,) = connection.execute("select ledger_seq from ledger_identity").fetchone()
        with connection.stream(read_sql("ledger_acknowledged"), values) as cursor:
            copy_in(warehouse, "ledger_acknowledged", acknowledged, fetched(cursor))
        with connection.stream(read_sql("ledger_blocked"), values) as cursor:
            copy_in(warehouse, "ledger_blocked", blocked, fetched(cursor))
    warehouse.execute("create or replace temp view plan_acknowledged as select * from ledger_acknowledged")
    warehouse.execute(
        "create or replace temp table plan_blocked as select sha256($sync_name || ':' || destination_key) as"
        " destination_key_hash, payload_hash, is_unsettled = 1 as is_unsettled from ledger_blocked",
        {"sync_name": sync.name},
    )
    return int(ledger_seq)


def execute(
    warehouse: duckdb.DuckDBPyConnection, statement: str, values: Mapping[str, object]
) -> duckdb.DuckDBPyConnection:
    """Run one statement with those of the values that it names."""
    named = set(re.findall(r"\$([a-z_]+)", statement))
    return warehouse.execute(statement, {name: value for name, value in values.items() if name in named})


def execute_each(warehouse: duckdb.DuckDBPyConnection, script: str, values: Mapping[str, object]) -> None:
    """Run the statements of a script, each with those of the values that it names."""
    for statement in script.split(";"):
        if statement.strip():
            execute(warehouse, statement, values)


def filled(statement: str, **parts: str) -> str:
    """The statement without its comments, each `{{ name }}` replaced."""
    statement = _without_comments(statement)
    for name, part in parts.items():
        statement = statement.replace(f"{{{{ {name} }}}}", _without_comments(part))
    return statement


def _without_comments(statement: str) -> str:
    return "\n".join(line for line in statement.splitlines() if not line.lstrip().startswith("--"))
