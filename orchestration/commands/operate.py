"""Commands that look after the deployment: doctor, owners, dbt."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from orchestration.context import context_of, echo_json
from orchestration.dbt import dbt_arguments, opens_warehouse, prepare_manifest, run_dbt
from orchestration.doctor import run_checks
from orchestration.errors import DeploymentError
from orchestration.model_inputs import forget_inputs
from orchestration.owners import owned_definitions


def register(app: typer.Typer) -> None:
    """Mount these commands."""
    app.command("doctor")(doctor)
    app.command("owners")(owners)
    app.command(
        "dbt",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    )(dbt)


def owners(
    ctx: typer.Context,
    missing: Annotated[bool, typer.Option("--missing", help="Only what has no owner.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Who answers for each contract, model, audience and sync; exit code 1 when nobody does for one."""
    context = context_of(ctx)
    manifest = prepare_manifest(context.settings, as_of=context.deployment.as_of())
    found = owned_definitions(json.loads(manifest.read_text(encoding="utf-8")), context.settings.project_root)
    without = [each for each in found if not each.owner]
    shown = without if missing else found
    if as_json:
        echo_json([asdict(each) for each in shown])
    else:
        for each in shown:
            typer.echo(f"{each.kind:<9} {each.name:<40} {each.owner or 'NOBODY'}")
        typer.echo(f"{len(found)} definitions, {len(without)} without an owner.")
    if without:
        raise DeploymentError(
            f"Nobody answers for {', '.join(f'{each.kind} {each.name}' for each in without)}. Give a model's "
            "folder a group in dbt_project.yml (the groups are in models/_groups.yml), and everything else "
            "an owner in its file."
        )


def doctor(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Check versions, folders, locks, stores and configuration; say how to mend what is wrong."""
    context = context_of(ctx)
    checks = run_checks(context)
    failed = [check for check in checks if not check.ok]
    if as_json:
        echo_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            mark = "ok  " if check.ok else "FAIL"
            typer.echo(f"{mark}  {check.name:24} {check.found}")
            if check.mend:
                typer.echo(f"      {'':24} mend: {check.mend}")
    if failed:
        context.console.print(
            escape(f"{len(failed)} of {len(checks)} checks failed: {', '.join(c.name for c in failed)}."),
            style="red",
        )
        raise typer.Exit(1)


def dbt(ctx: typer.Context) -> None:
    """Run dbt on this deployment: its profile, folders and as_of, under the warehouse lock.

    Everything after `cdp dbt` is handed on, e.g. `cdp dbt build --select marts.audiences`.
    """
    context = context_of(ctx)
    context.settings.create_folders()
    arguments = dbt_arguments(ctx.args or ["--help"], as_of=context.deployment.as_of())
    if opens_warehouse(arguments):
        with context.locked(f"cdp dbt {' '.join(ctx.args[:2])}"):
            # What a person builds by hand is not what a run would build, so the next run builds everything.
            with context.warehouse.connect() as connection:
                forget_inputs(connection)
            code = run_dbt(context.settings, arguments)
    else:
        code = run_dbt(context.settings, arguments)
    raise typer.Exit(code)
