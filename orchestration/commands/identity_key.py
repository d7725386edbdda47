"""`cdp identity rotate-key`: another secret for the keyed hashes of identifiers."""

from pathlib import Path
from typing import Annotated

import typer

from ingestion.identifiers import IdentifierKey
from orchestration.commands.identity import Yes, identity_app
from orchestration.context import context_of
from orchestration.identity.key_rotation import rotate_identifier_key
from orchestration.snapshot import publish_snapshot


def register(_: typer.Typer) -> None:
    """Mount the command on `cdp identity`."""
    identity_app.command("rotate-key")(rotate_key)


def rotate_key(
    ctx: typer.Context,
    *,
    key_file: Annotated[
        Path | None, typer.Option(help="A file with the new key in hex; default: one is made.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Replace the secret that identifiers are hashed with; people keep their ids, denials go on to hold."""
    context = context_of(ctx)
    former = IdentifierKey(context.deployment.identifier_key()).key_id
    if not yes:
        typer.echo(
            f"Key {former} would be replaced in the warehouse, the published ids and the ledger; the next "
            "`cdp run` would build all models in full. Nothing was changed; say --yes to do it."
        )
        return
    with context.locked("rotating the identifier key"):
        done = rotate_identifier_key(context.deployment, context.warehouse, key_file)
        publish_snapshot(context.warehouse, context.settings.snapshot_path)
    typer.echo(
        f"Key {done.former_key_id} is replaced by {done.key_id}: {done.identifiers:,} identifiers, "
        f"{done.ledger_rows:,} rows of the ledger. The next `cdp run` builds all models in full."
    )
    if done.must_be_configured:
        typer.echo(
            f"Put the new key, which stands in {context.settings.next_identifier_key_path}, into "
            "CDP_IDENTIFIER_KEY: runs refuse the former one from now on."
        )
    typer.echo("Copies of the warehouse and the snapshot from before still carry the former key's hashes.")
