"""What a destination may do to us, and what becomes of the operations."""

import re
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from activation.adapters.base import OutcomeKind
from activation.adapters.webhook import whole_answer
from activation.patience import Patience
from activation.sandbox.faults import AFTER_COMMIT, Fault, FaultName
from tests.activation.warehouse import Person, key_of
from tests.activation.world import DESTINATIONS, START, World, people, write_definitions

HASTY = Patience(unknown_attempts=2, failures_in_a_row=3)


def test_a_rate_limit_is_waited_out_as_long_as_the_destination_says(world: World) -> None:
    world.members(*people("ann", "bob"))
    world.sandbox.faults.add(Fault("rate_limited", retry_after=17))

    report = world.run()

    assert (report.delivered, report.deferred) == (2, 0)
    assert world.time.slept == [17.0]


def test_a_rate_limit_without_a_time_is_waited_out_with_growing_waits(world: World) -> None:
    world.members(*people("ann"))
    world.sandbox.faults.add(Fault("rate_limited"), times=2)

    report = world.run()

    assert report.delivered == 1
    first, second = world.time.slept
    assert 1 <= first <= 1.25
    assert 2 <= second <= 2.5


@pytest.mark.parametrize(
    "fault",
    [
        *("server_error", "html_page", "cut_off"),
        *(
            name
            for name in AFTER_COMMIT
            if name not in ("hang_after_commit", "slow_drip_after_commit", "text_after_commit")
        ),
    ],
)
def test_an_ambiguous_answer_is_settled_by_the_same_key_and_done_once(world: World, fault: FaultName) -> None:
    world.members(*people("ann", "bob"))
    world.sandbox.faults.add(Fault(fault))

    report = world.run()

    assert (report.delivered, report.in_doubt) == (2, 0)
    assert world.effects() == [("upsert", "ann@example.com"), ("upsert", "bob@example.com")]
    keys = world.sandbox.store.query("select distinct idempotency_key, body_hash from requests")
    assert len(keys) == 1


@pytest.mark.parametrize("fault", ["hang", "hang_after_commit", "slow_drip_after_commit"])
def test_a_timeout_is_ambiguous_and_settled_by_the_same_key(world: World, fault: FaultName) -> None:
    write_definitions(
        world.folder, destinations=DESTINATIONS.replace("timeout_seconds: 5", "timeout_seconds: 0.3")
    )
    world.members(*people("ann"))
    world.sandbox.faults.add(Fault(fault, hold=0.6))

    report = world.run()

    assert (report.delivered, len(world.effects())) == (1, 1)


def test_what_stays_ambiguous_is_listed_in_doubt_and_not_sent_blindly(world: World) -> None:
    """An answer that never comes while reading back fails too: the next run settles it first."""
    write_definitions(
        world.folder, destinations=DESTINATIONS.replace("timeout_seconds: 5", "timeout_seconds: 0.3")
    )
    world.members(*people("ann"))
    world.sandbox.faults.add(Fault("server_error"), times=2)

    report = world.run(patience=HASTY)

    assert (report.delivered, report.in_doubt) == (0, 1)
    assert world.states() == {"ann@example.com": "in_doubt: http_500"}

    later = world.run()

    assert (later.recovered, later.operations, later.unchanged) == (1, 0, 1)
    assert world.effects() == [("upsert", "ann@example.com")]


def test_an_old_key_is_not_trusted_any_more_but_read_back_first(world: World) -> None:
    """After 80% of its lifetime a repeated key might be taken for a new one."""
    world.members(*people("ann"))
    world.sandbox.faults.add(Fault("server_error"))
    world.run(patience=replace(HASTY, unknown_attempts=1))
    world.time.now += timedelta(hours=20)
    world.refresh_denials()

    report = world.run()

    assert report.delivered == 1
    with world.ledger.read() as connection:
        reasons = connection.execute(
            "select reason from attempts order by finished_at, reason nulls last"
        ).fetchall()
    assert reasons == [("http_500",), ("http_500",), ("not_there",), (None,)]


def test_a_read_waits_for_what_was_on_its_way_when_its_worker_died(world: World) -> None:
    """Without the wait "not there" would be believed, and the same done again."""
    readable = "timeout_seconds: 5\n  idempotency_lifetime_hours: 0\n  read_back_settles_seconds: 45"
    write_definitions(world.folder, destinations=DESTINATIONS.replace("timeout_seconds: 5", readable))
    world.members(*people("ann"))

    def die(point: str) -> None:
        if point == "after_response":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.run(engine=replace(world.engine, worker_name="other", at=die))
    world.time.now += timedelta(seconds=5)

    report = world.run(engine=replace(world.engine, is_alive=lambda _: False))

    assert (world.time.slept, report.recovered, report.operations) == ([40.0], 1, 0)
    assert world.effects() == [("upsert", "ann@example.com")]


