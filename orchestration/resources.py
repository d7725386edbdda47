"""What assets are given: this deployment with its warehouse lock held, and dbt."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource
from packaging import version
from pydantic import Field, PrivateAttr
from rich.console import Console

from orchestration.context import Context
from orchestration.deployment import open_deployment, parse_moment
from orchestration.instance import PROCESS_TAG, process_tag
from orchestration.settings import Settings, utc_now


class House(dg.ConfigurableResource[Any]):
    """This deployment, with the warehouse lock held from the first step of a run to its last."""

    as_of: str = Field(
        default="",
        description="Moment to decide for, ISO 8601 UTC. Empty: CDP_AS_OF, the sample's own time, or now.",
    )

    _context: Context = PrivateAttr()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["House"]:
        """Wait for the lock, hold it for the run, and say in the run's log whom we wait for."""
        settings = Settings()
        settings.export_environment()
        settings.create_folders()
        self._context = Context(
            settings=settings,
            deployment=open_deployment(settings, utc_now),
            console=Console(stderr=True, quiet=True),
        )
        if context.run_id and context.instance is not None:
            context.instance.add_run_tags(context.run_id, {PROCESS_TAG: process_tag()})
        holder = self._context.lock_holder()
        if holder is not None and context.log is not None:
            context.log.info(f"Waiting for the warehouse: {holder} has it.")
        with self._context.locked(f"run {(context.run_id or 'without id')[:8]}"):
            yield self

    @property
    def context(self) -> Context:
        """Settings, deployment and warehouse."""
        return self._context

    def as_of_moment(self) -> Any:
        """The moment of this run."""
        return self._context.deployment.as_of(parse_moment(self.as_of) if self.as_of else None)


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
