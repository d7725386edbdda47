"""`cdp sync …`: look at syncs and plans, approve, carry out, pause."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import duckdb
import typer

from activation import gate, plans, repair_commands
from activation.command_line import (
    ActivationContext,
    Json,
    Reason,
    SyncName,
    ask,
    carried_out,
    destinations_of,
    engine_of,
    list_now,
    one_line_errors,
    print_json,
    record_decision,
)
from activation.config import Definitions, Sync
from activation.destinations import Destinations
from activation.engine import run_sync
from activation.errors import PlanRefusedError
from activation.exposures import FILE as EXPOSURES_FILE
from activation.exposures import exposures_text
from activation.ledger import Ledger
from activation.listing import Listing
from activation.plan_text import diff_lines, plan_lines, stored_lines
from activation.planner import Plan, plan_sync, planned_samples
from activation.sync_file import SyncFile

PlanId = Annotated[
    str, typer.Argument(help="A plan's id, or the beginning of it, as `cdp sync plans` lists it.")
]


def sync_commands(context: ActivationContext) -> typer.Typer:
    """The commands of the noun `sync`."""
    app = typer.Typer(help="Audiences and profiles kept at destinations.", no_args_is_help=True)
    _register_looks(app, context)
    _register_plans(app, context)
    _register_runs(app, context)
    repair_commands.register(app, context)
    return app


def _register_looks(app: typer.Typer, context: ActivationContext) -> None:
    @app.command("list")
    @one_line_errors
    def list_syncs(as_json: Json = False) -> None:
        """Every sync with its source, destination, route, pause and the plan that waits for approval."""
        with context.open_ledger() as ledger:
            rows = [_sync_row(ledger, sync) for sync in context.definitions().syncs.values()]
        if as_json:
            print_json(rows)
            return
        for row in rows:
            paused = f"  paused: {row['paused']}" if row["paused"] else ""
            waits = f"  waits for approval: {row['waits_for_approval']}" if row["waits_for_approval"] else ""
            typer.echo(
                f"{row['sync']:<28} {row['source']} -> "
                f"{row['destination']}/{row['list']}  {row['mode']}, "
                f"route {row['route'] or 'not set yet'}, {row['trigger']}{paused}{waits}"
            )

    @app.command("schema")
    def schema() -> None:
        """The JSON Schema of a file of activation/syncs, for editors that check YAML."""
        print_json(SyncFile.model_json_schema())

    @app.command("exposures")
    @one_line_errors
    def exposures(
        write: Annotated[bool, typer.Option("--write", help="Write them into the dbt project.")] = False,
    ) -> None:
        """Every sync as an exposure of the dbt project, which ends the lineage of the models it reads."""
        text = exposures_text(context.definitions())
        if not write:
            typer.echo(text, nl=False)
            return
        file = context.dbt_project / EXPOSURES_FILE
        file.write_text(text, encoding="utf-8")
        typer.echo(f"{file} is written.")

    @app.command("plan")
    @one_line_errors
    def plan(
        name: SyncName,
        diff: Annotated[
            bool, typer.Option("--diff", help="Show what would change for a few keys, values masked.")
        ] = False,
        as_json: Json = False,
    ) -> None:
        """What a run would do now, by the published snapshot; kept, to be approved and applied."""
        sync = context.definitions().sync(name)
        with (
            context.open_ledger() as ledger,
            context.open_snapshot() as warehouse,
            destinations_of(context) as all_of,
        ):
            found = _plan(context, sync, ledger, warehouse, all_of)
            shown = _diff(sync, found, warehouse, all_of) if diff else []
            stored = _store(context, sync, found, ledger, warehouse)
        if as_json:
            print_json(
                {**dataclasses.asdict(found), "plan_id": stored.plan_id if stored else None, "diff": shown}
            )
            return
        for line in (*plan_lines(dataclasses.asdict(found)), *shown):
            typer.echo(line)
        for line in stored_lines(stored) if stored else ():
            typer.echo(line)

    @app.command("plans")
    @one_line_errors
    def list_plans(
        name: Annotated[
            str | None, typer.Argument(help="A sync's name; without it, the plans of all.")
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Every plan that was kept, newest first, and what became of it."""
        if name is not None:
            context.definitions().sync(name)
        with context.open_ledger() as ledger:
            kept = plans.stored_plans(ledger, name)
        if as_json:
            print_json([dataclasses.asdict(each) for each in kept])
            return
        for each in kept:
            guards = f"  stopped by {', '.join(sorted(each.guard_names))}" if each.guard_names else ""
            typer.echo(
                f"{each.planned_at:%Y-%m-%d %H:%M}  {each.plan_id}  {each.state}  "
                f"{each.operations:,} operations{guards}"
            )

    @app.command("show")
    @one_line_errors
    def show(plan_id: PlanId, as_json: Json = False) -> None:
        """A plan that was kept, and how it stands."""
        with context.open_ledger() as ledger:
            stored = plans.read_plan(ledger, plan_id)
        if as_json:
            print_json(dataclasses.asdict(stored))
            return
        for line in (*plan_lines(stored.content), *stored_lines(stored)):
            typer.echo(line)


