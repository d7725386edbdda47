"""Commands that only look: sql, audience. They read the published snapshot and need no lock."""

import csv
import io
import sys
from typing import Annotated, Any

import duckdb
import typer
from rich.console import Console
from rich.table import Table

from orchestration.commands.explain import section
from orchestration.context import context_of, echo_json
from orchestration.errors import FatalOrchestrationError, QueryRefusedError
from orchestration.sql_files import rows
from orchestration.summary import AudienceCounts, count_audiences

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

audience_app = typer.Typer(
    help="Look at audiences: who is in, who was kept out and why.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Mount these commands."""
    app.command("sql")(sql)
    app.add_typer(audience_app, name="audience")


def sql(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help='One statement, e.g. "select * from marts.audiences".')],
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="Rows to print at most; 0 prints all.")] = 1000,
) -> None:
    """Ask the warehouse: read-only, on the snapshot of the last run, also while a run is active."""
    context = context_of(ctx)
    with context.snapshot() as connection:
        try:
            statements = connection.extract_statements(query)
            if len(statements) != 1:
                raise QueryRefusedError(
                    f"Expected one statement, found {len(statements)}; send one at a time."
                )
            connection.execute(statements[0])
            names = [column[0] for column in connection.description or []]
            found = connection.fetchmany(limit + 1) if limit else connection.fetchall()
        except duckdb.Error as error:
            raise QueryRefusedError(explain_refusal(error)) from error
    is_cut = limit > 0 and len(found) > limit
    print_rows(names, found[:limit] if is_cut else found, as_json=as_json, as_csv=as_csv)
    if is_cut:
        context.console.print(f"Only the first {limit} rows are shown; --limit 0 prints all.", style="yellow")


def explain_refusal(error: duckdb.Error) -> str:
    """DuckDB's own words, with what to do where the snapshot's limits are the cause."""
    text = str(error)
    if "read-only mode" in text:
        return (
            "`cdp sql` reads only: it works on a snapshot that nobody can change. Change facts with events "
            "(`cdp events append`) and models in dbt_project."
        )
    if "disabled by configuration" in text or "configuration has been locked" in text:
        return f"`cdp sql` may not reach outside the snapshot: {text.splitlines()[0]}"
    return f"The query failed: {text}"


def print_rows(names: list[str], found: list[Any], *, as_json: bool, as_csv: bool) -> None:
    """Rows to stdout: a table for people, or JSON or CSV for programs."""
    if as_json:
        echo_json([dict(zip(names, row, strict=True)) for row in found])
    elif as_csv:
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(found)
        typer.echo(buffer.getvalue(), nl=False)
    else:
        table = Table(*names, box=None, header_style="bold", pad_edge=False)
        for row in found:
            table.add_row(*("" if value is None else str(value) for value in row))
        width = None if sys.stdout.isatty() else 10_000
        Console(file=sys.stdout, width=width, soft_wrap=True, markup=False, highlight=False).print(table)


@audience_app.command("list")
def audience_list(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Every audience: its size by channel, and how many were kept out."""
    with context_of(ctx).snapshot() as connection:
        counted = count_audiences(connection)
    if as_json:
        echo_json([vars(audience) for audience in counted])
        return
    print_rows(
        ["audience", "channel", "eligible", "members", "excluded", "owner", "description"],
        [(a.audience, a.channel, a.eligible, a.members, a.excluded, a.owner, a.description) for a in counted],
        as_json=False,
        as_csv=False,
    )


@audience_app.command("preview")
def audience_preview(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The audience's name.")],
    sample: Annotated[int, typer.Option(min=0, help="Members to show, masked.")] = 5,
    as_json: AsJson = False,
) -> None:
    """One audience: size by channel, who was kept out by reason, overlap with others, a masked sample."""
    with context_of(ctx).snapshot() as connection:
        counted = count_audiences(connection)
        mine = [audience for audience in counted if audience.audience == name]
        if not mine:
            known = ", ".join(sorted({audience.audience for audience in counted}))
            raise FatalOrchestrationError(f"No audience is called {name!r}; expected one of: {known}.")
        overlap = rows(connection, "audience_overlap", {"audience": name})
        members = rows(connection, "audience_sample", {"audience": name, "sample_size": sample})
    if as_json:
        echo_json(
            {"audience": name, "channels": [vars(a) for a in mine], "overlap": overlap, "sample": members}
        )
        return
    _print_preview(name, mine, overlap, members)


def _print_preview(
    name: str, mine: list[AudienceCounts], overlap: list[dict[str, Any]], members: list[dict[str, Any]]
) -> None:
    typer.echo(f"{name}: {mine[0].description} (owner {mine[0].owner}, purpose {mine[0].purpose})")
    typer.echo(f"{mine[0].eligible} people match the rule")
    for audience in mine:
        reasons = ", ".join(f"{reason} {people}" for reason, people in audience.excluded_by_reason.items())
        typer.echo(
            f"  {audience.channel}: {audience.members} members, {audience.excluded} kept out"
            + (f" ({reasons})" if reasons else "")
        )
    section("Also members of", overlap, "{audience_name} at {channel}: {people}")
    section("Sample, masked", members, "{canonical_id} {channel} {address} ({consent_rule})")
