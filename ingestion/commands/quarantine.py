"""`cdp quarantine`: events that broke their contract."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from ingestion.commands.context import IngestionContext, Json, print_json, query
from ingestion.errors import RejectedInputError
from ingestion.replay import Selection, plan_replay

_SQL_FOLDER = Path(__file__).parents[1] / "sql"
_COUNTS = (_SQL_FOLDER / "quarantine_counts.sql").read_text(encoding="utf-8")
_LINES = (_SQL_FOLDER / "quarantine_lines.sql").read_text(encoding="utf-8")
_LINE = (_SQL_FOLDER / "quarantine_line.sql").read_text(encoding="utf-8")

Code = Annotated[str | None, typer.Option(help="Only this reason, such as UNKNOWN_EVENT.")]


def commands(context: IngestionContext) -> typer.Typer:
    """The verbs of `cdp quarantine`."""
    app = typer.Typer(help="Events that broke their contract.", no_args_is_help=True)

    @app.command("list")
    def list_quarantine(
        code: Code = None,
        most: Annotated[int, typer.Option("--limit", min=0, help="How many lines to show.")] = 20,
        as_json: Json = False,
    ) -> None:
        """Counts by reason first, then the newest lines; values are never shown."""
        with context.open_snapshot() as connection:
            counts = query(connection, _COUNTS, code=code)
            lines = query(connection, _LINES, code=code, most=most)
        if as_json:
            print_json({"total": sum(row["lines"] for row in counts), "counts": counts, "lines": lines})
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
        segment, line = _place(place)
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

    @app.command("replay")
    def replay(
        *,
        code: Code = None,
        event: Annotated[str | None, typer.Option(help="Only this event, by the contract's name.")] = None,
        source: Annotated[str | None, typer.Option(help="Only what this source sent.")] = None,
        place: Annotated[str | None, typer.Option(help="Only the line at this place.")] = None,
        yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only the plan is shown.")] = False,
        as_json: Json = False,
    ) -> None:
        """Read lines in quarantine again through today's contracts; what passes is loaded, nothing is sent.

        Without --yes it says what would happen, by the snapshot of the last run.
        """
        segment, line = _place(place) if place else (None, None)
        selection = Selection(code, event, source, segment, line)
        if yes:
            report = context.replay(selection)
        else:
            with context.open_snapshot() as connection:
                report = plan_replay(connection, context.registry(), selection)
        if as_json:
            print_json(
                {
                    "is_done": yes,
                    "lines": report.lines,
                    "accepted": report.accepted_by_event,
                    "duplicates": report.duplicates,
                    "refused": report.refused_by_code,
                }
            )
            return
        would = "" if yes else "would be "
        typer.echo(f"{report.lines} lines in quarantine are meant.")
        for name, count in report.accepted_by_event.items():
            typer.echo(f"{count:>10}  {would}accepted    {name}")
        if report.duplicates:
            typer.echo(f"{report.duplicates:>10}  duplicates  received again meanwhile")
        for name, count in report.refused_by_code.items():
            typer.echo(f"{count:>10}  still refused  {name}")
        if not yes:
            typer.echo("Nothing was changed; say --yes to do it.")
        elif report.accepted:
            typer.echo("What follows from them is decided by the next `cdp run`.")

    return app


def _place(place: str) -> tuple[str, int]:
    segment, _, line = place.rpartition(":")
    if not segment or not line.isdigit():
        raise RejectedInputError(f"{place!r} is not a place; copy one from `cdp quarantine list`.")
    return segment, int(line)


def _wrong(reason: dict[str, Any]) -> str:
    return f"{reason['path'] or 'the line'}: expected {reason['expected']}, found {reason['found']}"
