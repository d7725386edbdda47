"""What becomes of a column on its way into a payload."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from activation.errors import ConfigError
from tests.activation.warehouse import Person, key_of, withdraw
from tests.activation.world import World, people


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Only a file: a payload is made before the ledger sees it."""
    return tmp_path / "ledger.sqlite"


def map_field(world: World, field: str) -> None:
    """Add one field to the mapping of the sync to the sandbox."""
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text().replace("  first_name:", f"  {field}\n  first_name:", 1))


def sent(world: World, name: str = "ann") -> object:
    """The field `x` as the sandbox got it; `...` where it was left out."""
    fields = world.sandbox.store.read("to_sandbox", [f"{name}@example.com"])[f"{name}@example.com"]
    assert fields is not None
    return fields.get("x", ...)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("x: {column: first_name, when_null: send, transform: [upper]}", "ANN"),
        (
            "x: {column: first_name, when_null: send, transform: [trim, lower, md5]}",
            "7e0d7f8a5d96c24ffcc840f31bce72b2",
        ),
        ("x: {column: last_order_at, when_null: send, transform: [date]}", "2010-12-01"),
        ("x: {column: last_order_at, when_null: send, transform: [epoch_seconds]}", 1291161601),
        ("x: {column: is_loyal, when_null: send, type: boolean}", True),
        ("x: {column: order_count, when_null: send, type: number}", 1),
        ("x: {column: last_name, when_null: send}", None),
        ("x: {column: last_name, when_null: omit}", ...),
        ("x: {column: last_name, when_null: default, default: friend}", "friend"),
        ("x: {column: first_order_at, when_null: default, default: 0, transform: [epoch_seconds]}", 0),
        ("x: {value: spring}", "spring"),
        ("x: {value: 3}", 3),
        ("x: {value: it's}", "it's"),
    ],
)
def test_a_field_is_made_as_the_mapping_says(world: World, field: str, expected: object) -> None:
    world.members(*people("ann"))
    world.warehouse.execute(
        "update marts.profiles set last_order_at = '2010-12-01 00:00:01.5', is_loyal = true"
    )
    map_field(world, field)

    world.run()

    assert sent(world) == expected


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            "x: {column: first_name, when_null: send, type: integer}",
            "mapping.x.type: expected integer, and column 'first_name' has type VARCHAR",
        ),
        (
            "x: {column: order_count, when_null: send, transform: [lower]}",
            "mapping.x.transform: 'lower' takes VARCHAR, and what it gets of 'order_count' is BIGINT",
        ),
        (
            "x: {column: first_name, when_null: send, transform: [lower, date]}",
            "mapping.x.transform: 'date' takes TIMESTAMP or DATE",
        ),
        ("x: {column: first_name}", "mapping.x.when_null: missing; say send, omit or default"),
        ("x: {when_null: send}", "mapping.x: expected one of column, property and value"),
        (
            "x: {column: first_name, value: a, when_null: send}",
            "mapping.x: expected one of column, property and value",
        ),
        (
            "x: {column: first_name, when_null: default}",
            "mapping.x: default: expected with when_null: default",
        ),
        (
            "x: {column: shoe_size, when_null: send}",
            "mapping.x.column: 'shoe_size' is not a column of marts.audience_memberships or marts.profiles",
        ),
    ],
)
def test_a_field_that_cannot_be_made_is_one_line(world: World, field: str, message: str) -> None:
    map_field(world, field)

    with pytest.raises(ConfigError) as caught:
        world.run()

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_has_one_text_however_large_it_is(world: World) -> None:
    """Around the bound up to which it is made with 64 bits, on both sides of zero, ties included."""
    numbers = [0.0, -0.0, 0.125, -2.675, 999_999_999_999_999.9, 1e15, -1e15, 123_456_789_012_345_678.0, 1e20]
    names = [f"p{number}" for number in range(len(numbers))]
    world.members(*people(*names))
    for name, number in zip(names, numbers, strict=True):
        world.warehouse.execute(
            "update marts.profiles set lifetime_value = ? where canonical_id = ?", [number, name]
        )
    map_field(world, "x: {column: lifetime_value, when_null: send, decimals: 2}")

    world.run()

    with world.ledger.read() as connection:
        payloads = dict(connection.execute("select canonical_id, payload from acknowledged").fetchall())
    texts = [re.search(r'"x":([^,}]*)', payloads[name]) for name in names]
    wide = [
        world.warehouse.execute("select cast(cast(? as decimal(38, 2)) as varchar)", [number]).fetchone()
        for number in numbers
    ]
    assert [text and (text[1],) for text in texts] == wide


def test_the_key_can_be_a_hash_of_the_address(world: World) -> None:
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(
        file.read_text()
        .replace("key: email", "key: hash")
        .replace(
            "  email: {column: identifier_value, when_null: omit}",
            "  hash: {column: identifier_value, when_null: omit, transform: [trim, lower, sha256]}",
        )
    )
    world.members(Person("ann", email="Ann@Example.com"))

    world.run()

    (key,) = world.at_sandbox()
    assert key == hashlib.sha256(b"ann@example.com").hexdigest()


def test_profiles_are_sent_to_the_preferred_address_that_consent_allows(world: World) -> None:
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(
        file.read_text().replace(
            "source: {audience: new_customers, channel: email}",
            "source: {profiles: reachable, purpose: marketing, channel: email}",
        )
    )
    world.members(*people("ann"))
    for address, decision, rule, preferred in (
        ("ann@example.com", "allow", "granted", True),
        ("second@example.com", "allow", "granted", False),
        ("bob@example.com", "deny", "withdrawn", True),
    ):
        name = address.partition("@")[0]
        world.warehouse.execute(
            "insert into marts.contact_points values (?, 'email', 'marketing', 'email', ?, ?, ?, ?, ?)",
            [name, key_of(address), address, decision, rule, preferred],
        )

    report = world.run()
    withdraw(world.warehouse, "ann@example.com")
    world.warehouse.execute("update marts.contact_points set decision = 'deny', rule = 'withdrawn'")
    after = world.run()

    assert (report.delivered, dict(report.held_back)) == (1, {"withdrawn": 1})
    assert (after.removes, world.at_sandbox()) == (1, set())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{channel: email}", "source: expected one of audience, profiles, events, found none"),
        ("{audience: a, profiles: reachable, channel: email}", "found audience, profiles"),
        (
            "{profiles: reachable, channel: email}",
            "source: purpose: expected with profiles or events, and only there",
        ),
        ("{audience: a}", "source.channel: missing; add it"),
        (
            "{profiles: all, purpose: p, channel: email}",
            "source.profiles: Input should be 'reachable'; found 'all'",
        ),
    ],
)
def test_a_source_that_is_none_is_one_line(world: World, source: str, message: str) -> None:
    file = world.folder / "syncs" / "to_sandbox.yml"
    file.write_text(file.read_text().replace("{audience: new_customers, channel: email}", source))

    with pytest.raises(ConfigError) as caught:
        world.sync()

    assert message in json.dumps(str(caught.value))
