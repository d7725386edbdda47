"""Ids over time: what was published stays, merges leave a redirect, and what is taken back is undone."""

import random
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.dbt_project.identity_house import IdentityHouse, Seen

ANNA, ANNAS_MAIL = ("user_id", "anna"), ("email", "anna@x.com")
TABLET, BEN = ("anonymous_id", "tablet"), ("user_id", "ben")


@pytest.fixture(scope="module")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> IdentityHouse:
    """Anna with her address, Ben, and a tablet of nobody, published on day 1. Not to be changed."""
    house = IdentityHouse(tmp_path_factory.mktemp("first_day"))
    house.add(
        [
            Seen("e1", 0.1, user_id="anna", email="anna@x.com"),
            Seen("e2", 0.2, user_id="ben", phone="+447700900123"),
            Seen("e3", 0.3, anonymous_id="tablet"),
        ]
    )
    house.build(day=1)
    return house


@pytest.fixture
def house(first_day: IdentityHouse, tmp_path: Path) -> IdentityHouse:
    """A copy of the first day, to do with as a test likes."""
    return first_day.copied_to(tmp_path)


@pytest.mark.slow
def test_a_merge_redirects_and_taking_the_evidence_back_restores_both(house: IdentityHouse) -> None:
    """The tablet becomes Anna's by one event; without that event everything is as it was, history aside."""
    before = house.graph()
    house.add([Seen("e4", 1.5, user_id="anna", anonymous_id="tablet")])
    house.build(day=2)
    merged = house.graph()

    assert merged[TABLET] == merged[ANNA] == before[ANNA]
    assert house.redirects()[before[TABLET]] == before[ANNA]

    house.erase(["e4"])
    house.build(day=3)

    assert house.graph() == before
    assert house.redirects()[before[TABLET]] == before[TABLET]
    assert house.rows(
        "select change_type, canonical_id, former_canonical_id, evidence_id from marts.identity_changes "
        "order by changed_at"
    ) == [
        ("merge", before[ANNA], before[TABLET], "e4"),
        ("split", before[TABLET], before[ANNA], None),
    ]
    as_of_day_2 = (
        "select canonical_id from marts.identity_graph_history as history "
        "inner join intermediate.int_identity_nodes as nodes using (identifier_key) "
        "where identifier_value = 'tablet' and valid_from <= ? and (valid_to > ? or valid_to is null)"
    )
    moment = "2026-01-03 12:00:00"
    assert house.rows(as_of_day_2, [moment, moment]) == [(before[ANNA],)]


@pytest.mark.slow
def test_what_sticks_to_a_person_hashes_the_id_she_was_first_known_by(house: IdentityHouse) -> None:
    """Zoe comes after the tablet: as one person they are what the tablet was, as two each what she was."""
    tablet = house.graph()[TABLET]
    house.add([Seen("e4", 1.5, user_id="zoe")])
    house.build(day=2)
    zoe = house.graph()[("user_id", "zoe")]
    assert house.first_ids() == {person: person for person in house.graph().values()}

    house.add([Seen("e5", 2.5, user_id="zoe", anonymous_id="tablet")])
    house.build(day=3)
    assert house.first_ids()[house.graph()[TABLET]] == tablet
    assert len(house.first_ids()) == 3

    house.erase(["e5"])
    house.build(day=4)
    assert {house.first_ids()[tablet], house.first_ids()[zoe]} == {tablet, zoe}


@pytest.mark.slow
def test_two_ids_of_one_moment_have_an_order(tmp_path: Path) -> None:
    """Eight people, taken apart and put together by builds of one moment, bear the ids published first."""
    house = IdentityHouse(tmp_path)
    house.add(Seen(f"e{name}", 0.1, user_id=name, email=f"{name}@x.com") for name in "abcdefgh")
    house.build(day=1)
    before = house.graph()
    for decision in ("keep_apart", "withdraw"):
        for name in "abcdefgh":
            house.decide(decision, ("user_id", name), ("email", f"{name}@x.com"), day=0.5)
        house.build(day=1)

    assert house.graph() == before
    first_ids = house.first_ids()
    assert {identifier: first_ids[person] for identifier, person in before.items()} == before
    assert len(house.redirects()) == 16


