"""Mode append: one message for each occurrence key, whatever happens in between."""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activation.config import load_definitions
from activation.dead_letters import give_up
from activation.errors import ConfigError
from activation.guards import SourceState
from activation.outside import Engine
from activation.plan_text import plan_lines
from activation.planner import plan_sync
from activation.sandbox.faults import AFTER_COMMIT, Fault, FaultName
from tests.activation.warehouse import Person, keep_out, make_reachable, note_event, publish_id
from tests.activation.world import World, open_world, people

WELCOME = """
name: welcome
owner: {team: lifecycle, contact: lifecycle@example.com}
description: A message of the tests.
source: {audience: new_customers, channel: email}
destination: sandbox
list: welcome
mode: append
occurrence: {per: entry, starts_with: everyone, within_hours: 48}
key: email
mapping:
  email: {column: identifier_value}
  first_name: {column: first_name, when_null: omit}
route: live
budget: {max_operations: 100}
"""
THANKS = """
name: thanks
owner: {team: lifecycle, contact: lifecycle@example.com}
description: A message of the tests.
source: {events: order_completed, purpose: marketing, channel: email}
destination: sandbox
list: thanks
mode: append
occurrence: {per: event, starts_with: everyone, within_hours: 48}
key: email
mapping:
  email: {column: identifier_value}
  order_id: {property: order_id, when_null: omit}
  total: {property: total, type: number, when_null: send, decimals: 2}
route: live
budget: {max_operations: 100}
"""


def sends(world: World, text: str, *changes: tuple[str, str]) -> None:
    """Add a sync of messages; nobody waits long for the sandbox."""
    file = world.folder / "destinations.yml"
    file.write_text(file.read_text().replace("timeout_seconds: 5", "timeout_seconds: 0.2"))
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    name = text.split()[1]
    (world.folder / "syncs" / f"{name}.yml").write_text(text)


def messages(world: World) -> Counter[str]:
    """Address -> how many messages the sandbox sent there."""
    return Counter(
        str(json.loads(str(fields))["email"]).partition("@")[0]
        for (fields,) in world.sandbox.store.query("select fields from messages")
    )


def state(world: World) -> SourceState:
    return SourceState(as_of=world.time(), newest_at=world.time())


def test_a_person_gets_one_message_for_each_time_that_she_enters(world: World) -> None:
    sends(world, WELCOME)
    for names in (["ann"], ["ann", "bob"], ["ann", "bob"], ["bob"], ["ann", "bob"]):
        world.members(*people(*names))
        world.run("welcome")

    assert messages(world) == {"ann": 2, "bob": 1}


def test_once_in_her_life_is_once_however_often_she_enters(world: World) -> None:
    sends(world, WELCOME, ("per: entry", "per: person"))
    for names in (["ann"], [], ["ann"]):
        world.members(*people(*names))
        world.run("welcome", approve=True)

    assert messages(world) == {"ann": 1}


def test_another_address_or_other_fields_are_no_occasion(world: World) -> None:
    sends(world, WELCOME)
    world.members(Person("ann"))
    world.run("welcome")
    world.members(Person("ann", email="new@example.com"))

    report = world.run("welcome")

    assert (report.sends, report.unchanged, messages(world)) == (0, 1, {"ann": 1})


def test_a_merge_of_two_people_is_no_occasion(world: World) -> None:
    """Whichever of the two got the message before."""
    sends(world, WELCOME)
    publish_id(world.warehouse, "first")
    publish_id(world.warehouse, "second")
    world.members(Person("second"))
    world.run("welcome")
    publish_id(world.warehouse, "second", stands_for="first")
    world.members(Person("first"))

    report = world.run("welcome")

    assert (report.sends, messages(world)) == (0, {"second": 1})


