"""One test for each safeguard that no other would miss; tests/campaigns/mutants.py takes them away."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from activation import claims, gate, outcomes, plans
from activation.adapters.base import DELIVERED, OperationKind, Outcome, OutcomeKind
from activation.claims import ClaimedBatch
from activation.errors import LedgerRefusedError, PlanRefusedError, ProjectionError
from activation.intents import PlannedOperation, SyncRun, open_run
from activation.ledger import Ledger
from activation.patience import Patience
from activation.planner import plan_sync
from activation.projection import project
from activation.sync_file import Approval, Guards
from activation.workers import process_is_alive, this_process
from tests.activation.test_ledger import WORKER, planned, take, write_intents
from tests.activation.warehouse import withdraw
from tests.activation.world import START, World, people

UNKNOWN = Outcome(OutcomeKind.UNKNOWN, "timeout", concerns_batch=True)
PUT_OFF = Outcome(OutcomeKind.DEFERRED, "busy", timedelta(0))
ALL_PUT_OFF = replace(PUT_OFF, concerns_batch=True)
OTHER = replace(WORKER, name="w2")


def claimed(world: World) -> ClaimedBatch:
    found = take(world).claimed
    assert found is not None
    return found


def answer(world: World, batch: ClaimedBatch, *given: Outcome, max_attempts: int = 5) -> outcomes.Recorded:
    return outcomes.record(
        world.ledger, batch, given, now=world.time(), wait=timedelta(0), max_attempts=max_attempts
    )


def acknowledged(world: World) -> list[str]:
    with world.ledger.read() as connection:
        return [key for (key,) in connection.execute("select destination_key from acknowledged")]


def operation_ids(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return [identity for (identity,) in connection.execute("select operation_id from operations")]


def plan_once(
    ledger: Ledger, world: World, operations: Sequence[PlannedOperation], plan_hash: str
) -> SyncRun | None:
    return open_run(
        ledger,
        world.sync(),
        operations,
        count=len(operations),
        plan_hash=plan_hash,
        planned_at_seq=ledger.sequence(),
        made_of={},
        now=START,
    )


ON_A_FILE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)


@ON_A_FILE
def test_a_commit_waits_for_the_disk(world: World) -> None:
    with world.ledger.read() as connection:
        assert connection.execute("pragma synchronous").fetchone() == (2,)
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)


def test_a_settled_batch_is_never_taken_over(world: World) -> None:
    write_intents(world, *planned("a"))
    batch = claimed(world)
    answer(world, batch, DELIVERED)

    taken = claims.reclaim(
        world.ledger, world.sync(), batch.batch.batch_id, token=batch.token, worker=OTHER, now=world.time()
    )

    assert taken is None


def test_a_process_is_known_by_its_start_and_only_on_its_host() -> None:
    host, pid, start = this_process().rsplit(":", 2)
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writes, this_process().encode())
        os._exit(0)
    os.waitpid(child, 0)
    its_name = os.read(reads, 1000).decode()
    os.close(reads)
    os.close(writes)

    assert its_name.startswith(f"{host}:{child}:")
    assert process_is_alive(this_process())
    assert not process_is_alive(f"{host}:{pid}:{int(start) - 1}")
    assert not process_is_alive(f"{host}:{child}:{start}")
    assert process_is_alive(f"another-{host}:{child}:{start}")


def test_another_body_has_another_key(world: World) -> None:
    """One of two has withdrawn since: what is left is another request."""
    write_intents(world, *planned("a", "b"))
    both = claimed(world)
    answer(world, both, ALL_PUT_OFF, ALL_PUT_OFF)
    gate.add_denials(
        world.ledger, [gate.Denial("email", "withdrawn", START, identifier_key="key-b")], feed="tail"
    )

    one = claimed(world)

    assert len(one.batch.operations) == 1
    assert one.batch.idempotency_key != both.batch.idempotency_key


def test_a_request_that_was_refused_as_a_whole_keeps_its_key_and_a_row_that_was_put_off_gets_another(
    world: World,
) -> None:
    """The destination answers the same key from memory: a row that it put off would stay so."""
    write_intents(world, *planned("a"))
    first = claimed(world)
    answer(world, first, ALL_PUT_OFF)
    second = claimed(world)
    answer(world, second, PUT_OFF)
    third = claimed(world)

    keys = [each.batch.idempotency_key for each in (first, second, third)]
    assert (keys[0] == keys[1], keys[1] == keys[2]) == (True, False)


def test_while_a_part_is_unknown_the_batch_stays_whole(world: World) -> None:
    write_intents(world, *planned("a", "b"))

    answer(world, claimed(world), PUT_OFF, UNKNOWN)

    assert {state.partition(":")[0] for state in world.states().values()} == {"in_doubt"}
    assert take(world).claimed is None


def test_what_is_put_off_too_often_is_given_up(world: World) -> None:
    write_intents(world, *planned("a"))

    for _ in range(2):
        answer(world, claimed(world), PUT_OFF, max_attempts=2)

    assert world.states() == {"a": "expired: dead_letter_busy"}


def test_a_removal_without_an_answer_leaves_the_member_acknowledged(world: World) -> None:
    write_intents(world, *planned("a"))
    answer(world, claimed(world), DELIVERED)
    write_intents(world, *planned("a", kind=OperationKind.REMOVE), plan_hash="second")

    answer(world, claimed(world), UNKNOWN)

    assert acknowledged(world) == ["a"]


@pytest.mark.parametrize(
    "given", [UNKNOWN, PUT_OFF, ALL_PUT_OFF], ids=["unknown", "row put off", "all put off"]
)
def test_what_was_put_off_or_has_no_answer_is_not_acknowledged(world: World, given: Outcome) -> None:
    write_intents(world, *planned("a"))

    answer(world, claimed(world), given)

    assert acknowledged(world) == []


def test_what_is_accepted_is_not_acknowledged(world: World) -> None:
    write_intents(world, *planned("a"))

    answer(world, claimed(world), Outcome(OutcomeKind.ACCEPTED, receipt="r1"))

    assert acknowledged(world) == []
    assert world.states() == {"a": "accepted"}


def test_during_a_pause_nothing_is_claimed_and_nothing_is_lost(world: World) -> None:
    write_intents(world, *planned("a"))
    gate.freeze(world.ledger, "to_sandbox", reason="inspection", set_by="tests", now=world.time())

    taken = take(world)

    assert (taken.claimed, taken.stopped) == (None, "paused: inspection")
    assert world.states() == {"a": "planned"}


def may_repeat(world: World, batch_id: int) -> bool:
    return claims.may_send_again(
        world.ledger, world.sync(), batch_id, denials_max_age=timedelta(hours=24), now=world.time()
    )


@pytest.mark.parametrize("is_paused", [True, False], ids=["pause", "route"])
def test_in_a_pause_or_on_another_route_recovery_sends_nothing(world: World, *, is_paused: bool) -> None:
    write_intents(world, *planned("a"))
    batch_id = claimed(world).batch.batch_id
    assert may_repeat(world, batch_id)

    if is_paused:
        gate.freeze(world.ledger, "*", reason="r", set_by="s", now=world.time())
    else:
        gate.append_route(world.ledger, "to_sandbox", "legacy", reason="r", set_by="s", now=world.time())

    assert not may_repeat(world, batch_id)


def test_on_denials_that_are_too_old_recovery_repeats_removals_and_nothing_else(world: World) -> None:
    """Somebody may have opted out since they were read; the removal of who did must not wait for that."""
    write_intents(world, *planned("a"), *planned("b", kind=OperationKind.REMOVE))
    removal, addition = claimed(world).batch.batch_id, claimed(world).batch.batch_id

    world.time.now += timedelta(hours=25)

    assert (may_repeat(world, removal), may_repeat(world, addition)) == (True, False)


def test_a_key_has_one_open_operation_at_most(world: World) -> None:
    with pytest.raises(LedgerRefusedError):
        write_intents(world, *planned("a", "a"))

    assert world.states() == {}


def test_no_run_and_no_ledger_repeats_the_name_of_an_operation(world: World, tmp_path: Path) -> None:
    """A destination would answer a repeated name from memory, and do nothing."""
    write_intents(world, *planned("a"))
    write_intents(world, *planned("a"), plan_hash="again")
    with Ledger(tmp_path / "another.sqlite") as another:
        plan_once(another, world, planned("a"), "plan")

        names = [*operation_ids(world.ledger), *operation_ids(another)]

    assert len(names) == len(set(names)) == 3


def test_two_schedulers_with_one_tick_write_its_intents_once(world: World) -> None:
    first = plan_once(world.ledger, world, planned("a", "b"), "tick")
    with Ledger(world.place) as other:
        second = plan_once(other, world, planned("a", "b"), "tick")

    assert first is not None
    assert second == replace(first, is_resumed=True)
    assert len(operation_ids(world.ledger)) == 2


def test_another_ledger_is_refused_although_it_is_further(world: World, tmp_path: Path) -> None:
    project(world.warehouse, world.ledger)
    with Ledger(tmp_path / "other.sqlite") as other:
        for _ in range(world.ledger.sequence() + 10):
            gate.ensure_route(other, f"s{other.sequence()}", "live", now=START)

        with pytest.raises(ProjectionError, match="seen another ledger"):
            project(world.warehouse, other)


def stopped_plan(world: World) -> str:
    """The id of a plan that a guard stopped."""
    world.members(*people("ann", "bob"))
    world.run()
    world.members()
    plan_id = world.run().plan_id
    assert plan_id is not None
    return plan_id


def test_a_plan_that_was_put_away_is_not_applied(world: World) -> None:
    plan_id = stopped_plan(world)
    plans.reject_plan(world.ledger, world.desk.folder, plan_id, reason="no")

    with pytest.raises(PlanRefusedError, match="it is discarded already"):
        world.run(plan_id=plan_id)

    assert len(world.at_sandbox()) == 2


def test_a_stopped_plan_that_nobody_approved_is_not_applied(world: World) -> None:
    plan_id = stopped_plan(world)

    with pytest.raises(PlanRefusedError, match="nobody has approved it"):
        world.run(plan_id=plan_id)

    assert len(world.at_sandbox()) == 2


def test_what_a_guard_stops_for_good_nobody_can_approve(world: World) -> None:
    world.members(*people("ann"))
    world.run()
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text().replace("list: to_sandbox", "list: elsewhere"))
    world.members(*people("ann", "bob"))
    plan = plan_sync(world.sync(), warehouse=world.warehouse, ledger=world.ledger)
    stored = plans.store_plan(
        world.ledger,
        world.desk.folder,
        world.sync(),
        plan,
        world.warehouse,
        planned_by="tests",
        now=START,
    )

    with pytest.raises(PlanRefusedError, match="cannot be approved: guard target_changed"):
        plans.approve_plan(world.ledger, stored.plan_id, approved_by="a", reason="r", now=START)


def test_no_guard_counts_opt_outs(world: World) -> None:
    names = [f"p{number:02d}" for number in range(20)]
    world.members(*people(*names))
    world.run()
    for name in names[:16]:
        withdraw(world.warehouse, f"{name}@example.com")
    world.members(*people(*names[16:]))

    report = world.run()

    assert (report.guards, report.removes, report.delivered) == ((), 16, 16)


def test_a_full_plan_waits_for_approval_where_the_file_says_so(world: World) -> None:
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text().replace("options:", "approval: {needed: when_full}\noptions:"))
    world.members(*people("ann"))

    report = world.run()

    assert ([guard.name for guard in report.guards], report.delivered) == (["approval"], 0)


def test_a_file_that_says_nothing_is_guarded() -> None:
    guards, approval = Guards(), Approval()

    assert (guards.max_removed_share, guards.max_removed, guards.max_invalid_share) == (0.05, 1000, 0.1)
    assert guards.max_source_age_hours == 48
    assert (approval.needed, approval.valid_hours, approval.tolerance_share) == ("when_guarded", 24, 0.01)
    assert Patience().denials_max_age == timedelta(hours=24)
