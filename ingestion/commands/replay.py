"""`cdp replay`: a range of the event log, read again through today's contracts."""

from dataclasses import asdict
from typing import Annotated

import typer

from ingestion.commands.context import (
    ByEventTime,
    IngestionContext,
    Json,
    RangeEnd,
    RangeStart,
    print_json,
    time_range,
)
from ingestion.range_replay import Change, RangeReplay, RangeReport

SHOWN = 20


def commands(context: IngestionContext) -> typer.Typer:
    """The command `cdp replay`."""
    app = typer.Typer(
        help="Read a range of the event log again through today's contracts.", invoke_without_command=True
    )

    @app.callback()
    def replay(
        *,
        start: RangeStart = None,
        end: RangeEnd = None,
        by_event_time: ByEventTime = False,
        schema: Annotated[
            str, typer.Option(help="Shadow schema, replay_...; default: named after the range.")
        ] = "",
        in_place: Annotated[
            bool, typer.Option("--in-place", help="The lines that end otherwise take their new place in raw.")
        ] = False,
        yes: Annotated[bool, typer.Option("--yes", help="Do it in place; without, only the shadow.")] = False,
        drop: Annotated[str, typer.Option(help="Remove this shadow schema, and do nothing else.")] = "",
        as_json: Json = False,
    ) -> None:
        """Judge what was received in a range anew, in a schema beside raw; nothing is sent.

        The schema holds the tables of raw for the range, and `changes`: every line that ends otherwise.
        """
        if drop:
            context.drop_replay(drop)
            typer.echo(f"{drop} is removed.")
            return
        report = context.replay_range(
            RangeReplay(time_range(start, end, by_event_time=by_event_time), schema, in_place and yes)
        )
        if as_json:
            print_json({**asdict(report), "changed": report.changed})
            return
        _print(report)
        if report.is_in_place:
            typer.echo("What follows from them is decided by the next `cdp run`.")
            return
        if report.changed:
            typer.echo(
                f"Nothing of raw was changed; {report.schema}.changes says which lines. "
                "--in-place --yes gives them their new place."
            )
        typer.echo(f"`cdp replay --drop {report.schema}` removes the schema.")

    return app


def _print(report: RangeReport) -> None:
    typer.echo(f"{report.lines} lines were read again, {report.changed} of them end otherwise.")
    for change in report.changes[:SHOWN]:
        typer.echo(f"{change.lines:>10}  {change.event_name or '-':<20} {_step(change)}")
    if len(report.changes) > SHOWN:
        typer.echo(f"            and {len(report.changes) - SHOWN} kinds of change more")


def _step(change: Change) -> str:
    before, after = (
        f"{outcome} {code}" if code else outcome
        for outcome, code in ((change.before, change.code_before), (change.after, change.code_after))
    )
    return f"{before}, now {after if after != before else 'with other content'}"