def test_who_may_not_be_reached_for_a_while_has_not_left(world: World) -> None:
    sends(world, WELCOME)
    world.members(*people("ann", "bob"))
    world.run("welcome")
    world.members(*people("bob"))
    keep_out(world.warehouse, ["ann"])
    world.run("welcome")
    world.members(*people("ann", "bob"))
    keep_out(world.warehouse, [])
    world.run("welcome")

    assert messages(world) == {"ann": 1, "bob": 1}


def test_a_sync_that_starts_with_newcomers_sends_nothing_to_who_is_there(world: World) -> None:
    sends(world, WELCOME, ("starts_with: everyone", "starts_with: newcomers"))
    world.members(*people("ann", "bob"))
    first = world.run("welcome")
    world.members(*people("ann", "bob", "cid"))
    second = world.run("welcome")

    assert (first.noted, first.sends, second.noted, second.sends) == (2, 0, 0, 1)
    assert messages(world) == {"cid": 1}


def test_it_has_started_even_when_nobody_was_there(world: World) -> None:
    sends(world, WELCOME, ("starts_with: everyone", "starts_with: newcomers"))
    world.run("welcome")
    world.members(*people("ann"))
    world.run("welcome")

    assert messages(world) == {"ann": 1}


def test_a_message_that_waited_too_long_is_not_sent_any_more(world: World) -> None:
    """Planning it again does not make it younger; and its occurrence is over."""
    sends(world, WELCOME, ("within_hours: 48", "within_hours: 24"))
    world.members(*people("ann"))
    world.sandbox.faults.add(Fault("rate_limited", retry_after=3600 * 20), times=1)
    world.run("welcome")
    world.time.now += timedelta(hours=20)
    world.sandbox.faults.add(Fault("rate_limited", retry_after=3600 * 20), times=1)
    world.refresh_denials()
    world.run("welcome")
    world.time.now += timedelta(hours=20)
    world.refresh_denials()

    late = world.run("welcome")
    later = world.run("welcome")

    assert messages(world) == {}
    assert list(world.states().values())[-1] == "expired: too_late"
    assert (late.sends, late.rejected, later.sends) == (1, 1, 0)


def test_a_withdrawal_between_plan_and_claim_stops_a_message(world: World) -> None:
    sends(world, WELCOME)
    world.members(Person("ann"), Person("bob"))
    address = world.warehouse.execute(
        "select identifier_key from marts.audience_memberships where canonical_id = 'ann'"
    ).fetchall()[0][0]

    def withdraw(point: str) -> None:
        if point == "after_intents":
            world.deny(address)

    world.run("welcome", engine=replace(world.engine, at=withdraw))

    assert (messages(world), world.states()["ann"]) == ({"bob": 1}, "suppressed: denied_withdrawn")


@pytest.mark.parametrize("fault", AFTER_COMMIT)
def test_an_answer_that_was_lost_sends_nothing_twice(world: World, fault: FaultName) -> None:
    sends(world, WELCOME)
    world.members(*people("ann", "bob"))
    world.sandbox.faults.add(Fault(fault, hold=0.4))

    report = world.run("welcome")
    world.run("welcome")

    assert (messages(world), report.delivered, report.in_doubt) == ({"ann": 1, "bob": 1}, 2, 0)


def test_a_destination_that_only_can_be_read_is_asked_what_it_sent(world: World) -> None:
    file = world.folder / "destinations.yml"
    file.write_text(
        file.read_text().replace("timeout_seconds: 5", "timeout_seconds: 5\n  idempotency_lifetime_hours: 0")
    )
    sends(world, WELCOME)
    world.members(*people("ann", "bob"))
    world.sandbox.faults.add(Fault("gateway_error_after_commit"))

    report = world.run("welcome")

    assert (messages(world), report.delivered) == ({"ann": 1, "bob": 1}, 2)
    assert len(world.sandbox.store.query("select 1 from requests where path like '%/operations'")) == 1


