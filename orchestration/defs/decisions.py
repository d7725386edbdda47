"""The dbt project: staging, intermediate and marts, with its tests as asset checks."""

import sys
from collections.abc import Iterator
from typing import Any

import dagster as dg

from orchestration.dagster_dbt import dbt_assets
from orchestration.dbt import as_of_variable, dbt_failure, forget_results, prepare_manifest
from orchestration.deployment import open_deployment
from orchestration.instance import POOL
from orchestration.resources import House, QuickDbt
from orchestration.settings import Settings, utc_now
from orchestration.table_counts import count_tables
from orchestration.translator import HouseTranslator


@dg.definitions
def decisions() -> dg.Definitions:
    """Read the manifest, which is parsed first when it is missing or older than the project."""
    settings = Settings()
    manifest = prepare_manifest(settings, as_of=open_deployment(settings, utc_now).as_of())

    @dbt_assets(manifest=manifest, dagster_dbt_translator=HouseTranslator(), name="models", pool=POOL)
    def dbt_models(context: dg.AssetExecutionContext, house: House, dbt: QuickDbt) -> Iterator[Any]:
        """Everything that dbt builds, with row counts read once dbt has let go of the warehouse."""
        forget_results(settings)
        invocation = dbt.cli(
            # Unit tests ask about the models, not about the data: `cdp dbt build` and the tests run them.
            ["build", "--exclude-resource-type", "unit_test", "--vars", as_of_variable(house.moment)],
            context=context,
            target_path=settings.dbt_target_dir,
            raise_on_error=False,
        )
        events = list(invocation.stream())
        with house.warehouse() as connection:
            row_counts = count_tables(connection, ("staging", "intermediate", "marts", "seeds"))
        for event in events:
            if isinstance(event, dg.Output):
                key = context.asset_key_for_output(event.output_name)
                rows = row_counts.get(".".join(key.path))
                counted = {} if rows is None else {"dagster/row_count": rows}
                yield event.with_metadata({**event.metadata, **counted})
            else:
                yield event
        error = invocation.get_error()
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