@pytest.mark.slow
def test_an_import_of_older_records_and_a_rebuild_rename_nobody(house: IdentityHouse) -> None:
    """What occurred years ago and arrives now joins Anna under the id that she has."""
    before = house.graph()
    house.add([Seen("old", -900, user_id="anna", anonymous_id="old_phone", arrived_day=1.5)])
    house.build(day=2)

    after = house.graph()
    assert after == before | {("anonymous_id", "old_phone"): before[ANNA]}

    house.build(day=3, full_refresh=True)
    assert house.graph() == after


@pytest.mark.slow
def test_the_id_outlives_the_identifier_that_named_it(house: IdentityHouse) -> None:
    """Anna was named after one identifier; with it blocked she keeps her id, and without the block too."""
    before = house.graph()
    first = min(
        (received, key, kind, value)
        for key, kind, value, received in house.rows(
            "select identifier_key, identifier_type, identifier_value, received_at "
            "from intermediate.int_identity_nodes where identifier_value in ('anna', 'anna@x.com')"
        )
    )
    kind, value = first[2:]
    other = ANNAS_MAIL if (kind, value) == ANNA else ANNA
    rules = {
        "identifier_types": {
            "user_id": {"kind": "authoritative", "priority": 1, "envelope": "user_id"},
            "email": {"kind": "mergeable", "priority": 2, "property": "email"},
            "phone": {"kind": "mergeable", "priority": 3, "property": "phone"},
            "anonymous_id": {"kind": "mergeable", "priority": 4, "envelope": "anonymous_id"},
        },
        "blocked_values": [{"type": kind, "value": value}],
    }
    house.build(day=2, rules=rules)
    blocked = house.graph()
    assert (kind, value) not in blocked
    assert blocked[other] == before[other]

    house.build(day=3)
    assert house.graph() == before


@pytest.mark.slow
def test_decisions_join_and_keep_apart_and_can_be_withdrawn(house: IdentityHouse) -> None:
    """An operator's word goes before evidence and limits, and is undone by withdrawing it."""
    before = house.graph()
    house.decide("join", ANNA, BEN, day=1.1)
    house.build(day=2)
    joined = house.graph()
    assert joined[ANNA] == joined[BEN]

    # a join moves whole people; that Ben is not the address's owner goes before it
    house.decide("keep_apart", BEN, ANNAS_MAIL, day=2.1)
    house.build(day=3)
    assert house.graph() == before
    assert house.rows("select reason, tier from intermediate.int_identity_links_held") == [
        ("kept_apart", "operator")
    ]

    house.decide("withdraw", ANNAS_MAIL, BEN, day=3.1)
    house.build(day=4)
    assert house.graph() == joined

    house.decide("withdraw", BEN, ANNA, day=4.1)
    house.build(day=5)
    assert house.graph() == before
    assert house.rows(
        "select change_type from marts.identity_changes where change_type in ('hold', 'release') "
        "order by changed_at"
    ) == [("hold",), ("release",)]


@pytest.mark.slow
def test_a_build_of_an_earlier_moment_writes_no_history(house: IdentityHouse) -> None:
    """Deciding again as of an earlier moment answers from what was known then, and appends nothing."""
    first = house.graph()
    house.add([Seen("e4", 1.5, user_id="anna", anonymous_id="tablet")])
    house.build(day=2)
    history = sorted(house.rows("select * from intermediate.int_identity_assignments"), key=str)

    house.build(day=1)
    assert house.graph() == first
    assert sorted(house.rows("select * from intermediate.int_identity_assignments"), key=str) == history

    house.build(day=2)
    assert sorted(house.rows("select * from intermediate.int_identity_assignments"), key=str) == history


