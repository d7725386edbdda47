"""The dbt project: staging, intermediate and marts, with its tests as asset checks."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import dagster as dg

from orchestration.dagster_dbt import dbt_assets
from orchestration.dbt import dbt_failure, forget_results, prepare_manifest
from orchestration.deployment import open_deployment
from orchestration.identity.rules import RULES_FILE, read_rules
from orchestration.instance import POOL
from orchestration.model_builds import (
    begin_build,
    build_arguments,
    finish_build,
    left_as_they_stand,
    passed_before,
    with_row_counts,
)
from orchestration.resources import House, QuickDbt
from orchestration.settings import Settings, utc_now
from orchestration.translator import HouseTranslator


@dg.definitions
def decisions() -> dg.Definitions:
    """Read the manifest, which is parsed first when it is missing or older than the project."""
    settings = Settings()
    manifest = prepare_manifest(settings, as_of=open_deployment(settings, utc_now).as_of())

    @dbt_assets(manifest=manifest, dagster_dbt_translator=HouseTranslator(), name="models", pool=POOL)
    def dbt_models(context: dg.AssetExecutionContext, house: House, dbt: QuickDbt) -> Iterator[Any]:
        """Everything that dbt builds, with row counts read once dbt has let go of the warehouse.

        In a whole run, what reads nothing that changed since the last build is left as it stands.
        """
        read_rules(settings.dbt_project_dir / RULES_FILE)
        built = begin_build(house, json.loads(manifest.read_text()), whole=not context.is_subset)
        events: list[Any] = []
        error = None
        if not built.is_nothing_to_do:
            forget_results(settings)
            invocation = dbt.cli(
                build_arguments(house.moment, built.unaffected, settings.dbt_project_dir),
                context=context,
                target_path=settings.dbt_target_dir,
                raise_on_error=False,
            )
            events = list(invocation.stream())
            error = invocation.get_error()
        row_counts = finish_build(house, built, succeeded=error is None)
        if error is None:
            yield from left_as_they_stand(context, events, row_counts, whole=not context.is_subset)
        yield from with_row_counts(context, events, row_counts)
        if error is None:
            yield from passed_before(context, events, whole=not context.is_subset)
        if error is not None:
            raise dbt_failure(settings, str(error)) from error
        house.note_marts_built()

    return dg.Definitions(
        assets=[dbt_models],
        resources={
            "house": House(),
            "dbt": QuickDbt(
                project_dir=str(settings.dbt_project_dir),
                profiles_dir=str(settings.dbt_project_dir),
                dbt_executable=sys.executable,
                global_config_flags=[
                    *("-m", "orchestration.dbt_process"),
                    *("--log-path", str(settings.dbt_log_dir)),
                    *("--log-format-file", "text", "--no-use-colors", "--no-use-colors-file"),
                ],
            ),
        },
    )
