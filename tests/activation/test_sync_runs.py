"""From an audience to a destination and back: what a sync run promises."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activation import gate
from activation.errors import ConfigError
from tests.activation.warehouse import Person, key_of, withdraw
from tests.activation.world import World, people


def test_a_first_run_adds_everyone_and_a_second_plans_nothing(world: World) -> None:
    world.members(*people("ann", "bob", "cid", "dan", "eve"))

    first = world.run()
    second = world.run()

    assert (first.adds, first.delivered, first.is_complete) == (5, 5, True)
    assert (second.operations, second.unchanged, second.sync_run_id) == (0, 5, None)
    assert world.at_sandbox() == {f"{name}@example.com" for name in ("ann", "bob", "cid", "dan", "eve")}


def test_changes_become_one_add_one_update_one_removal(world: World) -> None:
    world.members(*people("ann", "bob"))
    world.run()

    world.members(Person("bob", country="FR"), Person("cid"))
    report = world.run()

    assert (report.adds, report.updates, report.removes, report.delivered) == (1, 1, 1, 3)
    assert world.at_sandbox() == {"bob@example.com", "cid@example.com"}


def test_a_null_is_sent_or_left_out_as_its_field_says(world: World) -> None:
    world.members(Person("ann", country=None, lifetime_value=None))

    world.run()

    fields = world.sandbox.store.read("to_sandbox", ["ann@example.com"])["ann@example.com"]
    assert fields == {"country": None, "first_name": "Ann"}


def test_a_sum_that_differs_in_its_last_digit_is_no_change(world: World) -> None:
    world.members(Person("ann", lifetime_value=0.1 + 0.2))
    world.run()

    world.members(Person("ann", lifetime_value=0.3))

    assert world.run().operations == 0


@pytest.mark.parametrize(
    ("members", "invalid", "delivered"),
    [
        ([Person("ann", email=" "), Person("bob")], {"NULL_KEY": 1}, 1),
        (
            [Person("ann", email="x@y.org"), Person("bob", email="x@y.org"), Person("cid")],
            {"DUPLICATE_KEY": 2},
            1,
        ),
        ([Person("ann", lifetime_value=float("nan")), Person("bob")], {"BAD_VALUE": 1}, 1),
        ([Person("ann", lifetime_value=float("inf")), Person("bob")], {"BAD_VALUE": 1}, 1),
        ([Person("ann", lifetime_value=1e300), Person("bob")], {"BAD_VALUE": 1}, 1),
    ],
    ids=["blank key", "two people with one key", "not a number", "infinity", "too large"],
)
def test_unusable_rows_are_set_apart_and_counted(
    world: World, members: list[Person], invalid: dict[str, int], delivered: int
) -> None:
    world.members(*members)

    report = world.run()

    assert (dict(report.invalid), report.delivered) == (invalid, delivered)


def test_two_people_with_one_key_and_the_same_payload_are_one_row(world: World) -> None:
    world.members(Person("ann", email="x@y.org"), Person("bob", email="x@y.org"))
    world.warehouse.execute("update marts.profiles set first_name = 'Same'")

    report = world.run()

    assert (dict(report.invalid), report.delivered) == ({}, 1)


def test_a_member_whose_row_becomes_unusable_keeps_what_it_has(world: World) -> None:
    world.members(Person("ann"))
    world.run()

    world.members(Person("ann"), Person("other", email="ann@example.com", country="FR"))
    report = world.run()

    assert (report.operations, dict(report.invalid)) == (0, {"DUPLICATE_KEY": 2})
    assert world.at_sandbox() == {"ann@example.com"}


def test_people_kept_out_of_the_audience_are_counted_by_reason(world: World) -> None:
    world.members(Person("ann"))
    world.warehouse.execute(
        "insert into marts.audience_exclusions values ('new_customers', 'p1', 'email', 'withdrawn'),"
        " ('new_customers', 'p2', 'email', 'withdrawn'), ('new_customers', 'p3', 'sms', 'no_address')"
    )

    assert dict(world.run().held_back) == {"withdrawn": 2}


def test_an_empty_source_stops_the_sync_until_somebody_says_yes(world: World) -> None:
    world.members(*people("ann", "bob"))
    world.run()
    world.members()

    stopped = world.run()
    approved = world.run(approve=True)

    assert [guard.name for guard in stopped.guards] == ["empty_source"]
    assert "would remove all 2 members" in stopped.stopped_because
    assert (stopped.operations, approved.removes, world.at_sandbox()) == (0, 2, set())


def test_too_many_removals_stop_and_opt_outs_leave_all_the_same(world: World) -> None:
    names = [f"p{number:02d}" for number in range(30)]
    world.members(*people(*names))
    world.run()
    withdraw(world.warehouse, "p00@example.com")
    world.members(*people(*names[20:]), Person("new"))

    report = world.run()

    assert "would remove 19 of 30 members" in report.stopped_because
    assert (report.adds, report.removes, report.delivered) == (0, 1, 1)
    assert "p00@example.com" not in world.at_sandbox()
    assert len(world.at_sandbox()) == 29


def test_a_sync_pointed_elsewhere_is_refused_even_with_a_yes(world: World) -> None:
    world.members(Person("ann"))
    world.run()
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text().replace("list: to_sandbox", "list: elsewhere"))

    report = world.run(approve=True)

    assert [guard.name for guard in report.guards] == ["target_changed"]
    assert report.plan_id is None
    assert world.at_sandbox("elsewhere") == set()


def test_a_rejected_row_is_sent_once_and_the_others_are_delivered(world: World) -> None:
    world.members(Person("ann"), Person("bad", email="not-an-address"), Person("cid"))

    first = world.run()
    second = world.run()

    assert (first.delivered, first.rejected, dict(first.reasons["rejected"])) == (
        2,
        1,
        {"malformed_email": 1},
    )
    assert (second.operations, dict(second.blocked)) == (0, {"rejected_before": 1})


def test_a_rejected_row_is_tried_again_when_it_changed(world: World) -> None:
    world.members(Person("bad", email="not-an-address"))
    world.run()

    world.members(Person("bad", email="not-an-address", country="FR"))

    assert world.run().rejected == 1


def test_a_person_denied_after_the_plan_is_not_sent(world: World) -> None:
    world.members(*people("ann", "bob"))

    def deny_after_plan(point: str) -> None:
        if point == "after_intents":
            world.deny(key_of("ann@example.com"))

    world.engine = type(world.engine)(
        clock=world.time, sleep=world.time.sleep, worker_name="tests", at=deny_after_plan
    )
    report = world.run()

    assert (report.delivered, report.suppressed) == (1, 1)
    assert world.at_sandbox() == {"bob@example.com"}
    assert world.states()["ann@example.com"] == "suppressed: denied_withdrawn"


def test_a_removal_passes_a_denial(world: World) -> None:
    world.members(*people("ann", "bob"))
    world.run()
    withdraw(world.warehouse, "ann@example.com")
    world.refresh_denials()

    world.members(Person("bob"))
    report = world.run()

    assert (report.removes, report.delivered, world.at_sandbox()) == (1, 1, {"bob@example.com"})


def test_a_paused_sync_sends_nothing_and_goes_on_when_resumed(world: World) -> None:
    world.members(Person("ann"))
    gate.freeze(world.ledger, "*", reason="inspection", set_by="tests", now=world.time())

    paused = world.run()
    gate.lift_freeze(world.ledger, "*", now=world.time())
    resumed = world.run()

    assert (paused.error, paused.operations) == ("paused: inspection", 0)
    assert (resumed.delivered, paused.sync_run_id) == (1, None)


@pytest.mark.parametrize("route", ["legacy", "shadow", "canary"])
def test_a_route_that_is_not_live_sends_nothing(world: World, route: str) -> None:
    world.members(Person("ann"))
    gate.append_route(world.ledger, "to_sandbox", route, reason="test", set_by="tests", now=world.time())

    report = world.run()

    assert (report.delivered, report.suppressed) == (0, 1)
    assert world.states() == {"ann@example.com": f"suppressed: route_{route}"}


def test_an_unknown_audience_is_one_clear_line(world: World) -> None:
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text().replace("audience: new_customers", "audience: nobody_knows"))

    with pytest.raises(
        ConfigError, match=r"to_sandbox\.yml: source\.audience: 'nobody_knows' is not in marts\.audiences"
    ):
        world.run()


def test_an_unmapped_column_is_one_clear_line(world: World) -> None:
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text().replace("column: country_code", "column: contry"))

    with pytest.raises(
        ConfigError, match=r"mapping\.country\.column: 'contry' is not a column.*country_code"
    ):
        world.run()


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
AUDIENCE = st.dictionaries(
    st.sampled_from([f"p{number}" for number in range(8)]),
    st.tuples(st.none() | TEXT, st.none() | st.floats(allow_nan=False, min_value=-1e9, max_value=1e9)),
    max_size=8,
)


def desired(world: World) -> dict[str, dict[str, object]]:
    """What should stand at the destination, worked out without the planner."""
    rows = world.warehouse.execute(
        "select identifier_value, first_name, country_code, lifetime_value from marts.audience_memberships"
        " inner join marts.profiles using (canonical_id)"
    ).fetchall()
    return {
        key: {
            "first_name": first_name,
            "country": country,
            **({} if value is None else {"value": round(value, 2)}),
        }
        for key, first_name, country, value in rows
    }


@pytest.mark.parametrize("name", ["to_sandbox", "to_jsonl"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(audiences=st.lists(AUDIENCE, min_size=1, max_size=3))
def test_applying_the_difference_gives_the_desired_state(
    world: World, name: str, audiences: list[dict[str, tuple[str | None, float | None]]]
) -> None:
    """I5, whatever the order in which audiences follow each other."""
    for audience in audiences:
        world.members(
            *(
                Person(key, country=country, lifetime_value=value)
                for key, (country, value) in audience.items()
            )
        )
        report = world.run(name, approve=True)
        assert report.is_complete, report

        held = held_at(world, name)
        wanted = desired(world)
        assert held.keys() == wanted.keys()
        for key, fields in wanted.items():
            # An omitted null keeps what the destination had: only the fields sent must agree.
            assert {field: held[key].get(field) for field in fields} == pytest.approx(fields, abs=0.0051)
    assert world.run(name).operations == 0


def held_at(world: World, name: str) -> dict[str, dict[str, object]]:
    if name == "to_sandbox":
        return {key: json.loads(fields) for key, fields in world.sandbox.store.members(name)}
    file = world.folder / "destinations" / "files" / name / "current.jsonl"
    if not file.exists():
        return {}
    rows = [json.loads(line) for line in file.read_bytes().splitlines()]
    return {row["key"]: row["fields"] for row in rows}
