"""`cdp ledger …`: moves the operational store from its file into a database."""

from typing import Annotated

import typer

from activation.command_line import ActivationContext, Json, one_line_errors, print_json
from activation.errors import ConfigError, PlanRefusedError
from activation.ledger import Ledger
from activation.ledger_copy import copy_ledger, count_rows


def ledger_commands(context: ActivationContext) -> typer.Typer:
    """The commands of the noun `ledger`."""
    app = typer.Typer(
        help="The ledger: what was sent, and to whom, and where that is kept.", no_args_is_help=True
    )

    @app.callback()
    def _noun() -> None:
        """The ledger: what was sent, and to whom, and where that is kept."""

    @app.command("copy")
    @one_line_errors
    def copy(
        yes: Annotated[
            bool, typer.Option("--yes", help="Do it; without it, only what would be copied is shown.")
        ] = False,
        as_json: Json = False,
    ) -> None:
        """Copy the ledger from its SQLite file into the database of CDP_LEDGER_URL, and freeze the file."""
        file = context.ledger_file
        with context.open_ledger() as target:
            if target.place == file:
                raise ConfigError(
                    "No database is set to copy the ledger into; set CDP_LEDGER_URL and run it again."
                )
            if not file.exists():
                raise ConfigError(f"There is no ledger at {file} to copy; nothing was changed.")
            with Ledger(file) as source:
                if not yes:
                    with source.read() as connection:
                        rows = count_rows(connection)
                    for table, count in rows.items():
                        typer.echo(f"{count:>12,}  {table}")
                    raise PlanRefusedError(
                        f"Nothing was copied from {source.name} to {target.name}: to do it, say --yes."
                    )
                done = copy_ledger(source, target, set_by=context.operator, now=context.clock())
        if as_json:
            print_json({"ledger_id": done.ledger_id, "rows": done.rows})
            return
        typer.echo(
            f"{sum(done.rows.values()):,} rows of ledger {done.ledger_id} are at {target.name} now. {file} "
            "is frozen: keep it as a backup, nothing is sent from it any more."
        )

    return app
