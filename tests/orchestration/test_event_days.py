"""Days as partitions, micro-batches, and freshness: what Dagster is told and what it starts."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from ingestion.event_log import EventLog
from ingestion.records import Record
from ingestion.registry import Registry, load_registry
from orchestration.asset_keys import EVENT_DAYS
from orchestration.cli import load_settings
from orchestration.definitions import defs
from orchestration.defs.freshness import freshness
from orchestration.defs.tick import load_job, micro_batches
from orchestration.settings import Settings
from tests.ingestion.messages import NOW, raw

FIRST = datetime(2010, 12, 1, 9, tzinfo=UTC)


@pytest.fixture
def log(home: Path) -> EventLog:
    load_settings().create_folders()
    log = EventLog(Settings(home=home).event_log_dir)
    for day in range(3):
        at = FIRST + timedelta(days=day)
        log.append(Record(at, "web", raw(f"m-{day}-{number}")) for number in range(2))
    return log


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def without_views() -> Registry:
    """A registry in which no source sends product views yet."""
    registry = load_registry()
    sources = tuple(
        source.model_copy(
            update={"events": tuple(each for each in source.events if each.event != "Product Viewed")}
        )
        for source in registry.sources
    )
    return dataclasses.replace(registry, sources=sources)


def counts(home: Path) -> tuple[int, int]:
    with duckdb.connect(str(Settings(home=home).warehouse_path), read_only=True) as connection:
        row = connection.execute(
            "select (select count(*) from raw.events), (select count(*) from raw.events_quarantined)"
        ).fetchone()
    assert row is not None
    return row


def load(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return defs().resolve_job_def(load_job.name).execute_in_process(instance=instance)


def test_a_micro_batch_loads_without_deciding_and_tells_each_day(
    home: Path, log: EventLog, instance: dg.DagsterInstance
) -> None:
    assert load(instance).success
    assert counts(home) == (6, 0)
    assert instance.get_materialized_partitions(EVENT_DAYS) == {"2010-12-01", "2010-12-02", "2010-12-03"}
    log.append([Record(FIRST + timedelta(days=2), "web", b"{broken")])
    result = load(instance)
    assert {event.step_key for event in result.get_step_success_events()} == {"events"}
    [newest] = instance.fetch_materializations(EVENT_DAYS, limit=1).records
    assert newest.partition_key == "2010-12-03"
    assert newest.asset_materialization is not None
    assert newest.asset_materialization.description == "1 new = 0 accepted + 0 duplicates + 1 quarantined"


@pytest.mark.slow
def test_a_backfill_reads_a_range_of_days_again_in_one_run_and_sends_nothing(
    home: Path, log: EventLog, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(log.segments()) == 3
    monkeypatch.setattr("orchestration.defs.facts.load_registry", without_views)
    assert load(instance).success
    assert counts(home) == (0, 6)

    job = defs().resolve_job_def("replay_days")

    def backfill(first: str, last: str, **config: Any) -> dg.ExecuteInProcessResult:
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        settings = {"ops": {"raw__event_days": {"config": config}}} if config else {}
        return job.execute_in_process(instance=instance, tags=tags, run_config=settings)

    assert backfill("2010-12-01", "2010-12-03", in_place=False).success
    assert counts(home) == (0, 6)
    assert backfill("2010-12-02", "2010-12-03").success
    assert counts(home) == (4, 2)
    # every event of the three days happened on the first
    assert backfill("2010-12-02", "2010-12-02", by_event_time=True).success
    assert counts(home) == (4, 2)
    assert backfill("2010-12-01", "2010-12-01", by_event_time=True).success
    assert counts(home) == (6, 0)


@pytest.mark.usefixtures("log")
@pytest.mark.slow
def test_the_sensor_asks_for_one_load_at_a_time(home: Path, instance: dg.DagsterInstance) -> None:
    def ask(cursor: str | None) -> dg.SensorResult:
        found = micro_batches(dg.build_sensor_context(instance=instance, cursor=cursor))
        assert isinstance(found, dg.SensorResult)
        return found

    first = ask(None)
    assert first.run_requests is not None
    assert len(first.run_requests) == 1
    assert ask(first.cursor).skip_reason is not None
    EventLog(Settings(home=home).event_log_dir).append([Record(NOW, "web", b"{}")])
    run = instance.create_run_for_job(defs().resolve_job_def(load_job.name))
    busy = ask(first.cursor)
    assert (busy.run_requests or [], busy.cursor) == ([], first.cursor)
    instance.report_run_failed(run)
    again = ask(first.cursor)
    assert again.run_requests is not None
    assert len(again.run_requests) == 1


@pytest.mark.parametrize(
    ("age", "passed", "words"),
    [
        (timedelta(hours=24), True, "received 24.0 hours before"),
        (timedelta(hours=25), False, "its contract expects one within 24.0 hours"),
        (None, True, "never received"),
    ],
)
def test_a_contract_says_how_old_its_newest_event_may_be(
    age: timedelta | None, *, passed: bool, words: str
) -> None:
    [file] = [file for file in load_registry().files if file.name == "order_completed"]
    found = freshness(file, None if age is None else FIRST - age, FIRST)
    assert found.passed is passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert words in str(found.description)
    assert "commerce-data@shop.example" in str(found.description)
