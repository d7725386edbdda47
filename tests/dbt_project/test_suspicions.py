"""What is only suspected joins nobody: it waits for a person's word, and is counted in a mart of its own."""

from pathlib import Path
from typing import Any

import pytest

from tests.dbt_project.dbt_child import PROJECT, parsed_project
from tests.dbt_project.identity_house import IDENTITY, IdentityHouse, Seen

ANNA, HANNA, ANA, BEN = (("email", f"{name}@x.com") for name in ("anna", "hanna", "ana", "ben"))
TABLET = ("anonymous_id", "tablet")
SELECT = (*IDENTITY, "+suspected_people")


@pytest.fixture(scope="module")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> IdentityHouse:
    """Anna, Hanna, Ana and Ben, each with an address and a customer id, on day 1. Not to be changed."""
    house = IdentityHouse(tmp_path_factory.mktemp("first_day"))
    house.add(
        Seen(f"e{number}", number / 10, user_id=name, email=f"{name}@x.com")
        for number, name in enumerate(("anna", "hanna", "ana", "ben"), start=1)
    )
    house.build(day=1, select=SELECT)
    return house


@pytest.fixture
def house(first_day: IdentityHouse, tmp_path: Path) -> IdentityHouse:
    """A copy of the first day, to do with as a test likes."""
    return first_day.copied_to(tmp_path)


def held(house: IdentityHouse) -> list[tuple[Any, ...]]:
    return house.rows(
        "select tier, reason, score, from_identifier_count, to_identifier_count "
        "from intermediate.int_identity_links_held order by score desc"
    )


def groups(house: IdentityHouse) -> list[tuple[Any, ...]]:
    """The people of suspected_people, by their addresses."""
    return house.rows(
        "select people.identifier_value, smallest.identifier_value, suspected.score, suspected.size "
        "from marts.suspected_people as suspected "
        "inner join marts.identity_graph as people "
        "on suspected.canonical_id = people.canonical_id and people.identifier_type = 'email' "
        "inner join marts.identity_graph as smallest "
        "on suspected.suspected_person_id = smallest.canonical_id and smallest.identifier_type = 'email' "
        "order by all"
    )


@pytest.mark.slow
def test_a_suspicion_is_held_with_its_score_and_joins_nobody(house: IdentityHouse) -> None:
    before = house.graph()
    house.suspect([(ANNA, HANNA, 0.93), (ANNA, BEN, 0.99)], day=1.5)
    house.build(day=2, select=SELECT)

    assert house.graph() == before
    assert held(house) == [("loose", "suspected", 0.99, 2, 2), ("loose", "suspected", 0.93, 2, 2)]


@pytest.mark.slow
def test_however_many_suspicions_there_are_between_two_people_they_stay_two(house: IdentityHouse) -> None:
    """Two loose links would be no weak bridge; and single identifiers are no exception."""
    house.add([Seen("e9", 1.1, anonymous_id="lone"), Seen("e8", 1.2, anonymous_id="other")])
    house.build(day=2, select=SELECT)
    before = house.graph()
    lone, other = ("anonymous_id", "lone"), ("anonymous_id", "other")
    pairs = [(ANNA, HANNA), (("user_id", "anna"), HANNA), (ANNA, ("user_id", "hanna")), (lone, other)]
    house.suspect([(*pair, 0.999) for pair in pairs], day=2.5)
    house.build(day=3, select=SELECT)

    assert house.graph() == before
    assert [row[1] for row in held(house)] == ["suspected"] * 4


@pytest.mark.slow
def test_a_suspicion_weakens_and_strengthens_no_evidence(house: IdentityHouse) -> None:
    """Of identifiers that a record has seen together it is one more edge; their link is the record's."""
    links = "select * from intermediate.int_identity_links order by all"
    columns = "select column_name from information_schema.columns where table_name = 'int_identity_links'"
    before = house.rows(links)
    house.suspect([(ANNA, ("user_id", "anna"), 0.97)], day=0)
    house.build(day=2, select=SELECT)

    score = [name for (name,) in house.rows(columns)].index("score")
    after = [tuple(None if place == score else v for place, v in enumerate(row)) for row in house.rows(links)]
    assert after == before
    assert held(house) == []
    assert groups(house) == []
    assert house.rows(
        "select source_system, tier, score from intermediate.int_identity_edges where score is not null"
    ) == [("splink", "loose", 0.97)]


@pytest.mark.slow
def test_people_who_hang_together_are_counted_once(house: IdentityHouse) -> None:
    """The group has one id, the smallest; each person the score of her surest suspicion."""
    house.suspect([(ANNA, HANNA, 0.93), (HANNA, ANA, 0.99)], day=1.5)
    house.build(day=2, select=SELECT)

    found = groups(house)
    assert [(row[0], row[2], row[3]) for row in found] == [
        ("ana@x.com", 0.99, 3),
        ("anna@x.com", 0.93, 3),
        ("hanna@x.com", 0.99, 3),
    ]
    ids = [house.graph()[person] for person in (ANNA, HANNA, ANA)]
    assert {house.graph()[("email", row[1])] for row in found} == {min(ids)}


