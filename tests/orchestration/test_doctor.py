"""`cdp doctor`: each failed check says how to mend it."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import Result

from orchestration import doctor
from orchestration.context import Context
from orchestration.doctor import Check, run_checks
from orchestration.settings import PROJECT_ROOT, Settings

Cdp = Callable[..., Result]


def check_named(context: Context, name: str) -> Check:
    return next(check for check in run_checks(context) if check.name == name)


def test_a_new_deployment_is_healthy(cdp: Cdp) -> None:
    result = cdp("doctor", "--json")

    document = json.loads(result.stdout)
    assert [check for check in document["checks"] if not check["ok"]] == []
    assert result.exit_code == 0


def test_another_version_than_the_locked_one_fails(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version", lambda name: "0.0.1" if name == "duckdb" else "1.0")

    check = check_named(context, "duckdb")

    assert not check.ok
    assert "run `make install`" in check.mend


def test_a_damaged_warehouse_fails_with_the_command_that_rebuilds_it(cdp: Cdp, settings: Settings) -> None:
    settings.create_folders()
    settings.warehouse_path.write_bytes(b"no database")

    result = cdp("doctor")

    assert result.exit_code == 1
    assert f"mv {settings.warehouse_path} {settings.warehouse_path}.damaged" in result.stdout


def test_a_damaged_ledger_fails_and_is_not_to_be_rebuilt(context: Context, settings: Settings) -> None:
    settings.create_folders()
    settings.ledger_path.write_bytes(b"no database" * 1000)

    check = check_named(context, "ledger")

    assert not check.ok
    assert "restore" in check.mend


def test_a_sound_ledger_passes(context: Context, settings: Settings) -> None:
    settings.create_folders()
    connection = sqlite3.connect(settings.ledger_path)
    connection.execute("create table intents (a integer)")
    connection.close()

    assert check_named(context, "ledger") == Check("ledger", ok=True, found="whole")


def test_a_torn_tail_of_the_event_log_is_named(context: Context, settings: Settings) -> None:
    segment = settings.event_log_dir / "2026-01-02" / "000001.log"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(b"2026-01-02T00:00:00.000Z\tweb\t{}\n2026-01-02T00:00")

    check = check_named(context, "event log")

    assert not check.ok
    assert str(segment) in check.found


def test_a_full_disk_is_foreseen(context: Context, settings: Settings) -> None:
    short = Context(
        settings=settings.model_copy(update={"min_free_bytes": 10**18}),
        console=context.console,
    )

    assert not check_named(short, "free disk").ok


def test_a_source_folder_that_is_not_there_is_named(
    context: Context, settings: Settings, tmp_path: Path
) -> None:
    configured = Context(
        settings=settings.model_copy(update={"events_dir": tmp_path / "nothing"}),
        console=context.console,
    )

    check = check_named(configured, "folder CDP_EVENTS_DIR")

    assert not check.ok
    assert "correct CDP_EVENTS_DIR" in check.mend


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "dbt_project"
    shutil.copytree(PROJECT_ROOT / "dbt_project", copy, ignore=shutil.ignore_patterns("target", "logs"))
    monkeypatch.setattr(Settings, "dbt_project_dir", property(lambda _: copy))
    return copy


def test_an_audience_file_that_no_list_names_is_found(context: Context, project: Path) -> None:
    (project / "models" / "marts" / "audiences" / "audience_new.sql").write_text("select 1")

    check = check_named(context, "audiences")

    assert not check.ok
    assert "Add new to vars: audiences:" in check.mend


def test_a_listed_audience_without_a_file_is_found(context: Context, project: Path) -> None:
    (project / "models" / "marts" / "audiences" / "audience_new_customers.sql").unlink()

    check = check_named(context, "audiences")

    assert not check.ok
    assert "audience_new_customers.sql" in check.mend


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://cdp:hunter2@127.0.0.1:1/ledger", "does not answer"),
        ("mysql://cdp:hunter2@h/ledger", "none of PostgreSQL"),
    ],
)
def test_a_ledger_that_cannot_be_reached_is_named_without_its_password(
    settings: Settings, context: Context, url: str, found: str
) -> None:
    there = Context(
        settings=settings.model_copy(update={"ledger_url": SecretStr(url)}), console=context.console
    )

    check = check_named(there, "ledger")

    assert not check.ok
    assert found in check.found
    assert check.mend
    assert "hunter2" not in f"{check} {there.settings!r} {there.settings.model_dump()}"
