"""The identity_components materialization against a plain union-find with the same limits."""

import itertools
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.dbt_project.identity_oracle import LOOSE, OPERATOR, STRICT, Limit, Rules, resolve
from tests.dbt_project.identity_worlds import World, random_world, resolve_in_dbt

KINDS = ("user_id", "email", "anonymous_id")
RULES = {
    "one_customer": Rules(KINDS, {"user_id": Limit(1)}),
    "several_limits": Rules(KINDS, {"user_id": Limit(1), "email": Limit(2), "anonymous_id": Limit(4)}),
    "small_people": Rules(KINDS, {"user_id": Limit(2)}, most_identifiers=6),
    "windows": Rules(KINDS, {"user_id": Limit(1, 20), "email": Limit(2, 5)}, least_loose_links=3),
    "no_limits": Rules(KINDS, least_loose_links=1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["several_limits", "small_people", "windows"])
def test_random_graphs_are_resolved_as_the_reference_does(name: str, tmp_path: Path) -> None:
    """400 random graphs under the rules that bind most, in two orders: the same people, named the same."""
    assert_resolved_as_the_reference_does(tmp_path, RULES[name], graphs=400)


@pytest.mark.long
@pytest.mark.parametrize("name", RULES)
def test_many_random_graphs_are_resolved_as_the_reference_does(name: str, tmp_path: Path) -> None:
    """1,500 random graphs under each set of rules."""
    assert_resolved_as_the_reference_does(tmp_path, RULES[name], graphs=1500)


def assert_resolved_as_the_reference_does(tmp_path: Path, rules: Rules, *, graphs: int) -> None:
    world = random_world(range(graphs), rules)
    found = resolve_in_dbt(tmp_path, {"given": world, "shuffled": world.shuffled(1)}, rules)
    expected = resolve(world.nodes, world.links, world.kept_apart, rules)
    assert found["shuffled"] == found["given"]
    assert differences(found["given"], expected) == []


def shape(pairs: list[tuple[int, int]], tier: int = STRICT) -> World:
    """A graph of devices; each pair was seen a day after the one before it."""
    world = World()
    for number in sorted({number for pair in pairs for number in pair}):
        world.add(f"n{number:07d}", "anonymous_id", day=number % 365)
    for day, (a, b) in enumerate(pairs):
        world.link(f"n{a:07d}", f"n{b:07d}", tier, day=day / 100)
    return world


def shapes(size: int) -> dict[str, World]:
    """What breaks naive algorithms: long chains, hubs, rings, repeats."""
    order = list(range(size))
    random.Random(7).shuffle(order)
    return {
        "chain_sorted": shape([(number, number + 1) for number in range(size)]),
        "chain_shuffled": shape(list(itertools.pairwise(order))),
        "hub": shape([(0, number) for number in range(1, size)]),
        "two_hubs": shape([(number % 2, number) for number in range(2, size)] + [(0, 1)]),
        "ring": shape([(number, (number + 1) % size) for number in range(size)]),
        "one_pair_given_twice_and_turned": shape([(1, 2), (2, 1), (1, 2)]),
        "loose_ends": shape([(number, number + 1) for number in range(0, 40, 2)], LOOSE),
    }


@pytest.mark.slow
@pytest.mark.parametrize("most", [600, 1_000_000])
def test_chains_hubs_and_rings_are_resolved_as_the_reference_does(most: int, tmp_path: Path) -> None:
    """Of 6,000 identifiers each: joined whole where that is allowed, else cut at the same link."""
    rules = Rules(KINDS, {"user_id": Limit(1)}, most_identifiers=most)
    worlds = shapes(6000)
    found = resolve_in_dbt(tmp_path, worlds, rules)
    for name, world in worlds.items():
        expected = resolve(world.nodes, world.links, world.kept_apart, rules)
        assert differences(found[name], expected) == [], name
        assert max(Counter(component for component, _ in found[name].values()).values()) <= most


def test_what_is_too_tangled_to_decide_is_held_and_never_joined_wrongly(tmp_path: Path) -> None:
    """Where each link hangs on the one before it, each needs a round: after 60 the rest is held."""
    rules = Rules(KINDS, {"user_id": Limit(2)})
    world = World()
    for number in range(400):
        world.add(f"n{number:04d}", "user_id")
    for number in range(399):
        world.link(f"n{number:04d}", f"n{number + 1:04d}", day=number)
    found = resolve_in_dbt(tmp_path, {"given": world}, rules)["given"]
    expected = resolve(world.nodes, world.links, [], rules)
    assert max(Counter(component for component, _ in found.values()).values()) == 2
    # whoever is one person here is one person by the reference too
    assert len({(found[node][0], expected[node][0]) for node in found}) == len({f[0] for f in found.values()})
    assert len({f[0] for f in found.values()}) > len({e[0] for e in expected.values()})


@pytest.mark.slow
def test_an_operator_joins_whole_people_unless_one_keeps_them_apart(tmp_path: Path) -> None:
    """Cyclic and contradictory decisions have one answer: keeping apart wins, newer joins go first."""
    rules = Rules(KINDS, {"user_id": Limit(1)})
    world = World()
    for name in "abcd":
        world.add(f"u{name}", "user_id")
        world.add(f"m{name}", "email")
        world.link(f"u{name}", f"m{name}")
    world.link("ua", "ub", OPERATOR, day=1)
    world.link("ub", "uc", OPERATOR, day=2)
    world.link("uc", "ua", OPERATOR, day=3)
    world.link("mc", "ud", OPERATOR, day=4)
    world.kept_apart = [("ma", "mb"), ("ub", "ua")]
    found = resolve_in_dbt(tmp_path, {"given": world, "shuffled": world.shuffled(3)}, rules)
    assert found["given"] == found["shuffled"] == resolve(world.nodes, world.links, world.kept_apart, rules)
    people = {
        frozenset(n for n in found["given"] if found["given"][n][0] == c) for c, _ in found["given"].values()
    }
    assert people == {frozenset({"ua", "ma", "uc", "mc", "ud", "md"}), frozenset({"ub", "mb"})}


def differences(
    found: dict[str, tuple[str, str]], expected: dict[str, tuple[str, str]]
) -> list[tuple[str, object, object]]:
    """Nodes that came out otherwise, with both answers."""
    return [
        (node, found.get(node), expected.get(node))
        for node in sorted(found.keys() | expected.keys())
        if found.get(node) != expected.get(node)
    ]
