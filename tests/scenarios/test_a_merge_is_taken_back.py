"""Two people are made one by an operator and parted again: nothing of it stays but the history."""

import pytest

from tests.scenarios.house import TWO_CUSTOMERS, House

pytestmark = [pytest.mark.scenario, pytest.mark.slow]

# No merge may turn one of these into a yes.
NOES = ("suppressed", "withdrawn", "pending_double_opt_in")


def decisions(house: House) -> dict[tuple[str, str, str], tuple[str, str]]:
    """(channel, purpose, address) to decision and rule."""
    found = house.query("select channel, purpose, identifier_key, decision, rule from marts.contact_points")
    return {(channel, purpose, key): (decision, rule) for channel, purpose, key, decision, rule in found}


def test_a_merge_that_is_taken_back_restores_profiles_consent_and_memberships(house: House) -> None:
    """Two customers are joined by an operator and parted again: row for row what was there before."""
    before, decided_before = house.decided(), decisions(house)
    (mail, user, person), (other_mail, other_user, other_person) = house.query(TWO_CUSTOMERS)

    plan = house.cdp("identity", "join", f"email:{mail}", f"user_id:{other_user}", "--reason", "One account")
    assert "Nothing was changed; say --yes to do it." in plan.stdout
    done = house.cdp(
        "identity", "join", f"email:{mail}", f"user_id:{other_user}", "--reason", "One account", "--yes"
    )
    assert done.returncode == 0, done.stderr
    house.run()

    told = house.json("identity", "explain", f"user_id:{user}", f"email:{other_mail}")
    assert told["verdict"] == "one person"
    assert told["paths"][0]["tier"] == "exact"
    assert "operator" in {step["tier"] for step in told["paths"][0]["steps"]}
    assert house.query(
        "select status, count(*) from marts.identity_redirects where canonical_id in (?, ?) "
        "group by all order by 1",
        [person, other_person],
    ) == [("current", 1), ("merged", 1)]
    decided_after = decisions(house)
    assert [
        place
        for place, (_, rule) in decided_before.items()
        if rule in NOES and decided_after[place][0] == "allow"
    ] == []

    undone = house.cdp(
        "identity", "withdraw", f"email:{mail}", f"user_id:{other_user}", "--reason", "Two accounts", "--yes"
    )
    assert undone.returncode == 0, undone.stderr
    house.run()
    after = house.decided()
    assert {table: rows for table, rows in after.items() if rows != before[table]} == {}
