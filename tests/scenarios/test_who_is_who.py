"""Who is who, as its operators see it: explained, tried under other rules, decided, and taken back."""

import re
from pathlib import Path

import pytest

from tests.scenarios.conftest import FirstRun
from tests.scenarios.house import PROJECT_ROOT, TWO_CUSTOMERS, House

pytestmark = [pytest.mark.scenario, pytest.mark.slow]

RULES = PROJECT_ROOT / "dbt_project" / "models" / "intermediate" / "identity" / "identity_rules.yml"


def test_a_held_link_is_reviewed_and_either_answer_counts(house: House) -> None:
    """A device is taken from a customer; the links that are held for it can be accepted or rejected."""
    [(device, user)] = house.query(
        "select device.identifier_value, user_id.identifier_value from marts.identity_graph as device "
        "inner join marts.identity_graph as user_id on device.canonical_id = user_id.canonical_id "
        "where device.identifier_type = 'anonymous_id' and user_id.identifier_type = 'user_id' "
        "order by all limit 1"
    )
    pair = (f"user_id:{user}", f"anonymous_id:{device}")
    shown = house.cdp("identity", "unmerge", *pair, "--reason", "The tablet was sold")
    assert "are one person by:" in shown.stdout
    assert house.cdp("identity", "unmerge", *pair, "--reason", "The tablet was sold", "--yes").returncode == 0
    house.run()

    told = house.cdp("identity", "explain", *pair)
    assert told.returncode == 1
    assert "two people" in told.stdout
    held = house.json("identity", "review", "list")
    assert {row["reason"] for row in held} == {"kept_apart"}
    [link] = [row for row in held if {row["from_value"], row["to_value"]} == {user, device}]
    accepted = house.cdp(
        "identity", "review", "accept", link["identity_link_id"], "--reason", "It is hers", "--yes"
    )
    assert accepted.returncode == 0, accepted.stderr
    house.run()
    assert house.json("identity", "explain", *pair)["verdict"] == "one person"
    assert house.json("identity", "review", "list") == []
    assert house.json("identity", "audit")["changes"][0]["releases"] == len(held)


def test_other_rules_are_tried_before_they_are_made(first_run: FirstRun, tmp_path: Path) -> None:
    """`diff` says what would change and leaves everything as it stands; the same rules change nothing."""
    house = first_run.house
    before = house.decided()
    same = house.json("identity", "diff", "--rules", str(RULES))
    assert same["people"]["merges"] == same["people"]["splits"] == same["members_affected"] == 0

    new = tmp_path / "NEW.yml"
    new.write_text(re.sub(r"(type: user_id, most: )1", r"\g<1>2", RULES.read_text()))
    told = house.json("identity", "diff", "--rules", str(new), "--most", "2")
    assert told["people"]["identifiers_that_join"] > 0
    assert 0 < len(told["samples"]) <= 4
    assert house.decided() == before


def test_a_person_is_drawn(first_run: FirstRun, tmp_path: Path) -> None:
    """The picture has a box for every identifier and a line for every piece of evidence."""
    house = first_run.house
    mail = house.query(TWO_CUSTOMERS)[0][0]
    picture = tmp_path / "person.svg"
    told = house.json("identity", "explain", "--email", mail, "--svg", str(picture))
    drawn = picture.read_text()
    assert drawn.count("<rect") == len(told["nodes"]) + 1
    assert drawn.count("<path") == len(told["edges"])
    assert mail in drawn


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explain"], "Name one or two identifiers"),
        (["explain", "a@x.com"], "expected TYPE:VALUE with TYPE one of user_id, sfmc_subscriber_key, email"),
        (["explain", "email:nobody"], "not an e-mail address"),
        (
            ["explain", "email:never.seen@x.com"],
            "No event and no extract that the last run read carried this",
        ),
        (["review", "accept", "x", "--reason", "y"], "No link 'x' is held"),
        (["diff", "--rules", "/nowhere.yml"], "/nowhere.yml cannot be read as YAML"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(
    first_run: FirstRun, arguments: list[str], said: str
) -> None:
    finished = first_run.house.cdp("identity", *arguments)
    assert finished.returncode == 1
    assert said in finished.stderr
