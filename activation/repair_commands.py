"""`cdp sync …` for when something went wrong: runs, rollback, resync, dead letters, retry, discard."""

import dataclasses
from datetime import timedelta
from typing import Annotated

import typer

from activation import dead_letters, undo
from activation.command_line import (
    ActivationContext,
    Json,
    Reason,
    SyncName,
    carried_out,
    destinations_of,
    engine_of,
    list_now,
    one_line_errors,
    print_json,
    record_decision,
)
from activation.errors import PlanRefusedError
from activation.ledger import Ledger
from activation.listing import Listing
from activation.planner import mask
from activation.resync import AsOf, resync
from activation.rollback import roll_back

Yes = Annotated[bool, typer.Option("--yes", help="Do it; without it, only what would be done is shown.")]
Code = Annotated[
    str | None, typer.Option(help="Only what ended for this reason, as `dead-letters` shows it.")
]
OfRun = Annotated[
    str | None, typer.Option("--run", help="Only what one run did, as `cdp sync runs` lists it.")
]
SHOWN = 20
NOT_DONE = "Nothing was changed: to do it, say --yes."


def register(app: typer.Typer, context: ActivationContext) -> None:
    """Mount the commands."""
    _register_undo(app, context)
    _register_dead_letters(app, context)


def _register_undo(app: typer.Typer, context: ActivationContext) -> None:
    @app.command("runs")
    @one_line_errors
    def runs(name: SyncName, as_json: Json = False) -> None:
        """The runs of a sync, newest first: what each did, and which took back which."""
        context.definitions().sync(name)
        with context.open_ledger() as ledger:
            found = undo.runs_of(ledger, name)
        if as_json:
            print_json([dataclasses.asdict(run) for run in found])
            return
        for run in found:
            of_plan = f"  plan {run.plan_id}" if run.plan_id else ""
            sent = f" sent {run.sends:,}" if run.sends else ""
            undoes = f"  takes back {run.undoes}" if run.undoes else ""
            accepted = f", {run.accepted:,} accepted" if run.accepted else ""
            typer.echo(
                f"{run.planned_at:%Y-%m-%d %H:%M}  {run.sync_run_id}  +{run.adds:,} ~{run.updates:,} "
                f"-{run.removes + run.erases:,}{sent}  {run.delivered:,} delivered{accepted}{of_plan}{undoes}"
            )

    @app.command("rollback")
    @one_line_errors
    def rollback(
        sync_run_id: Annotated[str, typer.Argument(help="A run's id, as `cdp sync runs` lists it.")],
        reason: Reason,
        yes: Yes = False,
        as_json: Json = False,
    ) -> None:
        """Put back what a run did at the destination, and pause the sync so that it is not done again."""
        with context.open_ledger() as ledger:
            sync = context.definitions().sync(undo.sync_of_run(ledger, sync_run_id))
            found = undo.plan_undo(ledger, sync, sync_run_id)
        if not yes:
            for line in _undo_lines(found):
                typer.echo(line)
            raise PlanRefusedError(NOT_DONE)
        undo.check_can_be_undone(found)
        if found.in_part:
            typer.echo(_in_part(found), err=True)
        record_decision(context, "rollback", sync.name, reason, sync_run_id=sync_run_id)
        with (
            context.open_ledger() as ledger,
            context.open_warehouse() as warehouse,
            destinations_of(context) as destinations,
            engine_of(context) as engine,
        ):
            report = roll_back(
                sync,
                sync_run_id,
                warehouse=warehouse,
                ledger=ledger,
                destination=destinations.get(sync.destination),
                engine=engine,
                operator=context.operator,
                reason=reason,
            )
        typer.echo(f"{sync.name} is paused until `cdp sync resume {sync.name} --reason …`.", err=True)
        carried_out(report, as_json=as_json)

    @app.command("resync")
    @one_line_errors
    def resynchronise(name: SyncName, reason: Reason, yes: Yes = False, as_json: Json = False) -> None:
        """Learn anew what the destination holds; the next run brings back what it lost and mends the rest."""
        sync = context.definitions().sync(name)
        if sync.occurrence is not None:
            raise PlanRefusedError(
                f"Sync {name!r} sends messages: what was sent cannot be learnt from a list, and sending it "
                "again is no resync. Nothing was changed."
            )
        is_listable = sync.destination.capabilities.can_list_members
        if not yes:
            how = "lists" if is_listable else "cannot list: every key would be sent again"
            typer.echo(f"{name}: what {sync.destination.name} {how} takes the place of what it acknowledged.")
            raise PlanRefusedError(NOT_DONE)
        record_decision(context, "resync", name, reason)
        with context.open_ledger() as ledger, destinations_of(context) as destinations, Listing() as listed:
            settles = sync.destination.capabilities.read_back_settles if is_listable else timedelta(0)
            as_of = AsOf.now(ledger, context.clock(), settles=settles)
            if is_listable:
                list_now(context, sync, destinations.get(sync.destination), into=listed)
            found = resync(ledger, sync, listed if is_listable else None, as_of)
        if as_json:
            print_json(dataclasses.asdict(found))
            return
        late = f", {found.recent:,} came too late to be in the list and stay" if found.recent else ""
        typer.echo(
            f"{name}: {found.dropped:,} keys are not there any more and come again, "
            f"{found.different:,} differ "
            f"and are updated, {found.unchanged:,} are as they should be{late}. Look at it with "
            f"`cdp sync plan {name}`."
        )


