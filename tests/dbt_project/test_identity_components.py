"""The identity_components materialization against a plain union-find with the same limits."""

from pathlib import Path

import pytest

from tests.dbt_project.identity_oracle import Limit, Rules, resolve
from tests.dbt_project.identity_worlds import random_world, resolve_in_dbt

KINDS = ("user_id", "email", "anonymous_id")
RULES = {
    "one_customer": Rules(KINDS, {"user_id": Limit(1)}),
    "several_limits": Rules(KINDS, {"user_id": Limit(1), "email": Limit(2), "anonymous_id": Limit(4)}),
    "small_people": Rules(KINDS, {"user_id": Limit(2)}, most_identifiers=6),
    "windows": Rules(KINDS, {"user_id": Limit(1, 20), "email": Limit(2, 5)}, least_loose_links=3),
    "no_limits": Rules(KINDS, least_loose_links=1),
}


@pytest.mark.parametrize("name", RULES)
def test_random_graphs_are_resolved_as_the_reference_does(name: str, tmp_path: Path) -> None:
    """1,500 random graphs under each set of rules, in two orders: the same people, named the same."""
    rules = RULES[name]
    world = random_world(range(1500), rules)
    found = resolve_in_dbt(tmp_path, {"given": world, "shuffled": world.shuffled(1)}, rules)
    expected = resolve(world.nodes, world.links, world.kept_apart, rules)
    assert found["shuffled"] == found["given"]
    assert differences(found["given"], expected) == []


def differences(
    found: dict[str, tuple[str, str]], expected: dict[str, tuple[str, str]]
) -> list[tuple[str, object, object]]:
    """Nodes that came out otherwise, with both answers."""
    return [
        (node, found.get(node), expected.get(node))
        for node in sorted(found.keys() | expected.keys())
        if found.get(node) != expected.get(node)
    ]
