"""Workers that stand still past their lease, that die and leave what nobody can settle; refused repeats."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from activation import dead_letters
from activation.adapters.base import Surroundings
from activation.delivery import deliver, recover
from activation.ledger import Ledger
from activation.outside import OpenDestination
from activation.patience import Patience
from activation.sandbox.faults import Fault
from tests.activation.warehouse import key_of
from tests.activation.world import DESTINATIONS, World, people, write_definitions

READABLE = "  idempotency_lifetime_hours: 0\n  read_back_settles_seconds: 0\n"
IDEMPOTENT = "  can_read_back: false\n"
OPAQUE = "  idempotency_lifetime_hours: 0\n  can_read_back: false\n"
PAST_THE_LEASE = timedelta(seconds=121)


def define(world: World, settings: str) -> None:
    timeout = "  timeout_seconds: 5\n"
    write_definitions(world.folder, destinations=DESTINATIONS.replace(timeout, timeout + settings, 1))


def at_first(point: str, do: Callable[[], None], *, occurrence: int = 1) -> Callable[[str], None]:
    """A hook that does something when a point is reached, for the first time if not told otherwise."""
    passed = 0

    def at(reached: str) -> None:
        nonlocal passed
        passed += reached == point
        if reached == point and passed == occurrence:
            do()

    return at


def run_and_die(world: World, point: str) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.run(engine=replace(world.engine, worker_name="dead", at=at_first(point, die)))


def let_another_finish(world: World) -> None:
    """A second worker, with connections of its own, settles and delivers everything; then this returns."""
    sync = world.sync()
    engine = replace(world.engine, worker_name="heir")
    surroundings = Surroundings("sandbox", world.folder, lambda: world.sandbox.url, str)
    given = world.destinations.get(sync.destination)
    adapter = sync.destination.adapter.build(sync.destination.config, surroundings)
    destination = OpenDestination(adapter, given.capabilities, given.windows)

    async def work() -> None:
        with Ledger(world.place) as ledger:
            async with adapter:
                await recover(sync, ledger=ledger, destination=destination, engine=engine)
                await deliver(sync, ledger=ledger, destination=destination, engine=engine)

    heir = threading.Thread(target=lambda: asyncio.run(work()))
    heir.start()
    heir.join()


@pytest.mark.parametrize("settings", [READABLE, IDEMPOTENT, ""], ids=["readable", "idempotent", "both"])
def test_a_worker_that_stood_still_past_its_lease_sends_nothing(world: World, settings: str) -> None:
    define(world, settings)
    world.members(*people("ann"))

    def stand_still() -> None:
        world.time.now += PAST_THE_LEASE
        let_another_finish(world)

    world.run(engine=replace(world.engine, at=at_first("before_write", stand_still)))

    assert world.effects() == [("upsert", "ann@example.com")]
    assert world.states() == {"ann@example.com": "delivered"}
    with world.ledger.read() as connection:
        late = connection.execute(
            "select delivered, unknown, reason from attempts where is_late = 1"
        ).fetchall()
    assert late == [(0, 1, "lease_lost")]


def test_a_worker_that_stood_still_and_still_has_its_batch_renews_its_lease(world: World) -> None:
    """Else another would take over a batch that is just leaving."""
    define(world, READABLE)
    world.members(*people("ann"))

    def stand_still() -> None:
        world.time.now += PAST_THE_LEASE

    leases = []

    def note_lease() -> None:
        with world.ledger.read() as connection:
            leases.extend(connection.execute("select lease_until - last_attempt_at from batches").fetchall())
            leases.extend(connection.execute("select last_attempt_at from batches").fetchall())

    still, seen = at_first("before_write", stand_still), at_first("after_response", note_lease)

    def at(point: str) -> None:
        still(point)
        seen(point)

    world.run(engine=replace(world.engine, at=at))

    assert leases[0] == (120_000_000,)
    assert leases[1] == (int(world.time().timestamp() * 1_000_000),)


def test_a_repeat_whose_key_grew_old_on_the_way_is_not_sent(world: World) -> None:
    define(world, IDEMPOTENT)
    world.members(*people("ann"))
    world.sandbox.faults.add(Fault("gateway_error_after_commit"))

    def stand_still() -> None:
        world.time.now += timedelta(hours=25)

    world.run(engine=replace(world.engine, at=at_first("before_write", stand_still, occurrence=2)))

    assert len(world.effects()) == 1
    assert world.states() == {"ann@example.com": "in_doubt: http_502"}


@pytest.mark.parametrize("refusal", ["unauthorised", "rate_limited", "unavailable"])
def test_a_repeat_that_is_refused_says_nothing_about_what_came_before_it(world: World, refusal: str) -> None:
    """Called undone, it would be cancelled by the next plan or left to another route, though it was done."""
    define(world, IDEMPOTENT)
    world.members(*people("ann"))
    world.sandbox.faults.add(Fault("gateway_error_after_commit"))
    world.sandbox.faults.add(Fault(refusal, retry_after=3600))  # type: ignore[arg-type]

    world.run(patience=Patience(unknown_attempts=2))

    assert world.states()["ann@example.com"].startswith("in_doubt")

    world.members(*people("bob"))
    report = world.run()

    assert (report.recovered, report.adds) == (1, 1)
    assert world.effects() == [
        ("upsert", "ann@example.com"),
        ("remove", "ann@example.com"),
        ("upsert", "bob@example.com"),
    ]


def test_a_refusal_during_recovery_settles_nothing(world: World) -> None:
    define(world, IDEMPOTENT)
    world.members(*people("ann"))
    run_and_die(world, "after_response")
    world.sandbox.faults.add(Fault("unauthorised"))

    report = world.run(engine=replace(world.engine, is_alive=lambda _: False))

    assert report.error is not None
    assert world.states() == {"ann@example.com": "in_doubt: unauthorised"}


def test_who_withdraws_while_recovery_waits_for_room_is_not_sent_again(world: World) -> None:
    define(world, IDEMPOTENT + "  rates: [{limit: 1, seconds: 60}]\n")
    world.members(*people("ann"))
    run_and_die(world, "before_write")

    async def sleep(seconds: float) -> None:
        world.deny(key_of("ann@example.com"))
        await world.time.sleep(seconds)

    reports = [world.run(engine=replace(world.engine, sleep=sleep, is_alive=lambda _: False)) for _ in "12"]

    assert ([report.delivered for report in reports], world.effects()) == ([0, 0], [])
    # once it could not arrive any more; planned again, because the marts do not know of her withdrawal yet
    assert world.ledger_states("to_sandbox") == {"cancelled": 1, "suppressed": 1}


@pytest.mark.parametrize("point", ["before_write", "after_response"])
def test_what_a_dead_worker_left_at_an_opaque_destination_is_listed_and_a_person_closes_it(
    world: World, point: str
) -> None:
    define(world, OPAQUE)
    world.members(*people("ann"))
    run_and_die(world, point)

    report = world.run(engine=replace(world.engine, is_alive=lambda _: False))
    [listed] = dead_letters.dead_letters(world.ledger)
    closed = dead_letters.give_up(world.ledger, "to_sandbox", reason_code=None, now=world.time())
    again = world.run()

    assert (report.delivered, dict(report.blocked)) == (0, {"in_doubt": 1})
    assert (listed.state, listed.reason, listed.operations) == ("in_doubt", "no_answer", 1)
    assert (closed, again.delivered) == (1, 1)


def test_what_is_listed_once_is_not_touched_by_every_run(world: World) -> None:
    define(world, OPAQUE)
    world.members(*people("ann"))
    run_and_die(world, "before_write")
    world.run(engine=replace(world.engine, is_alive=lambda _: False))
    with world.ledger.read() as connection:
        before = connection.execute("select token, ledger_seq from batches").fetchall()

    world.run(engine=replace(world.engine, is_alive=lambda _: False))

    with world.ledger.read() as connection:
        assert connection.execute("select token, ledger_seq from batches").fetchall() == before