def _register_plans(app: typer.Typer, context: ActivationContext) -> None:
    @app.command("approve")
    @one_line_errors
    def approve(plan_id: PlanId, reason: Reason) -> None:
        """Let a plan be carried out although a guard stopped it, by the next run or by `cdp sync apply`."""
        with context.open_ledger() as ledger:
            stored = plans.read_plan(ledger, plan_id)
            plans.check_can_be_approved(stored)
            record_decision(context, "approve", stored.sync_name, reason, plan_id=stored.plan_id)
            stored = plans.approve_plan(
                ledger, stored.plan_id, approved_by=context.operator, reason=reason, now=context.clock()
            )
        hours = context.definitions().sync(stored.sync_name).approval.valid_hours
        typer.echo(
            f"Plan {stored.plan_id} is approved for {hours:g} hours. The next run carries it out, or now: "
            f"cdp sync apply {stored.plan_id} --yes"
        )

    @app.command("reject")
    @one_line_errors
    def reject(plan_id: PlanId, reason: Reason) -> None:
        """Put a plan away, approved or not; the next run plans anew."""
        with context.open_ledger() as ledger:
            stored = plans.read_plan(ledger, plan_id)
            record_decision(context, "reject", stored.sync_name, reason, plan_id=stored.plan_id)
            plans.reject_plan(ledger, context.plans_folder, stored.plan_id, reason=reason)
        typer.echo(f"Plan {stored.plan_id} is put away.")

    @app.command("apply")
    @one_line_errors
    def apply(
        plan_id: PlanId,
        yes: Annotated[bool, typer.Option("--yes", help="Do it; without it the plan is only shown.")] = False,
        as_json: Json = False,
    ) -> None:
        """Carry out a kept plan, if data, definitions, route and guards are still as they were."""
        with context.open_ledger() as ledger:
            stored = plans.read_plan(ledger, plan_id)
        if not yes:
            for line in (*plan_lines(stored.content), *stored_lines(stored)):
                typer.echo(line)
            raise PlanRefusedError("Nothing was sent: to carry this out, say --yes.")
        _carry_out(
            context, context.definitions().sync(stored.sync_name), as_json=as_json, plan_id=stored.plan_id
        )


