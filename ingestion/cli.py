"""The nouns `contracts`, `events` and `quarantine` of the command line."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import duckdb
import orjson
import typer

from ingestion.errors import RejectedInputError
from ingestion.event_log import EventLog, Record
from ingestion.registry import Registry

_SQL_FOLDER = Path(__file__).parent / "sql"
_COUNTS = (_SQL_FOLDER / "quarantine_counts.sql").read_text(encoding="utf-8")
_LINES = (_SQL_FOLDER / "quarantine_lines.sql").read_text(encoding="utf-8")
_LINE = (_SQL_FOLDER / "quarantine_line.sql").read_text(encoding="utf-8")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Code = Annotated[str | None, typer.Option(help="Only this reason, such as UNKNOWN_EVENT.")]


@dataclass(frozen=True)
class IngestionContext:
    """What the commands are given. Nothing is opened before a command needs it.

    `open_snapshot` yields a read-only connection to the warehouse.
    """

    registry: Callable[[], Registry]
    event_log: Callable[[], EventLog]
    open_snapshot: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]
    clock: Callable[[], datetime]


def commands(context: IngestionContext) -> dict[str, typer.Typer]:
    """Noun -> its commands, to be mounted under `cdp`."""
    return {
        "contracts": _contract_commands(context),
        "events": _event_commands(context),
        "quarantine": _quarantine_commands(context),
    }


def _contract_commands(context: IngestionContext) -> typer.Typer:
    app = typer.Typer(help="What events must look like.", no_args_is_help=True)

    @app.command("check")
    def check(as_json: Json = False) -> None:
        """Read every contract and source; the first that is wrong is named with what to do."""
        registry = context.registry()
        if as_json:
            _print_json({"contracts": len(registry.contracts), "sources": len(registry.sources)})
        else:
            typer.echo(f"{len(registry.contracts)} contracts and {len(registry.sources)} sources are sound.")

    @app.command("list")
    def list_contracts(as_json: Json = False) -> None:
        """Every contract with its version, status, owner, and the calls that it is for."""
        registry = context.registry()
        calls: dict[tuple[str, str], list[str]] = {}
        for (source, call, event), contract in registry.calls.items():
            place = calls.setdefault((contract.name, contract.version), [])
            place.append(f"{source}: {call} {event}" if event else f"{source}: {call}")
        rows = [
            {
                "contract": contract.name,
                "version": contract.version,
                "status": contract.status,
                "owner": contract.owner.team,
                "description": contract.description.strip(),
                "calls": calls.get((contract.name, contract.version), []),
            }
            for contract in registry.contracts
        ]
        if as_json:
            _print_json(rows)
            return
        for row in rows:
            typer.echo(
                f"{row['contract']:<20} {row['version']:<8} {row['status']:<10} {row['owner']:<20} "
                + "; ".join(calls.get((str(row["contract"]), str(row["version"])), ["no source"]))
            )

    return app


def _event_commands(context: IngestionContext) -> typer.Typer:
    app = typer.Typer(help="The event log.", no_args_is_help=True)

    @app.command("append")
    def append(
        file: Annotated[str, typer.Argument(help="A file of JSON lines, or - for standard input.")],
        source: Annotated[str, typer.Option(help="The source that the events come from.")],
        as_json: Json = False,
    ) -> None:
        """Append events as received now; they are validated and loaded by the next run."""
        registry, received_at = context.registry(), context.clock()
        if source not in registry.source_names():
            raise RejectedInputError(
                f"There is no source {source!r}; known are {', '.join(sorted(registry.source_names()))}. "
                "Add it to event_sources.yml or name one of them."
            )
        with _opened(file) as lines:
            result = context.event_log().append(_records(lines, source, received_at))
        if as_json:
            _print_json(vars(result))
        else:
            healed = (
                f" A torn tail of {result.healed_bytes} bytes was removed first."
                if result.healed_bytes
                else ""
            )
            typer.echo(f"{result.count} events are in the event log, {result.bytes} bytes.{healed}")

    return app


def _quarantine_commands(context: IngestionContext) -> typer.Typer:
    app = typer.Typer(help="Events that broke their contract.", no_args_is_help=True)

    @app.command("list")
    def list_quarantine(
        code: Code = None,
        most: Annotated[int, typer.Option("--limit", min=0, help="How many lines to show.")] = 20,
        as_json: Json = False,
    ) -> None:
        """Counts by reason first, then the newest lines; values are never shown."""
        with context.open_snapshot() as connection:
            counts = _rows(connection, _COUNTS, code=code)
            lines = _rows(connection, _LINES, code=code, most=most)
        if as_json:
            _print_json({"total": sum(row["lines"] for row in counts), "counts": counts, "lines": lines})
            return
        typer.echo(f"{sum(row['lines'] for row in counts)} lines are in quarantine.")
        for row in counts:
            typer.echo(
                f"{row['lines']:>10}  {row['code']:<20} {row['event_name']:<20} {row['source_system']}"
            )
        for row in lines:
            typer.echo(
                f"{row['place']}  {row['received_at']}  {row['code']}  {row['event_name']}  {_wrong(row)}"
            )

    @app.command("show")
    def show(
        place: Annotated[str, typer.Argument(help="Where it stands, as `cdp quarantine list` shows it.")],
        raw: Annotated[
            bool, typer.Option("--raw", help="Also the line as it came, with what it tells.")
        ] = False,
        as_json: Json = False,
    ) -> None:
        """One line in quarantine with every reason; its content only with --raw."""
        segment, _, line = place.rpartition(":")
        if not segment or not line.isdigit():
            raise RejectedInputError(f"{place!r} is not a place; copy one from `cdp quarantine list`.")
        with context.open_snapshot() as connection:
            found = _rows(connection, _LINE, segment=segment, line=int(line))
        if not found:
            raise RejectedInputError(
                f"No line in quarantine stands at {place}; see `cdp quarantine list` for those that do."
            )
        row = found[0]
        row["reasons"] = orjson.loads(row["reasons"])
        if not raw:
            del row["raw_line"], row["raw_encoding"]
        if as_json:
            _print_json(row)
            return
        for name, value in row.items():
            if name == "reasons":
                for reason in value:
                    typer.echo(f"{reason['code']:<20} {_wrong(reason)}")
            elif value is not None:
                typer.echo(f"{name:<20} {value}")

    return app


def _wrong(reason: dict[str, Any]) -> str:
    return f"{reason['path'] or 'the line'}: expected {reason['expected']}, found {reason['found']}"


def _opened(file: str) -> AbstractContextManager[BinaryIO]:
    if file == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise RejectedInputError(
            f"{file} cannot be read ({error.strerror}); give a file of JSON lines."
        ) from error


def _records(lines: BinaryIO, source: str, received_at: datetime) -> Iterator[Record]:
    for line in lines:
        yield Record(received_at, source, line.removesuffix(b"\n"))


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, **parameters: object) -> list[dict[str, Any]]:
    found = connection.execute(sql, parameters)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _print_json(value: object) -> None:
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())
