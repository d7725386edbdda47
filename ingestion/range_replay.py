"""A range of the event log, read again through today's contracts: beside what is loaded, or in its place.

What ends otherwise than it did goes into a schema of its own, `replay_*`, where views show the whole range as
it would be. In place means that exactly those lines then change their table, in one transaction. Nothing is
sent. See docs/decisions/0015-replay-of-a-range.md.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson
import pyarrow as pa
import structlog

from ingestion.deduplication import deduplicate
from ingestion.errors import FatalIngestionError, RejectedInputError
from ingestion.event_identifiers import new_event_identifiers
from ingestion.event_log import BATCH_BYTES, BATCH_LINES, Batch, EventLog
from ingestion.identifiers import IdentifierKey, refuse_other_key
from ingestion.load import GROUP_BYTES, conflict_rows, grouped, heal, read_to
from ingestion.raw_tables import EVENTS, EVENTS_DUPLICATED, EVENTS_QUARANTINED, EVENTS_REPLAYED
from ingestion.registry import Registry
from ingestion.time_ranges import TimeRange, batches_in
from ingestion.times import naive_utc
from ingestion.validation_pool import ValidatedBatch, validated_batches
from ingestion.warehouse import MEMORY_LIMIT, RawWarehouse

# Without these, somebody who said no could be written to, or a line that was given up come back.
NEVER_TAKEN_BACK = ("consent_changed", "quarantine_discarded")
_SCHEMA = re.compile(r"replay_[a-z0-9_]{1,50}")
_TABLES = {"events": EVENTS, "events_quarantined": EVENTS_QUARANTINED, "events_duplicated": EVENTS_DUPLICATED}
_SQL_FOLDER = Path(__file__).parent / "sql"
_DISCARDED = (_SQL_FOLDER / "discarded_places.sql").read_text(encoding="utf-8")
_PLACES, _REREAD_PLACES, _CHANGES, _COMMITS, _REPLAYED, _COUNTS = (
    (_SQL_FOLDER / f"range_{name}.sql").read_text(encoding="utf-8")
    for name in ("places", "reread_places", "changes", "commits", "replayed", "counts")
)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class RangeReplay:
    """What to read again, into which schema (default: named after the range), and whether it then counts."""

    time_range: TimeRange
    schema: str = ""
    is_in_place: bool = False

    @property
    def schema_name(self) -> str:
        """The shadow schema; raises RejectedInputError for a name that could be another's."""
        moments = (self.time_range.start, self.time_range.end)
        name = self.schema or "_".join(["replay", *(moment.strftime("%Y%m%d%H%M") for moment in moments)])
        if not _SCHEMA.fullmatch(name):
            raise RejectedInputError(
                f"{name!r} cannot be the schema of a replay; give one that begins with replay_ and goes on "
                "with at most 50 lower-case letters, digits or underscores."
            )
        return name


@dataclass(frozen=True)
class Change:
    """How many lines of an event went from one outcome to another; codes are of quarantine."""

    event_name: str | None
    before: str
    code_before: str | None
    after: str
    code_after: str | None
    lines: int


@dataclass(frozen=True)
class RangeReport:
    """What reading the range again found: `lines` of it, of which those in `changes` end otherwise now."""

    schema: str
    lines: int
    changes: tuple[Change, ...]
    is_in_place: bool

    @property
    def changed(self) -> int:
        """How many lines end otherwise than they did."""
        return sum(change.lines for change in self.changes)