def _register_dead_letters(app: typer.Typer, context: ActivationContext) -> None:
    @app.command("dead-letters")
    @one_line_errors
    def list_dead_letters(
        name: Annotated[str | None, typer.Argument(help="A sync's name; without it, those of all.")] = None,
        run: OfRun = None,
        as_json: Json = False,
    ) -> None:
        """What was rejected, given up or is in doubt, by reason; of one sync also the newest keys, masked."""
        with context.open_ledger() as ledger:
            name = _sync_of(context, ledger, name, run)
            found = dead_letters.dead_letters(ledger, name, sync_run_id=run)
            each = (
                dead_letters.each_dead_letter(ledger, name, limit=SHOWN, sync_run_id=run)
                if name is not None
                else []
            )
        each = [dataclasses.replace(one, destination_key=mask(one.destination_key)) for one in each]
        if as_json:
            print_json(
                {
                    "counts": [dataclasses.asdict(one) for one in found],
                    "newest": [dataclasses.asdict(one) for one in each],
                }
            )
            return
        for group in found:
            typer.echo(
                f"{group.operations:>9,} {group.state:<9} {group.sync_name}: "
                f"{group.reason or 'no reason given'}, "
                f"{group.oldest_at:%Y-%m-%d %H:%M} to {group.newest_at:%Y-%m-%d %H:%M}"
            )
        for one in each:
            typer.echo(
                f"  {one.operation} {one.destination_key} of {one.sync_run_id}: {one.state}, {one.reason}"
            )
        if not found:
            typer.echo("Nothing ended badly.")

    @app.command("retry")
    @one_line_errors
    def retry(name: SyncName, reason: Reason, code: Code = None, run: OfRun = None) -> None:
        """Let the next run send what the destination rejected, with the rows as they are then."""
        with context.open_ledger() as ledger:
            _sync_of(context, ledger, name, run)
            record_decision(context, "retry", name, reason, **_which(code, run))
            count = dead_letters.try_again(
                ledger, name, reason_code=code, sync_run_id=run, now=context.clock()
            )
        typer.echo(f"{name}: {count:,} rejected operations may be planned again.")

    @app.command("discard")
    @one_line_errors
    def discard(
        name: SyncName, reason: Reason, code: Code = None, run: OfRun = None, yes: Yes = False
    ) -> None:
        """Close what is in doubt; the next run sends again who is wanted, and removes who is not."""
        with context.open_ledger() as ledger:
            _sync_of(context, ledger, name, run)
            if not yes:
                standing = dead_letters.dead_letters(ledger, name, sync_run_id=run)
                count = sum(
                    one.operations
                    for one in standing
                    if one.state == "in_doubt" and code in (None, one.reason)
                )
                typer.echo(
                    f"{name}: {count:,} operations in doubt would be closed, and may be done a second time."
                )
                raise PlanRefusedError(NOT_DONE)
            record_decision(context, "discard", name, reason, **_which(code, run))
            count = dead_letters.give_up(ledger, name, reason_code=code, sync_run_id=run, now=context.clock())
        typer.echo(f"{name}: {count:,} operations in doubt are closed.")


def _sync_of(context: ActivationContext, ledger: Ledger, name: str | None, run: str | None) -> str | None:
    """The sync that is meant; a run must be one of it."""
    if name is not None:
        context.definitions().sync(name)
    if run is None:
        return name
    of_run = undo.sync_of_run(ledger, run)
    if name not in (None, of_run):
        raise PlanRefusedError(
            f"Run {run} is one of sync {of_run!r}, not of {name!r}; nothing was changed. Its own runs: "
            f"`cdp sync runs {name}`."
        )
    return of_run


def _which(code: str | None, run: str | None) -> dict[str, str]:
    """What a decision was limited to, for the event log."""
    return {name: value for name, value in (("reason_code", code), ("sync_run_id", run)) if value is not None}


def _undo_lines(found: undo.Undo) -> list[str]:
    lines = [
        f"Run {found.sync_run_id} of {found.sync_name}, planned at {found.planned_at:%Y-%m-%d %H:%M} UTC",
        f"  {found.removes:>9,} it added would be removed",
        f"  {found.updates:>9,} it changed would be put back",
        f"  {found.adds:>9,} it removed would be added again, whom nobody has denied since",
    ]
    if found.in_part:
        lines.append(_in_part(found))
    return lines + [f"  {count:>9,} cannot be undone: {why}" for why, count in found.impossible.items()]


def _in_part(found: undo.Undo) -> str:
    return (
        f"  {found.in_part:>9,} of these only in part: the run sent a field that had been left out before, "
        "and it stays"
    )
