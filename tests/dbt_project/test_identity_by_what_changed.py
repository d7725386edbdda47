"""A build of what was touched ends in the same state as a full one (I7)."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from tests.dbt_project.identity_house import IDENTITY, IdentityHouse, Seen

# limits, guards and tiers that bind in worlds of a few people
RULES = {
    "identifier_types": {
        "user_id": {
            "kind": "authoritative",
            "priority": 1,
            "envelope": "user_id",
            "per_person": {"most": 2},
        },
        "email": {
            "kind": "mergeable",
            "priority": 2,
            "property": "email",
            "per_person": {"most": 2, "within_days": 400},
        },
        "phone": {"kind": "mergeable", "priority": 3, "property": "phone"},
        "anonymous_id": {
            "kind": "mergeable",
            "priority": 4,
            "envelope": "anonymous_id",
            "per_identifier": [{"type": "user_id", "most": 2}],
        },
    },
    "tiers": {
        "default": "strict",
        "rules": [{"source": "guess", "tier": "loose"}, {"types": ["user_id", "email"], "tier": "exact"}],
    },
    "guards": {"most_identifiers": 9, "least_loose_links": 2},
}
TABLES = (
    "intermediate.int_events_with_identifiers",
    "intermediate.int_sfmc_subscribers_with_identifiers",
    "intermediate.int_identity_observations_grouped",
    "intermediate.int_identity_edges",
    "intermediate.int_identifiers_seen",
    "intermediate.int_identifiers_shared",
    "intermediate.int_identity_nodes",
    "intermediate.int_identity_links",
    "intermediate.int_identity_links_held",
    "intermediate.int_identity_components",
    "intermediate.int_identity_ids_placed",
    "intermediate.int_identity_components_named",
    "intermediate.int_people_suspected",
    "intermediate.int_people_suspected_grouped",
    "intermediate.int_identifiers_resolved",
    "intermediate.int_events_identified",
    "marts.identity_graph",
    "marts.identity_graph_history",
    "marts.identity_redirects",
    "marts.identity_first_ids",
    "marts.identity_changes",
    "marts.suspected_people",
)
# what names the build itself is another in each
COLUMNS = {
    "marts.identity_changes": "* exclude (build_number, identity_change_id)",
    "intermediate.int_identity_components": "* exclude (resolved_in)",
    "intermediate.int_identity_components_named": "* exclude (is_new_anchor)",
}
SELECT = (*IDENTITY, "+int_events_identified", "+suspected_people")


def changed(
    house: IdentityHouse, chance: random.Random, alive: dict[str, Seen], tick: int, worlds: int
) -> None:
    """One tick in worlds that share no identifier: they grow, repeat or lose evidence, are decided about."""
    repeated = chance.sample(sorted(alive), len(alive) // 40)
    house.add(replace(alive[event_id], arrived_day=tick + 0.95) for event_id in repeated)
    house.add(events := list(_grown(chance, tick, worlds)))
    gone = chance.sample(sorted(alive), len(alive) // 20)
    house.erase(gone)
    for event_id in gone:
        del alive[event_id]
    alive |= {event.event_id: event for event in events}
    known = house.rows("select identifier_type, raw_value from raw.identifiers order by all")
    _import_subscribers(house, chance, known, tick)
    for number in range(worlds // 8):
        world = chance.randrange(worlds)
        own = [(kind, value) for kind, value in known if value.split("_")[0][1:] == str(world)]
        if len(own) > 1:
            decision = chance.choice(("join", "keep_apart", "withdraw"))
            house.decide(decision, *chance.sample(own, 2), day=tick + number / worlds)
    _suspect(house, chance, known, tick)


def _suspect(house: IdentityHouse, chance: random.Random, known: list[tuple[str, str]], tick: int) -> None:
    """Of the former suspicions some go and some get another score; new ones come, across worlds too.

    Many are of two identifiers that are one person already, or are shared, gone or decided about.
    """
    by_key = {
        key: (kind, value)
        for key, kind, value in house.rows(
            "select identifier_key, identifier_type, raw_value from raw.identifiers order by all"
        )
    }
    kept = house.rows("select from_key, to_key, score from raw.identity_suspicions order by all")
    pairs = {
        frozenset((by_key[a], by_key[b])): (by_key[a], by_key[b], score if chance.random() < 0.8 else 0.95)
        for a, b, score in kept
        if chance.random() < 0.7
    }
    for _ in range(len(known) // 20):
        pair = (chance.choice(known), chance.choice(known))
        if pair[0] != pair[1]:
            pairs.setdefault(frozenset(pair), (*pair, round(0.9 + chance.random() / 10, 6)))
    house.suspect(pairs.values(), day=tick)


def _import_subscribers(
    house: IdentityHouse, chance: random.Random, known: list[tuple[str, str]], tick: int
) -> None:
    """Two files of the legacy cloud, of customers and addresses of one world; an earlier file goes."""
    former = house.rows("select file_sha256 from raw.legacy_files order by file_sha256")
    if former:
        house.remove_subscribers(chance.choice(former)[0])
    ids, addresses = ([v for kind, v in known if kind == wanted] for wanted in ("user_id", "email"))
    pairs = [(i, a) for i in ids for a in addresses if i[1:].split("_")[0] == a[1:].split("_")[0]]
    for _ in range(2):
        house.add_subscribers(chance.sample(pairs, len(pairs) // 10), day=tick - chance.randrange(500))


def _grown(chance: random.Random, tick: int, worlds: int) -> Iterator[Seen]:
    sizes = (("user_id", "u", 4), ("anonymous_id", "d", 7), ("email", "m", 5), ("phone", "p", 3))
    for world in range(worlds):
        if tick and chance.random() < 0.85:
            continue
        for number in range(chance.randrange(1, 7) if tick else chance.randrange(4, 12)):
            kinds = chance.sample(sizes, chance.choice((1, 2, 2, 3)))
            carried = {kind: f"{prefix}{world}_{chance.randrange(size)}" for kind, prefix, size in kinds}
            if "email" in carried:
                carried["email"] += "@x.com"
            if "phone" in carried:
                carried["phone"] = f"+4477009{world:03d}{carried['phone'][-1]}0"
            arrived = tick + chance.random() * 0.9
            yield Seen(
                f"{world}/{tick}/{number}",
                arrived - (chance.randrange(900) if chance.random() < 0.2 else 0),
                arrived_day=arrived,
                source=chance.choice(("web", "app", "guess", "guess")),
                **carried,
            )


def assert_equal_to_full(house: IdentityHouse, folder: Path, *, day: float) -> None:
    """Build by what changed, and in full in a copy; every table has the same rows."""
    full = house.copied_to(folder)
    house.build(day=day, rules=RULES, select=SELECT)
    full.build(day=day, rules=RULES, select=SELECT, full_refresh=True)
    how = "select is_full, is_full_because from intermediate.int_identity_build_ended"
    assert house.rows(how) == [(False, None)]
    assert full.rows(how) == [(True, "it was asked for")]
    for table in TABLES:
        columns = COLUMNS.get(table, "*")
        ours, theirs = (each.rows(f"select {columns} from {table} order by all") for each in (house, full))
        assert ours == theirs, table
    (folder / "warehouse.duckdb").unlink()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_was_touched_is_all_that_had_to_be_built(tmp_path: Path) -> None:
    """60 random worlds that grow, lose evidence, and are decided about: every table equals a full build's."""
    run_worlds(tmp_path, seed=20261125, ticks=3, worlds=60)


