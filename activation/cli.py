"""The nouns `sync`, `ledger` and `sandbox`. Results go to stdout, one line of error to stderr."""

from typing import Annotated

import orjson
import typer

from activation import sync_commands
from activation.command_line import ActivationContext, Json, one_line_errors, print_json
from activation.ledger_commands import ledger_commands
from activation.sandbox.app import SandboxRules
from activation.sandbox.server import serve_in_foreground
from activation.sandbox.store import SandboxStore

__all__ = ["ActivationContext", "commands"]


def commands(context: ActivationContext) -> dict[str, typer.Typer]:
    """Noun -> its commands, to be mounted under `cdp`."""
    return {
        "sync": sync_commands.sync_commands(context),
        "ledger": ledger_commands(context),
        "sandbox": _sandbox_commands(context),
    }


def _sandbox_commands(context: ActivationContext) -> typer.Typer:
    app = typer.Typer(
        help="The sandbox: a channel on this machine to try syncs against.", no_args_is_help=True
    )

    @app.command("serve")
    @one_line_errors
    def serve(
        port: Annotated[int, typer.Option(help="Port on loopback.", min=0, max=65535)] = 8765,
        seconds_to_finish: Annotated[
            float | None,
            typer.Option(help="Answer 202 with a receipt, and do the work so many seconds later.", min=0),
        ] = None,
    ) -> None:
        """Serve the sandbox in the foreground until interrupted."""
        rules = SandboxRules(seconds_to_finish=seconds_to_finish)
        typer.echo(f"The sandbox listens at http://127.0.0.1:{port}; stop it with Ctrl-C.", err=True)
        serve_in_foreground(context.sandbox_path, clock=context.clock, port=port, rules=rules)

    @app.command("members")
    @one_line_errors
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
            print_json(counts if list_name is None else {key: orjson.loads(fields) for key, fields in found})
        elif list_name is None:
            for name, count in counts.items():
                typer.echo(f"{count:>9}  {name}")
        else:
            for key, fields in found:
                typer.echo(f"{key}\t{fields}")

    return app
