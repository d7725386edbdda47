"""What a run did is taken back, what a destination lost comes back, and what ended badly is tried again."""

import asyncio
import functools
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from activation import dead_letters, undo
from activation.errors import PlanRefusedError
from activation.listing import Listing
from activation.patience import Patience
from activation.reports import SyncReport
from activation.resync import AsOf, resync
from activation.rollback import roll_back
from activation.sandbox.faults import Fault, FaultName
from tests.activation.warehouse import Person, key_of, withdraw
from tests.activation.world import World, people


def take_back(world: World, sync_run_id: str | None) -> SyncReport:
    assert sync_run_id is not None
    sync = world.sync()
    return roll_back(
        sync,
        sync_run_id,
        warehouse=world.warehouse,
        ledger=world.ledger,
        destination=world.destinations.get(sync.destination),
        engine=world.engine,
        operator="tests",
        reason="a wrong country",
    )


def held(world: World) -> dict[str, dict[str, object]]:
    return {key: json.loads(fields) for key, fields in world.sandbox.store.members("to_sandbox")}


@pytest.fixture
def bad_run(world: World) -> str:
    """The id of a run that added eve, changed ann and removed dan, of ann, bob, cid and dan."""
    world.members(*people("ann", "bob", "cid", "dan"))
    world.run()
    world.members(Person("ann", country="FR"), *people("bob", "cid", "eve"))
    report = world.run()
    assert (report.adds, report.updates, report.removes) == (1, 1, 1)
    assert report.sync_run_id is not None
    return report.sync_run_id


def test_a_run_that_is_taken_back_leaves_the_destination_exactly_as_it_was(world: World) -> None:
    world.members(*people("ann", "bob", "cid", "dan"))
    world.run()
    before = held(world)
    world.members(Person("ann", country="FR"), *people("bob", "cid", "eve"))
    bad = world.run()
    assert held(world) != before

    report = take_back(world, bad.sync_run_id)

    assert held(world) == before
    assert (report.adds, report.updates, report.removes, report.delivered) == (1, 1, 1, 3)
    assert undo.runs_of(world.ledger, "to_sandbox")[0].undoes == bad.sync_run_id


def test_a_field_that_was_left_out_before_stays_and_is_told(world: World) -> None:
    """Nobody knows what the destination had in it."""
    world.members(Person("ann", lifetime_value=None), Person("bob"))
    world.run()
    world.members(Person("ann", country="XX", lifetime_value=5), Person("bob", country="XX"))
    bad = str(world.run().sync_run_id)

    found = undo.plan_undo(world.ledger, world.sync(), bad)
    take_back(world, bad)

    assert (found.updates, found.in_part) == (2, 1)
    assert {key: (fields["country"], fields["value"]) for key, fields in held(world).items()} == {
        "ann@example.com": ("GB", 5.0),
        "bob@example.com": ("GB", 10.0),
    }


def test_the_sync_waits_until_a_person_resumes_it(world: World, bad_run: str) -> None:
    take_back(world, bad_run)
    before = held(world)

    stopped = world.run()

    assert stopped.error == f"paused: run {bad_run} was rolled back: a wrong country"
    assert held(world) == before


def test_who_has_opted_out_since_does_not_come_back(world: World, bad_run: str) -> None:
    withdraw(world.warehouse, "dan@example.com")
    world.refresh_denials()

    report = take_back(world, bad_run)

    assert (report.suppressed, "dan@example.com" in world.at_sandbox()) == (1, False)


def test_what_a_later_run_changed_is_left_and_listed(world: World, bad_run: str) -> None:
    world.members(Person("ann", country="IT"), *people("bob", "cid", "eve"))
    world.run()

    report = take_back(world, bad_run)

    assert dict(report.blocked) == {"changed_since": 1}
    assert held(world)["ann@example.com"]["country"] == "IT"
    assert world.at_sandbox() == {f"{name}@example.com" for name in ("ann", "bob", "cid", "dan")}


def test_without_what_was_sent_only_additions_can_be_taken_back(world: World) -> None:
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text() + "undo_days: 0\n")
    world.members(*people("ann", "dan"))
    world.run()
    world.members(Person("ann", country="FR"), *people("eve"))
    bad = world.run()

    report = take_back(world, bad.sync_run_id)

    assert (report.removes, dict(report.blocked)) == (1, {"former_not_kept": 2})
    with world.ledger.read() as connection:
        (kept,) = connection.execute(
            "select (select count(payload) from intents) + (select count(former_payload) from formers)"
        ).fetchone()
        assert (kept, connection.execute("select count(payload) from acknowledged").fetchone()) == (0, (0,))


