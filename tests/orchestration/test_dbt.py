"""How dbt is started: its variables, its lock, and when the manifest is read again."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestration.dbt import (
    as_of_variable,
    dbt_arguments,
    dbt_failure,
    manifest_is_current,
    manifest_path,
    opens_warehouse,
)
from orchestration.settings import Settings

AS_OF = datetime(2010, 12, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["build"], True),
        (["run", "--select", "marts"], True),
        (["show", "--inline", "select 1"], True),
        (["parse", "--quiet"], False),
        (["ls"], False),
        (["build", "--help"], False),
        (["--version"], False),
        ([], False),
    ],
)
def test_only_commands_that_open_the_warehouse_take_its_lock(arguments: list[str], expected: bool) -> None:
    assert opens_warehouse(arguments) is expected


def test_models_are_told_the_moment_unless_a_person_tells_them_something_else() -> None:
    told = '{"as_of": "2010-12-10 00:00:00"}'

    assert as_of_variable(AS_OF) == told
    assert dbt_arguments(["build"], as_of=AS_OF) == ["build", "--vars", told]
    assert dbt_arguments(["build", "--vars", "{}"], as_of=AS_OF) == ["build", "--vars", "{}"]
    assert dbt_arguments(["ls"], as_of=AS_OF) == ["ls"]


def test_the_moment_keeps_its_microseconds() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)

    assert as_of_variable(moment) == '{"as_of": "2026-01-02 03:04:05.000678"}'


def touch(path: Path, nanoseconds: int) -> None:
    os.utime(path, ns=(nanoseconds, nanoseconds))


def test_the_manifest_is_read_again_when_a_project_file_changed_or_went_away(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    models = project / "models"
    models.mkdir(parents=True)
    monkeypatch.setattr(Settings, "dbt_project_dir", property(lambda _: project))
    model, other = models / "a.sql", models / "b.sql"
    for path in (model, other):
        path.write_text("select 1")
    assert not manifest_is_current(settings)

    manifest = manifest_path(settings)
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    for path in (project, models, model, other):
        touch(path, 1_000)
    touch(manifest, 2_000)
    assert manifest_is_current(settings)

    touch(model, 3_000)
    assert not manifest_is_current(settings)

    touch(model, 1_000)
    other.unlink()
    assert not manifest_is_current(settings)


def test_a_failed_build_names_the_first_failed_node_and_its_reason(settings: Settings) -> None:
    settings.dbt_target_dir.mkdir(parents=True)
    (settings.dbt_target_dir / "run_results.json").write_text(
        '{"results": [{"status": "success", "unique_id": "model.cdp.fine", "message": ""},'
        ' {"status": "fail", "unique_id": "test.cdp.assert_no_member_is_denied", "message": "Got 3 results"},'
        ' {"status": "skipped", "unique_id": "model.cdp.after", "message": ""}]}'
    )

    message = str(dbt_failure(settings, "ignored"))

    assert "1 of 3 nodes failed, the first is test assert_no_member_is_denied: Got 3 results." in message


def test_a_build_that_never_started_gives_dbts_own_words(settings: Settings) -> None:
    said = "The dbt CLI process failed.\n\nErrors parsed from dbt logs:\n\nCompilation Error\n  no such macro"

    assert "dbt build failed: Compilation Error no such macro" in str(dbt_failure(settings, said))
