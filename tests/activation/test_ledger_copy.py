"""A ledger moves from its file into a database, and back, with everything that it knows."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from activation import gate
from activation.errors import LedgerBusyError, PlanRefusedError, ProjectionError
from activation.ledger import Ledger
from activation.ledger_copy import copy_ledger
from activation.ledger_places import LedgerPlace
from activation.ledger_schema import TABLES
from activation.planner import plan_sync
from tests.activation.test_ledger import LIMITS, planned, take, write_intents
from tests.activation.world import World, people
from tests.postgres import PostgresServer


@pytest.fixture
def other_place(place: LedgerPlace, tmp_path: Path, request: pytest.FixtureRequest) -> LedgerPlace:
    """A place of the other kind."""
    if not isinstance(place, Path):
        return tmp_path / "moved.sqlite"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_place()


def everything(ledger: Ledger) -> dict[str, list[tuple[object, ...]]]:
    with ledger.read() as connection:
        return {
            table: sorted(connection.execute(f"select * from {table}").fetchall(), key=repr)
            for table in TABLES
        }


def test_a_moved_ledger_knows_everything_and_goes_on(world: World, other_place: LedgerPlace) -> None:
    world.members(*people("ann", "bob", "cid"))
    world.run()
    gate.set_cap(world.ledger, "email", max_operations=100, window=timedelta(days=1))
    world.deny("key-of-somebody")
    world.members(*people("bob", "cid", "dan"))
    world.run()

    with Ledger(other_place) as moved:
        copied = copy_ledger(world.ledger, moved, set_by="tests", now=world.time())
        before = everything(world.ledger)
        before["freezes"] = []
        assert everything(moved) == before
        assert sum(copied.rows.values()) == sum(
            len(rows) for table, rows in before.items() if table != "ledger_identity"
        )

        world.ledger = moved
        world.members(*people("cid", "dan", "eve"))
        report = world.run()

    assert (report.adds, report.removes, report.unchanged, report.delivered) == (1, 1, 2, 2)
    assert world.at_sandbox() == {"cid@example.com", "dan@example.com", "eve@example.com"}


def test_nothing_is_sent_from_a_ledger_that_moved(world: World, other_place: LedgerPlace) -> None:
    write_intents(world, *planned("a"))

    with Ledger(other_place) as moved:
        copy_ledger(world.ledger, moved, set_by="tests", now=world.time())
        stopped = take(world).stopped
        with pytest.raises(PlanRefusedError, match="moved already"):
            copy_ledger(world.ledger, moved, set_by="tests", now=world.time())
        world.ledger = moved
        claimed = take(world).claimed

    assert stopped is not None
    assert stopped.startswith("paused: this ledger moved to ")
    assert claimed is not None


def test_a_copy_that_was_killed_before_its_source_was_frozen_is_ended_by_the_next(
    world: World, other_place: LedgerPlace
) -> None:
    write_intents(world, *planned("a"))
    with Ledger(other_place) as moved:
        copy_ledger(world.ledger, moved, set_by="tests", now=world.time())
        with world.ledger.write() as transaction:  # as the source is when the process was killed there
            transaction.execute("delete from freezes")
            transaction.execute("update ledger_identity set ledger_seq = ledger_seq - 2")
        before = everything(moved)
        with Ledger(world.place) as source:
            again = copy_ledger(source, moved, set_by="tests", now=world.time())

            assert again.was_there
            assert gate.freeze_of(source, "to_sandbox") is not None
        after = everything(moved)
        assert before.pop("ledger_identity") != after.pop("ledger_identity")
        assert after == before


def test_a_copy_is_not_ended_when_its_source_went_on(world: World, other_place: LedgerPlace) -> None:
    write_intents(world, *planned("a"))
    with Ledger(other_place) as moved:
        copy_ledger(world.ledger, moved, set_by="tests", now=world.time())
        gate.lift_freeze(world.ledger, "*", now=world.time())
        take(world)
        world.time.now += timedelta(days=1)

        with pytest.raises(PlanRefusedError, match="gone on since"):
            copy_ledger(world.ledger, moved, set_by="tests", now=world.time())


def test_nothing_is_copied_into_a_ledger_that_holds_something(world: World, other_place: LedgerPlace) -> None:
    with Ledger(other_place) as other:
        gate.set_cap(other, "email", max_operations=1, window=timedelta(days=1))
        before = everything(other)

        with pytest.raises(PlanRefusedError, match=r"not empty \(1 caps\)"):
            copy_ledger(world.ledger, other, set_by="tests", now=world.time())

        after = everything(other)
        assert after == before
    assert gate.standing_freezes(world.ledger) == []


def test_a_batch_on_its_way_holds_the_copy_back(world: World, other_place: LedgerPlace) -> None:
    write_intents(world, *planned("a"))
    take(world, limits=replace(LIMITS, max_rows=1))

    with Ledger(other_place) as other, pytest.raises(LedgerBusyError, match="1 batches"):
        copy_ledger(world.ledger, other, set_by="tests", now=world.time())


def test_an_empty_ledger_is_refused_where_a_copy_was_needed(world: World, other_place: LedgerPlace) -> None:
    """What protects who sets the address and forgets the copy."""
    world.members(*people("ann"))
    world.run()

    with Ledger(other_place) as empty, pytest.raises(ProjectionError, match="seen another ledger"):
        plan_sync(world.sync(), warehouse=world.warehouse, ledger=empty)
