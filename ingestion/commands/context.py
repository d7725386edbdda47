"""What the commands of ingestion are given, and how all of them print."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import duckdb
import orjson
import typer

from ingestion.event_log import EventLog
from ingestion.registry import Registry
from ingestion.replay import ReplayReport, Selection
from ingestion.sealing import SealReport

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@dataclass(frozen=True)
class IngestionContext:
    """What the commands are given. Nothing is opened before a command needs it.

    `open_snapshot` yields a read-only connection to the warehouse; `replay` runs under its lock. `seal`
    closes what is over in the event log. `clock`
    gives the time in which facts live, which for the sample is its own; `now` the real time, for keys.
    `resolve_secret` gives a secret by its name.
    """

    registry: Callable[[], Registry]
    event_log: Callable[[], EventLog]
    open_snapshot: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]
    clock: Callable[[], datetime]
    replay: Callable[[Selection], ReplayReport]
    seal: Callable[[], SealReport]
    now: Callable[[], datetime]
    keys_file: Path
    operator: str
    resolve_secret: Callable[[str], str]


def query(connection: duckdb.DuckDBPyConnection, sql: str, **parameters: object) -> list[dict[str, Any]]:
    """The rows of a statement, each by the names of its columns."""
    found = connection.execute(sql, parameters)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())
