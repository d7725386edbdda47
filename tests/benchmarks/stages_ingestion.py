"""Measures ingestion's stages on archives of the generated sample: append, validate, load, all of them.

python -m tests.benchmarks.stages_ingestion ARCHIVE append|validate|validate_narrow|replay|load|ingest

Prints one JSON line per stage; `limit` names the script in limits/ that does the unavoidable part only,
`limit_input` the file to give it. Run each stage in a process of its own: `peak_mib` is the highest resident
memory of this process and, added to it, of its largest child.
"""

import dataclasses
import itertools
import json
import logging
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from ingestion.deduplication import deduplicate
from ingestion.event_log import EventLog
from ingestion.identifiers import IdentifierKey
from ingestion.load import EventLoadReport, load_events
from ingestion.range_replay import RangeReplay, replay_range
from ingestion.registry import load_registry
from ingestion.time_ranges import TimeRange
from ingestion.validation_pool import validated_batches
from ingestion.warehouse import RawWarehouse

KEY = IdentifierKey(b"benchmark")
GROUP = 16
_NARROW_KEYS = (
    "messageId",
    "type",
    "event",
    "userId",
    "anonymousId",
    "properties",
    "timestamp",
    "receivedAt",
)


@dataclass(frozen=True)
class Measure:
    """One stage's result."""

    stage: str
    rows: int
    seconds: float
    peak_mib: float
    limit: str
    limit_input: str


def measure_append(archive: Path, folder: Path) -> list[Measure]:
    """The archive into the event log, each message at its time of receipt, durable."""
    with _timed() as seconds:
        rows = EventLog(folder / "log").import_archive(archive, "web", now=datetime.now(UTC)).count
    return [_measure("append to the event log", rows, seconds, "append_limit.py", archive)]


def measure_validation(archive: Path, folder: Path) -> list[Measure]:
    """Validation, quarantine and deduplication of the whole log, without loading."""
    return [_validate("validate, quarantine, deduplicate", archive, folder)]


def measure_narrow_validation(archive: Path, folder: Path) -> list[Measure]:
    """The same for events of some 340 bytes: product views without the SDK's context."""
    # beside the archive, because the limit reads it when this process has ended
    narrow = archive.with_suffix(".narrow.jsonl")
    rows = sum(1 for _ in archive.open("rb"))
    with narrow.open("wb") as file:
        file.writelines(itertools.islice(_narrow_lines(archive), rows))
    width = narrow.stat().st_size // rows
    return [_validate(f"the same, {width} bytes a line", narrow, folder)]


def _narrow_lines(archive: Path) -> Iterator[bytes]:
    """Product views with only what a sparing sender sends; in later rounds with another messageId."""
    for turn in itertools.count():
        with archive.open("rb") as lines:
            for line in lines:
                if b'"event":"Product Viewed"' not in line:
                    continue
                try:
                    message = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                kept = {name: message[name] for name in _NARROW_KEYS if name in message}
                kept["messageId"] = f"{kept.get('messageId')}{turn or ''}"
                yield orjson.dumps(kept) + b"\n"


def _validate(stage: str, archive: Path, folder: Path) -> Measure:
    log = _log_of(archive, folder)
    rows = 0
    with RawWarehouse(folder / "warehouse.duckdb", folder / "work") as raw, _timed() as seconds:
        waiting: list[pa.Table] = []
        for batch in validated_batches(log, load_registry(), log.unread({}), raw.files_folder):
            rows += batch.batch.lines
            waiting.append(batch.tables.accepted)
            if len(waiting) == GROUP:
                _deduplicate(raw, waiting)
        _deduplicate(raw, waiting)
    return _measure(stage, rows, seconds, "parse_limit.py", archive)


def measure_replay(archive: Path, folder: Path) -> list[Measure]:
    """The whole log, loaded before, read again through the same contracts beside what is loaded."""
    log = _log_of(archive, folder)
    load_log(log, folder)
    everything = TimeRange(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    with _timed() as seconds:
        report = replay_range(
            RangeReplay(everything),
            log=log,
            registry=load_registry(),
            warehouse=folder / "warehouse.duckdb",
            work_folder=folder / "work",
            key=KEY,
            clock=lambda: datetime.now(UTC),
        )
    return [_measure("replay of a range", report.lines, seconds, "parse_limit.py", archive)]


def measure_load(archive: Path, folder: Path) -> list[Measure]:
    """Accepted events, ready as Parquet, into raw.events by dlt."""
    log = _log_of(archive, folder)
    ready = archive.with_suffix(".accepted.parquet")
    with RawWarehouse(folder / "warehouse.duckdb", folder / "work") as raw:
        batches = validated_batches(log, load_registry(), log.unread({}), raw.files_folder)
        first = next(batches).tables.accepted
        with pq.ParquetWriter(ready, first.schema) as writer:
            writer.write_table(first)
            for batch in batches:
                writer.write_table(batch.tables.accepted)
        rows = pq.read_metadata(ready).num_rows
        given = raw.new_file("events")
        shutil.copy(ready, given)
        with _timed() as seconds:
            raw.load({"events": given})
            raw.connection.execute("checkpoint")
    return [_measure("load into raw.events", rows, seconds, "load_limit.py", ready)]


def measure_ingestion(archive: Path, folder: Path) -> list[Measure]:
    """The event log into the warehouse: everything that a run does, identifiers included."""
    log = _log_of(archive, folder)
    with _timed() as seconds:
        report = load_log(log, folder)
    return [_measure("event log to warehouse", report.received, seconds, "parse_limit.py", archive)]


def _log_of(archive: Path, folder: Path) -> EventLog:
    log = EventLog(folder / "log")
    log.import_archive(archive, "web", now=datetime.now(UTC))
    return log


def load_log(log: EventLog, folder: Path) -> EventLoadReport:
    """Load all of a log into a warehouse in the folder."""
    return load_events(
        log=log,
        registry=load_registry(),
        warehouse=folder / "warehouse.duckdb",
        work_folder=folder / "work",
        key=KEY,
        clock=lambda: datetime.now(UTC),
    )


STAGES: dict[str, Callable[[Path, Path], list[Measure]]] = {
    "append": measure_append,
    "validate": measure_validation,
    "validate_narrow": measure_narrow_validation,
    "replay": measure_replay,
    "load": measure_load,
    "ingest": measure_ingestion,
}


def _deduplicate(raw: RawWarehouse, waiting: list[pa.Table]) -> None:
    if waiting:
        accepted = pa.concat_tables(waiting)
        positions = pa.array(range(accepted.num_rows), pa.int64())
        deduplicate(raw, accepted.append_column("position", positions))
        waiting.clear()


def _measure(stage: str, rows: int, seconds: list[float], limit: str, given: Path) -> Measure:
    peak = sum(
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return Measure(stage, rows, seconds[0], peak, limit, str(given))


@contextmanager
def _timed() -> Iterator[list[float]]:
    seconds: list[float] = []
    start = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - start)


def main(archive: Path, stage: str) -> None:
    """Measure one stage in this process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        for measure in STAGES[stage](archive, Path(folder)):
            print(json.dumps(dataclasses.asdict(measure)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
