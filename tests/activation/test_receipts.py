"""Destinations that answer later: what is accepted is not delivered, and nothing is lost on the way there."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from activation import dead_letters, gate, receipts
from activation.adapters.base import DELIVERED, Outcome, OutcomeKind, Receipt
from activation.command_line import summary_line
from activation.errors import PlanOutdatedError
from activation.intents import open_run
from activation.ledger import Ledger
from activation.ledger_places import LedgerPlace
from activation.outside import open_room
from activation.patience import Patience
from activation.planner import plan_sync, planned_operations
from activation.resolving import resolve_accepted
from activation.rollback import roll_back
from activation.room import RoomClosedError
from activation.sandbox.app import SandboxRules
from activation.sandbox.faults import TELL_NOTHING, Fault, ReceiptFaultName
from activation.sandbox.server import SandboxServer
from tests.activation.later import HOUR, IMPATIENT, OPAQUE, READABLE, Later, Open, open_later
from tests.activation.test_append import WELCOME, messages
from tests.activation.warehouse import Person, key_of, withdraw
from tests.activation.world import people

MINUTE = timedelta(minutes=1)
ANN = "ann@example.com"
POINTS = ("before_resolve", "after_resolve_answer", "before_resolved_outcome", "after_resolved_outcome")


@pytest.fixture
def later(tmp_path: Path, place: LedgerPlace) -> Iterator[Open]:
    with open_later(tmp_path, place) as opened:
        yield opened


def accepted(world: Later, *names: str) -> Later:
    """A world in which these people were accepted, and have no answer yet."""
    world.members(*people(*names))
    report = world.run(patience=IMPATIENT)
    assert (report.accepted, report.delivered) == (len(names), 0)
    return world


def listed(world: Later) -> dict[str, str | None]:
    return {
        one.destination_key: one.reason
        for one in dead_letters.each_dead_letter(world.ledger, "to_sandbox", limit=10)
        if one.state == "in_doubt"
    }


def test_what_is_accepted_is_not_called_delivered(later: Open) -> None:
    world = later()
    world.members(*people("ann", "bob", "cid", "dan", "eve"))

    report = world.run()

    states = world.warehouse.execute("select distinct state from activation.operations").fetchall()
    acknowledged = world.warehouse.execute("select count(*) from activation.acknowledged").fetchone()
    assert (report.adds, report.delivered, report.accepted, report.in_doubt) == (5, 0, 5, 0)
    assert report.is_complete
    assert summary_line(report) == (
        "to_sandbox -> sandbox: 5 adds, 0 updates, 0 removals; "
        "5 accepted and not yet acknowledged (nobody else)"
    )
    assert (states, acknowledged) == ([("accepted",)], (0,))
    assert world.counts() == {"to_sandbox-000001": (0, 5, 0)}


def test_what_is_done_within_the_patience_of_the_run_is_delivered_by_it(later: Open) -> None:
    world = later(finish=20)
    world.members(*people("ann", "bob", "cid", "dan", "eve"))

    report = world.run()

    assert (report.delivered, report.accepted, len(world.effects())) == (5, 0, 5)


def test_how_long_a_run_waits_is_said_by_the_file_of_the_sync(later: Open) -> None:
    world = later(finish=20)
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text() + "retry: {answers_seconds: 5}\n")
    world.members(*people("ann"))

    report = world.run()

    assert (report.accepted, sum(world.time.slept) <= 5) == (1, True)


def test_the_next_run_asks_before_it_plans(later: Open) -> None:
    world = accepted(later(), "ann", "bob")
    world.pass_time(10 * MINUTE)

    report = world.run()

    assert (report.recovered, report.adds, report.unchanged) == (2, 0, 2)
    assert world.states() == {ANN: "delivered", "bob@example.com": "delivered"}
    assert world.counts() == {"to_sandbox-000001": (2, 0, 0)}
    assert len(world.effects()) == 2
    with world.ledger.read() as connection:
        kept = connection.execute(
            "select count(*) from operations where payload is not null union all"
            " select count(*) from batches where accepted_at is not null"
        ).fetchall()
    assert kept == [(0,), (0,)]


def test_nothing_is_planned_for_a_key_that_waits(later: Open) -> None:
    world = accepted(later(), "ann")
    world.members(Person("ann", country="FR"), *people("bob"))

    report = world.run(patience=IMPATIENT)

    assert (report.adds, dict(report.blocked)) == (1, {"in_doubt": 1})


def test_a_row_that_is_rejected_later_gives_its_cap_back_and_is_not_sent_again(later: Open) -> None:
    world = later(reject_keys="^ann")
    gate.set_cap(world.ledger, "email", max_operations=1, window=24 * HOUR)
    accepted(world, "ann", "bob")
    world.pass_time(10 * MINUTE)

    report = world.run()

    with world.ledger.read() as connection:
        uses = connection.execute("select canonical_id from cap_uses").fetchall()
    assert world.states() == {ANN: "rejected: blocked_by_rule", "bob@example.com": "delivered"}
    assert (report.adds, dict(report.blocked)) == (0, {"rejected_before": 1})
    assert uses == [("bob",)]


def test_what_is_put_off_later_is_sent_again_with_another_key(later: Open) -> None:
    world = later(finish=10)
    world.members(*people("ann"))
    world.sandbox.faults.add_for_receipts(Fault("rows_put_off"))

    report = world.run()

    keys = world.sandbox.store.query("select distinct idempotency_key from jobs")
    assert (report.delivered, len(keys)) == (1, 2)
    assert world.effects() == [("upsert", ANN)]


def test_what_is_put_off_too_often_is_given_up(later: Open) -> None:
    world = later(finish=10)
    world.members(*people("ann"))
    world.sandbox.faults.add_for_receipts(Fault("rows_put_off"), times=100)

    report = world.run(patience=Patience(answers=HOUR, longest_wait=timedelta(seconds=4)))

    assert (report.rejected, world.states()) == (1, {ANN: "expired: dead_letter_put_off"})


def test_whoever_leaves_while_her_add_is_accepted_is_removed_once_it_is_answered(later: Open) -> None:
    world = accepted(later(), "ann", "bob")
    world.members(*people("bob"))
    waits = world.run(patience=IMPATIENT)
    world.pass_time(10 * MINUTE)

    removes = world.run(patience=IMPATIENT)
    world.pass_time(10 * MINUTE)
    world.run()

    assert (waits.removes, removes.removes) == (0, 1)
    assert world.at_sandbox() == {"bob@example.com"}


def test_an_opt_out_waits_behind_an_accepted_update_and_is_not_lost(later: Open) -> None:
    world = accepted(later(), "ann")
    world.pass_time(10 * MINUTE)
    world.members(Person("ann", country="FR"))
    world.run(patience=IMPATIENT)
    withdraw(world.warehouse, ANN)
    world.members()
    world.refresh_denials()

    waits = world.run(patience=IMPATIENT)
    world.pass_time(10 * MINUTE)
    removes = world.run(patience=IMPATIENT)
    world.pass_time(10 * MINUTE)
    world.run()

    assert (waits.removes, dict(waits.blocked), removes.removes) == (0, {"in_doubt": 1}, 1)
    assert world.at_sandbox() == set()


@pytest.mark.parametrize("name", TELL_NOTHING)
def test_a_question_that_fails_tells_nothing(later: Open, name: ReceiptFaultName) -> None:
    world = accepted(later(), "ann", "bob")
    world.pass_time(10 * MINUTE)
    world.sandbox.faults.add_for_receipts(Fault(name))

    world.run(patience=IMPATIENT)
    before = set(world.states().values())
    world.run(patience=IMPATIENT)

    assert (before, set(world.states().values())) == ({"accepted"}, {"delivered"})


def test_a_destination_that_waits_for_a_person_is_asked_by_no_sync_any_more(later: Open) -> None:
    """All syncs of a destination share its room, and an answer about receipts closes it as any other does."""
    world = accepted(later(), "ann")
    sync = world.sync()
    destination = world.destinations.get(sync.destination)
    refusal = Outcome(OutcomeKind.ACCEPTED, "unauthorised", concerns_batch=True, stops_destination=True)

    async def resolve(_: object, receipts: Sequence[Receipt]) -> list[Outcome]:
        return [refusal] * len(receipts)

    async def ask() -> str | None:
        async with destination.adapter as adapter:
            adapter.resolve = resolve  # type: ignore[method-assign]
            room = open_room(sync, destination, world.engine)
            found = await resolve_accepted(
                sync, ledger=world.ledger, destination=destination, engine=world.engine, room=room
            )
            with pytest.raises(RoomClosedError, match="answers nobody until a person acts: unauthorised"):
                await room.enter()
            return found.stopped

    assert asyncio.run(ask()) == "sandbox answers nobody until a person acts: unauthorised"


@pytest.mark.parametrize("name", ["status_error", "status_hang"])
def test_without_an_answer_in_time_it_is_in_doubt_and_closes_when_one_comes_after_all(
    later: Open, name: ReceiptFaultName
) -> None:
    world = accepted(later(settings=OPAQUE), "ann")
    world.pass_time(HOUR)
    world.sandbox.faults.add_for_receipts(Fault(name))

    world.run()
    doubtful = listed(world)
    counts = world.counts()
    world.run()

    assert doubtful == {ANN: "no_answer_in_time"}
    assert counts == {"to_sandbox-000001": (0, 0, 1)}
    assert (world.states(), listed(world)) == ({ANN: "delivered"}, {})


def test_without_an_answer_in_time_a_destination_that_can_be_read_is_read(later: Open) -> None:
    world = accepted(later(), "ann")
    world.pass_time(HOUR)
    world.sandbox.faults.add_for_receipts(Fault("status_error"))

    report = world.run()

    assert (report.recovered, world.states()) == (1, {ANN: "delivered"})


def test_a_forgotten_receipt_is_settled_by_reading(later: Open) -> None:
    world = accepted(later(), "ann")
    world.pass_time(10 * MINUTE)
    world.sandbox.faults.add_for_receipts(Fault("receipt_forgotten"))

    report = world.run()

    assert (report.recovered, world.states(), len(world.effects())) == (1, {ANN: "delivered"}, 1)


def test_forgotten_work_is_sent_again_only_when_its_time_is_over(later: Open) -> None:
    """Until then it may still be done: sent again, it would be done twice."""
    world = accepted(later(finish=50 * 60), "ann")
    world.sandbox.faults.add_for_receipts(Fault("work_forgotten"))
    world.pass_time(40 * MINUTE)

    early = world.run(patience=IMPATIENT)
    world.pass_time(20 * MINUTE)
    again = world.run(patience=IMPATIENT)
    world.pass_time(HOUR)
    world.run()

    assert (early.adds, again.adds, again.accepted) == (0, 1, 1)
    assert world.effects() == [("upsert", ANN)]


def test_a_forgotten_receipt_of_an_opaque_destination_is_in_doubt_until_a_person_closes_it(
    later: Open,
) -> None:
    world = accepted(later(settings=OPAQUE), "ann", "bob")
    world.sandbox.faults.add_for_receipts(Fault("work_forgotten"))
    world.pass_time(MINUTE)

    waits = world.run(patience=IMPATIENT)
    doubtful = listed(world)
    closed = dead_letters.give_up(world.ledger, "to_sandbox", reason_code=None, now=world.time())
    again = world.run(patience=IMPATIENT)

    assert doubtful == dict.fromkeys((ANN, "bob@example.com"), "receipt_forgotten")
    assert (waits.adds, dict(waits.blocked), closed, again.accepted) == (0, {"in_doubt": 2}, 2, 2)
    assert listed(world) == {}


def test_who_opts_out_while_her_receipt_has_no_answer_is_removed_once_nothing_can_be_done_any_more(
    later: Open,
) -> None:
    world = accepted(later(settings=OPAQUE), "ann", "bob")
    world.sandbox.faults.add_for_receipts(Fault("never_finished"))
    world.run(patience=IMPATIENT)
    world.members(*people("bob"))
    withdraw(world.warehouse, ANN)
    world.deny(key_of(ANN))

    waits = world.run(patience=IMPATIENT)
    world.pass_time(24 * HOUR)
    world.deny(key_of(ANN))
    removes = [world.run(patience=IMPATIENT).removes for _ in range(2)]

    assert (waits.removes, sum(removes)) == (0, 1)
    assert listed(world) == {"bob@example.com": "not_finished_in_time"}
    assert world.states()[ANN] == "accepted", "the removal is accepted, too"


def test_who_opts_out_whose_receipt_was_forgotten_is_not_removed_while_she_may_still_arrive(
    later: Open,
) -> None:
    world = accepted(later(settings=OPAQUE), "ann")
    world.sandbox.faults.add_for_receipts(Fault("work_forgotten"))
    world.pass_time(MINUTE)
    world.run(patience=IMPATIENT)
    withdraw(world.warehouse, ANN)
    world.deny(key_of(ANN))
    world.members()

    soon = world.run(patience=IMPATIENT, approve=True)
    world.pass_time(24 * HOUR)
    world.deny(key_of(ANN))
    later_on = world.run(patience=IMPATIENT)

    assert (soon.removes, later_on.removes) == (0, 1)


def test_a_receipt_that_is_not_known_yet_is_not_forgotten(later: Open) -> None:
    """A status may lag behind: it is not believed before `read_back_settles`."""
    world = accepted(later(settings=OPAQUE), "ann")
    world.sandbox.faults.add_for_receipts(Fault("receipt_forgotten"))

    world.run(patience=IMPATIENT)

    assert world.states() == {ANN: "accepted"}


@pytest.mark.parametrize("settings", ["", OPAQUE], ids=["readable", "opaque"])
def test_what_is_said_to_be_worked_on_for_ever_is_in_doubt_and_never_sent_again(
    later: Open, settings: str
) -> None:
    world = accepted(later(settings=settings), "ann")
    world.sandbox.faults.add_for_receipts(Fault("never_finished"))
    world.run(patience=IMPATIENT)
    world.pass_time(24 * HOUR)

    for _ in range(3):
        world.run()

    assert listed(world) == {ANN: "not_finished_in_time"}
    assert world.sandbox.store.query("select count(*) from jobs") == [(1,)]


def test_a_discard_leaves_alone_what_has_time_to_be_answered(later: Open) -> None:
    world = accepted(later(), "ann")

    closed = dead_letters.give_up(world.ledger, "to_sandbox", reason_code=None, now=world.time())

    assert (closed, world.states(), listed(world)) == (0, {ANN: "accepted"}, {})


@pytest.mark.parametrize("late", list(receipts.STATES))
def test_of_two_workers_that_ask_for_one_receipt_the_first_answer_stands(
    later: Open, late: OutcomeKind
) -> None:
    world = accepted(later(), "ann")
    [batch_id] = receipts.awaited_batches(world.ledger, world.sync(), with_doubtful=True)
    waiting = receipts.awaited_batch(world.ledger, batch_id, with_doubtful=True)
    assert waiting is not None

    first, second = (
        receipts.record_answers(
            world.ledger,
            world.sync(),
            batch_id,
            [(waiting.members[0], answer)],
            now=world.time(),
            wait=MINUTE,
            max_attempts=5,
        )
        for answer in (DELIVERED, Outcome(late, "late"))
    )

    with world.ledger.read() as connection:
        attempts = connection.execute("select count(*) from attempts").fetchone()
    assert (first.delivered, vars(second)) == (1, vars(type(second)()))
    assert world.states() == {ANN: "delivered"}
    assert attempts == (2,)


def test_a_plan_made_before_an_answer_was_recorded_is_not_written(later: Open) -> None:
    world = accepted(later(), "ann")
    sync = world.sync()
    world.members(*people("bob"))
    plan = plan_sync(sync, warehouse=world.warehouse, ledger=world.ledger)
    [batch_id] = receipts.awaited_batches(world.ledger, sync, with_doubtful=True)
    waiting = receipts.awaited_batch(world.ledger, batch_id, with_doubtful=True)
    assert waiting is not None
    answers = [(waiting.members[0], DELIVERED)]
    receipts.record_answers(
        world.ledger, sync, batch_id, answers, now=world.time(), wait=MINUTE, max_attempts=5
    )

    with pytest.raises(PlanOutdatedError, match="Plan again"):
        open_run(
            world.ledger,
            sync,
            planned_operations(world.warehouse),
            count=plan.operations,
            plan_hash=plan.plan_hash,
            planned_at_seq=plan.ledger_seq,
            made_of=plan.made_of,
            now=world.time(),
        )


@pytest.mark.parametrize("occurrence", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_killed_while_it_asks_the_next_run_heals(later: Open, point: str, occurrence: int) -> None:
    world = accepted(later(), "ann", "bob", "cid", "dan", "eve", "fay")
    world.pass_time(10 * MINUTE)

    with pytest.raises(KeyboardInterrupt):
        world.run(engine=world.dying(point, occurrence))
    report = world.run()

    assert set(world.states().values()) == {"delivered"}
    assert (report.unchanged, len(world.effects()), len(world.at_sandbox())) == (6, 6, 6)
    assert world.counts() == {"to_sandbox-000001": (6, 0, 0)}


def test_an_answer_lost_on_the_way_is_asked_for_with_the_same_key(later: Open) -> None:
    world = later()
    world.members(*people("ann"))

    with pytest.raises(KeyboardInterrupt):
        world.run(engine=world.dying("after_response"))
    world.pass_time(3 * MINUTE)
    world.run(patience=IMPATIENT)
    between = world.states()
    world.pass_time(10 * MINUTE)
    world.run()

    assert (between, world.states()) == ({ANN: "accepted"}, {ANN: "delivered"})
    assert world.effects() == [("upsert", ANN)]


@pytest.mark.parametrize("point", ["before_write", "after_response"])
def test_without_keys_a_lost_answer_is_read_back_and_not_there_is_not_believed_too_early(
    later: Open, point: str
) -> None:
    world = later(finish=50 * 60, settings=READABLE)
    world.members(*people("ann"))

    with pytest.raises(KeyboardInterrupt):
        world.run(engine=world.dying(point))
    for _ in range(4):
        world.pass_time(10 * MINUTE)
        world.run(patience=IMPATIENT)
    between = world.states()
    world.pass_time(20 * MINUTE)
    world.run(patience=IMPATIENT)
    world.pass_time(HOUR)
    world.run()

    assert between == {ANN: "in_doubt: may_be_accepted"}
    assert (world.states()[ANN], world.effects()) == ("delivered", [("upsert", ANN)])


def test_a_lost_answer_of_an_opaque_destination_is_in_doubt(later: Open) -> None:
    world = later(settings=OPAQUE)
    world.members(*people("ann"))

    with pytest.raises(KeyboardInterrupt):
        world.run(engine=world.dying("after_response"))
    world.pass_time(24 * HOUR)
    report = world.run()

    assert (dict(report.blocked), listed(world)) == ({"in_doubt": 1}, {ANN: "no_answer"})
    assert world.effects() == [("upsert", ANN)]


def test_a_run_whose_answers_came_later_can_be_taken_back(later: Open) -> None:
    world = accepted(later(finish=10), "ann", "bob")
    world.pass_time(MINUTE)
    world.run()
    before = dict(world.sandbox.store.members("to_sandbox"))
    world.members(Person("ann", country="FR"), *people("bob", "cid"))
    changed = world.run(patience=IMPATIENT)
    world.pass_time(MINUTE)

    assert changed.sync_run_id is not None
    sync = world.sync()
    report = roll_back(
        sync,
        changed.sync_run_id,
        warehouse=world.warehouse,
        ledger=world.ledger,
        destination=world.destinations.get(sync.destination),
        engine=world.engine,
        operator="a person",
        reason="it was wrong",
    )

    assert (changed.accepted, report.recovered, report.delivered) == (2, 2, 2)
    assert dict(world.sandbox.store.members("to_sandbox")) == before


def test_a_paused_sync_still_learns_what_became_of_what_was_accepted(later: Open) -> None:
    world = accepted(later(), "ann")
    gate.freeze(world.ledger, "to_sandbox", reason="r", set_by="a person", now=world.time())
    world.pass_time(10 * MINUTE)

    world.run()

    assert world.states() == {ANN: "delivered"}


def test_the_work_of_a_sandbox_that_was_restarted_is_done(tmp_path: Path, later: Open) -> None:
    world = accepted(later(), "ann")
    rules = SandboxRules(seconds_to_finish=600)
    world.time.now += 10 * MINUTE
    with SandboxServer(tmp_path / "later.sqlite", clock=world.time, rules=rules) as restarted:
        file = tmp_path / "destinations.yml"
        file.write_text(file.read_text().replace(world.sandbox.url, restarted.url))

        world.run()

    assert (world.states(), len(world.effects())) == ({ANN: "delivered"}, 1)


def test_a_message_that_was_accepted_is_sent_once_and_its_occurrence_is_over(later: Open) -> None:
    world = later()
    (world.folder / "syncs" / "welcome.yml").write_text(WELCOME)
    world.members(*people("ann", "bob"))

    first = world.run("welcome", patience=IMPATIENT)
    waits = world.run("welcome", patience=IMPATIENT)
    world.pass_time(10 * MINUTE)
    done = world.run("welcome")

    assert (first.accepted, waits.sends, done.recovered, done.sends) == (2, 0, 2, 0)
    assert messages(world) == {"ann": 1, "bob": 1}


def test_a_message_whose_receipt_was_forgotten_is_not_sent_again_when_a_person_closes_it(later: Open) -> None:
    world = later(settings=OPAQUE)
    (world.folder / "syncs" / "welcome.yml").write_text(WELCOME)
    world.members(*people("ann"))
    world.run("welcome", patience=IMPATIENT)
    world.sandbox.faults.add_for_receipts(Fault("receipt_forgotten"))
    world.pass_time(10 * MINUTE)
    world.run("welcome")

    closed = dead_letters.give_up(world.ledger, "welcome", reason_code=None, now=world.time())
    after = world.run("welcome")

    assert (closed, after.sends, messages(world)) == (1, 0, {"ann": 1})


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_whatever_changes_while_answers_are_awaited_ends_as_desired(later: Open, seed: int) -> None:
    chance = random.Random(seed)
    world = later(finish=chance.choice([5, 300, 900]), settings=chance.choice(["", READABLE]))
    names = [f"p{number}" for number in range(8)]
    for _ in range(12):
        wanted = [
            Person(name, country=chance.choice(["FR", "DE"])) for name in names if chance.random() < 0.6
        ]
        world.members(*wanted)
        if chance.random() < 0.3:
            point = chance.choice([*POINTS, "after_response", "before_outcome", "after_outcome"])
            with suppress(KeyboardInterrupt):
                world.run(engine=world.dying(point), approve=True, patience=IMPATIENT)
        else:
            world.run(approve=True, patience=IMPATIENT)
        world.pass_time(chance.choice([MINUTE, 10 * MINUTE]))
    for _ in range(4):
        world.pass_time(2 * HOUR)
        world.run(approve=True)

    assert world.at_sandbox() == {person.address for person in wanted}
    assert {key: country(world, key) for key in world.at_sandbox()} == {
        person.address: person.country for person in wanted
    }


def country(world: Later, key: str) -> object:
    fields = world.sandbox.store.read("to_sandbox", [key])[key]
    return None if fields is None else fields["country"]


def test_asking_is_cheap_where_nothing_is_accepted(tmp_path: Path) -> None:
    """The look-up goes by the index of the few batches that wait, never over all that was ever sent."""
    with Ledger(tmp_path / "ledger.sqlite") as ledger, ledger.read() as connection:
        plan = connection.execute(
            f"explain query plan {receipts.read_sql('awaited_batches')}",
            {"sync_name": "s", "or_state": "in_doubt"},
        ).fetchall()

    steps = " ".join(str(row[3]) for row in plan)
    assert "batches_accepted" in steps
    assert "outcomes_by_batch" in steps
