"""`cdp sync run` in a process of its own, on the folder of a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb
import typer

from activation.cli import ActivationContext, commands
from activation.config import load_definitions
from activation.ledger import Ledger
from activation.patience import Patience
from tests.activation.crash_child import now


def run_command(folder: str, drain_seconds: float, *words: str) -> None:
    """Run one command to its end; exits as `cdp` would."""
    root = Path(folder)

    @contextmanager
    def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
            yield connection

    context = ActivationContext(
        definitions=lambda: load_definitions(root),
        open_ledger=lambda: Ledger(root / "ledger.sqlite"),
        open_snapshot=warehouse,
        open_warehouse=warehouse,
        source_state=lambda _: None,
        record_decision=lambda _, __: None,
        resolve_secret=str,
        clock=now,
        files_root=root / "destinations",
        sandbox_path=root / "unused.sqlite",
        plans_folder=root / "plans",
        rates_folder=root / "rates",
        ledger_file=root / "ledger.sqlite",
        dbt_project=root,
        operator="tests",
        patience=Patience(drain=timedelta(seconds=drain_seconds)),
    )
    app = typer.Typer()
    for noun, noun_commands in commands(context).items():
        app.add_typer(noun_commands, name=noun)
    with (root / "said.txt").open("w") as said:
        import sys  # noqa: PLC0415 - the process's own streams

        sys.stdout = sys.stderr = said
        app(list(words))
