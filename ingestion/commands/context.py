"""What the commands of ingestion are given, and how all of them print."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import duckdb
import orjson
import typer

from ingestion.errors import RejectedInputError
from ingestion.event_log import EventLog
from ingestion.field_readers import FindReaders
from ingestion.range_replay import RangeReplay, RangeReport
from ingestion.registry import Registry
from ingestion.replay import ReplayReport, Selection
from ingestion.sealing import SealReport
from ingestion.time_ranges import Axis, TimeRange

_MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
RangeStart = Annotated[
    datetime | None, typer.Option("--from", help="First moment of receipt, UTC.", formats=_MOMENTS)
]
RangeEnd = Annotated[
    datetime | None, typer.Option("--to", help="Moment of receipt to stop before, UTC.", formats=_MOMENTS)
]
ByEventTime = Annotated[
    bool, typer.Option("--by-event-time", help="The range is of when events happened, not of receipt.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@dataclass(frozen=True)
class IngestionContext:
    """What the commands are given. Nothing is opened before a command needs it.

    `open_snapshot` yields a read-only connection to the warehouse; what replays runs under its lock, and for
    a range publishes a new snapshot. `seal` closes what is over in the event log. `clock` gives the time in
    which facts live, which for the sample is its own; `now` the real time, for keys. `resolve_secret` gives
    a secret by its name; `find_readers` says what in the project reads a field.
    What is remembered of streams stands in `streams_folder`.
    """

    registry: Callable[[], Registry]
    event_log: Callable[[], EventLog]
    open_snapshot: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]
    clock: Callable[[], datetime]
    replay: Callable[[Selection], ReplayReport]
    replay_range: Callable[[RangeReplay], RangeReport]
    drop_replay: Callable[[str], None]
    seal: Callable[[], SealReport]
    now: Callable[[], datetime]
    keys_file: Path
    pages_folder: Path
    streams_file: Path
    streams_folder: Path
    operator: str
    resolve_secret: Callable[[str], str]
    find_readers: FindReaders


def time_range(start: datetime | None, end: datetime | None, *, by_event_time: bool) -> TimeRange:
    """The range that a person asked for; the terminal's times are UTC."""
    if start is None or end is None:
        raise RejectedInputError(
            "A range has two ends; give --from and --to, such as --from 2026-11-01 --to 2026-11-08."
        )
    axis: Axis = "happened" if by_event_time else "received"
    return TimeRange(start.replace(tzinfo=UTC), end.replace(tzinfo=UTC), axis)


def query(connection: duckdb.DuckDBPyConnection, sql: str, **parameters: object) -> list[dict[str, Any]]:
    """The rows of a statement, each by the names of its columns."""
    found = connection.execute(sql, parameters)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())
