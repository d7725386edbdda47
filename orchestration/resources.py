"""What assets are given: this deployment with its warehouse lock held, and dbt."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version as installed_version
from typing import Any

import dagster as dg
import duckdb
from packaging import version
from pydantic import Field, PrivateAttr
from rich.console import Console

from activation.destinations import Destinations, open_destinations
from activation.ledger import Ledger
from activation.projection import project
from orchestration.context import Context
from orchestration.dagster_dbt import DbtCliResource
from orchestration.deployment import Deployment, parse_moment
from orchestration.errors import WarehouseBusyError
from orchestration.instance import PROCESS_TAG, process_tag
from orchestration.settings import Settings, utc_now
from orchestration.snapshot import PublishedSnapshot, publish_snapshot
from orchestration.warehouse import OPEN_WAIT_SECONDS


class House(dg.ConfigurableResource[Any]):
    """This deployment, with the warehouse lock held from the first step of a run to its last."""

    as_of: str = Field(
        default="",
        description="Moment to decide for, ISO 8601 UTC. Empty: CDP_AS_OF, the sample's own time, or now.",
    )

    _context: Context = PrivateAttr()
    _deployment: Deployment = PrivateAttr()
    _ledger: Ledger = PrivateAttr()
    _destinations: Destinations = PrivateAttr()
    _moment: datetime = PrivateAttr()
    _has_unpublished_marts: bool = PrivateAttr(default=False)
    _open_wait_seconds: float = PrivateAttr(default=OPEN_WAIT_SECONDS)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["House"]:
        """Wait for the lock, hold it for the run, and say in the run's log whom we wait for.

        A run that built the marts and failed after them still publishes a snapshot, so that people see
        what there is.
        """
        settings = Settings()
        settings.export_environment()
        settings.create_folders()
        self._context = Context(settings=settings, console=Console(stderr=True, quiet=True))
        self._deployment = self._context.deployment
        if context.run_id and context.instance is not None:
            context.instance.add_run_tags(context.run_id, {PROCESS_TAG: process_tag()})
        holder = self._context.lock_holder()
        if holder is not None and context.log is not None:
            context.log.info(f"Waiting for the warehouse: {holder} has it.")
        with (
            self._context.locked(f"run {(context.run_id or 'without id')[:8]}"),
            Ledger(settings.ledger_place) as self._ledger,
            open_destinations(
                files_root=settings.destinations_dir,
                sandbox_path=settings.sandbox_path,
                clock=utc_now,
                resolve_secret=settings.resolve_secret,
                rates_folder=settings.rates_dir,
            ) as self._destinations,
        ):
            self._moment = self.deployment.as_of(parse_moment(self.as_of) if self.as_of else None)
            try:
                yield self
            finally:
                if self._has_unpublished_marts:
                    self.publish()

    @property
    def settings(self) -> Settings:
        """The settings of this deployment."""
        return self._context.settings

    @property
    def deployment(self) -> Deployment:
        """Where facts come from, and the time that they live in."""
        return self._deployment

    @property
    def ledger(self) -> Ledger:
        """The open ledger."""
        return self._ledger

    @property
    def destinations(self) -> Destinations:
        """The destinations of this run; the sandbox is served while one of them needs it."""
        return self._destinations

    @property
    def moment(self) -> datetime:
        """The moment that this run decides for; fixed when the lock was had."""
        return self._moment

    @contextmanager
    def warehouse(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for the length of one step, never while dbt runs.

        When another program keeps the file open, only the first step of a run waits for it to end.
        """
        try:
            with self._context.warehouse.connect(wait_seconds=self._open_wait_seconds) as connection:
                yield connection
        except WarehouseBusyError:
            self._open_wait_seconds = 0.0
            raise

    def check_warehouse(self) -> None:
        """Wait until DuckDB lets us in, and say clearly when the file cannot be read; then let go."""
        with self.warehouse():
            pass

    def note_marts_built(self) -> None:
        """From here on, this run publishes a snapshot even if a later step fails."""
        self._has_unpublished_marts = True

    def publish(self) -> PublishedSnapshot:
        """Bring the ledger's picture up to date and publish the warehouse to readers."""
        self._has_unpublished_marts = False
        with self.warehouse() as connection:
            project(connection, self._ledger)
        return publish_snapshot(self._context.warehouse, self.settings.snapshot_path)


class QuickDbt(DbtCliResource):
    """dagster-dbt's resource without what it does a second time before each command.

    It would start `dbt --version` and load an adapter into this process, together some three seconds,
    only for features that open the warehouse from here, which a step must not do while dbt has it.
    """

    @property
    def _cli_version(self) -> version.Version:
        return version.parse(installed_version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Any) -> Any:  # noqa: ARG002
        return None
