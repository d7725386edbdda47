"""The nouns `sync` and `sandbox` of the command line. Results go to stdout, one line of error to stderr."""

import dataclasses
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import duckdb
import orjson
import typer

from activation import gate
from activation.config import Definitions, Sync
from activation.delivery import Engine
from activation.engine import SyncReport, open_destinations, run_sync
from activation.errors import ActivationError
from activation.ledger import Ledger
from activation.planner import Plan, plan_sync
from activation.sandbox.server import serve_in_foreground
from activation.sandbox.store import SandboxStore
from activation.times import Clock

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
SyncName = Annotated[str, typer.Argument(help="A sync's name, as `cdp sync list` shows it.")]
Approve = Annotated[bool, typer.Option("--yes", help="Run although a guard stopped the plan.")]


@dataclass(frozen=True)
class ActivationContext:
    """What the commands are given. Nothing is opened before a command needs it.

    `open_snapshot` yields a read-only connection, `open_warehouse` the only writable one, behind its lock.
    """

    definitions: Callable[[], Definitions]
    open_ledger: Callable[[], AbstractContextManager[Ledger]]
    open_snapshot: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]
    open_warehouse: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]
    resolve_secret: Callable[[str], str]
    clock: Clock
    files_root: Path
    sandbox_path: Path
    operator: str


def commands(context: ActivationContext) -> dict[str, typer.Typer]:
    """Noun -> its commands, to be mounted under `cdp`."""
    return {"sync": _sync_commands(context), "sandbox": _sandbox_commands(context)}


def _sync_commands(context: ActivationContext) -> typer.Typer:
    app = typer.Typer(help="Audiences kept at destinations.", no_args_is_help=True)

    @app.command("list")
    @_one_line_errors
    def list_syncs(as_json: Json = False) -> None:
        """Every sync with its audience, destination, route and pause."""
        with context.open_ledger() as ledger:
            rows = [_sync_row(ledger, sync) for sync in context.definitions().syncs.values()]
        if as_json:
            _print_json(rows)
            return
        for row in rows:
            paused = f"  paused: {row['paused']}" if row["paused"] else ""
            typer.echo(
                f"{row['sync']:<28} {row['audience']} ({row['channel']}) -> "
                f"{row['destination']}/{row['list']}  {row['mode']}, "
                f"route {row['route'] or 'not set yet'}{paused}"
            )

    @app.command("plan")
    @_one_line_errors
    def plan(name: SyncName, as_json: Json = False) -> None:
        """What a run would do now, from the published snapshot; changes nothing."""
        sync = context.definitions().sync(name)
        with context.open_ledger() as ledger, context.open_snapshot() as warehouse:
            found = plan_sync(sync, warehouse=warehouse, ledger=ledger, state="ledger")
        if as_json:
            _print_json(dataclasses.asdict(found))
        else:
            _print_plan(found)

    @app.command("run")
    @_one_line_errors
    def run(name: SyncName, yes: Approve = False, as_json: Json = False) -> None:
        """Plan a sync and carry it out; a plan beyond its guards needs --yes."""
        sync = context.definitions().sync(name)
        with (
            context.open_ledger() as ledger,
            context.open_warehouse() as warehouse,
            open_destinations(
                files_root=context.files_root,
                sandbox_path=context.sandbox_path,
                clock=context.clock,
                resolve_secret=context.resolve_secret,
            ) as destinations,
        ):
            report = run_sync(
                sync,
                warehouse=warehouse,
                ledger=ledger,
                destination=destinations.get(sync.destination),
                engine=Engine(clock=context.clock),
                approve=yes,
            )
        if as_json:
            _print_json(dataclasses.asdict(report))
        else:
            typer.echo(summary_line(report))
        problem = report.guard.message if report.guard else report.error
        if problem:
            typer.echo(problem, err=True)
        if not report.is_complete:
            raise typer.Exit(1)

    @app.command("pause")
    @_one_line_errors
    def pause(
        name: Annotated[str, typer.Argument(help="A sync's name, or * for all.")],
        reason: Annotated[str, typer.Option(help="Why; shown wherever the pause stops something.")],
    ) -> None:
        """Stop a sync at its next claim."""
        _check_name(context.definitions(), name)
        with context.open_ledger() as ledger:
            done = gate.freeze(ledger, name, reason=reason, set_by=context.operator, now=context.clock())
        typer.echo(f"{name} is paused: {reason}." if done else f"{name} was paused already.")

    @app.command("resume")
    @_one_line_errors
    def resume(name: Annotated[str, typer.Argument(help="A sync's name, or * for all.")]) -> None:
        """Let a paused sync claim again."""
        _check_name(context.definitions(), name)
        with context.open_ledger() as ledger:
            done = gate.lift_freeze(ledger, name, now=context.clock())
        typer.echo(f"{name} is resumed." if done else f"{name} was not paused.")

    return app


