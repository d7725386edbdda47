"""A person says no: the next run takes them out everywhere, and the chain can be told."""

import pytest

from tests.scenarios.house import House

pytestmark = [pytest.mark.scenario, pytest.mark.slow]

A_MEMBER_AT_THE_SANDBOX = """
select memberships.identifier_value, memberships.audience_name
from marts.audience_memberships as memberships
inner join activation.acknowledged as acknowledged
    on memberships.identifier_key = acknowledged.identifier_key
    and acknowledged.sync_name = memberships.audience_name || '_email'
where memberships.channel = 'email' and memberships.audience_name = 'lapsed_high_value'
order by memberships.identifier_key
limit 1
"""


def test_an_unsubscribed_person_is_removed_and_explain_tells_why(house: House) -> None:
    [(email, audience)] = house.query(A_MEMBER_AT_THE_SANDBOX)
    sync = f"{audience}_email"
    assert email in house.json("sandbox", "members", sync)

    house.cdp("consent", "withdraw", "--email", f" {email.upper()} ")
    finished = house.run()

    told = house.json("explain", "--email", email)
    assert "removals" in finished.stdout
    assert email not in house.json("sandbox", "members", sync)
    assert {point["rule"] for point in told["contact_points"] if point["identifier_value"] == email} == {
        "withdrawn"
    }
    assert told["consent_history"][-1]["source_system"] == "operator"
    assert told["consent_history"][-1]["status"] == "withdrawn"
    standing = next(row for row in told["syncs"] if row["sync"] == sync)
    assert standing["wanted"] == f"kept out of {audience} at email: withdrawn"
    assert "remove is delivered" in standing["sent"]
    assert [o["operation"] for o in told["operations"] if o["sync_name"] == sync] == ["add", "remove"]

    assert "0 operations" in house.run().stdout


def test_an_operators_grant_does_not_lift_a_persons_withdrawal(house: House) -> None:
    [(email,)] = house.query(
        "select identifier_value from marts.contact_points where rule = 'withdrawn' and channel = 'email' "
        "order by identifier_key limit 1"
    )

    house.cdp("consent", "grant", "--email", email)
    finished = house.run()

    assert "0 operations" in finished.stdout
    assert house.query(
        "select distinct rule from marts.contact_points where identifier_value = ? and channel = 'email'",
        [email],
    ) == [("withdrawn",)]


def test_explain_says_when_nobody_is_known_by_an_address(house: House) -> None:
    finished = house.cdp("explain", "--email", "nobody@example.com")

    assert finished.returncode == 1
    assert "unknown: no event and no extract ever carried it" in finished.stdout