def _register_runs(app: typer.Typer, context: ActivationContext) -> None:
    @app.command("run")
    @one_line_errors
    def run(name: SyncName, as_json: Json = False) -> None:
        """Plan a sync and carry it out within its guards; beyond them the plan is kept for approval."""
        _carry_out(context, context.definitions().sync(name), as_json=as_json)

    @app.command("pause")
    @one_line_errors
    def pause(
        name: Annotated[str, typer.Argument(help="A sync's name, or * for all.")],
        reason: Annotated[str, typer.Option(help="Why; shown wherever the pause stops something.")],
    ) -> None:
        """Stop a sync at its next claim."""
        _check_name(context.definitions(), name)
        record_decision(context, "pause", name, reason)
        with context.open_ledger() as ledger:
            done = gate.freeze(ledger, name, reason=reason, set_by=context.operator, now=context.clock())
        typer.echo(f"{name} is paused: {reason}." if done else f"{name} was paused already.")

    @app.command("resume")
    @one_line_errors
    def resume(
        name: Annotated[str, typer.Argument(help="A sync's name, or * for all.")],
        reason: Annotated[str, typer.Option(help="Why it may go on.")],
    ) -> None:
        """Let a paused sync claim again."""
        _check_name(context.definitions(), name)
        record_decision(context, "resume", name, reason)
        with context.open_ledger() as ledger:
            done = gate.lift_freeze(ledger, name, now=context.clock())
        typer.echo(f"{name} is resumed." if done else f"{name} was not paused.")


def _carry_out(context: ActivationContext, sync: Sync, *, as_json: bool, plan_id: str | None = None) -> None:
    with (
        context.open_ledger() as ledger,
        context.open_warehouse() as warehouse,
        destinations_of(context) as destinations,
        engine_of(context) as engine,
    ):
        report = run_sync(
            sync,
            warehouse=warehouse,
            ledger=ledger,
            destination=destinations.get(sync.destination),
            engine=engine,
            desk=context.desk,
            source=context.source_state(warehouse),
            plan_id=plan_id,
        )
    carried_out(report, as_json=as_json)


def _plan(
    context: ActivationContext,
    sync: Sync,
    ledger: Ledger,
    warehouse: duckdb.DuckDBPyConnection,
    destinations: Destinations,
) -> Plan:
    with Listing() as listed:
        if sync.mode.takes_all:
            list_now(context, sync, destinations.get(sync.destination), into=listed)
        return plan_sync(
            sync,
            warehouse=warehouse,
            ledger=ledger,
            state="ledger",
            source=context.source_state(warehouse),
            listed=listed,
        )


def _diff(
    sync: Sync, plan: Plan, warehouse: duckdb.DuckDBPyConnection, destinations: Destinations
) -> list[str]:
    rows = planned_samples(warehouse)
    held: Mapping[str, str] = {}
    if sync.destination.capabilities.can_read_back and rows:
        adapter = destinations.get(sync.destination).adapter
        held = ask(adapter, lambda opened: opened.read(sync.target, [key for _, key, _ in rows]))
    return list(diff_lines(plan, iter(rows), held))


def _store(
    context: ActivationContext, sync: Sync, plan: Plan, ledger: Ledger, warehouse: duckdb.DuckDBPyConnection
) -> plans.StoredPlan | None:
    if not plan.operations or plan.is_impossible:
        return None
    return plans.store_plan(
        ledger,
        context.plans_folder,
        sync,
        plan,
        warehouse,
        planned_by=context.operator,
        now=context.clock(),
    )


def _sync_row(ledger: Ledger, sync: Sync) -> dict[str, Any]:
    paused = [
        freeze.reason
        for freeze in gate.standing_freezes(ledger)
        if freeze.sync_name in (sync.name, gate.EVERYTHING)
    ]
    return {
        "sync": sync.name,
        "description": sync.description,
        "owner": sync.owner.team,
        "source": str(sync.source),
        "destination": sync.destination.name,
        "list": sync.target.list_name,
        "mode": sync.mode.name,
        "trigger": str(sync.trigger),
        "after": list(sync.after),
        "route": gate.route_of(ledger, sync.name),
        "paused": paused[0] if paused else None,
        "waits_for_approval": next(
            (
                plan.plan_id
                for plan in plans.stored_plans(ledger, sync.name)
                if plan.state == plans.OPEN and plan.guard_names
            ),
            None,
        ),
    }


def _check_name(definitions: Definitions, name: str) -> None:
    if name != gate.EVERYTHING:
        definitions.sync(name)
