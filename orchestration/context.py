"""What every command of `cdp` is given: settings, deployment, and the ways into the warehouse."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import duckdb
import typer
from rich.console import Console

from orchestration.deployment import Deployment, open_deployment
from orchestration.lock import LockHolder, lock_holder, warehouse_lock
from orchestration.settings import Settings, utc_now
from orchestration.snapshot import read_snapshot
from orchestration.warehouse import Warehouse


@dataclass(frozen=True)
class Context:
    """Results are printed to stdout with `typer.echo`; everything else goes to `console` (stderr)."""

    settings: Settings
    console: Console

    @property
    def deployment(self) -> Deployment:
        """Where facts come from and in which time they live, as CDP_HOME and the settings say now."""
        return open_deployment(self.settings, utc_now)

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse file; open it inside `locked` only."""
        return Warehouse(
            path=self.settings.warehouse_path,
            memory_limit=self.settings.warehouse_memory_limit,
            threads=self.settings.warehouse_threads,
        )

    def business_now(self) -> datetime:
        """The time at which facts happen here; the sample lives in its own."""
        return self.deployment.business_now()

    @contextmanager
    def locked(self, what: str) -> Iterator[LockHolder]:
        """Hold the warehouse lock, saying on the terminal whom we wait for."""

        def say(holder: LockHolder | None) -> None:
            self.console.print(
                f"Waiting for the warehouse: {holder} holds it.", style="yellow", soft_wrap=True
            )

        with warehouse_lock(
            self.settings.lock_path,
            what=what,
            wait_seconds=self.settings.lock_wait_seconds,
            now=utc_now,
            on_wait=say,
        ) as holder:
            yield holder

    def lock_holder(self) -> LockHolder | None:
        """Who writes to the warehouse now."""
        return lock_holder(self.settings.lock_path)

    @contextmanager
    def locked_warehouse(self, what: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """A writable connection under the lock, for one command."""
        with self.locked(what), self.warehouse.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection to the last published snapshot."""
        with read_snapshot(
            self.settings.snapshot_path,
            memory_limit=self.settings.warehouse_memory_limit,
            threads=self.settings.warehouse_threads,
        ) as connection:
            yield connection


def context_of(ctx: typer.Context) -> Context:
    """The context that the entry point put into typer's."""
    found = ctx.find_object(Context)
    if found is None:
        raise RuntimeError("a command was started without the entry point of cdp")
    return found


def echo_json(value: object) -> None:
    """Print one JSON document to stdout; times in ISO 8601, sets and decimals as they read."""
    typer.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))
