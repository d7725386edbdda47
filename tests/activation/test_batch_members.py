"""Which operations a batch has, and what becomes of those that fare otherwise than the others."""

from dataclasses import replace

import pytest

from activation import claims, dead_letters, gate
from activation.adapters.base import DELIVERED, OperationKind, Outcome, OutcomeKind
from activation.claims import ClaimedBatch
from activation.errors import LedgerRefusedError, PlanOutdatedError
from activation.intents import finish_run
from activation.planner import plan_sync
from activation.projection import project
from tests.activation.test_ledger import LIMITS, planned, take, write_intents
from tests.activation.test_safeguards import (
    ALL_PUT_OFF,
    OTHER,
    PUT_OFF,
    UNKNOWN,
    acknowledged,
    answer,
    claimed,
    may_repeat,
    plan_once,
)
from tests.activation.world import START, World, people

REFUSED = Outcome(OutcomeKind.REJECTED, "no such address")


def take_over(world: World, batch: ClaimedBatch) -> ClaimedBatch:
    heir = claims.reclaim(
        world.ledger, world.sync(), batch.batch.batch_id, token=batch.token, worker=OTHER, now=world.time()
    )
    assert heir is not None
    return heir


def keys(batch: ClaimedBatch) -> list[str]:
    return [operation.destination_key for operation in batch.batch.operations]


def deny(world: World, *names: str) -> None:
    denials = [gate.Denial("email", "withdrawn", START, identifier_key=f"key-{name}") for name in names]
    gate.add_denials(world.ledger, denials, feed="tail")


def rows_of(world: World, table: str) -> int:
    with world.ledger.read() as connection:
        return int(connection.execute(f"select count(*) from {table}").fetchone()[0])


def test_no_operation_is_in_two_batches(world: World) -> None:
    write_intents(world, *planned("a", "b", "c", "d", "e"))

    batches = [take(world, limits=replace(LIMITS, max_rows=2)).claimed for _ in range(4)]

    assert [keys(batch) if batch else None for batch in batches] == [["a", "b"], ["c", "d"], ["e"], None]


def test_no_two_batches_begin_with_one_operation(world: World) -> None:
    """The ledger itself refuses it, whatever the code does."""
    write_intents(world, *planned("a"))
    claimed(world)

    with world.ledger.write() as transaction:
        transaction.execute("update sync_runs set next_operation = first_operation, rest = 'planned'")

    with pytest.raises(LedgerRefusedError):
        take(world)


def test_what_a_destination_does_as_it_is_told_is_written_once(world: World) -> None:
    """A row for each operation, one for its batch, and none for its outcome."""
    write_intents(world, *planned("a", "b", "c"))

    answer(world, claimed(world), DELIVERED, DELIVERED, DELIVERED)

    assert (rows_of(world, "intents"), rows_of(world, "batches"), rows_of(world, "outcomes")) == (3, 1, 0)
    assert set(world.states().values()) == {"delivered"}


def test_whom_the_gate_keeps_out_of_the_middle_of_a_batch_is_no_member_of_it(world: World) -> None:
    write_intents(world, *planned("a", "b", "c"))
    deny(world, "b")

    heir = take_over(world, claimed(world))
    answer(world, heir, DELIVERED, DELIVERED)

    assert keys(heir) == ["a", "c"]
    assert world.states() == {"a": "delivered", "b": "suppressed: denied_withdrawn", "c": "delivered"}
    assert sorted(acknowledged(world)) == ["a", "c"]


def test_whom_the_gate_keeps_out_behind_a_full_batch_is_looked_at_again(world: World) -> None:
    """Her denial may be lifted before it is her turn."""
    write_intents(world, *planned("a", "b", "c"))
    deny(world, "c")
    small = replace(LIMITS, max_bytes=100)

    first = take(world, limits=small).claimed
    states = world.states()
    gate.refresh_denials(world.ledger, [], watermark=START, now=world.time())
    others = [take(world, limits=small).claimed for _ in range(2)]

    assert first is not None
    assert states == {"a": "in_flight", "b": "planned", "c": "planned"}
    assert [keys(batch) for batch in others if batch] == [["b"], ["c"]]


def test_when_all_are_kept_out_nothing_is_left(world: World) -> None:
    write_intents(world, *planned("a", "b", "c"))
    deny(world, "a", "b", "c")

    claim = take(world)

    assert (claim.claimed, claim.wait_until) == (None, None)
    assert set(world.states().values()) == {"suppressed: denied_withdrawn"}


