"""Files as they would be uploaded: exact, whole or absent, and `current` always follows."""

import csv
import json
from pathlib import Path

import pytest

from activation.ledger import Ledger
from tests.activation.warehouse import Person
from tests.activation.world import World, people


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Only a file: files are written after the ledger has answered."""
    return tmp_path / "ledger.sqlite"


def test_a_batch_file_is_rfc_4180_with_the_values_as_they_are(world: World) -> None:
    world.members(Person('ann "the first"', email="ann@example.com", country="G,B"))

    world.run("to_csv")

    [file] = (world.folder / "destinations/files/to_csv").glob("0*.csv")
    assert file.read_bytes() == (
        b'do,email,first_name,country,value\r\nupsert,ann@example.com,"Ann ""The First""","G,B",10.00\r\n'
    )


def test_current_follows_additions_updates_and_removals(world: World) -> None:
    world.members(*people("ann", "bob", "cid", "dan", "eve"))
    world.run("to_csv")
    world.members(Person("ann", country="FR"), *people("cid", "dan", "fay"))
    world.run("to_csv")

    with (world.folder / "destinations/files/to_csv/current.csv").open(newline="") as lines:
        rows = {row["email"]: row["country"] for row in csv.DictReader(lines)}
    assert rows == {
        "ann@example.com": "FR",
        "cid@example.com": "GB",
        "dan@example.com": "GB",
        "fay@example.com": "GB",
    }


def test_batch_files_never_change_once_written(world: World) -> None:
    world.members(*people("ann", "bob", "cid", "dan", "eve"))
    world.run("to_jsonl")
    folder = world.folder / "destinations/files/to_jsonl"
    before = {file.name: file.read_bytes() for file in folder.glob("0*.jsonl")}

    world.members(*people("ann"))
    world.run("to_jsonl", approve=True)

    assert len(before) == 2
    assert before.items() <= {file.name: file.read_bytes() for file in folder.glob("0*.jsonl")}.items()


def test_files_of_another_ledger_are_never_taken_for_ours(world: World, tmp_path: Path) -> None:
    world.members(*people("ann"))
    world.run("to_csv")
    world.warehouse.execute("drop schema activation cascade")
    world.members(*people("bob"))
    with Ledger(tmp_path / "new.sqlite") as new:
        world.ledger = new
        world.refresh_denials()

        report = world.run("to_csv")

    assert (report.delivered, report.deferred) == (0, 1)
    assert report.error is not None
    assert "file_of_another_ledger" in report.error


def test_json_lines_tell_null_from_absent(world: World) -> None:
    world.members(Person("ann", country=None, lifetime_value=None))

    world.run("to_jsonl")

    line = (world.folder / "destinations/files/to_jsonl/current.jsonl").read_text()
    assert json.loads(line) == {"key": "ann@example.com", "fields": {"country": None, "first_name": "Ann"}}


def test_a_change_of_format_carries_the_members_over(world: World) -> None:
    world.members(*people("ann", "bob"))
    world.run("to_csv")
    file = world.folder / "syncs" / "to_csv.yml"
    file.write_text(file.read_text().replace("{format: csv}", "{format: jsonl}"))
    world.members(*people("ann", "bob", "cid"))

    world.run("to_csv")

    folder = world.folder / "destinations/files/to_csv"
    rows = [json.loads(line)["key"] for line in (folder / "current.jsonl").read_bytes().splitlines()]
    assert rows == ["ann@example.com", "bob@example.com", "cid@example.com"]
    assert not (folder / "current.csv").exists()


@pytest.mark.parametrize("name", ["to_csv", "to_jsonl"])
def test_a_folder_that_cannot_be_written_defers_everything(world: World, name: str) -> None:
    (world.folder / "destinations").mkdir()
    (world.folder / "destinations/files").write_text("a file where a folder should be")
    world.members(*people("ann"))

    report = world.run(name)

    assert (report.delivered, report.deferred) == (0, 1)
    assert report.error is not None
    assert "answers nobody until a person acts: file_e" in report.error