def replay_range(
    asked: RangeReplay,
    *,
    log: EventLog,
    registry: Registry,
    warehouse: Path,
    work_folder: Path,
    key: IdentifierKey,
    clock: Callable[[], datetime],
    memory_limit: str = MEMORY_LIMIT,
    batch_bytes: int = BATCH_BYTES,
    batch_lines: int = BATCH_LINES,
    group_bytes: int = GROUP_BYTES,
) -> RangeReport:
    """Judge every loaded line of the range anew; lines that were discarded stay as they are.

    In place, raises RejectedInputError, with nothing changed, when an event of NEVER_TAKEN_BACK would no
    longer be accepted. Killed before its commit it leaves a shadow schema that the next one replaces. Call
    it under the warehouse lock.
    """
    schema = asked.schema_name
    with RawWarehouse(warehouse, work_folder, memory_limit=memory_limit) as raw:
        refuse_other_key(raw, key)
        heal(raw)
        found = batches_in(log, asked.time_range, read_to(raw), max_bytes=batch_bytes, max_lines=batch_lines)
        batches = list(found)
        batch_id = _batch_id(raw, schema, clock())
        _create_shadow(raw, schema, batches)
        judged = validated_batches(log, registry, batches, raw.files_folder)
        lines = first = 0
        for group in grouped(judged, group_bytes):
            lines += _judge(raw, schema, log, group, first=first, batch_id=batch_id)
            first += len(group)
        report = _compared(raw, schema, lines, is_in_place=asked.is_in_place)
        if asked.is_in_place and report.changed:
            _refuse_to_take_back(report)
            parameters = {"batch_id": batch_id, "now": naive_utc(clock())}
            _put_in_place(raw, schema, registry, key, parameters)
        if asked.is_in_place:
            raw.connection.execute(f"drop schema {schema} cascade")
    _log.info("range.replayed", schema=schema, lines=report.lines, changed=report.changed)
    return report


def drop_replay(schema: str, *, warehouse: Path, work_folder: Path) -> None:
    """Remove a shadow schema; raises RejectedInputError when there is none of this name."""
    with RawWarehouse(warehouse, work_folder) as raw:
        rows = raw.connection.execute(
            "select schema_name from information_schema.schemata "
            "where schema_name like 'replay\\_%' escape '\\' and catalog_name = current_database()"
        ).fetchall()
        known = sorted(name for (name,) in rows)
        if schema not in known:
            there = f"there are {', '.join(known)}" if known else "there is none at all"
            raise RejectedInputError(f"There is no replay {schema!r} to remove; {there}.")
        raw.connection.execute(f"drop schema {schema} cascade")


def _batch_id(raw: RawWarehouse, schema: str, now: datetime) -> str:
    """A name that no batch has yet: what was committed before is part of it."""
    committed = raw.count("select count(*) from raw.event_batches")
    return hashlib.sha256(orjson.dumps(["range", schema, now.isoformat(), committed])).hexdigest()[:32]


def _create_shadow(raw: RawWarehouse, schema: str, batches: list[Batch]) -> None:
    """Empty tables for what ends otherwise, and the places that are read again, each with its batch."""
    connection = raw.connection
    connection.execute(f"drop schema if exists {schema} cascade; create schema {schema}")
    for table in _TABLES:
        connection.execute(f"create table {schema}.changed_{table} as from raw.{table} limit 0")
    rows = [
        {"batch": number, "segment": part.segment, "first": part.first_line, "last": part.last_line}
        for number, batch in enumerate(batches)
        for part in batch.slices
    ]
    kinds = pa.schema([
        ("batch", pa.int64()), ("segment", pa.string()), ("first", pa.int64()), ("last", pa.int64())
    ])  # fmt: skip
    with _views(raw, slices=pa.Table.from_pylist(rows, schema=kinds)):
        connection.execute(_PLACES.format(schema=schema, discarded=_DISCARDED))
    connection.execute(
        "create or replace temp view known_events as "
        "select *, rowid as row_id, false as is_reread from raw.events "
        f"union all select *, rowid, true from {schema}.changed_events"
    )


def _judge(
    raw: RawWarehouse, schema: str, log: EventLog, group: list[ValidatedBatch], *, first: int, batch_id: str
) -> int:
    """Put the lines of a group that end otherwise than they did into the shadow schema; returns how many
    lines were judged. The number of the group's first batch is `first`.
    """
    raw.connection.execute(_REREAD_PLACES.format(schema=schema, first=first))
    accepted = _still_meant(raw, schema, pa.concat_tables(batch.tables.accepted for batch in group))
    refused = _still_meant(raw, schema, pa.concat_tables(batch.tables.quarantined for batch in group))
    accepted = accepted.append_column("position", pa.array(range(accepted.num_rows), pa.int64()))
    found = deduplicate(raw, accepted)
    conflicts = conflict_rows(log, group, found.conflicts)
    segments = [part.segment for batch in group for part in batch.batch.slices]
    views = {"accepted": found.accepted, "duplicates": found.duplicates, "refused": refused, "odd": conflicts}
    with _views(raw, **views):
        for table, source in (
            ("events", "accepted anti join duplicates using (position)"),
            ("events_duplicated", "accepted semi join duplicates using (position)"),
            ("events_quarantined", "(from refused union all by name from odd)"),
        ):
            names = [name for name in _TABLES[table].names if name != "batch_id"]
            same = " and ".join(f"judged.{name} is not distinct from former.{name}" for name in names)
            raw.connection.execute(
                f"insert into {schema}.changed_{table} by name "
                f"select {', '.join(names)}, '{batch_id}' as batch_id from (from {source}) as judged "
                f"anti join (from raw.{table} where segment between $first and $last) as former on {same}",
                {"first": min(segments), "last": max(segments)},
            )
    return int(accepted.num_rows + refused.num_rows)


