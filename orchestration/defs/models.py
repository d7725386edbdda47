"""The dbt project: staging, intermediate and marts, with its tests as asset checks."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dbt import dbt_assets

from orchestration.dbt import as_of_variable, prepare_manifest
from orchestration.instance import POOL
from orchestration.resources import House, QuickDbt
from orchestration.settings import Settings, utc_now
from orchestration.translator import HouseTranslator


@dg.definitions
def models() -> dg.Definitions:
    """Read the manifest, which is parsed first when it is missing or older than the project."""
    settings = Settings()
    manifest = prepare_manifest(settings, as_of=utc_now())

    @dbt_assets(manifest=manifest, dagster_dbt_translator=HouseTranslator(), name="models", pool=POOL)
    def dbt_models(context: dg.AssetExecutionContext, house: House, dbt: QuickDbt) -> Iterator[Any]:
        """Everything that dbt builds."""
        yield from dbt.cli(
            ["build", "--vars", as_of_variable(house.as_of_moment())],
            context=context,
            target_path=settings.dbt_target_dir,
        ).stream()

    return dg.Definitions(
        assets=[dbt_models],
        resources={
            "house": House(),
            "dbt": QuickDbt(
                project_dir=str(settings.dbt_project_dir),
                profiles_dir=str(settings.dbt_project_dir),
                global_config_flags=["--log-path", str(settings.dbt_log_dir), "--no-use-colors"],
                dbt_executable=str(settings.executables_dir / "dbt"),
            ),
        },
    )