def test_what_was_delivered_stays_so_whatever_a_repeat_is_told(world: World) -> None:
    write_intents(world, *planned("a", "b"))
    batch = claimed(world)
    answer(world, batch, DELIVERED, UNKNOWN)

    answer(world, take_over(world, batch), REFUSED, DELIVERED)

    assert world.states() == {"a": "delivered", "b": "delivered"}
    assert sorted(acknowledged(world)) == ["a", "b"]


def test_what_is_put_off_is_delivered_at_the_second_try(world: World) -> None:
    write_intents(world, *planned("a", "b"))
    answer(world, claimed(world), DELIVERED, PUT_OFF)

    again = claimed(world)
    states = world.states()
    answer(world, again, DELIVERED)

    assert keys(again) == ["b"]
    assert states == {"a": "delivered", "b": "in_flight"}
    assert world.states() == {"a": "delivered", "b": "delivered"}
    assert sorted(acknowledged(world)) == ["a", "b"]


def test_what_was_put_off_comes_before_what_was_never_claimed(world: World) -> None:
    write_intents(world, *planned("a", "b", "c", "d"))
    answer(
        world, take(world, limits=replace(LIMITS, max_rows=2)).claimed or claimed(world), PUT_OFF, DELIVERED
    )

    second = take(world, limits=replace(LIMITS, max_rows=2)).claimed

    assert second is not None
    assert keys(second) == ["a", "c"]
    assert world.states() == {"a": "in_flight", "b": "delivered", "c": "in_flight", "d": "planned"}


def test_a_batch_is_not_sent_again_once_a_member_was_given_up(world: World) -> None:
    """She is in its body, and may have been planned anew: it is only read back."""
    write_intents(world, *planned("a", "b"))
    batch = claimed(world)
    answer(world, batch, UNKNOWN, replace(UNKNOWN, reason="other"))
    before = may_repeat(world, batch.batch.batch_id)

    dead_letters.give_up(world.ledger, "to_sandbox", reason_code="other", now=world.time())

    assert (before, may_repeat(world, batch.batch.batch_id)) == (True, False)
    assert world.states() == {"a": "in_doubt: timeout", "b": "cancelled: discarded_other"}


def test_a_batch_is_not_sent_again_with_somebody_denied_who_was_answered_for(world: World) -> None:
    """Her row is in the body all the same."""
    write_intents(world, *planned("a", "b"))
    batch = claimed(world)
    answer(world, batch, DELIVERED, UNKNOWN)
    before = may_repeat(world, batch.batch.batch_id)

    deny(world, "a")

    assert (before, may_repeat(world, batch.batch.batch_id)) == (True, False)


def test_a_preview_holds_back_what_has_no_answer(world: World) -> None:
    """Straight from the ledger, while a batch is on its way and another in doubt."""
    world.members(*people("ann", "bob", "cid"))
    plan_once(world.ledger, world, planned(*(f"{name}@example.com" for name in ("ann", "bob"))), "first")
    gate.ensure_route(world.ledger, "to_sandbox", "live", now=START)
    gate.refresh_denials(world.ledger, [], watermark=START, now=START)
    one = replace(LIMITS, max_rows=1)
    answer(world, take(world, limits=one).claimed or claimed(world), UNKNOWN)
    take(world, limits=one)

    preview = plan_sync(world.sync(), warehouse=world.warehouse, ledger=world.ledger, state="ledger")

    assert (preview.adds, dict(preview.blocked)) == (1, {"in_doubt": 2})


def test_no_payload_is_kept_once_a_doubt_is_closed(world: World) -> None:
    write_intents(world, *planned("a", "b", "c"))
    answer(world, claimed(world), DELIVERED, UNKNOWN, REFUSED)

    dead_letters.give_up(world.ledger, "to_sandbox", reason_code=None, now=world.time())

    with world.ledger.read() as connection:
        assert connection.execute("select count(payload) from intents").fetchone() == (0,)


def test_a_closed_doubt_is_not_counted_as_one_any_more(world: World) -> None:
    write_intents(world, *planned("a", "b"))
    answer(world, claimed(world), DELIVERED, UNKNOWN)
    before = finish_run(world.ledger, "to_sandbox-000001", now=world.time())

    dead_letters.give_up(world.ledger, "to_sandbox", reason_code=None, now=world.time())

    project(world.warehouse, world.ledger)
    counts = "select delivered, in_doubt from activation.sync_runs"
    assert (before.delivered, before.in_doubt) == (1, 1)
    assert world.warehouse.execute(counts).fetchall() == [(1, 0)]


