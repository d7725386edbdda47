"""The operational store: locks, fences, gates and what it refuses."""

import multiprocessing
import traceback
from dataclasses import replace
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from activation import claims, gate, outcomes
from activation.adapters.base import DELIVERED, OperationKind, Outcome, OutcomeKind
from activation.claims import Limits, Worker
from activation.errors import LedgerBusyError, LedgerCorruptError, LedgerRefusedError, PlanOutdatedError
from activation.intents import LEAVING, PlannedOperation, open_run
from activation.ledger import Ledger
from activation.ledger_places import LedgerPlace
from tests.activation.warehouse import Person
from tests.activation.world import START, World

WORKER = Worker("w1", timedelta(seconds=60), lambda _: True)
LIMITS = Limits(4, 1_000_000, timedelta(hours=24))


def planned(*names: str, kind: OperationKind = OperationKind.ADD) -> list[PlannedOperation]:
    return [PlannedOperation(kind, name, f"person-{name}", f"key-{name}", "{}", "hash") for name in names]


def write_intents(world: World, *operations: PlannedOperation, plan_hash: str = "plan") -> None:
    gate.ensure_route(world.ledger, "to_sandbox", "live", now=START)
    open_run(
        world.ledger,
        world.sync(),
        sorted(operations, key=lambda operation: operation.kind not in LEAVING),
        count=len(operations),
        plan_hash=plan_hash,
        planned_at_seq=world.ledger.sequence(),
        made_of={},
        now=START,
    )


def take(world: World, *, worker: Worker = WORKER, limits: Limits = LIMITS) -> claims.Claim:
    return claims.claim(world.ledger, world.sync(), worker=worker, limits=limits, now=world.time())


def test_what_is_in_flight_is_on_disk_before_the_claim_returns(world: World) -> None:
    write_intents(world, *planned("a", "b"))

    take(world)

    with Ledger(world.place) as another, another.read() as other:
        assert other.execute("select state, count(*) from operations group by 1").fetchall() == [
            ("in_flight", 2)
        ]


def test_two_workers_never_hold_the_same_operation(world: World) -> None:
    write_intents(world, *planned(*(f"p{number}" for number in range(10))))
    other = replace(WORKER, name="w2")

    with Ledger(world.place) as second:
        taken = [
            claims.claim(ledger, world.sync(), worker=worker, limits=LIMITS, now=world.time()).claimed
            for ledger, worker in (
                (world.ledger, WORKER),
                (second, other),
                (world.ledger, WORKER),
                (second, other),
            )
        ]

    keys = [operation.destination_key for batch in taken if batch for operation in batch.batch.operations]
    assert sorted(keys) == sorted({f"p{number}" for number in range(10)})
    assert taken[3] is None


def test_a_worker_that_lost_its_lease_cannot_write_an_outcome(world: World) -> None:
    write_intents(world, *planned("a"))
    zombie = take(world).claimed
    assert zombie is not None
    world.time.now += timedelta(seconds=61)
    second = replace(WORKER, name="w2")
    [left] = claims.stranded(world.ledger, world.sync(), worker=second, now=world.time())
    heir = claims.reclaim(
        world.ledger, world.sync(), left.batch_id, token=left.token, worker=second, now=world.time()
    )
    assert heir is not None

    late = outcomes.record(
        world.ledger, zombie, [DELIVERED], now=world.time(), wait=timedelta(0), max_attempts=5
    )
    mine = outcomes.record(
        world.ledger, heir, [DELIVERED], now=world.time(), wait=timedelta(0), max_attempts=5
    )

    assert (late.is_late, mine.is_late, mine.delivered) == (True, False, 1)
    assert heir.batch == zombie.batch
    with world.ledger.read() as connection:
        assert connection.execute("select token, is_late from attempts order by 1").fetchall() == [
            (1, 1),
            (2, 0),
        ]


def test_a_stranded_batch_is_taken_over_by_one_only(world: World) -> None:
    write_intents(world, *planned("a"))
    take(world)
    world.time.now += timedelta(seconds=61)
    [left] = claims.stranded(world.ledger, world.sync(), worker=WORKER, now=world.time())

    heirs = [
        claims.reclaim(
            world.ledger, world.sync(), left.batch_id, token=left.token, worker=WORKER, now=world.time()
        )
        for _ in range(2)
    ]

    assert [heir is not None for heir in heirs] == [True, False]