def _sandbox_commands(context: ActivationContext) -> typer.Typer:
    app = typer.Typer(
        help="The sandbox: a channel on this machine to try syncs against.", no_args_is_help=True
    )

    @app.command("serve")
    @_one_line_errors
    def serve(
        port: Annotated[int, typer.Option(help="Port on loopback.", min=0, max=65535)] = 8765,
    ) -> None:
        """Serve the sandbox in the foreground until interrupted."""
        typer.echo(f"The sandbox listens at http://127.0.0.1:{port}; stop it with Ctrl-C.", err=True)
        serve_in_foreground(context.sandbox_path, clock=context.clock, port=port)

    @app.command("members")
    @_one_line_errors
    def members(
        list_name: Annotated[
            str | None, typer.Argument(help="A list; without it, every list's size.")
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Show what the sandbox holds: raw values, as the channel would have them."""
        store = SandboxStore(context.sandbox_path)
        try:
            counts = store.counts()
            if list_name is not None and list_name not in counts:
                known = ", ".join(counts) or "(none yet)"
                typer.echo(f"The sandbox holds no list {list_name!r}; it holds: {known}.", err=True)
                raise typer.Exit(1)
            found = [] if list_name is None else list(store.members(list_name))
        finally:
            store.close()
        if as_json:
            _print_json(counts if list_name is None else {key: orjson.loads(fields) for key, fields in found})
        elif list_name is None:
            for name, count in counts.items():
                typer.echo(f"{count:>9}  {name}")
        else:
            for key, fields in found:
                typer.echo(f"{key}\t{fields}")

    return app


def summary_line(report: SyncReport) -> str:
    """One line of what a run did; the numbers add up."""
    kept_out = sum(report.held_back.values())
    apart = [
        f"{count} {label}"
        for label, count in (
            ("unchanged", report.unchanged),
            ("kept out of the audience", kept_out),
            ("invalid", sum(report.invalid.values())),
            *((name, count) for name, count in report.blocked.items()),
        )
        if count
    ]
    settled = f" {report.recovered} of former runs settled;" if report.recovered else ""
    if not report.operations:
        return (
            f"{report.sync_name}:{settled} nothing to send ({', '.join(apart) or 'nobody in the audience'})"
        )
    ends = [
        f"{count} {label}"
        for label, count in (
            ("delivered", report.delivered),
            ("rejected", report.rejected),
            ("suppressed", report.suppressed),
            ("deferred", report.deferred),
            ("in doubt", report.in_doubt),
        )
        if count
    ]
    return (
        f"{report.sync_name} -> {report.destination}:{settled} {report.adds} adds, {report.updates} updates, "
        f"{report.removes} removals; {', '.join(ends)} ({', '.join(apart) or 'nobody else'})"
    )


def _print_plan(plan: Plan) -> None:
    typer.echo(f"{plan.sync_name} -> {plan.destination}  plan {plan.plan_hash[:12]}")
    for kind, count in (("add", plan.adds), ("update", plan.updates)):
        typer.echo(f"  {count:>9} to {kind:<8} {'  '.join(plan.samples.get(kind, ()))}".rstrip())
    removals = f"  {plan.removes:>9} to remove   {'  '.join(plan.samples.get('remove', ()))}".rstrip()
    typer.echo(removals + (f"  ({plan.opt_outs} of them opted out)" if plan.opt_outs else ""))
    typer.echo(f"  {plan.unchanged:>9} unchanged")
    for title, reasons in (
        ("invalid", plan.invalid),
        ("not planned", plan.blocked),
        ("kept out of the audience", plan.held_back),
    ):
        for reason, count in reasons.items():
            typer.echo(f"  {count:>9} {title}: {reason}")
    if plan.guard:
        typer.echo(f"  stopped by guard {plan.guard.name}: {plan.guard.message}")


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
        "audience": sync.audience,
        "channel": sync.channel,
        "destination": sync.destination.name,
        "list": sync.target.list_name,
        "mode": sync.mode,
        "route": gate.route_of(ledger, sync.name),
        "paused": paused[0] if paused else None,
    }


def _check_name(definitions: Definitions, name: str) -> None:
    if name != gate.EVERYTHING:
        definitions.sync(name)


def _print_json(document: object) -> None:
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def _one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn what activation raises on purpose into one line on stderr and exit code 1."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ActivationError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error

    return wrapped