def test_what_another_worker_has_in_flight_is_neither_planned_nor_sent(world: World) -> None:
    world.members(*people("ann"))

    def die(point: str) -> None:
        if point == "before_write":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.run(engine=replace(world.engine, worker_name="other", at=die))
    world.members(Person("ann", country="FR"), *people("bob"))

    report = world.run(engine=replace(world.engine, is_alive=lambda _: True))

    assert (report.adds, dict(report.blocked)) == (1, {"in_doubt": 1})
    assert world.effects() == [("upsert", "bob@example.com")]


def test_someone_denied_while_in_doubt_is_read_back_and_not_sent_again(world: World) -> None:
    world.members(*people("ann"))
    world.sandbox.faults.add(Fault("server_error"), times=2)
    world.run(patience=HASTY)
    world.deny(key_of("ann@example.com"))
    world.run()

    assert world.effects() == []
    assert world.states() == {"ann@example.com": "suppressed: denied_withdrawn"}


def test_one_bad_row_that_spoils_the_whole_request_is_found_by_halving(world: World) -> None:
    world.members(*people("ann", "bob", "cid", "dan"))
    # The request of four, then of the first two, then of the first alone: it must be the first.
    world.sandbox.faults.add(Fault("bad_request"), times=3)

    report = world.run()

    assert (report.delivered, report.rejected) == (3, 1)
    assert world.states()["ann@example.com"] == "rejected: http_400"
    assert len(world.effects()) == 3


def test_refused_credentials_stop_the_sync_and_reject_nobody(world: World) -> None:
    world.members(*people("ann"))
    world.sandbox.faults.add(Fault("unauthorised"))

    report = world.run()

    assert (report.rejected, report.deferred) == (0, 1)
    assert report.error is not None
    assert "answers nobody until a person acts: unauthorised" in report.error
    assert world.run().delivered == 1


def test_a_dead_destination_ends_its_sync_with_one_error_and_leaves_the_others(world: World) -> None:
    dead = DESTINATIONS.replace("url: builtin:sandbox", "url: http://127.0.0.1:9")
    write_definitions(world.folder, destinations=dead)
    world.members(*people("ann", "bob"))

    report = world.run()
    other = world.run("to_csv")

    assert (report.delivered, report.deferred) == (0, 2)
    assert report.error is not None
    assert re.search(
        r"sandbox did not take a batch \d+ times in a row, for \d+ s \(unreachable\)", report.error
    )
    assert (world.time() - START) <= world.engine.patience.give_up_after
    assert other.delivered == 2

    write_definitions(world.folder)
    assert world.run().delivered == 2


def test_a_destination_that_was_down_gets_the_newest_rows_when_it_is_back(world: World) -> None:
    world.members(*people("ann", "bob"))
    world.sandbox.faults.add(Fault("unavailable", retry_after=1), times=4)
    world.run(patience=Patience(give_up_after=timedelta(0)))

    world.members(Person("bob", country="FR"))
    report = world.run()

    assert (report.adds, report.delivered) == (1, 1)
    assert world.effects() == [("upsert", "bob@example.com")]
    assert world.states() == {"ann@example.com": "cancelled: superseded", "bob@example.com": "delivered"}


@pytest.mark.parametrize(
    ("status", "headers", "kind", "stops", "wait"),
    [
        (429, {"Retry-After": "3"}, OutcomeKind.DEFERRED, False, 3),
        (
            429,
            {"Retry-After": "Fri, 10 Dec 2010 00:00:30 GMT", "Date": "Fri, 10 Dec 2010 00:00:00 GMT"},
            OutcomeKind.DEFERRED,
            False,
            30,
        ),
        (429, {"Retry-After": "soon"}, OutcomeKind.DEFERRED, False, None),
        (503, {"Retry-After": "5"}, OutcomeKind.DEFERRED, False, 5),
        (503, {}, OutcomeKind.UNKNOWN, False, None),
        (500, {}, OutcomeKind.UNKNOWN, False, None),
        (504, {}, OutcomeKind.UNKNOWN, False, None),
        (409, {}, OutcomeKind.UNKNOWN, False, None),
        (302, {"Location": "/login"}, OutcomeKind.UNKNOWN, False, None),
        (401, {}, OutcomeKind.DEFERRED, True, None),
        (403, {}, OutcomeKind.DEFERRED, True, None),
        (404, {}, OutcomeKind.DEFERRED, True, None),
        (400, {}, OutcomeKind.REJECTED, False, None),
        (413, {}, OutcomeKind.REJECTED, False, None),
        (422, {}, OutcomeKind.REJECTED, False, None),
    ],
)
def test_every_status_has_one_meaning(
    status: int, headers: dict[str, str], kind: OutcomeKind, *, stops: bool, wait: int | None
) -> None:
    outcome = whole_answer(httpx.Response(status, headers=headers, text="<html>a page</html>"))

    assert (outcome.kind, outcome.stops_destination) == (kind, stops)
    assert outcome.retry_after == (None if wait is None else timedelta(seconds=wait))