def test_a_batch_of_a_living_worker_is_left_alone_until_its_lease_ends(world: World) -> None:
    write_intents(world, *planned("a"))
    take(world)

    assert claims.stranded(world.ledger, world.sync(), worker=WORKER, now=world.time()) == []
    dead = replace(WORKER, is_alive=lambda _: False)
    assert len(claims.stranded(world.ledger, world.sync(), worker=dead, now=world.time())) == 1


def test_a_plan_made_before_another_delivery_is_refused(world: World) -> None:
    seen = world.ledger.sequence()
    write_intents(world, *planned("a"))
    take(world)

    with pytest.raises(PlanOutdatedError, match="delivered by another process"):
        open_run(
            world.ledger,
            world.sync(),
            planned("b"),
            count=1,
            plan_hash="other",
            planned_at_seq=seen,
            made_of={},
            now=START,
        )


def test_no_route_row_means_no_send(world: World) -> None:
    open_run(
        world.ledger, world.sync(), planned("a"), count=1, plan_hash="plan",
        planned_at_seq=world.ledger.sequence(), made_of={}, now=START,
    )  # fmt: skip

    assert take(world).claimed is None
    assert world.states() == {"a": "suppressed: no_route"}


def test_routes_are_only_ever_appended(world: World) -> None:
    gate.ensure_route(world.ledger, "to_sandbox", "live", now=START)
    gate.append_route(world.ledger, "to_sandbox", "legacy", reason="rollback", set_by="tests", now=START)

    assert gate.ensure_route(world.ledger, "to_sandbox", "live", now=START) == "legacy"
    for statement in ("delete from routes", "update routes set route = 'live'"):
        with (
            pytest.raises(LedgerRefusedError, match="only by appending"),
            world.ledger.write() as transaction,
        ):
            transaction.execute(statement)


@pytest.mark.parametrize("refreshed", [False, True], ids=["never loaded", "too old"])
def test_stale_denials_hold_additions_back_but_not_removals(world: World, *, refreshed: bool) -> None:
    write_intents(world, *planned("a"), *planned("b", kind=OperationKind.REMOVE))
    if refreshed:
        world.time.now += timedelta(hours=25)
    else:
        with world.ledger.write() as transaction:
            transaction.execute("delete from denial_feeds")

    removal, addition = take(world), take(world)

    assert removal.claimed is not None
    assert [operation.destination_key for operation in removal.claimed.batch.operations] == ["b"]
    assert addition.stopped is not None
    assert addition.stopped.startswith("denials are stale")


@pytest.mark.parametrize(
    ("denial", "states"),
    [
        (
            gate.Denial("email", "withdrawn", START, identifier_key="key-a"),
            {"a": "suppressed: denied_withdrawn"},
        ),
        (gate.Denial("*", "erased", START, canonical_id="person-a"), {"a": "suppressed: denied_erased"}),
        (gate.Denial("sms", "withdrawn", START, identifier_key="key-a"), {"a": "in_flight"}),
        (gate.Denial("email", "withdrawn", START, identifier_key="key-z"), {"a": "in_flight"}),
    ],
    ids=["address", "person at all channels", "another channel", "another address"],
)
def test_a_denial_stops_whom_it_names(world: World, denial: gate.Denial, states: dict[str, str]) -> None:
    write_intents(world, *planned("a"))
    gate.add_denials(world.ledger, [denial], feed="tail")

    take(world)

    assert world.states() == states


def test_only_marts_that_have_seen_a_withdrawal_may_lift_it(world: World) -> None:
    late = START + timedelta(hours=1)
    gate.add_denials(world.ledger, [gate.Denial("email", "withdrawn", late, identifier_key="k")], feed="tail")

    too_early = gate.refresh_denials(world.ledger, [], watermark=START, now=late)
    passed = gate.refresh_denials(world.ledger, [], watermark=late, now=late)

    assert (too_early.standing, passed.standing, passed.lifted) == (1, 0, 1)


def test_a_refresh_that_is_behind_adds_and_lifts_nothing(world: World) -> None:
    kept = gate.Denial("email", "withdrawn", START, identifier_key="kept")
    later = START + timedelta(days=1)
    gate.refresh_denials(world.ledger, [kept], watermark=later, now=later)

    behind = gate.refresh_denials(
        world.ledger, [replace(kept, identifier_key="new")], watermark=START, now=later
    )

    assert (behind.is_behind, behind.added, behind.lifted, behind.standing) == (True, 1, 0, 2)


