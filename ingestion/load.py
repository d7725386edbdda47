"""The event log into the warehouse: heal, validate, deduplicate, load, and only then commit.

The rows of raw.event_batches are the commit: they are written in a load of their own after everything else,
and rows of batches that are not there are removed before the next load. So a run may be killed at any
instant. See docs/decisions/0002-event-log.md.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from ingestion.deduplication import CONFLICT, deduplicate
from ingestion.definitions import Definition, new_definitions
from ingestion.errors import FatalIngestionError
from ingestion.event_identifiers import new_event_identifiers
from ingestion.event_log import BATCH_BYTES, BATCH_LINES, EventLog
from ingestion.holding import hold_broken_sources, quarantined_rows
from ingestion.identifiers import IdentifierKey, refuse_other_key
from ingestion.raw_tables import RAW_TABLES
from ingestion.registry import Registry
from ingestion.times import naive_utc
from ingestion.validation_pool import ValidatedBatch, validated_batches
from ingestion.warehouse import MEMORY_LIMIT, RawWarehouse, quoted

GROUP_BYTES = 256 * 1024 * 1024
_SQL_FOLDER = Path(__file__).parent / "sql"
_BATCH_COUNTS = (_SQL_FOLDER / "batch_counts.sql").read_text(encoding="utf-8")
_BATCH_TABLES = ("events", "events_quarantined", "events_duplicated", "events_replayed")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class EventLoadReport:
    """What one load did; received = accepted + duplicates + quarantined."""

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    by_code: dict[str, int] = field(default_factory=dict)
    batches: int = 0
    healed_rows: int = 0

    def plus(self, other: "EventLoadReport") -> "EventLoadReport":
        """Both reports as one."""
        return EventLoadReport(
            received=self.received + other.received,
            accepted=self.accepted + other.accepted,
            duplicates=self.duplicates + other.duplicates,
            quarantined=self.quarantined + other.quarantined,
            by_code=dict(sorted((Counter(self.by_code) + Counter(other.by_code)).items())),
            batches=self.batches + other.batches,
            healed_rows=self.healed_rows + other.healed_rows,
        )


def load_events(
    *,
    log: EventLog,
    registry: Registry,
    warehouse: Path,
    work_folder: Path,
    key: IdentifierKey,
    clock: Callable[[], datetime],
    batch_bytes: int = BATCH_BYTES,
    batch_lines: int = BATCH_LINES,
    group_bytes: int = GROUP_BYTES,
    memory_limit: str = MEMORY_LIMIT,
    on_progress: Callable[[EventLoadReport], None] | None = None,
) -> EventLoadReport:
    """Load what is new in the event log; every line ends as accepted, duplicate or quarantined.

    Nothing of the warehouse is kept open or locked afterwards. Memory is bounded by the batch size and by
    DuckDB's `memory_limit`, not by the log. `on_progress` is told the running totals after each commit.
    """
    with RawWarehouse(warehouse, work_folder, memory_limit=memory_limit) as raw:
        refuse_other_key(raw, key)
        report = EventLoadReport(healed_rows=heal(raw))
        batches = log.unread(read_to(raw), max_bytes=batch_bytes, max_lines=batch_lines)
        validated = validated_batches(log, registry, batches, raw.files_folder)
        judged = (hold_broken_sources(log, registry, batch) for batch in validated)
        for group in grouped(judged, group_bytes):
            loaded = _load_group(raw, log, registry, group, key=key, now=clock())
            _log.info(
                "events.loaded",
                received=loaded.received,
                accepted=loaded.accepted,
                duplicates=loaded.duplicates,
                quarantined=loaded.quarantined,
                batches=loaded.batches,
            )
            report = report.plus(loaded)
            if on_progress is not None:
                on_progress(report)
    return report


def load_definitions(
    definitions: Iterable[Definition],
    *,
    warehouse: Path,
    work_folder: Path,
    clock: Callable[[], datetime],
) -> int:
    """Append the definitions whose content is new to the warehouse; returns how many were."""
    with RawWarehouse(warehouse, work_folder) as raw:
        fresh = new_definitions(raw, definitions, naive_utc(clock()))
        if fresh.num_rows:
            raw.load({"definitions": fresh})
        return int(fresh.num_rows)


def heal(raw: RawWarehouse) -> int:
    """Remove the rows that a killed load left without their commit; returns how many."""
    removed = 0
    for table in _BATCH_TABLES:
        removed += raw.count(
            f"delete from raw.{table} where batch_id not in (select batch_id from raw.event_batches)"
        )
    removed += raw.count(
        "delete from raw.identifiers where batch_id not in (select batch_id from raw.event_batches) "
        "and batch_id not in (select file_sha256 from raw.legacy_files where status = 'accepted')"
    )
    if removed:
        _log.warning("events.healed", removed_rows=removed)
    take_replayed_out(raw)
    return removed


def take_replayed_out(raw: RawWarehouse) -> None:
    """The end of a replay: a line that was replayed is no longer in quarantine for the former reason."""
    raw.connection.execute(
        "delete from raw.events_quarantined using raw.events_replayed as replayed "
        "where events_quarantined.segment = replayed.segment and events_quarantined.line = replayed.line "
        "and events_quarantined.batch_id = replayed.quarantined_in"
    )


def read_to(raw: RawWarehouse) -> dict[str, int]:
    """Segment to the byte up to which it is loaded."""
    rows = raw.connection.execute("select segment, max(end_byte) from raw.event_batches group by segment")
    return dict(rows.fetchall())


def grouped(batches: Iterable[ValidatedBatch], size: int) -> Iterator[list[ValidatedBatch]]:
    """Several batches to one load, because each load of dlt has a fixed cost."""
    group: list[ValidatedBatch] = []
    for batch in batches:
        group.append(batch)
        if sum(each.batch.bytes for each in group) >= size:
            yield group
            group = []
    if group:
        yield group


def _load_group(
    raw: RawWarehouse,
    log: EventLog,
    registry: Registry,
    group: list[ValidatedBatch],
    *,
    key: IdentifierKey,
    now: datetime,
) -> EventLoadReport:
    accepted = pa.concat_tables(batch.tables.accepted for batch in group)
    accepted = accepted.append_column("position", pa.array(range(accepted.num_rows), pa.int64()))
    found = deduplicate(raw, accepted)
    accepted, duplicates = found.accepted, found.duplicates
    refused = [batch.tables.quarantined for batch in group]
    quarantined = pa.concat_tables([*refused, conflict_rows(log, group, found.conflicts)])
    connection = raw.connection
    connection.register("accepted", accepted)
    connection.register("duplicates", duplicates)
    connection.register("quarantined", quarantined)
    connection.register("slices", _slices(group))
    try:
        commits = connection.execute(_BATCH_COUNTS, {"loaded_at": naive_utc(now)}).to_arrow_table()
        report = _report(commits, quarantined, len(group))
        files = {
            "events": _write(raw, "events", "anti"),
            "events_duplicated": _write(raw, "events_duplicated", "semi"),
        }
        identifiers = new_event_identifiers(raw, registry, key)
    finally:
        for view in ("accepted", "quarantined", "slices", "duplicates"):
            connection.unregister(view)
    tables = {"events_quarantined": quarantined, "identifiers": identifiers}
    raw.load({**files, **{name: table for name, table in tables.items() if table.num_rows}})
    raw.load({"event_batches": commits})
    return report


def conflict_rows(log: EventLog, group: Sequence[ValidatedBatch], conflicts: pa.Table) -> pa.Table:
    """Rows of raw.events_quarantined for events in conflict."""
    return quarantined_rows(
        log, [part for batch in group for part in batch.batch.slices], conflicts, CONFLICT
    )


def _write(raw: RawWarehouse, table: str, join: str) -> Path:
    """Write the accepted rows that are duplicates (semi) or not (anti) as a file for a table of raw."""
    path = raw.new_file(table)
    columns = ", ".join(_columns(table))
    raw.connection.execute(
        f"copy (select {columns} from accepted {join} join duplicates using (position)) "
        f"to {quoted(path)} (format parquet, row_group_size 20480)"
    )
    return path


def _columns(table: str) -> list[str]:
    return list(RAW_TABLES[table].names)


def _slices(group: list[ValidatedBatch]) -> pa.Table:
    rows = [
        {
            "batch_id": validated.batch_id,
            "segment": part.segment,
            "first_line": part.first_line,
            "last_line": part.last_line,
            "end_byte": part.end_byte,
        }
        for validated in group
        for part in validated.batch.slices
    ]
    return pa.Table.from_pylist(rows)


def _report(commits: pa.Table, quarantined: pa.Table, batches: int) -> EventLoadReport:
    """The counts that are about to be committed; refuses to go on when they do not add up."""
    counts = {
        name: pc.sum(commits[name]).as_py() or 0
        for name in ("received", "accepted", "duplicates", "quarantined")
    }
    if counts["received"] != counts["accepted"] + counts["duplicates"] + counts["quarantined"]:
        raise FatalIngestionError(
            f"A load does not add up: {counts}. Nothing of it is committed. This is a defect: report it."
        )
    by_code = Counter(quarantined["code"].to_pylist())
    return EventLoadReport(**counts, by_code=dict(sorted(by_code.items())), batches=batches)
