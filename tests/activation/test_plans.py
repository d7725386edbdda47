"""A plan as an object: what is approved is what runs, or nothing is."""

from dataclasses import replace
from datetime import timedelta

import pytest

from activation import gate, plans
from activation.errors import PlanRefusedError
from activation.guards import SourceState
from activation.reports import SyncReport
from activation.sandbox.faults import Fault
from tests.activation.warehouse import Person, withdraw
from tests.activation.world import START, World, people

NAMES = [f"p{number:02d}" for number in range(40)]
FRESH = SourceState(START, START - timedelta(hours=1))


@pytest.fixture
def waiting(world: World) -> str:
    """The id of a plan that would remove 30 of 40 members, and add one; it waits for a person."""
    world.members(*people(*NAMES))
    world.run()
    world.members(*people(*NAMES[30:]), Person("new"))
    stopped = world.run()
    assert (stopped.operations, [guard.name for guard in stopped.guards]) == (0, ["removals"])
    assert stopped.plan_id is not None
    return stopped.plan_id


def approve(world: World, plan_id: str) -> plans.StoredPlan:
    return plans.approve_plan(world.ledger, plan_id, approved_by="ann", reason="right", now=world.time())


def rewrite(world: World, before: str, after: str, *, file: str = "syncs/to_sandbox.yml") -> None:
    path = world.folder / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def refused(world: World, plan_id: str) -> str:
    """Why the plan is not applied; and then nothing was sent, and it stays so."""
    before = world.effects()
    with pytest.raises(PlanRefusedError, match="Nothing was sent") as caught:
        world.run(plan_id=plan_id)
    assert world.effects() == before
    assert plans.read_plan(world.ledger, plan_id).state == plans.REFUSED
    return str(caught.value)


def test_an_approved_plan_is_carried_out_by_the_next_run(world: World, waiting: str) -> None:
    approve(world, waiting)

    report = world.run()

    assert (report.plan_id, report.removes, report.adds, report.is_complete) == (waiting, 30, 1, True)
    applied = plans.read_plan(world.ledger, waiting)
    assert (applied.state, applied.sync_run_id) == (plans.APPLIED, report.sync_run_id)
    assert list((world.folder / "plans").iterdir()) == []


def test_the_same_plan_is_kept_once_and_a_newer_takes_its_place(world: World, waiting: str) -> None:
    assert world.run().plan_id == waiting

    world.members(*people(*NAMES[31:]))
    newer = world.run().plan_id

    kept = {plan.plan_id: plan.state for plan in plans.stored_plans(world.ledger, "to_sandbox")}
    assert kept == {waiting: plans.DISCARDED, newer: plans.OPEN}
    with pytest.raises(PlanRefusedError, match="cannot be approved: it is discarded already"):
        approve(world, waiting)


def test_an_opt_out_leaves_at_once_and_does_not_move_the_plan(world: World, waiting: str) -> None:
    withdraw(world.warehouse, f"{NAMES[39]}@example.com")
    world.members(*people(*NAMES[30:39]), Person("new"))

    stopped = world.run()

    assert (stopped.plan_id, stopped.removes, stopped.delivered) == (waiting, 1, 1)
    approve(world, waiting)
    assert world.run().removes == 30


def test_data_that_moved_beyond_the_tolerance_is_refused(world: World, waiting: str) -> None:
    approve(world, waiting)
    world.members(*people(*NAMES[30:]), Person("new"), Person("newer"))

    assert "the data moved: 1 operations came and 0 went of 31, and 0 may" in refused(world, waiting)


def test_within_the_tolerance_the_present_rows_are_sent(world: World, waiting: str) -> None:
    rewrite(world, "options:", "approval: {tolerance_share: 0.1}\noptions:")
    plan_id = world.run().plan_id
    assert plan_id is not None
    assert plan_id != waiting
    approve(world, plan_id)
    world.members(*people(*NAMES[30:]), Person("new"), Person("newer"))

    assert world.run(plan_id=plan_id).adds == 2
    assert "newer@example.com" in world.at_sandbox()


