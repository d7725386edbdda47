"""Dagster's event log as this house keeps it: the same content as Dagster's own class, and cheap."""

from pathlib import Path

import dagster as dg
import pytest

from orchestration.instance import fail_dead_runs, last_run, open_instance, process_tag
from orchestration.settings import Settings


@dg.asset
def stone() -> None:
    """Something to materialize."""


@dg.asset_check(asset=stone)
def is_hard() -> dg.AssetCheckResult:
    """Something to check."""
    return dg.AssetCheckResult(passed=True)


def test_a_run_leaves_its_events_materializations_and_checks(settings: Settings) -> None:
    with open_instance(settings) as instance:
        result = dg.materialize([stone, is_hard], instance=instance)
    with open_instance(settings) as instance:
        events = [record.event_log_entry for record in instance.get_records_for_run(result.run_id).records]
        materialized = instance.get_latest_materialization_event(dg.AssetKey("stone"))

    kinds = [event.dagster_event.event_type_value for event in events if event.dagster_event]
    assert kinds.count("ASSET_MATERIALIZATION") == 1
    assert kinds.count("ASSET_CHECK_EVALUATION") == 1
    assert kinds[-1] == "PIPELINE_SUCCESS"
    assert materialized is not None
    assert materialized.run_id == result.run_id


def test_a_run_whose_process_is_gone_is_reported_as_failed(settings: Settings) -> None:
    with open_instance(settings) as instance:
        dead, alive, foreign = (
            instance.create_run_for_job(
                dg.Definitions(assets=[stone], jobs=[dg.define_asset_job("look", "*")]).resolve_job_def(
                    "look"
                ),
                tags=tags,
            )
            for tags in ({"cdp/process": "4194305:1"}, {"cdp/process": process_tag()}, {})
        )
        for run in (dead, alive, foreign):
            instance.report_dagster_event(
                dg.DagsterEvent("PIPELINE_STARTING", "look", event_specific_data=None), run.run_id
            )

        failed = fail_dead_runs(instance)
        newest = last_run(instance)

    assert failed == [dead.run_id]
    assert newest is not None
    assert newest.job == "look"


@pytest.mark.parametrize("name", ["dagster.yaml", "workspace.yaml"])
def test_generated_files_are_written_again_when_they_are_lost(settings: Settings, name: str) -> None:
    with open_instance(settings):
        pass
    path: Path = settings.dagster_home / name
    first = path.read_text()
    path.unlink()

    with open_instance(settings):
        pass

    assert path.read_text() == first