def test_what_is_kept_for_undoing_is_dropped_when_its_days_are_over(world: World, bad_run: str) -> None:
    def kept() -> int:
        with world.ledger.read() as connection:
            (count,) = connection.execute("select count(former_payload) from formers").fetchone()
        return int(count)

    before = kept()
    world.time.now += timedelta(days=8)
    world.refresh_denials()
    world.run()

    assert (before, kept()) == (2, 0)
    assert undo.plan_undo(world.ledger, world.sync(), bad_run).impossible == {"former_not_kept": 2}


def test_a_run_that_nobody_knows_or_that_cannot_be_undone_is_refused(world: World) -> None:
    with pytest.raises(PlanRefusedError, match="The ledger knows no run 'nothing'"):
        undo.sync_of_run(world.ledger, "nothing")

    world.members(Person("ann"))
    first = world.run()
    world.members(Person("ann", country="FR"))
    world.run()
    with pytest.raises(PlanRefusedError, match=r"cannot be undone: 1 changed_since\. Nothing was sent"):
        take_back(world, first.sync_run_id)


def test_a_sync_that_points_elsewhere_now_takes_nothing_back(world: World, bad_run: str) -> None:
    before = held(world)
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text().replace("list: to_sandbox", "list: elsewhere"))

    with pytest.raises(
        PlanRefusedError, match="delivered to sandbox/to_sandbox, and sync 'to_sandbox' points"
    ):
        take_back(world, bad_run)
    assert (held(world), world.at_sandbox("elsewhere")) == (before, set())


def test_a_rollback_that_was_killed_is_ended_by_the_same_command(world: World, bad_run: str) -> None:
    class KilledError(Exception):
        pass

    def kill(point: str) -> None:
        if point == "after_intents":
            raise KilledError

    world.engine = replace(world.engine, at=kill)
    with pytest.raises(KilledError):
        take_back(world, bad_run)
    world.engine = replace(world.engine, at=lambda _: None)
    assert world.run().error == f"paused: run {bad_run} was rolled back: a wrong country"

    report = take_back(world, bad_run)

    assert (report.delivered, "dan@example.com" in world.at_sandbox()) == (3, True)


def test_a_destination_that_lost_and_changed_members_is_mended_after_a_resync(world: World) -> None:
    world.members(*people("ann", "bob", "cid"))
    world.run()
    before = held(world)
    store = world.sandbox.store
    store.query("delete from members where key = 'ann@example.com'")
    store.query("update members set fields = '{\"country\":\"XX\"}' where key = 'bob@example.com'")
    store.query("insert into members values ('to_sandbox', 'zoe@example.com', '{}', 0)")
    with Listing() as listed:
        listed.add(dict(store.members("to_sandbox")))
        found = resync(world.ledger, world.sync(), listed, AsOf.now(world.ledger, world.time()))
    report = world.run()

    assert (found.dropped, found.different, found.unchanged) == (1, 1, 1)
    assert (report.adds, report.updates) == (1, 1)
    assert held(world) == before | {"zoe@example.com": {}}


def test_a_resync_can_still_remove(world: World) -> None:
    world.members(*people("ann", "bob"))
    world.run()

    found = resync(world.ledger, world.sync(), None, AsOf.now(world.ledger, world.time()))
    world.members(*people("bob"))
    report = world.run()

    assert (found.different, report.updates, report.removes, world.at_sandbox()) == (
        2, 1, 1, {"bob@example.com"},
    )  # fmt: skip


def test_what_was_rejected_is_listed_and_tried_again_when_a_person_says_so(world: World) -> None:
    world.members(Person("ann", email="not an address"), Person("bob"))
    world.run()

    again = world.run()
    listed = dead_letters.dead_letters(world.ledger)
    count = dead_letters.try_again(
        world.ledger, "to_sandbox", reason_code="malformed_email", now=world.time()
    )
    retried = world.run()

    assert (again.operations, dict(again.blocked)) == (0, {"rejected_before": 1})
    assert [(each.state, each.reason, each.operations) for each in listed] == [
        ("rejected", "malformed_email", 1)
    ]
    assert (count, retried.rejected) == (1, 1)
    assert len(dead_letters.dead_letters(world.ledger)) == 1