def test_a_scheduled_run_says_why_an_approved_plan_no_longer_holds(world: World, waiting: str) -> None:
    approve(world, waiting)
    world.members(*people(*NAMES[32:]))

    report = world.run()

    assert report.operations == 0
    assert "An approved plan could not be applied: the data moved" in report.stopped_because
    assert report.plan_id not in (None, waiting)


@pytest.mark.parametrize(
    ("before", "after", "file"),
    [
        ("country_code", "last_name", "syncs/to_sandbox.yml"),
        ("timeout_seconds: 5", "timeout_seconds: 6", "destinations.yml"),
    ],
)
def test_definitions_that_changed_are_refused(
    world: World, waiting: str, before: str, after: str, file: str
) -> None:
    approve(world, waiting)
    rewrite(world, before, after, file=file)
    said = {
        "syncs/to_sandbox.yml": "to_sandbox.yml changed since",
        "destinations.yml": "destination 'sandbox' was configured anew since",
    }
    world.destinations._open.clear()

    assert said[file] in refused(world, waiting)


def test_a_route_that_changed_is_refused(world: World, waiting: str) -> None:
    approve(world, waiting)
    gate.append_route(world.ledger, "to_sandbox", "shadow", reason="r", set_by="s", now=world.time())

    assert "the route was live, and is shadow" in refused(world, waiting)


def test_an_approval_does_not_hold_for_ever(world: World, waiting: str) -> None:
    approve(world, waiting)
    world.time.now += timedelta(hours=25)
    world.refresh_denials()

    assert "it was approved at 2010-12-10 00:00 UTC, and holds 24 hours" in refused(world, waiting)


def test_a_guard_that_was_not_there_when_it_was_approved_stops_it(world: World, waiting: str) -> None:
    approve(world, waiting)
    stale = replace(FRESH, newest_at=START - timedelta(days=9))

    with pytest.raises(PlanRefusedError, match="guard stale_source stops it now"):
        world.run(plan_id=waiting, source=stale)


def test_an_approved_plan_that_the_destination_took_in_part_goes_on_without_another_approval(
    world: World, waiting: str
) -> None:
    approve(world, waiting)
    world.sandbox.faults.add(Fault("unauthorised"))
    stopped = world.run()

    report = world.run()

    assert (stopped.delivered + stopped.deferred, stopped.plan_id) == (31, waiting)
    assert stopped.deferred > 0
    assert (report.delivered, report.plan_id, report.is_complete) == (stopped.deferred, waiting, True)
    assert list((world.folder / "plans").iterdir()) == []


@pytest.fixture
def killed(world: World, waiting: str) -> str:
    """The id of an approved plan whose run died after its first batch of four, with nothing in flight."""

    def kill(point: str) -> None:
        if point == "after_outcome":
            raise KeyboardInterrupt

    approve(world, waiting)
    with pytest.raises(KeyboardInterrupt):
        world.run(engine=replace(world.engine, at=kill), concurrency=1)
    return waiting


def test_an_approved_plan_whose_run_was_killed_is_ended_by_the_next(world: World, killed: str) -> None:
    report = world.run()

    assert (report.delivered, report.plan_id, report.is_complete) == (27, killed, True)
    assert world.at_sandbox() == {f"{name}@example.com" for name in (*NAMES[30:], "new")}


def test_what_was_not_approved_does_not_come_in_with_the_rest_of_it(world: World, killed: str) -> None:
    world.members(*people(*NAMES[32:]), Person("new"))

    report = world.run()

    assert (
        "An approved plan could not be applied: the data moved: 2 operations came" in report.stopped_because
    )
    assert report.plan_id not in (None, killed)


def test_a_plan_whose_operations_are_lost_is_refused(world: World, waiting: str) -> None:
    approve(world, waiting)
    next((world.folder / "plans").iterdir()).unlink()

    assert "nobody can tell what was approved" in refused(world, waiting)