def test_what_is_in_doubt_is_never_sent_again_not_even_when_a_person_closes_it(world: World) -> None:
    file = world.folder / "destinations.yml"
    opaque = "timeout_seconds: 5\n  idempotency_lifetime_hours: 0\n  can_read_back: false"
    file.write_text(file.read_text().replace("timeout_seconds: 5", opaque))
    sends(world, WELCOME)
    world.members(*people("ann"))
    world.sandbox.faults.add(Fault("gateway_error_after_commit"))
    first = world.run("welcome")
    blocked = world.run("welcome")
    closed = give_up(world.ledger, "welcome", reason_code=None, now=world.time())

    after = world.run("welcome")

    assert (first.in_doubt, blocked.blocked, closed, after.sends) == (1, {"in_doubt": 1}, 1, 0)
    assert messages(world) == {"ann": 1}


def test_an_audience_that_empties_by_mistake_forgets_nobody(world: World) -> None:
    sends(world, WELCOME, ("route: live", "route: live\nguards: {max_removed: 1}"))
    world.members(*people("ann", "bob"))
    world.run("welcome")
    world.members()
    stopped = world.run("welcome")
    world.members(*people("ann", "bob"))
    world.run("welcome")

    assert "it would forget 2 of 2 members, who would get the message again" in stopped.stopped_because
    assert messages(world) == {"ann": 1, "bob": 1}


def test_more_messages_than_the_budget_wait_for_a_person(world: World) -> None:
    sends(world, WELCOME, ("max_operations: 100", "max_operations: 1"))
    world.members(*people("ann", "bob"))

    stopped = world.run("welcome")

    assert [guard.name for guard in stopped.guards] == ["budget"]
    assert messages(world) == {}
    assert world.run("welcome", approve=True).delivered == 2


def test_each_event_is_one_message_with_its_properties(world: World) -> None:
    sends(world, THANKS)
    make_reachable(world.warehouse, Person("ann"))
    note_event(world.warehouse, "e1", "ann", at=world.time(), properties='{"order_id":"o1","total":9.5}')
    note_event(world.warehouse, "e2", "ann", at=world.time(), properties='{"total":"much"}')
    note_event(world.warehouse, "other", "ann", at=world.time(), name="cart_updated")

    for _ in range(2):
        report = world.run("thanks", source=state(world))

    sent = world.sandbox.store.query("select key, fields from messages order by key")
    assert [(key, json.loads(str(fields))) for key, fields in sent] == [
        ("e1", {"email": "ann@example.com", "order_id": "o1", "total": 9.5}),
        ("e2", {"email": "ann@example.com", "total": None}),
    ]
    assert (report.sends, report.unchanged) == (0, 2)


def test_an_event_of_old_sends_nothing(world: World) -> None:
    sends(world, THANKS)
    make_reachable(world.warehouse, Person("ann"))
    note_event(world.warehouse, "old", "ann", at=world.time() - timedelta(hours=49))
    note_event(world.warehouse, "young", "ann", at=world.time() - timedelta(hours=47))

    world.run("thanks", source=state(world))

    assert [key for (key,) in world.sandbox.store.query("select key from messages")] == ["young"]


def test_an_event_of_somebody_who_refused_is_counted_as_held_back(world: World) -> None:
    sends(world, THANKS)
    make_reachable(world.warehouse, Person("ann"), decision="deny")
    note_event(world.warehouse, "e1", "ann", at=world.time())
    note_event(world.warehouse, "e2", "nobody", at=world.time())
    make_reachable(world.warehouse, Person("bob"))

    report = world.run("thanks", source=state(world))

    assert (dict(report.held_back), messages(world)) == ({"withdrawn": 1, "no_address": 1}, {})


