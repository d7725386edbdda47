"""One build of the models inside a run: what has to be built, and what Dagster is told of the rest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.dbt import as_of_variable
from orchestration.identity.published_ids import keep_published_ids, restore_published_ids
from orchestration.model_inputs import (
    ModelInputs,
    forget_inputs,
    project_hash,
    read_inputs,
    record_inputs,
    recorded_inputs,
    unaffected_models,
)
from orchestration.resources import House
from orchestration.statuses import PASSED_BEFORE, STANDS, STATUS
from orchestration.table_counts import count_tables

SCHEMAS = ("staging", "intermediate", "marts", "seeds")
_NODES = ("model", "seed", "snapshot")


@dataclass(frozen=True)
class Build:
    """What this build reads, and what need not be built; `inputs` is None when only a part is asked for."""

    inputs: ModelInputs | None
    unaffected: Sequence[str]
    is_nothing_to_do: bool


def begin_build(house: House, manifest: Mapping[str, Any], *, whole: bool) -> Build:
    """Compare the inputs with those of the last whole build, and forget that one unless it stands."""
    with house.warehouse() as connection:
        former = recorded_inputs(connection)
        inputs = read_inputs(connection, as_of=house.moment, project_dir=house.settings.dbt_project_dir)
        changed = inputs.changed_since(former)
        if whole and not changed:
            return Build(inputs, (), is_nothing_to_do=True)
        forget_inputs(connection)
        restore_published_ids(connection, house.settings.published_ids_dir)
    if not whole:
        return Build(None, (), is_nothing_to_do=False)
    unaffected = unaffected_models(manifest, changed)
    total = sum(node["resource_type"] in _NODES for node in manifest["nodes"].values())
    return Build(inputs, unaffected, is_nothing_to_do=len(unaffected) == total)


def build_arguments(as_of: datetime, unaffected: Sequence[str], project_dir: Path) -> list[str]:
    """`dbt build` for this moment, without unit tests: those ask about the models, not about the data.

    "cautious" leaves a test out only when everything that it reads is left out. The hash of the project is
    for the models that build by what changed: another project makes them build in full.
    """
    variables = as_of_variable(as_of, project_hash=project_hash(project_dir))
    exclude = ["--indirect-selection", "cautious", "--exclude", " ".join(unaffected)] if unaffected else []
    return ["build", "--exclude-resource-type", "unit_test", *exclude, "--vars", variables]


def finish_build(house: House, build: Build, *, succeeded: bool) -> dict[str, int]:
    """Keep what was published, remember what a whole build was made from; returns the rows of every table."""
    with house.warehouse() as connection:
        keep_published_ids(connection, house.settings.published_ids_dir)
        if succeeded and build.inputs is not None:
            record_inputs(connection, build.inputs)
        return count_tables(connection, SCHEMAS)


def with_row_counts(
    context: dg.AssetExecutionContext, events: Sequence[Any], row_counts: Mapping[str, int]
) -> Iterator[Any]:
    """dbt's events, with the rows of each table that was built."""
    for event in events:
        if isinstance(event, dg.Output):
            yield event.with_metadata({**event.metadata, **_rows(context, event.output_name, row_counts)})
        else:
            yield event


def left_as_they_stand(
    context: dg.AssetExecutionContext, events: Sequence[Any], row_counts: Mapping[str, int], *, whole: bool
) -> Iterator[dg.Output[None]]:
    """An output for each asset that need not be built, which says so; else what follows would not be run.

    In the order of lineage, and to be yielded before what was built, which may depend on them.
    """
    if not whole:
        return
    built = {event.output_name for event in events if isinstance(event, dg.Output)}
    specs = context.assets_def.specs_by_key
    lineage = {
        key: [dep.asset_key for dep in spec.deps if dep.asset_key in specs] for key, spec in specs.items()
    }
    for key in TopologicalSorter(lineage).static_order():
        name = context.assets_def.get_output_name_for_asset_key(key)
        if name not in built:
            yield dg.Output(
                None,
                output_name=name,
                metadata={
                    STATUS: STANDS,
                    **_rows(context, name, row_counts),
                },
            )


def passed_before(
    context: dg.AssetExecutionContext, events: Sequence[Any], *, whole: bool
) -> Iterator[dg.AssetCheckResult]:
    """A result for each test that was not asked again, because all that it reads stands as it was.

    A record of inputs is written only after a build whose every test passed, so these passed then.
    """
    if not whole:
        return
    asked = {
        (event.asset_key, event.check_name) for event in events if isinstance(event, dg.AssetCheckResult)
    }
    for key in sorted(context.selected_asset_check_keys, key=str):
        if (key.asset_key, key.name) not in asked:
            yield dg.AssetCheckResult(
                passed=True, asset_key=key.asset_key, check_name=key.name, metadata={STATUS: PASSED_BEFORE}
            )


def _rows(
    context: dg.AssetExecutionContext, output_name: str, row_counts: Mapping[str, int]
) -> dict[str, int]:
    rows = row_counts.get(".".join(context.asset_key_for_output(output_name).path))
    return {} if rows is None else {"dagster/row_count": rows}