def test_a_plan_is_found_by_the_beginning_of_its_id(world: World, waiting: str) -> None:
    assert plans.read_plan(world.ledger, waiting[:-3]).plan_id == waiting
    with pytest.raises(PlanRefusedError, match="No plan has the id 'nothing'"):
        plans.read_plan(world.ledger, "nothing")


def guarded(world: World, text: str, *, source: SourceState | None = None) -> SyncReport:
    """A run after a first one, with these lines in the sync's file; 4 members become 3 changed and 2 new."""
    world.members(*people("ann", "bob", "cid", "dan"))
    world.run()
    rewrite(world, "options:", f"{text}\noptions:") if text else None
    world.members(
        *(Person(name, country="FR") for name in ("ann", "bob", "cid")), *people("dan", "eve", "fay")
    )
    return world.run(source=source)


@pytest.mark.parametrize(
    ("text", "source", "name", "message"),
    [
        ("budget: {max_operations: 4}", FRESH, "budget", "it holds 5 operations; its budget is 4 a run"),
        ("budget: {max_cost: 1.1}", FRESH, "cost", "it would cost 1.30 EUR; its budget is 1.10 a run"),
        ("approval: {needed: always}", FRESH, "approval", "each of its plans needs a person's approval"),
        ("", replace(FRESH, newest_at=None), "stale_source", "no fact has arrived yet"),
        (
            "",
            replace(FRESH, newest_at=START - timedelta(hours=49)),
            "stale_source",
            "more than 48 hours before",
        ),
        ("", replace(FRESH, failed_checks=("a check",)), "failed_check", "1 checks of what it reads failed"),
    ],
)
def test_each_guard_stops_and_says_why(
    world: World, text: str, source: SourceState, name: str, message: str
) -> None:
    rewrite(
        world,
        "  url: builtin",
        "  cost: {currency: EUR, add: 0.2, update: 0.3}\n  url: builtin",
        file="destinations.yml",
    )

    report = guarded(world, text, source=source)

    assert [guard.name for guard in report.guards] == [name]
    assert message in report.stopped_because
    assert report.delivered == 0


@pytest.mark.parametrize(
    ("guard", "name", "message"),
    [
        ("max_created_share: 0.25", "created", "it would add 2 people; its guards allow 1"),
        ("max_changed_share: 0.5", "changed", "it would change 3 of 4 members; its guards allow 2"),
    ],
)
def test_guards_of_size_stop(world: World, guard: str, name: str, message: str) -> None:
    rewrite(world, "max_removed: 10,", f"max_removed: 10, {guard},")

    report = guarded(world, "")

    assert [guard.name for guard in report.guards] == [name]
    assert message in report.stopped_because


def test_too_many_invalid_rows_stop_it(world: World) -> None:
    rewrite(world, "max_invalid_share: 1", "max_invalid_share: 0.4")
    world.members(Person("ann", email=" "), Person("bob"))

    assert "1 of its 2 rows are invalid, 50%; its guards allow 40%" in world.run().stopped_because


def test_a_column_whose_type_changed_stops_it(world: World) -> None:
    world.members(*people("ann"))
    world.run()
    world.warehouse.execute("alter table marts.profiles alter country_code type bigint using 7")

    report = world.run()

    assert "country was column country_code as varchar, null send, is column country_code as bigint" in (
        report.stopped_because
    )


def test_a_mapping_that_changed_is_a_full_plan_that_says_so(world: World) -> None:
    world.members(*people("ann", "bob"))
    first = world.run()
    rewrite(world, "  first_name:", "  note: {value: hello}\n  first_name:")

    report = world.run()

    assert (first.full_because, report.updates) == ("nobody was delivered yet", 2)
    assert report.full_because == "how fields are made changed (note is new)"


def test_approval_can_be_needed_for_full_plans_only(world: World) -> None:
    rewrite(world, "options:", "approval: {needed: when_full}\noptions:")
    world.members(*people("ann"))

    first = world.run(approve=True)
    world.members(*people("ann", "bob"))

    assert (first.delivered, world.run().delivered) == (1, 1)
