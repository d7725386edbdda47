"""The asset graph: nouns with an owner, one lineage from the event log to every destination."""

from pathlib import Path

import dagster as dg
import pytest

from orchestration.cli import load_settings
from orchestration.definitions import defs

FROM = dg.AssetKey(["event_log"])


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> dg.RepositoryDefinition:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDP_HOME", str(tmp_path_factory.mktemp("home") / "var"))
        load_settings().create_folders()
        return defs().get_repository_def()


def specs(repository: dg.RepositoryDefinition) -> dict[dg.AssetKey, dg.AssetSpec]:
    return {spec.key: spec for asset in repository.assets_defs_by_key.values() for spec in asset.specs}


def test_every_asset_has_a_group_an_owner_and_a_description(repository: dg.RepositoryDefinition) -> None:
    incomplete = [
        key.to_user_string()
        for key, spec in specs(repository).items()
        if not spec.owners or not spec.description or spec.group_name in (None, "default")
    ]

    assert incomplete == []


def test_every_destination_is_downstream_of_the_event_log(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    reached, frontier = {FROM}, {FROM}
    while frontier:
        frontier = {child for key in frontier for child in graph.get(key).child_keys} - reached
        reached |= frontier

    ends = [key for key in specs(repository) if key.path[0] in ("destinations", "syncs", "snapshot")]

    assert len(ends) >= 11
    assert [key for key in ends if key not in reached] == []


def test_every_source_of_dbt_is_an_asset_that_somebody_materializes(
    repository: dg.RepositoryDefinition,
) -> None:
    unknown = [
        key.to_user_string()
        for key in repository.asset_graph.get_all_asset_keys()
        if not repository.asset_graph.get(key).is_materializable
    ]

    assert unknown == []


def test_dbt_tests_are_asset_checks(repository: dg.RepositoryDefinition) -> None:
    checked = {check.asset_key for check in repository.asset_graph.asset_check_keys}

    assert dg.AssetKey(["marts", "audience_memberships"]) in checked
    assert len(repository.asset_graph.asset_check_keys) > 50


def test_the_job_runs_in_process_and_its_starters_are_off(repository: dg.RepositoryDefinition) -> None:
    job = repository.get_job("tick")

    assert job.executor_def.name == "in_process"
    assert [schedule.default_status.value for schedule in repository.schedule_defs] == ["STOPPED"]
    assert {sensor.default_status.value for sensor in repository.sensor_defs} == {"STOPPED"}


def test_everything_that_touches_the_warehouse_waits_in_one_pool(repository: dg.RepositoryDefinition) -> None:
    outside = {
        asset.op.name for asset in repository.assets_defs_by_key.values() if "warehouse" not in asset.op.pools
    }

    assert outside == {"source_files", "event_log"}


def test_no_module_of_defs_mixes_definitions_and_a_function_that_makes_them() -> None:
    """Dagster loads both, and what stands twice is defined twice."""
    mixed = []
    for path in (Path(__file__).parents[2] / "orchestration" / "defs").glob("*.py"):
        text = path.read_text()
        if "@dg.definitions" in text and any(
            f"\n@dg.{kind}" in text for kind in ("asset", "multi_asset", "sensor")
        ):
            mixed.append(path.name)

    assert mixed == []
