"""Who might be one person, as operators and analysts see it: matched, reviewed, counted, not merged."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.scenarios.conftest import FirstRun
from tests.scenarios.house import House, copy_of

pytestmark = [pytest.mark.scenario, pytest.mark.slow]


@pytest.fixture(scope="module")
def suspected(first_run: FirstRun, tmp_path_factory: pytest.TempPathFactory) -> House:
    """The company after a match and the run that takes it in. Read it; do not change it."""
    house = copy_of(first_run.house, tmp_path_factory.mktemp("suspected") / "var")
    told = house.json("identity", "match")
    assert told["profiles"] > 400
    assert told["new_pairs"] == told["pairs"] >= told["pairs_of_two_people"] > 0
    house.run()
    return house


@pytest.fixture
def house(suspected: House, tmp_path: Path) -> House:
    """A copy of that company, to do with as a story likes."""
    return copy_of(suspected, tmp_path / "var")


def everything(house: House) -> dict[str, list[tuple[Any, ...]]]:
    """What is decided about people, row for row, consent and the mail of every sync included."""
    marts = (
        "consent_states",
        "consent_history",
        "suppressions",
        "identity_graph_history",
        "identity_redirects",
    )
    return house.decided() | {
        mart: sorted(house.query(f"select * from marts.{mart}"), key=str) for mart in marts
    }


def held(house: House) -> dict[frozenset[str], dict[str, Any]]:
    """The suspicions under review, by the subscriber keys of both profiles."""
    rows = house.json("identity", "review", "list")
    assert {row["reason"] for row in rows} <= {"suspected"}
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    return {frozenset((row["from_value"], row["to_value"])): row for row in rows}


def counts(house: House) -> dict[str, tuple[str, int]]:
    """Subscriber key to the person that she may be, and of how many."""
    return {
        key: (person, size)
        for key, person, size in house.query(
            "select people.identifier_value, suspected.suspected_person_id, suspected.size "
            "from marts.suspected_people as suspected inner join marts.identity_graph as people "
            "on suspected.canonical_id = people.canonical_id "
            "where people.identifier_type = 'sfmc_subscriber_key'"
        )
    }


def test_suspicions_find_who_stands_twice_and_change_nothing(first_run: FirstRun, suspected: House) -> None:
    """Every decision about every person is, row for row, what it was before the match."""
    assert everything(suspected) == everything(first_run.house)
    truth = pq.read_table(suspected.home / "sample" / "truth" / "duplicates.parquet").to_pylist()
    twice = {frozenset((row["subscriber_key"], row["other_subscriber_key"])) for row in truth}
    found = held(suspected)
    assert len(twice & found.keys()) >= 0.7 * len(twice)
    assert len(found.keys() - twice) <= 0.2 * len(found)
    assert all(len({counts(suspected)[key] for key in pair}) == 1 for pair in twice & found.keys())


def test_a_suspicion_is_explained_and_drawn(suspected: House, tmp_path: Path) -> None:
    pair, row = next(iter(held(suspected).items()))
    one, other = sorted(f"sfmc_subscriber_key:{key}" for key in pair)
    picture = tmp_path / "two.svg"
    told = suspected.cdp("identity", "explain", one, other, "--svg", str(picture))
    assert told.returncode == 1
    assert "two people" in told.stdout
    assert f"score {row['score']:.4f}" in told.stdout
    drawn = picture.read_text()
    assert f"suspected, score {row['score']:.4f}" in drawn
    assert drawn.count('stroke-dasharray="5 4"/>\n</g>') == 1


def test_either_answer_to_a_suspicion_counts_and_stands(house: House) -> None:
    """One pair is accepted and becomes one person; one is rejected and stays so after the next match."""
    accepted, rejected = list(held(house).items())[:2]
    for answer, (_, row) in (("accept", accepted), ("reject", rejected)):
        finished = house.cdp(
            "identity", "review", answer, row["identity_link_id"], "--reason", "I asked her", "--yes"
        )
        assert finished.returncode == 0, finished.stderr
    house.run()
    left = held(house)
    assert not {accepted[0], rejected[0]} & left.keys()
    people = dict(
        house.query(
            "select identifier_value, canonical_id from marts.identity_graph "
            "where identifier_type = 'sfmc_subscriber_key'"
        )
    )
    assert len({people[key] for key in accepted[0]}) == 1
    assert len({people[key] for key in rejected[0]}) == 2
    assert not set(counts(house)) & (accepted[0] | rejected[0])
    [cause] = house.query(
        "select source_system from marts.identity_changes where change_type = 'merge' and canonical_id = ?",
        [people[min(accepted[0])]],
    )
    assert cause == ("operator",)

    told = house.json("identity", "match")
    assert told["new_pairs"] == told["gone_pairs"] == 0
    house.run()
    assert held(house).keys() == left.keys()
