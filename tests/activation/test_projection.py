"""The warehouse's picture of the ledger: exact, cheap, and refused when it cannot follow."""

from pathlib import Path

import pytest

from activation.errors import ProjectionError
from activation.ledger import Ledger
from activation.planner import plan_sync
from activation.projection import create_activation_schema, project
from activation.sandbox.faults import Fault
from tests.activation.warehouse import Person
from tests.activation.world import World, people

PICTURE = "select sync_name, destination_key, payload_hash from activation.acknowledged order by 1, 2"


def in_ledger(world: World) -> list[tuple[object, ...]]:
    with world.ledger.read() as connection:
        return connection.execute(
            "select sync_name, destination_key, payload_hash from acknowledged order by 1, 2"
        ).fetchall()


def test_the_tables_exist_before_anything_ran(world: World) -> None:
    create_activation_schema(world.warehouse)

    for table in ("sync_runs", "operations", "attempts", "acknowledged"):
        assert world.warehouse.execute(f"select count(*) from activation.{table}").fetchone() == (0,)


def test_after_each_run_the_picture_equals_the_ledger(world: World) -> None:
    for names in (["ann", "bob"], ["bob", "cid"], ["ann", "bob"], ["bob"]):
        world.members(*people(*names))
        world.run(approve=True)

        assert world.warehouse.execute(PICTURE).fetchall() == in_ledger(world)
        with world.ledger.read() as connection:
            states = connection.execute("select state, count(*) from operations group by 1").fetchall()
        assert world.warehouse.execute(
            "select state, count(*) from activation.operations group by 1"
        ).fetchall() == (states)


def test_a_sync_run_adds_up_in_the_warehouse(world: World) -> None:
    world.members(Person("ann"), Person("bad", email="nonsense"))
    world.run()

    row = world.warehouse.execute(
        "select adds + updates + removes, delivered + accepted + rejected + suppressed + deferred + in_doubt,"
        " delivered, finished_at is not null from activation.sync_runs"
    ).fetchone()

    assert row == (2, 2, 1, True)


def test_every_attempt_is_told_with_its_batch(world: World) -> None:
    """First refused for a second, then delivered: two answers to two batches, and a link to each."""
    world.members(*people("ann", "bob"))
    world.sandbox.faults.add(Fault("rate_limited", retry_after=1))
    world.run()
    world.members(*people("ann", "bob", "cid"))
    world.run()

    told = world.warehouse.execute(
        "select sync_name, sync_run_id, delivered, deferred, reason, is_late from activation.attempts"
        " order by ledger_seq"
    ).fetchall()
    batches = world.warehouse.execute(
        "select operations.destination_key_hash is not null, attempts.delivered from activation.operations"
        " inner join activation.attempts on attempts.batch_id = operations.batch_id order by 2"
    ).fetchall()

    assert told == [
        ("to_sandbox", "to_sandbox-000001", 0, 2, "rate_limited", 0),
        ("to_sandbox", "to_sandbox-000001", 2, 0, None, 0),
        ("to_sandbox", "to_sandbox-000002", 1, 0, None, 0),
    ]
    assert batches == [(True, 1), (True, 2), (True, 2)]


def test_only_what_changed_is_copied(world: World) -> None:
    world.members(*people("ann", "bob", "cid"))
    world.run()
    again = project(world.warehouse, world.ledger)
    world.members(*people("ann", "bob", "cid", "dan"))
    world.run()
    world.warehouse.execute("select 1")

    assert (again.operations, again.acknowledged) == (0, 0)
    assert world.warehouse.execute("select count(*) from activation.operations").fetchone() == (4,)


def test_no_raw_key_stands_in_the_operations(world: World) -> None:
    world.members(Person("ann"))
    world.run()

    [(key_hash,)] = world.warehouse.execute(
        "select destination_key_hash from activation.operations"
    ).fetchall()

    assert len(key_hash) == 64
    assert "ann" not in key_hash


def test_a_warehouse_built_anew_gets_the_whole_picture(world: World) -> None:
    for names in (["ann", "bob"], ["bob"]):
        world.members(*people(*names))
        world.run()
    world.warehouse.execute("drop schema activation cascade")

    assert world.run().operations == 0
    assert world.warehouse.execute(PICTURE).fetchall() == in_ledger(world)


def test_a_warehouse_restored_from_before_a_removal_forgets_the_removed(world: World) -> None:
    world.members(*people("ann", "bob"))
    world.run()
    world.warehouse.execute("create table saved as select * from activation.acknowledged")
    world.warehouse.execute("create table saved_state as select * from activation.projection_state")
    world.members(*people("bob"))
    world.run()
    world.warehouse.execute("create or replace table activation.acknowledged as select * from saved")
    world.warehouse.execute(
        "create or replace table activation.projection_state as select * from saved_state"
    )

    project(world.warehouse, world.ledger)

    assert world.warehouse.execute(PICTURE).fetchall() == in_ledger(world)


def test_another_ledger_is_refused(world: World, tmp_path: Path) -> None:
    world.members(Person("ann"))
    world.run()

    with (
        Ledger(tmp_path / "other.sqlite") as other,
        pytest.raises(ProjectionError, match="seen another ledger"),
    ):
        plan_sync(world.sync(), warehouse=world.warehouse, ledger=other)


def test_a_ledger_older_than_the_picture_is_refused(world: World) -> None:
    world.members(Person("ann"))
    world.run()
    world.warehouse.execute("update activation.projection_state set ledger_seq = ledger_seq + 1000")

    with pytest.raises(ProjectionError, match="while it ends at"):
        world.run()


def test_a_preview_from_the_ledger_equals_the_plan_of_a_run(world: World) -> None:
    world.members(Person("ann"), Person("bad", email="nonsense"))
    world.run()
    world.members(Person("bad", email="nonsense"), Person("cid"))

    preview = plan_sync(world.sync(), warehouse=world.warehouse, ledger=world.ledger, state="ledger")
    planned = plan_sync(world.sync(), warehouse=world.warehouse, ledger=world.ledger)

    assert preview == planned
    assert (preview.adds, preview.removes, dict(preview.blocked)) == (1, 1, {"rejected_before": 1})
    assert preview.samples == {"add": ("c***@e***",), "remove": ("a***@e***",)}