@pytest.mark.slow
def test_two_builds_of_one_moment_rename_nobody(house: IdentityHouse) -> None:
    """What the first build published may have been sent: the second keeps every id or redirects it."""
    before = house.graph()
    house.decide("join", ANNA, BEN, day=0.9)
    house.build(day=1)
    joined = house.graph()
    assert joined[ANNA] == joined[BEN] == house.redirects()[before[BEN]] == house.redirects()[before[ANNA]]

    house.decide("withdraw", ANNA, BEN, day=0.95)
    house.build(day=1)
    assert house.graph() == before
    assert house.rows("select change_type from marts.identity_changes order by build_number") == [
        ("merge",),
        ("split",),
    ]


@pytest.mark.slow
def test_bad_identifiers_join_nobody(tmp_path: Path) -> None:
    """Blank, blocked, look-alike, reused, looped and ill-timed: each does what it should, and no more."""
    house = IdentityHouse(tmp_path)
    house.add(
        [
            # blanks and values that say nothing are no identifiers
            Seen("blank1", 0, user_id="kim", email="   "),
            Seen("blank2", 0, user_id="lee", email=""),
            Seen("null1", 0, user_id="kim", anonymous_id="null"),
            Seen("null2", 0, user_id="lee", anonymous_id="NULL"),
            Seen("zeros1", 0, user_id="kim", anonymous_id="00000000-0000-0000-0000-000000000000"),
            Seen("zeros2", 0, user_id="lee", anonymous_id="00000000-0000-0000-0000-000000000000"),
            # one text as two types is two identifiers
            Seen("types1", 0, user_id="mo@x.com", anonymous_id="d1"),
            Seen("types2", 0, anonymous_id="d2", email="mo@x.com"),
            # a Cyrillic letter looks like a Latin one and is another; capitals and blanks around are not
            Seen("looks1", 0, user_id="pat", email="pat@x.com"),
            Seen("looks2", 0, anonymous_id="d3", email="p\u0430t@x.com"),
            Seen("looks3", 0, anonymous_id="d4", email=" PAT@X.com "),
            # an alias is kept and joins nobody, whichever way round and however often it is said
            Seen("alias1", 0, user_id="uma", name="aliased", properties={"previous_id": "vic"}),
            Seen("alias2", 0, user_id="vic", name="aliased", properties={"previous_id": "uma"}),
            Seen("alias3", 0, user_id="uma"),
            Seen("alias4", 0, user_id="vic"),
            # a clock that is wrong by centuries changes the order of evidence and nothing else
            Seen("clock1", -40_000, user_id="wes", anonymous_id="d5", arrived_day=0),
            Seen("clock2", 0, user_id="wes", anonymous_id="d5"),
            # a customer id given to another person joins both: it is authoritative; an operator parts them
            Seen("reused1", 0, user_id="77", email="old@x.com"),
            Seen("reused2", 0.5, user_id="77", email="new@x.com"),
        ]
    )
    house.build(day=1)
    graph = house.graph()

    def is_one(*identifiers: tuple[str, str]) -> bool:
        return len({graph[identifier] for identifier in identifiers}) == 1

    assert not is_one(("user_id", "kim"), ("user_id", "lee"))
    assert {kind for kind, value in graph if value in ("null", "NULL") or value.startswith("0000")} == set()
    assert not is_one(("user_id", "mo@x.com"), ("email", "mo@x.com"))
    assert is_one(("user_id", "pat"), ("anonymous_id", "d4"))
    assert not is_one(("user_id", "pat"), ("anonymous_id", "d3"))
    assert not is_one(("user_id", "uma"), ("user_id", "vic"))
    assert is_one(("user_id", "wes"), ("anonymous_id", "d5"))
    assert is_one(("user_id", "77"), ("email", "old@x.com"), ("email", "new@x.com"))

    house.decide("keep_apart", ("email", "old@x.com"), ("email", "new@x.com"), day=1.5)
    house.build(day=2)
    graph = house.graph()
    assert is_one(("user_id", "77"), ("email", "old@x.com"))
    assert not is_one(("user_id", "77"), ("email", "new@x.com"))


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_fifty_histories_change_no_id_without_a_redirect(tmp_path: Path) -> None:
    """50 random histories of growth, erasure and decisions over six ticks, then a rebuild, shuffled."""
    house = IdentityHouse(tmp_path)
    chance = random.Random(20261125)
    alive: list[str] = []
    graph: dict[tuple[str, str], str] = {}
    for tick in range(6):
        events = list(grown(chance, tick))
        house.add(events)
        alive += [event.event_id for event in events]
        gone = chance.sample(alive, len(alive) // 20) if tick else []
        house.erase(gone)
        alive = [event_id for event_id in alive if event_id not in set(gone)]
        house.build(day=tick + 1)
        now = house.graph()
        redirects = house.redirects()
        told = set(
            house.rows(
                "select former_canonical_id, canonical_id from marts.identity_changes "
                "where change_type in ('merge', 'split')"
            )
        )
        assert set(graph.values()) <= redirects.keys()
        assert set(now.values()) == {i for i, current in redirects.items() if i == current}
        for identifier, former in graph.items():
            if identifier in now and now[identifier] != former:
                assert redirects[former] == now[identifier] or (former, now[identifier]) in told
        graph = now

    with duckdb.connect(str(house.warehouse)) as connection:
        for table in ("events", "identifiers"):
            connection.execute(f"create table shuffled as select * from raw.{table} order by random()")
            connection.execute(f"delete from raw.{table}")
            connection.execute(f"insert into raw.{table} select * from shuffled")
            connection.execute("drop table shuffled")
    house.build(day=7, full_refresh=True)
    assert house.graph() == graph


def grown(chance: random.Random, tick: int) -> Iterator[Seen]:
    """What happens in 50 worlds that share no identifier, in one tick; some of it arrives late."""
    for world in range(50):
        for number in range(chance.randrange(2, 9)):
            arrived = tick + chance.random()
            carried = {
                kind: f"{prefix}{world}_{chance.randrange(size)}"
                for kind, prefix, size in (("user_id", "u", 4), ("anonymous_id", "d", 9))
                if chance.random() < 0.6
            }
            if chance.random() < 0.5 or not carried:
                carried["email"] = f"m{world}_{chance.randrange(6)}@x.com"
            if carried.keys() == {"email"}:
                carried["anonymous_id"] = f"d{world}_{chance.randrange(9)}"
            late = chance.random() < 0.2
            yield Seen(
                f"{world}/{tick}/{number}",
                arrived - (chance.randrange(900) if late else 0),
                arrived_day=arrived,
                **carried,
            )


@pytest.mark.slow
def test_what_a_killed_build_changed_is_told_once_by_the_next(tmp_path: Path) -> None:
    """A build that ends between the state and its changes, or right after both, loses and doubles no line."""
    house = IdentityHouse(tmp_path)
    told = "select change_type, count(*) from marts.identity_changes group by 1 order by 1"
    house.add([Seen("a", 0, user_id="u1", anonymous_id="d1"), Seen("b", 0, user_id="u2", anonymous_id="d2")])
    house.build(day=1)
    assert house.rows(told) == []

    house.add([Seen("c", 1, user_id="u1", anonymous_id="d3")])
    house.build(day=2, select=("+int_identity_assignments",))
    assert house.rows(told) == []
    house.build(day=3)
    assert house.rows(told) == [("join", 1)]

    house.add([Seen("d", 3, user_id="u2", anonymous_id="d4")])
    house.build(day=4, select=("+identity_changes",))
    assert house.rows(told) == [("join", 2)]
    house.build(day=5)
    assert house.rows(told) == [("join", 2)]