def test_a_late_consent_sends_no_event_twice(world: World) -> None:
    """Her address is refused for a while and allowed again: what was sent stays sent."""
    sends(world, THANKS)
    make_reachable(world.warehouse, Person("bob"))
    note_event(world.warehouse, "e1", "ann", at=world.time())
    for decision in ("allow", "deny", "allow"):
        make_reachable(world.warehouse, Person("ann"), decision=decision)
        world.run("thanks", source=state(world))

    assert messages(world) == {"ann": 1}


def test_a_plan_of_messages_speaks_of_messages(world: World) -> None:
    sends(world, WELCOME)
    world.members(*people("ann", "bob"))

    plan = plan_sync(world.sync("welcome"), warehouse=world.warehouse, ledger=world.ledger)

    assert [line.strip() for line in plan_lines(asdict(plan))][1:3] == [
        "2 to send     ***  ***",
        "0 done before",
    ]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "occurrence: {per: entry, starts_with: everyone, within_hours: 48}\n",
            "",
            "occurrence: expected with",
        ),
        ("mode: append", "mode: upsert", "occurrence: expected with mode append"),
        ("per: entry", "per: event", "occurrence.per: expected entry or person with source.audience"),
        ("per: entry", "per: click", "occurrence.per: Input should be 'entry', 'person' or 'event'"),
        ("starts_with: everyone, ", "", "occurrence.starts_with: missing; add it"),
        ("budget: {max_operations: 100}\n", "", "budget.max_operations: missing; say how many messages"),
        ("audience: new_customers,", "events: order_completed,", "purpose: expected with profiles or events"),
        ("{column: first_name,", "{property: name,", "mapping.first_name.property: expected only with"),
        ("{column: first_name,", "{property: name, column: n,", "expected one of column, property and value"),
        ("email: {column", "email: {property", "mapping.email: expected a column, because it is the key"),
    ],
)
def test_a_mistake_in_a_sync_of_messages_is_one_line(
    world: World, before: str, after: str, message: str
) -> None:
    sends(world, WELCOME, (before, after))

    with pytest.raises(ConfigError) as caught:
        load_definitions(world.folder)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_event_that_the_marts_do_not_have_is_an_error_of_the_file(world: World) -> None:
    sends(world, THANKS, ("events: order_completed", "events: order_complete"))
    note_event(world.warehouse, "e1", "ann", at=world.time())
    make_reachable(world.warehouse, Person("ann"))

    with pytest.raises(ConfigError, match=r"source\.events: 'order_complete' is not in marts\.event_stream"):
        world.run("thanks", source=state(world))


class Killed(BaseException):
    """The worker is gone."""


POINTS = (
    "after_intents",
    "after_in_flight",
    "before_write",
    "after_response",
    "before_outcome",
    "after_outcome",
)
steps = st.lists(
    st.tuples(
        st.frozensets(st.sampled_from(("ann", "bob", "cid")), max_size=3),
        st.sampled_from((None, *POINTS)),
        st.sampled_from((None, "rate_limited", "hang", *AFTER_COMMIT[:3])),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_every_stay_is_one_message_whatever_fails(
    steps: list[tuple[frozenset[str], str | None, FaultName | None]],
) -> None:
    """Against a plain program: a stay begins when somebody is there who was not there before."""
    with TemporaryDirectory() as folder, open_world(Path(folder)) as world:
        sends(world, WELCOME)
        stays: Counter[str] = Counter()
        there = frozenset[str]()
        for members, point, fault in [*steps, (steps[-1][0], None, None)]:
            stays.update(members - there)
            there = members
            world.members(*people(*sorted(members)))
            if fault is not None:
                world.sandbox.faults.add(Fault(fault, hold=0.4))
            _run_until(world, point)
            world.sandbox.faults.clear()
            _run_until(world, None)

        assert messages(world) == stays


def _run_until(world: World, point: str | None) -> None:
    def at(reached: str) -> None:
        if reached == point:
            raise Killed

    engine: Engine = replace(world.engine, at=at, is_alive=lambda _: False)
    with suppress(Killed):
        world.run("welcome", approve=True, engine=engine)
