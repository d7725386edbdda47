"""`cdp sample`: write the sample company into a folder, for a trial, a test, or a measurement."""

from pathlib import Path
from typing import Annotated

import typer

from ingestion.sample.generate import DEFAULT_SEED, write_sample


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command("sample")(sample)


def sample(
    out: Annotated[Path, typer.Argument(help="A folder: new, empty, or an earlier sample to replace.")],
    events: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="At least so many events: more adds replicas of the company. Default: the company's own.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = DEFAULT_SEED,
    truth: Annotated[
        bool,
        typer.Option(help="Also write who is who, who consented and who belongs where (tables for tests)."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Generate the sample company: events, a legacy extract; real orders, the rest invented.

    The folder's manifest.json says which is which. `cdp run` makes its own sample when no source is set.
    """
    manifest = write_sample(
        out.absolute(),
        seed=seed,
        events=events,
        truth=truth,
        progress=lambda text: typer.echo(text, err=True),
    )
    if as_json:
        typer.echo(manifest.model_dump_json(indent=2))
        return
    typer.echo(f"{manifest.events:,} events and {manifest.people:,} people, as of {manifest.as_of:%Y-%m-%d}")
    for file in manifest.files:
        lines = f"{file.lines:>12,} lines" if file.lines is not None else " " * 18
        typer.echo(f"{lines} {file.bytes / 1e6:>10,.1f} MB  {out / file.path}")
    typer.echo(f"real: {'; '.join(manifest.real)}")
    typer.echo(f"invented: {'; '.join(manifest.invented)}")