@pytest.mark.slow
def test_what_can_not_be_built_on_is_built_in_full(tmp_path: Path) -> None:
    """After a part was built, or beside a load that was killed, a build is a full one and says why."""
    house = IdentityHouse(tmp_path)
    how = "select is_full_because from intermediate.int_identity_build_begun"
    house.add(Seen(f"e{number}", 0, user_id=f"u{number}", anonymous_id="d") for number in range(9))
    house.build(day=1)
    assert house.rows(how) == [("it is the first",)]

    house.build(day=2, select=("int_identity_edges",))
    house.build(day=3)
    assert house.rows(how) == [("the last build did not build all of it",)]

    with duckdb.connect(str(house.warehouse)) as connection:
        connection.execute("delete from raw.event_batches")
    house.build(day=4)
    assert house.rows(how) == [("a load is not finished",)]
    with duckdb.connect(str(house.warehouse)) as connection:
        connection.execute("insert into raw.event_batches by name select distinct batch_id from raw.events")
    house.build(day=5)
    assert house.rows(how) == [("the last build saw an unfinished load",)]
    house.build(day=6)
    assert house.rows(how) == [(None,)]


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(4))
def test_many_random_worlds_by_what_changed(tmp_path: Path, seed: int) -> None:
    """The same for 300 worlds over eight ticks, four times."""
    run_worlds(tmp_path, seed=seed, ticks=9, worlds=300)


def run_worlds(folder: Path, *, seed: int, ticks: int, worlds: int) -> None:
    """A first build, then ticks of change, each compared with a full build."""
    house, chance, alive = IdentityHouse(folder / "house"), random.Random(seed), dict[str, Seen]()
    changed(house, chance, alive, 0, worlds)
    house.build(day=1, rules=RULES, select=SELECT)
    for tick in range(1, ticks):
        changed(house, chance, alive, tick, worlds)
        assert_equal_to_full(house, folder / f"full_{tick}", day=tick + 1)
    held = house.rows("select distinct reason from intermediate.int_identity_links_held order by 1")
    assert len(held) >= 5, held
    assert ("suspected",) in held
    assert house.rows("select count(*) from marts.suspected_people where size > 2") != [(0,)]
