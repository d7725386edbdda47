"""How the marts stand that syncs read: their moment, how new their facts are, whether their checks passed."""

from datetime import UTC, datetime

import duckdb

from activation.guards import SourceState
from orchestration.sql_files import one_row
from orchestration.summary import naive_utc

RECORD = ("orchestration", "models_built_from")


def source_state(connection: duckdb.DuckDBPyConnection, *, as_of: datetime) -> SourceState:
    """Of a warehouse or a snapshot of it; only a build whose every check passed leaves its record there."""
    seen = one_row(connection, "watermark", {"as_of": naive_utc(as_of)})
    newest = seen["newest_received_at"] if seen else None
    is_recorded = connection.execute(
        "select 1 from information_schema.tables where table_schema = ? and table_name = ?", list(RECORD)
    ).fetchone()
    passed = is_recorded and connection.execute(f"select 1 from {'.'.join(RECORD)} limit 1").fetchone()
    return SourceState(
        as_of=as_of,
        newest_at=None if newest is None else newest.replace(tzinfo=UTC),
        failed_checks=() if passed else ("the last build of the models did not end with every check passed",),
    )