def test_a_cap_holds_back_the_person_and_gives_back_what_was_not_used(world: World) -> None:
    gate.set_cap(world.ledger, "email", max_operations=1, window=timedelta(days=1))
    same = [operation._replace(canonical_id="one") for operation in planned("a", "b")]
    write_intents(world, *same)

    first = take(world, limits=replace(LIMITS, max_rows=1)).claimed
    assert first is not None
    outcomes.record(world.ledger, first, [DELIVERED], now=world.time(), wait=timedelta(0), max_attempts=5)
    take(world)

    assert world.states() == {"a": "delivered", "b": "suppressed: capped"}


def test_a_batch_ends_before_the_byte_limit(world: World) -> None:
    operations = [operation._replace(payload="x" * 1000) for operation in planned("a", "b", "c")]
    write_intents(world, *operations)

    taken = take(world, limits=replace(LIMITS, max_bytes=2500)).claimed

    assert taken is not None
    assert len(taken.batch.operations) == 2


def test_a_locked_ledger_is_one_clear_error(world: World) -> None:
    with (
        world.ledger.write(),
        pytest.raises(LedgerBusyError, match="stayed locked by another process"),
        Ledger(world.place, busy_timeout=timedelta(milliseconds=50)) as other,
        other.write(),
    ):
        pass


def test_a_ledger_that_went_back_is_refused(world: World) -> None:
    """What takes the place of a lost server may lack steps that this process has seen."""
    write_intents(world, *planned("a"))
    with Ledger(world.place) as other, other.write() as transaction:
        transaction.execute("update ledger_identity set ledger_seq = 1")

    with pytest.raises(LedgerCorruptError, match="went back"):
        take(world)

    assert world.states() == {"a": "planned"}


def test_a_step_that_fails_half_way_leaves_nothing(world: World) -> None:
    write_intents(world, *planned("a"))
    before = world.ledger.sequence()

    def fail_half_way() -> None:
        with world.ledger.write() as transaction:
            transaction.execute("update sync_runs set next_operation = 2, rest = 'claimed'")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()

    assert (world.states(), world.ledger.sequence()) == ({"a": "planned"}, before)


def test_a_key_cannot_be_open_twice_and_the_error_does_not_name_it(world: World) -> None:
    with pytest.raises(LedgerRefusedError) as raised:
        write_intents(world, *planned(*["@".join(("ann", "example.com"))] * 2))

    assert "ann@" not in "".join(traceback.format_exception(raised.value))
    assert world.states() == {}


def test_a_key_with_a_zero_byte_is_set_apart(world: World) -> None:
    """One store could keep it and the other could not."""
    world.members(Person("ann"), Person("bad", email="b\0d@example.com"))

    report = world.run()

    assert (report.delivered, dict(report.invalid)) == (1, {"BAD_VALUE": 1})


def test_what_a_destination_says_is_kept_whatever_it_is(world: World) -> None:
    write_intents(world, *planned("a"))
    taken = take(world).claimed
    assert taken is not None
    answer = Outcome(OutcomeKind.REJECTED, "bad\0 \N{SNOWMAN}", receipt="r\0")

    outcomes.record(world.ledger, taken, [answer], now=world.time(), wait=timedelta(0), max_attempts=5)

    assert world.states() == {"a": "rejected: bad\N{REPLACEMENT CHARACTER} \N{SNOWMAN}"}


def _claim_all(folder: str, place: LedgerPlace, results: Connection) -> None:
    from activation.config import load_definitions  # noqa: PLC0415 - runs in a process of its own

    sync = load_definitions(Path(folder)).sync("to_sandbox")
    keys = []
    with Ledger(place) as ledger:
        while claimed := claims.claim(ledger, sync, worker=WORKER, limits=LIMITS, now=START).claimed:
            keys += [operation.destination_key for operation in claimed.batch.operations]
    results.send(keys)


def test_two_processes_share_one_ledger_without_overlap(world: World) -> None:
    write_intents(world, *planned(*(f"p{number:03d}" for number in range(200))))
    context = multiprocessing.get_context("forkserver")
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    workers = [
        context.Process(target=_claim_all, args=(str(world.folder), world.place, sender))
        for _, sender in pipes
    ]

    for worker in workers:
        worker.start()
    taken = [receiver.recv() for receiver, _ in pipes]
    for worker in workers:
        worker.join()

    assert sorted(taken[0] + taken[1]) == [f"p{number:03d}" for number in range(200)]
