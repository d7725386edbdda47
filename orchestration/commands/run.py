"""`cdp run`, `cdp status` and `cdp ui`: one tick, what it left, and where to see it."""

import signal
import subprocess
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from orchestration.context import Context, context_of, echo_json
from orchestration.deployment import parse_moment
from orchestration.errors import RunFailedError, SnapshotMissingError
from orchestration.report import counts, events_line, print_summary
from orchestration.settings import utc_now
from orchestration.summary import Summary, collect_summary

WIDTH_IN_A_LOG = 200

# Dagster takes seconds to import, so these commands import what needs it when they run.


def register(app: typer.Typer) -> None:
    """Mount these commands."""
    app.command("run")(run)
    app.command("status")(status)
    app.command("ui")(ui)


def run(
    ctx: typer.Context,
    as_of: Annotated[
        str | None,
        typer.Option(help="Moment to decide for, ISO 8601 UTC. Default: now, or the sample's own time."),
    ] = None,
) -> None:
    """Run everything once: facts in, decisions, deliveries, and a summary that adds up."""
    from orchestration.instance import fail_dead_runs, open_instance  # noqa: PLC0415
    from orchestration.progress import Progress, private_console  # noqa: PLC0415
    from orchestration.run import execute_tick  # noqa: PLC0415

    context = context_of(ctx)
    moment = parse_moment(as_of) if as_of else None
    context.settings.create_folders()
    started_at = utc_now()
    with private_console() as console, open_instance(context.settings) as instance:
        progress = Progress(console)
        fail_dead_runs(instance)
        if (holder := context.lock_holder()) is not None:
            console.print(f"Waiting for the warehouse: {holder} has it.", style="yellow", soft_wrap=True)
        try:
            result = execute_tick(
                instance,
                as_of=moment,
                output_path=context.settings.dagster_home / "run_output.log",
                on_step=progress.show,
            )
        finally:
            progress.close()
    summary = _summary_of(context, started_at)
    if summary is not None:
        print_summary(
            Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDTH_IN_A_LOG),
            summary,
            as_of=context.deployment.as_of(moment),
            home=context.settings.home,
            run_id=result.run_id,
        )
    if not result.success:
        raise RunFailedError(
            f"{result.error or 'The run failed.'} (run {result.run_id[:8]}; details: `cdp ui`, or "
            f"{context.settings.dagster_home / 'run_output.log'})"
        )


def _summary_of(context: Context, started_at: Any) -> Summary | None:
    """The numbers after this run; None when it published no snapshot."""
    path = context.settings.snapshot_path
    if not path.exists() or path.stat().st_mtime < started_at.timestamp():
        return None
    with context.snapshot() as connection:
        return collect_summary(connection, since=started_at)


def status(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show events, people, audiences, syncs, the last run, freshness, and who holds the warehouse."""
    from orchestration.instance import last_run, open_instance  # noqa: PLC0415

    context = context_of(ctx)
    holder = context.lock_holder()
    with open_instance(context.settings) as instance:
        last = last_run(instance)
    try:
        with context.snapshot() as connection:
            summary = collect_summary(connection)
    except SnapshotMissingError:
        summary = None
    if as_json:
        echo_json(
            {
                "home": context.settings.home,
                "is_sample": context.deployment.is_sample,
                "as_of": context.deployment.as_of(),
                "lock_holder": asdict(holder) if holder else None,
                "last_run": asdict(last) if last else None,
                **(_document(summary) if summary else {"events": None}),
            }
        )
        return
    typer.echo(
        f"home       {context.settings.home}{'  (sample company)' if context.deployment.is_sample else ''}"
    )
    typer.echo(f"warehouse  {f'in use by {holder}' if holder else 'free'}")
    typer.echo(
        f"last run   {last.run_id[:8]} {last.status}, started {last.started_at}"
        if last
        else "last run   none"
    )
    if summary is None:
        typer.echo("snapshot   none yet; start a run with `cdp run`")
    else:
        _print_status(summary)


def _document(summary: Summary) -> dict[str, Any]:
    """Keys that scripts rely on: events.received, events.accepted, events.duplicates, events.quarantined."""
    document = asdict(summary)
    document.pop("new_events")
    return document


def _print_status(summary: Summary) -> None:
    typer.echo(f"events     {events_line(summary.events)}")
    typer.echo(f"           quarantined: {counts(summary.events.quarantined_by_code) or 'none'}")
    typer.echo(f"people     {summary.people.people:,} from {summary.people.identifiers:,} identifiers")
    for audience in summary.audiences:
        typer.echo(
            f"audience   {audience.audience} at {audience.channel}: {audience.members:,} of "
            f"{audience.eligible:,} eligible; kept out: {counts(audience.excluded_by_reason) or 'none'}"
        )
    for sync in summary.syncs:
        did = f"+{sync.adds} ~{sync.updates} -{sync.removes + sync.erases}"
        if sync.sends:
            did = f"{sync.sends} messages"
        typer.echo(
            f"sync       {sync.sync} to {sync.destination}: {sync.acknowledged:,} acknowledged; last run "
            f"{sync.planned_at}: {did}, rejected {sync.rejected}, "
            f"suppressed {sync.suppressed}, waiting {sync.deferred}, accepted {sync.accepted}, "
            f"in doubt {sync.in_doubt}"
        )
    for name, value in summary.freshness.items():
        typer.echo(f"freshness  {name}: {value or 'never'}")


def ui(
    ctx: typer.Context,
    port: Annotated[int | None, typer.Option(help="Port on 127.0.0.1. Default: CDP_UI_PORT, 3000.")] = None,
) -> None:
    """Serve the Dagster UI on this machine, with the runs already there, until interrupted."""
    from orchestration.dbt import prepare_manifest  # noqa: PLC0415
    from orchestration.instance import fail_dead_runs, open_instance  # noqa: PLC0415

    context = context_of(ctx)
    settings = context.settings
    settings.create_folders()
    prepare_manifest(settings, as_of=context.deployment.as_of())
    with open_instance(settings) as instance:
        fail_dead_runs(instance)
    chosen = port or settings.ui_port
    context.console.print(f"http://127.0.0.1:{chosen}  (stop with Ctrl-C)", highlight=False)
    workspace = str(settings.dagster_home / "workspace.yaml")
    commands = [
        [
            "dagster-webserver", "--host", "127.0.0.1", "--port", str(chosen), "--workspace", workspace,
            "--dagster-log-level", "warning", "--code-server-log-level", "error",
        ],
        [
            "dagster-daemon", "run", "--workspace", workspace,
            "--log-level", "warning", "--code-server-log-level", "error",
        ],
    ]  # fmt: skip
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    processes = [
        subprocess.Popen(
            [str(settings.executables_dir / command[0]), *command[1:]],
            env=settings.full_environment(),
            cwd=settings.project_root,
        )
        for command in commands
    ]
    try:
        _wait_for_first(processes, commands)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _wait_for_first(processes: list["subprocess.Popen[bytes]"], commands: list[list[str]]) -> None:
    """The webserver and the daemon live and die together; the first to end is an error."""
    while True:
        for process, command in zip(processes, commands, strict=True):
            try:
                code = process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                continue
            raise RunFailedError(
                f"{command[0]} ended with exit code {code}; is its port in use? Choose another with --port, "
                "and see its message above."
            )
