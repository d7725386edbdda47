"""`cdp quarantine replay` and `discard`: what becomes of lines in quarantine; both show their plan first."""

from typing import Annotated

import typer

from ingestion.commands.context import IngestionContext, Json, print_json
from ingestion.discard import discard_records, plan_discard
from ingestion.errors import RejectedInputError
from ingestion.replay import Selection, plan_replay

Code = Annotated[str | None, typer.Option(help="Only this reason, such as UNKNOWN_EVENT.")]
Event = Annotated[str | None, typer.Option(help="Only this event, by the contract's name.")]
Source = Annotated[str | None, typer.Option(help="Only what this source sent.")]
Place = Annotated[str | None, typer.Option(help="Only the line at this place.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, only the plan is shown.")]


def add_to(app: typer.Typer, context: IngestionContext) -> None:
    """Add both verbs to `cdp quarantine`."""

    @app.command("replay")
    def replay(
        *,
        code: Code = None,
        event: Event = None,
        source: Source = None,
        place: Place = None,
        yes: Yes = False,
        as_json: Json = False,
    ) -> None:
        """Read lines in quarantine again through today's contracts; what passes is loaded, nothing is sent.

        Without --yes it says what would happen, by the snapshot of the last run.
        """
        segment, line = place_of(place) if place else (None, None)
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

    @app.command("discard")
    def discard(
        *,
        reason: Annotated[str, typer.Option(help="Why these lines will never be facts.")],
        code: Code = None,
        event: Event = None,
        source: Source = None,
        place: Place = None,
        yes: Yes = False,
        as_json: Json = False,
    ) -> None:
        """Decide that lines in quarantine will never be facts. Nothing is removed; the decision is an event.

        Without --yes it says which lines are meant, by the snapshot of the last run.
        """
        segment, line = place_of(place) if place else (None, None)
        with context.open_snapshot() as connection:
            plan = plan_discard(connection, Selection(code, event, source, segment, line))
        at = context.clock()
        records = list(discard_records(plan, reason=reason, decided_by=context.operator, at=at))
        if yes and records:
            context.event_log().append(records)
        if as_json:
            print_json({"is_done": yes, "lines": len(plan.places), "by_code": plan.by_code})
            return
        typer.echo(f"{len(plan.places)} lines in quarantine are meant.")
        for name, count in plan.by_code.items():
            typer.echo(f"{count:>10}  {'discarded' if yes else 'would be discarded'}  {name}")
        if not yes:
            typer.echo("Nothing was changed; say --yes to do it.")
        elif records:
            typer.echo("The decision is in the event log; it counts from the next `cdp run`.")


def place_of(place: str) -> tuple[str, int]:
    """Segment and line of a place as `cdp quarantine list` shows it."""
    segment, _, line = place.rpartition(":")
    if not segment or not line.isdigit():
        raise RejectedInputError(f"{place!r} is not a place; copy one from `cdp quarantine list`.")
    return segment, int(line)
