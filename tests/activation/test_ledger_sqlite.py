"""What only SQLite can do wrong: a file that is no ledger, a full disk; and that its indexes are used."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from activation.errors import LedgerCorruptError, LedgerStorageError
from activation.ledger import Ledger
from activation.sql_files import read_sql
from tests.activation.test_ledger import planned, write_intents
from tests.activation.world import World, open_world

EVERYTHING = [f"SCAN {table}" for table in ("intents", "outcomes", "batches", "acknowledged")]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("dead_letter_rows", "outcomes_ended_badly"),
        ("dead_letter_counts", "outcomes_open"),
        ("supersede", "outcomes_ended_badly"),
        ("ledger_blocked", "batches_unsettled"),
        ("ledger_blocked", "outcomes_ended_badly"),
        ("undo_candidates", "batches_unsettled"),
        ("undo_candidates", "batches_by_first_operation"),
        ("changed_operations", "sync_runs_by_ledger_seq"),
        ("claim_candidates", "outcomes_claimable"),
        ("intents_unclaimed", "sync_runs_claimable"),
        ("acknowledge_writes", "outcomes_by_batch"),
        ("members_let_go", "outcomes_by_batch"),
        ("doubts_given_up", "outcomes_by_batch"),
        ("doubts_of_denied", "outcomes_open"),
    ],
)
def test_no_statement_looks_at_everything(world: World, name: str, index: str) -> None:
    """What grows with all that was ever sent is found by number or by an index."""
    statement = read_sql(name)
    values = dict.fromkeys(re.findall(r"(?<!:):(\w+)", statement), 1)
    with world.ledger.read() as connection:
        steps = [row[3] for row in connection.execute(f"explain query plan {statement}", values)]

    assert any(index in step for step in steps), steps
    assert not any(step in EVERYTHING for step in steps), steps


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"no database at all, but long enough to look like one" * 40),
        lambda path: sqlite3.connect(path).execute("create table other (x)").connection.commit(),
    ],
    ids=["garbage", "another database"],
)
def test_what_is_no_ledger_is_refused_and_left_as_it_is(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "ledger.sqlite"
    spoil(path)
    before = path.read_bytes()

    with pytest.raises(LedgerCorruptError, match=r"[Rr]estore it from a backup"), Ledger(path):
        pass

    assert path.read_bytes()[100:] == before[100:]


def test_a_full_disk_undoes_the_step(world: World) -> None:
    write_intents(world, *planned("a"))
    before = world.states()
    with world.ledger.read() as connection:
        (pages,) = connection.execute("pragma page_count").fetchone()
    with world.ledger.read() as connection:
        connection.execute(f"pragma max_page_count = {pages}")

    with pytest.raises(LedgerStorageError, match="Free space"):
        write_intents(world, *planned(*(f"p{number}" for number in range(5000))), plan_hash="large")

    assert world.states() == before