def test_a_plan_that_was_undone_half_way_leaves_no_gap_in_the_numbers(world: World) -> None:
    """A run is its range of numbers: where its removals end, and how many are left, is counted from it."""
    write_intents(world, *planned("a", "b"))
    answer(world, claimed(world), DELIVERED, UNKNOWN)
    with pytest.raises(PlanOutdatedError):
        plan_once(world.ledger, world, planned("b", "c"), "refused")
    deny(world, "a")
    removal = planned("a")[0]._replace(kind=OperationKind.REMOVE, payload=None)

    run = plan_once(world.ledger, world, [removal, *planned("d")], "second")
    assert run is not None
    counts = finish_run(world.ledger, run.sync_run_id, now=world.time())
    batch = claimed(world)

    assert counts.deferred == 2
    assert keys(batch) == ["a"]
    assert world.states()["a"] == "in_flight"


def test_a_batch_is_of_one_run(world: World) -> None:
    """What a former run left in doubt and may be sent again is not counted with the present one."""
    write_intents(world, *planned("a"))
    former = claimed(world)
    answer(world, former, UNKNOWN)
    run = plan_once(world.ledger, world, planned("b"), "second")
    assert run is not None
    answer(world, take_over(world, former), ALL_PUT_OFF)

    batches = [claimed(world), claimed(world)]
    for batch in batches:
        answer(world, batch, DELIVERED)

    assert [(batch.sync_run_id, keys(batch)) for batch in batches] == [
        ("to_sandbox-000001", ["a"]),
        (run.sync_run_id, ["b"]),
    ]
    for batch in batches:
        assert finish_run(world.ledger, batch.sync_run_id, now=world.time()).delivered == 1
    project(world.warehouse, world.ledger)
    assert world.warehouse.execute(
        "select sync_run_id, state from activation.operations order by sync_run_id"
    ).fetchall() == [("to_sandbox-000001", "delivered"), (run.sync_run_id, "delivered")]


@pytest.mark.parametrize("is_answered", [False, True], ids=["in flight", "in doubt"])
def test_a_key_without_an_answer_gets_no_second_operation(world: World, *, is_answered: bool) -> None:
    write_intents(world, *planned("a", "b"))
    batch = claimed(world)
    if is_answered:
        answer(world, batch, DELIVERED, UNKNOWN)

    with pytest.raises(PlanOutdatedError, match="no answer yet"):
        plan_once(world.ledger, world, planned("b"), "second")

    assert world.states()["b"] == ("in_doubt: timeout" if is_answered else "in_flight")
    assert rows_of(world, "intents") == 2


def test_what_a_new_plan_takes_the_place_of_is_cancelled_with_its_payload(world: World) -> None:
    write_intents(world, *planned("a", "b", "c"))
    answer(
        world, take(world, limits=replace(LIMITS, max_rows=2)).claimed or claimed(world), DELIVERED, PUT_OFF
    )

    plan_once(world.ledger, world, planned("d"), "second")

    assert world.states() == {
        "a": "delivered", "b": "cancelled: superseded", "c": "cancelled: superseded", "d": "planned",
    }  # fmt: skip
    with world.ledger.read() as connection:
        kept = connection.execute("select destination_key from intents where payload is not null").fetchall()
    assert kept == [("d",)]


def test_removals_are_expected_first(world: World) -> None:
    """Their numbers tell the lanes apart; nothing of a plan in another order is written."""
    backwards = [
        *planned("a"),
        planned("b")[0]._replace(kind=OperationKind.REMOVE, payload=None),
    ]

    with pytest.raises(ValueError, match="removals and erasures before everything else"):
        plan_once(world.ledger, world, backwards, "backwards")

    assert rows_of(world, "intents") == 0


def test_each_state_is_known_over_the_edges_of_batches(world: World) -> None:
    """By number alone: whom the gate kept out lies between, before and behind the members of batches."""
    names = [f"p{number:02d}" for number in range(17)]
    denied = ("p00", "p06", "p07", "p16")
    write_intents(world, *planned(*names))
    deny(world, *denied)
    expected = dict.fromkeys(names, "planned") | dict.fromkeys(denied[:3], "suppressed: denied_withdrawn")

    for _ in range(2):
        batch = take(world, limits=replace(LIMITS, max_rows=5)).claimed
        assert batch is not None
        first, *others = keys(batch)
        answer(world, batch, REFUSED, *[DELIVERED] * len(others))
        expected |= {first: "rejected: no such address"} | dict.fromkeys(others, "delivered")
    last = take(world, limits=replace(LIMITS, max_rows=5)).claimed
    assert last is not None
    expected |= dict.fromkeys(keys(last), "in_flight")

    assert world.states() == expected
