"""`cdp ledger copy`: from the file into the database that a setting names, and nowhere else."""

import json
from pathlib import Path

import pytest

from activation import gate
from activation.ledger import Ledger
from activation.ledger_places import PostgresDatabase
from tests.activation.test_cli import Run, cdp, decisions  # noqa: F401 (fixtures)
from tests.activation.test_ledger import planned, write_intents
from tests.activation.world import START, World
from tests.postgres import PostgresServer


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Every world of these tests begins with a file."""
    return tmp_path / "ledger.sqlite"


def test_without_a_database_there_is_nothing_to_copy_into(world: World, cdp: Run) -> None:  # noqa: F811
    refused = cdp("ledger", "copy", "--yes")

    assert refused.exit_code == 1
    assert "set CDP_LEDGER_URL" in refused.stderr
    assert gate.standing_freezes(world.ledger) == []


def test_a_copy_is_shown_first_and_then_done(world: World, cdp: Run, postgres: PostgresServer) -> None:  # noqa: F811
    write_intents(world, *planned("a", "b"))
    world.place = postgres.new_place()  # as the setting is from now on

    shown = cdp("ledger", "copy")
    before = gate.standing_freezes(world.ledger)
    done = cdp("ledger", "copy", "--yes", "--json")

    assert (shown.exit_code, before) == (1, [])
    assert "2  intents" in shown.stdout
    assert "say --yes" in shown.stderr
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["rows"]["intents"] == 2
    assert [freeze.reason for freeze in gate.standing_freezes(world.ledger)] == [
        f"this ledger moved to {world.place}"
    ]
    with Ledger(world.place) as moved:
        assert gate.route_of(moved, "to_sandbox") == "live"


def test_no_file_is_no_copy(tmp_path: Path, world: World, cdp: Run, postgres: PostgresServer) -> None:  # noqa: F811
    world.place = postgres.new_place()
    (tmp_path / "ledger.sqlite").rename(tmp_path / "elsewhere.sqlite")

    refused = cdp("ledger", "copy", "--yes")

    assert refused.exit_code == 1
    assert "There is no ledger at" in refused.stderr
    assert isinstance(world.place, PostgresDatabase)
    with Ledger(world.place) as empty:
        assert empty.sequence() == 0
    assert world.time() == START
