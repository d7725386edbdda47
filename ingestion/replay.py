"""Lines in quarantine, read again through today's contracts: what passes now is loaded. Nothing is sent.

A replay is a load like any other: rows first, then the rows of raw.event_batches that commit them, which
take from the quarantined what they add to the accepted and the duplicates. Killed before its commit it
leaves nothing; killed after, the next load takes the replayed lines out of quarantine.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from ingestion.deduplication import CONFLICT, deduplicate
from ingestion.event_identifiers import new_event_identifiers
from ingestion.event_log import Slice
from ingestion.identifiers import IdentifierKey, refuse_other_key
from ingestion.load import heal, take_replayed_out
from ingestion.raw_tables import EVENTS, EVENTS_DUPLICATED
from ingestion.records import format_time, record_head
from ingestion.registry import Registry
from ingestion.times import naive_utc
from ingestion.validation import validate
from ingestion.warehouse import MEMORY_LIMIT, RawWarehouse

CHUNK_LINES = 100_000
_SQL_FOLDER = Path(__file__).parent / "sql"
_DISCARDED = (_SQL_FOLDER / "discarded_places.sql").read_text(encoding="utf-8")
# Every statement over the open lines of quarantine begins with this.
WITH_DISCARDED = f"with discarded as (\n{_DISCARDED})\n"
_SELECTED = WITH_DISCARDED + (_SQL_FOLDER / "replay_lines.sql").read_text(encoding="utf-8")
_COMMITS = (_SQL_FOLDER / "replay_commits.sql").read_text(encoding="utf-8")
_REPLAYED = (_SQL_FOLDER / "replayed_events.sql").read_text(encoding="utf-8")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Selection:
    """Which lines in quarantine are meant; what is None does not limit."""

    code: str | None = None
    event_name: str | None = None
    source_system: str | None = None
    segment: str | None = None
    line: int | None = None

    def parameters(self) -> dict[str, object]:
        """The values of the statements that select lines."""
        return dict(vars(self))


@dataclass(frozen=True)
class ReplayReport:
    """What a replay found: lines = accepted + duplicates + lines that are refused today too.

    In a plan, the duplicates are still among the accepted.
    """

    lines: int = 0
    accepted_by_event: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    refused_by_code: dict[str, int] = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        """How many lines are facts now."""
        return sum(self.accepted_by_event.values())

    @property
    def refused(self) -> int:
        """How many lines stay in quarantine."""
        return sum(self.refused_by_code.values())

    def plus(self, other: "ReplayReport") -> "ReplayReport":
        """Both reports as one."""
        return ReplayReport(
            lines=self.lines + other.lines,
            accepted_by_event=_added(self.accepted_by_event, other.accepted_by_event),
            duplicates=self.duplicates + other.duplicates,
            refused_by_code=_added(self.refused_by_code, other.refused_by_code),
        )


def plan_replay(
    connection: duckdb.DuckDBPyConnection, registry: Registry, selection: Selection
) -> ReplayReport:
    """What a replay of these lines would find; only reads, so a snapshot will do."""
    report = ReplayReport()
    for lines in _chunks(connection, selection):
        accepted, refused = _judge(registry, lines, "plan")
        report = report.plus(
            ReplayReport(
                lines.num_rows, _counts(accepted["event_name"]), refused_by_code=_counts(refused["code"])
            )
        )
    return report


def replay_quarantine(
    selection: Selection,
    *,
    registry: Registry,
    warehouse: Path,
    work_folder: Path,
    key: IdentifierKey,
    clock: Callable[[], datetime],
    memory_limit: str = MEMORY_LIMIT,
    chunk_lines: int = CHUNK_LINES,
) -> ReplayReport:
    """Load every selected line that passes today's contracts; the others stay, with the reasons they had.

    Each chunk of lines is loaded whole or not at all. Call it under the warehouse lock.
    """
    report = ReplayReport()
    with RawWarehouse(warehouse, work_folder, memory_limit=memory_limit) as raw:
        refuse_other_key(raw, key)
        heal(raw)
        for lines in _chunks(raw.connection, selection, chunk_lines):
            report = report.plus(_replay(raw, registry, lines, key, clock()))
    _log.info(
        "quarantine.replayed",
        lines=report.lines,
        accepted=report.accepted,
        duplicates=report.duplicates,
        refused=report.refused,
    )
    return report


def _chunks(
    connection: duckdb.DuckDBPyConnection, selection: Selection, size: int = CHUNK_LINES
) -> Iterator[pa.Table]:
    """The selected lines in the order of the log; each chunk begins after the last line of the one before."""
    after: tuple[str, int] = ("", 0)
    while True:
        lines = connection.execute(
            _SELECTED,
            {**selection.parameters(), "after_segment": after[0], "after_line": after[1], "most": size},
        ).to_arrow_table()
        if not lines.num_rows:
            return
        yield lines
        after = (lines["segment"][-1].as_py(), lines["line"][-1].as_py())


def _judge(registry: Registry, lines: pa.Table, batch_id: str) -> tuple[pa.Table, pa.Table]:
    """The lines as rows of raw.events, and those that are refused as rows of raw.events_quarantined."""
    segments = lines["segment"]
    found = [
        _judge_segment(registry, lines.filter(pc.equal(segments, segment)), segment.as_py(), batch_id)
        for segment in pc.unique(segments)
    ]
    return (
        pa.concat_tables(accepted for accepted, _ in found),
        pa.concat_tables(refused for _, refused in found),
    )


def _judge_segment(
    registry: Registry, lines: pa.Table, segment: str, batch_id: str
) -> tuple[pa.Table, pa.Table]:
    data = b"".join(_record(row) for row in lines.to_pylist())
    validated = validate(registry, [(Slice(segment, 1, lines.num_rows, 0, len(data)), data)], batch_id)
    return _with_places(validated.accepted, lines), _with_places(validated.quarantined, lines)


def _with_places(judged: pa.Table, lines: pa.Table) -> pa.Table:
    """Validation numbered the lines from 1; give each the line of the log that it is."""
    places = lines["line"].combine_chunks().take(pc.subtract(judged["line"].combine_chunks(), 1))
    return judged.set_column(judged.schema.get_field_index("line"), "line", places)


def _record(row: dict[str, Any]) -> bytes:
    """A line of quarantine as the record that stands in the log."""
    raw_line = row["raw_line"]
    raw = base64.b64decode(raw_line) if row["raw_encoding"] == "base64" else raw_line.encode()
    if row["received_at"] is None or row["source_system"] is None:
        return bytes(raw) + b"\n"
    time = format_time(row["received_at"].replace(tzinfo=UTC))
    note = orjson.loads(row["note"]) if row["note"] else None
    return b"%b%b\n" % (record_head(time, row["source_system"], note), raw)


def _replay(
    raw: RawWarehouse, registry: Registry, lines: pa.Table, key: IdentifierKey, now: datetime
) -> ReplayReport:
    batch_id = _batch_id(lines, now)
    accepted, refused = _judge(registry, lines, batch_id)
    refused_by_code = _counts(refused["code"])
    if not accepted.num_rows:
        return ReplayReport(lines.num_rows, refused_by_code=refused_by_code)
    accepted = accepted.append_column("position", pa.array(range(accepted.num_rows), pa.int64()))
    parted = deduplicate(raw, accepted)
    accepted, duplicates = parted.accepted, parted.duplicates
    if parted.conflicts.num_rows:
        refused_by_code = _added(refused_by_code, {CONFLICT.code: parted.conflicts.num_rows})
    if not accepted.num_rows:
        return ReplayReport(lines.num_rows, refused_by_code=refused_by_code)
    connection = raw.connection
    views = {"accepted": accepted, "duplicates": duplicates, "lines": lines}
    for name, table in views.items():
        connection.register(name, table)
    try:
        fresh = _rows(connection, "anti", EVENTS)
        repeated = _rows(connection, "semi", EVENTS_DUPLICATED)
        parameters = {"batch_id": batch_id, "now": naive_utc(now)}
        replayed = connection.execute(_REPLAYED, parameters).to_arrow_table()
        commits = connection.execute(_COMMITS, parameters).to_arrow_table()
        identifiers = new_event_identifiers(raw, registry, key)
    finally:
        for name in views:
            connection.unregister(name)
    tables = {
        "events": fresh,
        "events_duplicated": repeated,
        "events_replayed": replayed,
        "identifiers": identifiers,
    }
    raw.load({name: table for name, table in tables.items() if table.num_rows})
    raw.load({"event_batches": commits})
    take_replayed_out(raw)
    return ReplayReport(lines.num_rows, _counts(fresh["event_name"]), repeated.num_rows, refused_by_code)


def _rows(connection: duckdb.DuckDBPyConnection, join: str, schema: pa.Schema) -> pa.Table:
    columns = ", ".join(schema.names)
    found = connection.execute(f"select {columns} from accepted {join} join duplicates using (position)")
    return found.to_arrow_table().cast(schema)


def _batch_id(lines: pa.Table, now: datetime) -> str:
    places = [lines["segment"].to_pylist(), lines["line"].to_pylist(), now.isoformat()]
    return hashlib.sha256(b"replay\0" + orjson.dumps(places)).hexdigest()[:32]


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return dict(sorted(Counter(column.to_pylist()).items()))


def _added(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return dict(sorted((Counter(one) + Counter(other)).items()))