@pytest.mark.slow
def test_what_is_suspected_no_longer_is_released(house: IdentityHouse) -> None:
    house.suspect([(ANNA, HANNA, 0.93)], day=1.5)
    house.build(day=2, select=SELECT)
    house.suspect([], day=2.5)
    house.build(day=3, select=SELECT)

    assert held(house) == []
    assert groups(house) == []
    assert house.rows("select change_type, reason from marts.identity_changes order by changed_at") == [
        ("hold", "suspected"),
        ("release", None),
    ]


@pytest.mark.slow
def test_a_rejected_suspicion_does_not_come_back(house: IdentityHouse) -> None:
    """Whatever its score becomes, and whichever identifiers of the same two people it is about."""
    house.suspect([(ANNA, HANNA, 0.93), (HANNA, ANA, 0.95)], day=1.5)
    house.decide("keep_apart", ANNA, HANNA, day=1.6)
    house.build(day=2, select=SELECT)
    assert held(house) == [("loose", "suspected", 0.95, 2, 2)]

    house.suspect([(ANNA, HANNA, 0.999), (ANNA, ("user_id", "hanna"), 0.999)], day=2.5)
    house.build(day=3, select=SELECT)
    assert held(house) == []
    assert groups(house) == []

    house.decide("withdraw", ANNA, HANNA, day=3.5)
    house.build(day=4, select=SELECT)
    assert [row[1] for row in held(house)] == ["suspected", "suspected"]


@pytest.mark.slow
def test_an_accepted_suspicion_merges_by_the_word_of_the_operator(house: IdentityHouse) -> None:
    """The limit of one customer id a person binds evidence, not an operator; the suspicion is no evidence."""
    house.suspect([(ANNA, HANNA, 0.93)], day=1.5)
    house.build(day=2, select=SELECT)
    house.decide("join", ANNA, HANNA, day=2.5)
    house.build(day=3, select=SELECT)

    assert house.graph()[ANNA] == house.graph()[HANNA]
    assert held(house) == []
    assert groups(house) == []
    assert house.rows(
        "select source_system, tier from marts.identity_changes where change_type = 'merge'"
    ) == [("operator", "operator")]


@pytest.mark.slow
def test_of_shared_and_blocked_identifiers_nothing_is_suspected(house: IdentityHouse) -> None:
    house.add([Seen(f"t{name}", 1.1, user_id=name, anonymous_id="tablet") for name in ("anna", "ben")])
    house.add([Seen("n1", 1.2, anonymous_id="unknown"), Seen("n2", 1.3, anonymous_id="own")])
    house.suspect(
        [(TABLET, HANNA, 0.99), (("anonymous_id", "unknown"), HANNA, 0.99), (HANNA, ANNA, 0.95)], day=1.5
    )
    house.build(day=2, select=SELECT)

    assert held(house) == [("loose", "suspected", 0.95, 2, 2)]


def test_nothing_that_decides_who_is_contacted_reads_the_mart() -> None:
    """By dbt's own lineage: no model at all is built of suspected_people, so no audience and no consent."""
    manifest = parsed_project()
    nodes = {node.name: unique_id for unique_id, node in manifest.nodes.items()}
    manifest.build_parent_and_child_maps()

    def readers(name: str) -> set[str]:
        reached: set[str] = set()
        frontier = {nodes[name]}
        while frontier:
            reached |= frontier
            frontier = {child for each in frontier for child in manifest.child_map[each]} - reached
        return {manifest.nodes[each].name for each in reached if each.startswith("model.")} - {name}

    assert readers("suspected_people") == set()
    assert readers("int_people_suspected") == {"int_people_suspected_grouped", "suspected_people"}
    assert readers("int_profiles_to_match") == set()


def test_no_sync_and_no_statement_of_activation_names_the_mart() -> None:
    activation = PROJECT.parent / "activation"
    files = [path for path in activation.rglob("*") if path.suffix in {".py", ".sql", ".yml"}]
    assert len(files) > 50
    assert [path.name for path in files if "suspect" in path.read_text(encoding="utf-8")] == []


def test_what_reads_the_edges_reads_no_suspicion() -> None:
    """Models that read int_identity_edges or int_identity_links leave suspicions out, or say what they do."""
    manifest = parsed_project()
    says = {"score is null", "edges.score", "not is_suspected", "is_suspected", "tier = 'operator'"}
    silent = [
        node.name
        for node in manifest.nodes.values()
        if node.resource_type == "model"
        and {ref.name for ref in node.refs} & {"int_identity_edges", "int_identity_links"}
        and not any(word in node.raw_code for word in says)
    ]
    assert silent == []
