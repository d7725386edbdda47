"""`cdp quarantine`: events that broke their contract."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from ingestion.commands import quarantine_decisions
from ingestion.commands.context import IngestionContext, Json, print_json, query
from ingestion.commands.quarantine_decisions import Code, place_of
from ingestion.errors import RejectedInputError
from ingestion.replay import WITH_DISCARDED

_SQL_FOLDER = Path(__file__).parents[1] / "sql"
_COUNTS = WITH_DISCARDED + (_SQL_FOLDER / "quarantine_counts.sql").read_text(encoding="utf-8")
_LINES = WITH_DISCARDED + (_SQL_FOLDER / "quarantine_lines.sql").read_text(encoding="utf-8")
_LINE = (_SQL_FOLDER / "quarantine_line.sql").read_text(encoding="utf-8")


def commands(context: IngestionContext) -> typer.Typer:
    """The verbs of `cdp quarantine`."""
    app = typer.Typer(help="Events that broke their contract.", no_args_is_help=True)

    @app.command("list")
    def list_quarantine(
        *,
        code: Code = None,
        most: Annotated[int, typer.Option("--limit", min=0, help="How many lines to show.")] = 20,
        discarded: Annotated[bool, typer.Option("--discarded", help="Those that were discarded.")] = False,
        as_json: Json = False,
    ) -> None:
        """Counts by reason first, then the newest lines; values are never shown."""
        with context.open_snapshot() as connection:
            counts = query(connection, _COUNTS, code=code, is_discarded=discarded)
            lines = query(connection, _LINES, code=code, is_discarded=discarded, most=most)
            others = query(connection, _COUNTS, code=code, is_discarded=not discarded)
        rest = sum(row["lines"] for row in others)
        if as_json:
            total = sum(row["lines"] for row in counts)
            name = "open" if discarded else "discarded"
            print_json({"total": total, name: rest, "counts": counts, "lines": lines})
            return
        which = "were discarded" if discarded else "are in quarantine"
        also = f" {rest} more {'are open' if discarded else 'were discarded'}." if rest else ""
        typer.echo(f"{sum(row['lines'] for row in counts)} lines {which}.{also}")
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
        segment, line = place_of(place)
        with context.open_snapshot() as connection:
            found = query(connection, _LINE, segment=segment, line=line)
        if not found:
            raise RejectedInputError(
                f"No line in quarantine stands at {place}; see `cdp quarantine list` for those that do."
            )
        row = found[0]
        row["reasons"] = orjson.loads(row["reasons"])
        if not raw:
            del row["raw_line"], row["raw_encoding"]
        if as_json:
            print_json(row)
            return
        for name, value in row.items():
            if name == "reasons":
                for reason in value:
                    typer.echo(f"{reason['code']:<20} {_wrong(reason)}")
            elif value is not None:
                typer.echo(f"{name:<20} {value}")

    quarantine_decisions.add_to(app, context)
    return app


def _wrong(reason: dict[str, Any]) -> str:
    return f"{reason['path'] or 'the line'}: expected {reason['expected']}, found {reason['found']}"
