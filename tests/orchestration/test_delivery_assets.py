"""Syncs and destinations as assets: carried out in one step, each with an end of its own."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from activation.config import load_definitions
from activation.engine import refresh_denials_from_marts
from activation.ledger import Ledger
from activation.reports import SyncReport
from activation.sandbox.app import SandboxRules
from activation.sandbox.server import SandboxServer
from activation.sync_file import Schedule
from orchestration.asset_keys import sync_key
from orchestration.delivery_assets import delivery_assets, describe_report, report_metadata, sync_schedule
from orchestration.resources import House
from orchestration.settings import Settings
from tests.activation.warehouse import build_warehouse, set_members
from tests.activation.world import DESTINATIONS, people, write_definitions

NAMES = [f"p{number}" for number in range(10)]


def now() -> datetime:
    return datetime.now(UTC)


def prepare(folder: Path, settings: Settings, destinations: str) -> dg.AssetsDefinition:
    """A deployment with marts, whose syncs are those of activation's tests."""
    write_definitions(folder, destinations=destinations)
    settings.create_folders()
    with duckdb.connect(str(settings.warehouse_path)) as warehouse:
        build_warehouse(warehouse)
        set_members(warehouse, people(*NAMES))
        warehouse.execute("create schema raw; create table raw.events (received_at timestamp)")
        warehouse.execute(
            "insert into raw.events values (?)", [now().replace(tzinfo=None) - timedelta(hours=1)]
        )
        warehouse.execute(
            "create schema orchestration; create table orchestration.models_built_from as select 1"
        )
        with Ledger(settings.ledger_path) as ledger:
            refresh_denials_from_marts(warehouse, ledger, watermark=now(), now=now())
    declared = load_definitions(folder)
    return delivery_assets(list(declared.syncs.values()), list(declared.destinations.values()))


@pytest.fixture
def settings(home: Path) -> Iterator[Settings]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDP_AS_OF", now().isoformat())
        yield Settings(home=home)


def materialised(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}  # type: ignore[union-attr]


def test_each_sync_and_each_destination_is_materialised_with_its_counts(
    tmp_path: Path, settings: Settings
) -> None:
    assets = prepare(tmp_path, settings, DESTINATIONS)

    result = dg.materialize([assets], resources={"house": House()})

    assert materialised(result) == {
        "destinations/files", "destinations/sandbox", "syncs/to_csv", "syncs/to_jsonl", "syncs/to_sandbox",
    }  # fmt: skip
    counts = {
        event.asset_key.path[-1]: event.materialization.metadata["dagster/row_count"].value  # type: ignore[union-attr]
        for event in result.get_asset_materialization_events()
    }
    assert counts == {"to_csv": 10, "to_jsonl": 10, "to_sandbox": 10, "sandbox": 10, "files": 20}


def test_one_sync_can_be_selected_by_itself(tmp_path: Path, settings: Settings) -> None:
    assets = prepare(tmp_path, settings, DESTINATIONS)

    result = dg.materialize([assets], resources={"house": House()}, selection=[sync_key("to_csv")])

    assert materialised(result) == {"syncs/to_csv"}


def test_a_dead_destination_fails_the_step_by_name_and_takes_no_other_asset_with_it(
    tmp_path: Path, settings: Settings
) -> None:
    dead = DESTINATIONS.replace(
        "url: builtin:sandbox", "url: http://127.0.0.1:9\n  outage: {give_up_after_seconds: 0}"
    )
    assets = prepare(tmp_path, settings, dead)

    result = dg.materialize([assets], resources={"house": House()}, raise_on_error=False)

    assert not result.success
    assert materialised(result) == {"destinations/files", "syncs/to_csv", "syncs/to_jsonl"}
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    cause = failure.step_failure_data.error.cause
    assert "Sync 'to_sandbox' stopped early: sandbox did not take a batch" in cause.message
    assert "to_csv" not in cause.message
    (seen,) = result.get_asset_observation_events()
    assert seen.asset_key == sync_key("to_sandbox")


def run_step(folder: str, home: str) -> None:
    """The step in a process of its own; says by its exit code how it ended."""
    os.environ["CDP_HOME"], os.environ["CDP_AS_OF"] = home, now().isoformat()  # noqa: TID251 (our own process)
    declared = load_definitions(Path(folder))
    assets = delivery_assets(list(declared.syncs.values()), list(declared.destinations.values()))
    try:
        dg.materialize([assets], resources={"house": House()}, selection=[sync_key("to_sandbox")])
    except dg.DagsterExecutionInterruptedError:
        os._exit(3)
    os._exit(0)


def test_a_run_that_is_terminated_drains_and_is_interrupted_then(tmp_path: Path, settings: Settings) -> None:
    rules = SandboxRules(seconds_to_commit=0.5)
    context = multiprocessing.get_context("spawn")
    with SandboxServer(tmp_path / "sandbox.sqlite", clock=now, rules=rules) as sandbox:
        slow = DESTINATIONS.replace("builtin:sandbox", f"{sandbox.url}\n  concurrency: 1")
        prepare(
            tmp_path, settings, slow.replace("max_batch_rows: 4\n  timeout", "max_batch_rows: 1\n  timeout")
        )
        child = context.Process(target=run_step, args=(str(tmp_path), str(settings.home)))
        child.start()
        while not sandbox.store.query("select 1 from effects"):
            time.sleep(0.01)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGTERM)
        child.join(100)
        done = len(sandbox.store.query("select 1 from effects"))

    with Ledger(settings.ledger_path) as ledger, ledger.read() as connection:
        states = dict(connection.execute("select state, count(*) from operations group by 1"))
    assert child.exitcode == 3
    assert states == {"delivered": done, "planned": len(NAMES) - done}
    assert 0 < done < len(NAMES)


def test_a_sync_with_a_schedule_is_started_by_it_alone(tmp_path: Path) -> None:
    write_definitions(tmp_path)
    sync = load_definitions(tmp_path).sync("to_csv")

    schedule = sync_schedule(sync, Schedule(cron="0 8 * * *", timezone="Europe/Berlin"))

    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 8 * * *", "Europe/Berlin")
    assert schedule.job_name == "sync_to_csv"
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


def test_what_is_accepted_is_shown_apart_from_what_is_delivered() -> None:
    report = SyncReport("s", "d", "s-000001", adds=3, delivered=1, accepted=2)

    shown = report_metadata(report)

    assert describe_report(report) == "+3 ~0 -0, unchanged 0, delivered 1, accepted 2"
    assert (shown["delivered"], shown["accepted"]) == (1, 2)