def make_opaque(world: World, *, knows_keys: bool = False) -> None:
    """The destination cannot be read, and knows no repeated key unless told so."""
    file = world.folder / "destinations.yml"
    hours = 24 if knows_keys else 0
    opaque = f"idempotency_lifetime_hours: {hours}\n  can_read_back: false\n  timeout_seconds: 5"
    file.write_text(file.read_text().replace("timeout_seconds: 5", opaque))


@pytest.mark.parametrize("mode", ["mirror", "insert", "upsert"])
@pytest.mark.parametrize("fault", ["server_error", "gateway_error_after_commit"])
def test_who_may_have_arrived_and_opts_out_is_removed_once_the_doubt_is_closed(
    world: World, fault: FaultName, mode: str
) -> None:
    make_opaque(world)
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text().replace("mode: mirror", f"mode: {mode}"))
    world.members(*people("ann", "bob"))
    world.sandbox.faults.add(Fault(fault))
    doubtful = world.run()
    world.members(*people("bob"))
    withdraw(world.warehouse, "ann@example.com")
    dead_letters.give_up(world.ledger, "to_sandbox", reason_code=None, now=world.time())

    closed = world.run()
    then = world.run()

    assert (doubtful.in_doubt, closed.removes, closed.delivered + closed.rejected) == (2, 1, 2)
    assert held(world).keys() == {"bob@example.com"}
    assert then.delivered == 0


@pytest.mark.parametrize("knows_keys", [False, True], ids=["opaque", "knows_keys"])
@pytest.mark.parametrize("fault", ["server_error", "gateway_error_after_commit"])
def test_who_is_in_doubt_and_opts_out_is_removed_without_a_person(
    world: World, fault: FaultName, *, knows_keys: bool
) -> None:
    """Not before all that was on its way has ended. Her batch is not sent again, and bob waits in doubt."""
    make_opaque(world, knows_keys=knows_keys)
    world.members(*people("ann", "bob"))
    world.sandbox.faults.add(Fault(fault))
    world.run(patience=Patience(unknown_attempts=1))
    world.members(*people("bob"))
    withdraw(world.warehouse, "ann@example.com")
    world.deny(key_of("ann@example.com"))

    too_soon = world.run()
    asyncio.run(world.time.sleep(3600))
    closed = world.run()
    then = world.run()

    assert (too_soon.removes, dict(too_soon.blocked)) == (0, {"in_doubt": 1})
    assert (closed.removes, closed.delivered, dict(closed.blocked)) == (1, 1, {"in_doubt": 1})
    assert "ann@example.com" not in held(world)
    assert [what for what in world.effects() if what[1] == "ann@example.com"][-1][0] == "remove"
    assert (then.removes, dict(then.blocked)) == (0, {"in_doubt": 1})
    assert world.states()["bob@example.com"].startswith("in_doubt")


def test_what_is_in_doubt_since_one_run_is_closed_and_the_rest_waits(world: World) -> None:
    make_opaque(world)
    runs = []
    for name in ("ann", "bob"):
        world.members(*people(*(["ann", "bob"] if name == "bob" else ["ann"])))
        world.sandbox.faults.add(Fault("server_error"))
        runs.append(str(world.run().sync_run_id))
    give_up = functools.partial(
        dead_letters.give_up, world.ledger, "to_sandbox", reason_code=None, now=world.time()
    )

    counts = [give_up(sync_run_id=run) for run in (runs[1], runs[1], "to_sandbox-000009")]
    left = dead_letters.each_dead_letter(world.ledger, "to_sandbox", limit=9)

    assert counts == [1, 0, 0]
    assert [one.sync_run_id for one in left] == [runs[0]]


def test_what_is_in_doubt_is_closed_by_a_person_and_planned_again(world: World) -> None:
    make_opaque(world)
    world.members(*people("ann"))
    world.sandbox.faults.add(Fault("server_error"))
    doubtful = world.run()
    waiting = world.run()

    count = dead_letters.give_up(world.ledger, "to_sandbox", reason_code=None, now=world.time())
    done = world.run()

    assert (doubtful.in_doubt, dict(waiting.blocked), count, done.delivered) == (1, {"in_doubt": 1}, 1, 1)