def _still_meant(raw: RawWarehouse, schema: str, rows: pa.Table) -> pa.Table:
    """The rows without the lines that stay as they are."""
    if not raw.count(f"select count(*) from {schema}.kept"):
        return rows
    with _views(raw, judged=rows):
        found = raw.connection.execute(f"from judged anti join {schema}.kept using (segment, line)")
        return found.to_arrow_table().cast(rows.schema)


def _compared(raw: RawWarehouse, schema: str, judged: int, *, is_in_place: bool) -> RangeReport:
    raw.connection.execute(_CHANGES.format(schema=schema))
    for table in _TABLES:
        raw.connection.execute(
            f"create view {schema}.{table} as from raw.{table} "
            f"semi join {schema}.places using (segment, line) "
            f"anti join {schema}.changes using (segment, line) "
            f"union all by name from {schema}.changed_{table}"
        )
    rows = raw.connection.execute(_COUNTS.format(schema=schema)).fetchall()
    lines = raw.count(f"select count(*) from {schema}.places")
    changes = tuple(Change(*row) for row in rows)
    if judged != lines or any(change.before is None for change in changes):
        raise FatalIngestionError(
            f"A replay does not add up: {lines} lines were read, {judged} judged. Nothing of it counts. "
            "This is a defect: report it."
        )
    return RangeReport(schema, lines, changes, is_in_place)


def _refuse_to_take_back(report: RangeReport) -> None:
    lost = {
        change.event_name: change.lines
        for change in report.changes
        if change.event_name in NEVER_TAKEN_BACK
        and (change.before, change.after) == ("accepted", "quarantined")
    }
    if lost:
        counts = ", ".join(f"{lines} {name}" for name, lines in sorted(lost.items()))
        raise RejectedInputError(
            f"Nothing was changed: {counts} would no longer be accepted, and these decisions are never taken "
            "back by a replay. Mend the contract that refuses them; without --in-place, "
            f"{report.schema}.changes says which they are."
        )


def _put_in_place(
    raw: RawWarehouse, schema: str, registry: Registry, key: IdentifierKey, parameters: dict[str, object]
) -> None:
    """Let exactly the changed lines change their table: all of it, or nothing."""
    connection = raw.connection
    commits = connection.execute(_COMMITS.format(schema=schema), parameters).to_arrow_table()
    replayed = connection.execute(_REPLAYED.format(schema=schema), parameters).to_arrow_table()
    fresh = connection.execute(
        "select *, row_number() over (order by received_at, segment, line) as position "
        f"from {schema}.changed_events"
    ).to_arrow_table()
    none = pa.table({"position": pa.array([], pa.int64())})
    with _views(raw, accepted=fresh, duplicates=none):
        identifiers = new_event_identifiers(raw, registry, key)
    connection.execute("begin")
    try:
        for table in _TABLES:
            connection.execute(
                f"delete from raw.{table} using {schema}.changes as changes "
                f"where {table}.segment = changes.segment and {table}.line = changes.line"
            )
            connection.execute(f"insert into raw.{table} by name from {schema}.changed_{table}")
        _insert(raw, "events_replayed", replayed.cast(EVENTS_REPLAYED))
        _insert(raw, "identifiers", identifiers)
        _insert(raw, "event_batches", commits)
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise


def _insert(raw: RawWarehouse, table: str, rows: pa.Table) -> None:
    with _views(raw, rows=rows):
        raw.connection.execute(f"insert into raw.{table} by name from rows")


@contextmanager
def _views(raw: RawWarehouse, **tables: pa.Table) -> Iterator[None]:
    """Tables as views of the connection, for the statements inside."""
    for name, table in tables.items():
        raw.connection.register(name, table)
    try:
        yield
    finally:
        for name in tables:
            raw.connection.unregister(name)
