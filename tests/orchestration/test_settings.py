"""Settings: the one reader of the environment."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestration.cli import load_settings
from orchestration.deployment import open_deployment, parse_moment
from orchestration.errors import DeploymentError
from orchestration.settings import PROJECT_ROOT, Settings, utc_now

PACKAGES = ("ingestion", "activation", "orchestration")


def test_only_settings_reads_the_environment_and_the_clock() -> None:
    reads = re.compile(r"os\.environ|os\.getenv|\butcnow\(|datetime\.now\(|\btime\.time\(")
    readers = {
        str(path.relative_to(PROJECT_ROOT))
        for package in PACKAGES
        for path in (PROJECT_ROOT / package).rglob("*.py")
        if reads.search(path.read_text(encoding="utf-8"))
    }

    # a worker of the collector is a process of its own, and says when something was received
    assert readers == {"orchestration/settings.py", "ingestion/collector/worker.py"}


def test_everything_a_run_writes_is_under_home(home: Path) -> None:
    settings = Settings(home=home)

    paths = [
        getattr(settings, name)
        for name in dir(Settings)
        if name.endswith(("_dir", "_path", "_home")) and name not in ("dbt_project_dir", "executables_dir")
    ]
    written = [path for path in paths if path is not None]

    assert written
    assert [path for path in written if not path.is_relative_to(home)] == []


def test_every_setting_is_documented() -> None:
    undocumented = [name for name, field in Settings.model_fields.items() if not field.description]

    assert undocumented == []


def test_a_time_without_a_zone_is_utc(home: Path) -> None:
    assert Settings(home=home, as_of="2010-12-10T00:00:00").as_of == datetime(2010, 12, 10, tzinfo=UTC)
    assert parse_moment("2010-12-10") == datetime(2010, 12, 10, tzinfo=UTC)
    assert parse_moment("2010-12-10T02:00:00+02:00") == datetime(2010, 12, 10, tzinfo=UTC)


def test_a_wrong_value_is_named_as_the_variable_that_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDP_UI_PORT", "ninety")

    with pytest.raises(DeploymentError, match="CDP_UI_PORT='ninety'"):
        load_settings()


def test_settings_do_not_change(home: Path) -> None:
    settings = Settings(home=home)

    with pytest.raises(ValidationError, match="frozen"):
        settings.home = home / "elsewhere"  # type: ignore[misc]


def test_telemetry_is_off_and_no_tool_is_pointed_at_the_home_folder(settings: Settings) -> None:
    environment = settings.child_environment()

    assert environment["DO_NOT_TRACK"] == "1"
    assert environment["RUNTIME__DLTHUB_TELEMETRY"] == "false"
    assert environment["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "false"
    assert environment["DAGSTER_DISABLE_TELEMETRY"] == "yes"
    assert environment["DAGSTER_HOME"].startswith(str(settings.home))
    assert environment["DLT_DATA_DIR"].startswith(str(settings.home))


def test_without_a_source_the_deployment_is_the_sample(settings: Settings) -> None:
    deployment = open_deployment(settings, utc_now)

    assert deployment.is_sample
    assert deployment.as_of() == datetime(2010, 12, 10, tzinfo=UTC)


def test_with_a_source_the_deployment_lives_in_the_present(home: Path, tmp_path: Path) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)

    deployment = open_deployment(Settings(home=home, events_dir=tmp_path), lambda: now)

    assert not deployment.is_sample
    assert deployment.as_of() == now


def test_events_of_ones_own_in_the_log_keep_the_sample_away(settings: Settings) -> None:
    segment = settings.event_log_dir / "2026-01-02" / "000001.log"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(b"2026-01-02T00:00:00.000Z\tweb\t{}\n")

    assert not open_deployment(settings, utc_now).is_sample


def test_invented_people_never_mix_with_real_ones(home: Path, tmp_path: Path) -> None:
    (home / "sample").mkdir(parents=True)
    (home / "sample" / "manifest.json").write_text("{}")

    with pytest.raises(DeploymentError, match="CDP_EVENTS_DIR names real sources; they would mix"):
        open_deployment(Settings(home=home, events_dir=tmp_path), utc_now)


def test_the_identifier_key_is_made_once_and_readable_by_its_owner_only(
    settings: Settings, tmp_path: Path
) -> None:
    configured = settings.model_copy(update={"events_dir": tmp_path})

    first = open_deployment(configured, utc_now).identifier_key()
    second = open_deployment(configured, utc_now).identifier_key()

    assert first == second
    assert len(first) == 32
    assert settings.identifier_key_path.stat().st_mode & 0o777 == 0o600


def test_an_unusable_identifier_key_stops_instead_of_making_strangers_of_everyone(settings: Settings) -> None:
    settings.identifier_key_path.parent.mkdir(parents=True)
    settings.identifier_key_path.write_text("not hex")

    with pytest.raises(DeploymentError, match="is not hex text of at least 16 bytes"):
        open_deployment(settings, utc_now).identifier_key()
