"""Whatever is wrong in a sync or destination file becomes one line that says where and what to do."""

from pathlib import Path

import pytest

import activation
from activation.config import load_definitions
from activation.errors import ConfigError
from tests.activation.world import DESTINATIONS, write_definitions


def test_the_syncs_of_the_project_are_valid() -> None:
    definitions = load_definitions(Path(activation.__file__).parent)

    assert {sync.destination.name for sync in definitions.syncs.values()} == {"sandbox", "files"}
    assert len(
        {(sync.destination.name, sync.target.list_name) for sync in definitions.syncs.values()}
    ) == len(definitions.syncs)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "destination: sandbox",
            "destination: sandpit",
            r"destination: 'sandpit' is not in destinations\.yml; .*files",
        ),
        (
            "mode: mirror",
            "mode: mirrored",
            r"mode: Input should be 'insert', .*; found 'mirrored'",
        ),
        (
            "key: email",
            "key: phone",
            r"key: 'phone' is not a field of mapping; expected one of country, email",
        ),
        ("route: live", "route: sometimes", r"route: Input should be 'live'; found 'sometimes'"),
        ("route: live", "rout: live", r"route: missing; add it|rout: unknown key"),
        ("max_removed: 10", "max_removed: many", r"guards\.max_removed: .*valid integer.*; found 'many'"),
        (
            "when_null: send",
            "when_null: keep",
            r"mapping\.country\.when_null: .*'omit' or 'default'; found 'keep'",
        ),
        (
            "name: to_sandbox",
            "name: other",
            r"name: 'other' differs from the file's name; expected 'to_sandbox'",
        ),
        (
            "route: live",
            "route: live\ntrigger: hourly",
            r"trigger: Input should be 'tick' or 'manual'; found 'hourly'",
        ),
        (
            "route: live",
            "route: live\ntrigger: {cron: 0 25 * * *}",
            r"trigger: cron: '0 25 \* \* \*' is no schedule of five fields",
        ),
        (
            "route: live",
            "route: live\ntrigger: {cron: 0 8 * * *, timezone: Europe/Bonn}",
            r"trigger: timezone: 'Europe/Bonn' is not known",
        ),
        ("options: {}", "options: {format: csv}", r"options\.format: unknown key"),
        ("name: to_sandbox", "name: [", r"not readable as YAML: .* Mend the file"),
        ("route: live", "route: live\nguards: {max_removed: 10}", r"'guards' stands twice .* line 1\d"),
        ("{column: country_code,", "{column: country_code, column: x,", "'column' stands twice"),
    ],
)
def test_a_mistake_in_a_sync_is_one_line(tmp_path: Path, before: str, after: str, message: str) -> None:
    write_definitions(tmp_path)
    file = tmp_path / "syncs" / "to_sandbox.yml"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))

    with pytest.raises(ConfigError, match=message) as caught:
        load_definitions(tmp_path)

    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "type: webhook",
            "type: pigeon",
            r"sandbox\.type: 'pigeon' is not a destination type; .*file, webhook",
        ),
        ("url: builtin:sandbox", "url: ftp://x", r"sandbox\.url: String should match pattern"),
        ("max_batch_rows: 4", "max_batch_rows: 0", r"max_batch_rows: .*greater than 0; found 0"),
        ("description: the sandbox", "", r"sandbox\.description: expected one sentence"),
    ],
)
def test_a_mistake_in_a_destination_is_one_line(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    write_definitions(tmp_path, destinations=DESTINATIONS.replace(before, after, 1))

    with pytest.raises(ConfigError, match=message) as caught:
        load_definitions(tmp_path)

    assert "\n" not in str(caught.value)


def test_two_syncs_cannot_own_one_list(tmp_path: Path) -> None:
    write_definitions(tmp_path)
    file = tmp_path / "syncs" / "to_jsonl.yml"
    file.write_text(file.read_text().replace("list: to_jsonl", "list: to_csv"))

    with pytest.raises(ConfigError, match="already kept by sync 'to_csv'; expected one owner per list"):
        load_definitions(tmp_path)


def test_a_missing_destinations_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"destinations\.yml: the file does not exist"):
        load_definitions(tmp_path)


def test_a_sync_may_have_a_schedule_of_its_own(tmp_path: Path) -> None:
    write_definitions(tmp_path)
    file = tmp_path / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text() + '\ntrigger: {cron: "0 8 * * *", timezone: Europe/Berlin}\n')

    assert str(load_definitions(tmp_path).sync("to_sandbox").trigger) == "0 8 * * * Europe/Berlin"
