"""The ground truth, derived again from the written files alone, is the same."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingestion.sample.manifest import AS_OF, read_manifest
from tests.ingestion.sample.oracle import Identifier, Oracle

Sample = tuple[Path, Oracle]


@pytest.fixture(params=["company", "small"])
def sample(request: pytest.FixtureRequest) -> Sample:
    return request.getfixturevalue(request.param), request.getfixturevalue(f"{request.param}_read")


def _rows(folder: Path, table: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(folder / "truth" / f"{table}.parquet").to_pylist()
    return rows


def _people(folder: Path) -> dict[str, frozenset[Identifier]]:
    people: dict[str, set[Identifier]] = defaultdict(set)
    for row in _rows(folder, "identifiers"):
        if row["person_id"] is not None:
            people[str(row["person_id"])].add((str(row["identifier_type"]), str(row["identifier_value"])))
    return {person: frozenset(identifiers) for person, identifiers in people.items()}


def test_people_are_the_connected_components_of_what_is_not_shared(sample: Sample) -> None:
    folder, oracle = sample

    assert set(_people(folder).values()) == {frozenset(found) for found in oracle.people.values()}


def test_an_identifier_is_nobodys_where_two_accounts_used_it(sample: Sample) -> None:
    folder, oracle = sample

    nobodys = {
        (row["identifier_type"], row["identifier_value"])
        for row in _rows(folder, "identifiers")
        if row["person_id"] is None
    }

    assert nobodys == oracle.shared


def test_consent_is_what_the_history_of_each_address_says(sample: Sample) -> None:
    folder, oracle = sample

    told = {
        (row["identifier_type"], row["identifier_value"]): (row["channel"], row["decision"], row["reason"])
        for row in _rows(folder, "consent")
    }

    assert told == oracle.decisions()


def test_memberships_follow_from_behaviour_and_consent(sample: Sample) -> None:
    folder, oracle = sample
    people = _people(folder)

    told = {
        (row["audience"], oracle.find(min(people[str(row["person_id"])])), row["channel"]): (
            row["is_member"],
            row["reason"],
        )
        for row in _rows(folder, "memberships")
    }

    assert told == oracle.memberships(AS_OF)


def test_every_line_ends_as_the_counts_say(sample: Sample) -> None:
    folder, oracle = sample
    counts = json.loads((folder / "truth" / "event_counts.json").read_text())
    manifest = read_manifest(folder)

    assert counts["accepted"] == len(oracle.events) == sum(manifest.events_by_name.values())
    assert counts["duplicates"] == oracle.duplicates
    assert sum(counts["quarantined"].values()) == oracle.rejected
    assert counts["received"] == manifest.events
    assert counts["received"] == counts["accepted"] + counts["duplicates"] + oracle.rejected


def test_nobody_is_so_close_to_high_value_that_rounding_decides(company_read: Oracle) -> None:
    """Sums of doubles in another order differ by less than a tenth of a penny."""
    for life in company_read.lives.values():
        value = 0.0
        for event in life:
            sign = {"Order Completed": 1, "Order Cancelled": -1}.get(event["name"], 0)
            value += sign * event["body"].get("total", 0)
        assert abs(value - 1000) > 0.001


@pytest.mark.parametrize(
    ("audience", "channel", "least"),
    [
        ("new_customers", "email", 50),
        ("new_customers", "sms", 10),
        ("lapsed_high_value", "email", 50),
        ("abandoned_cart", "email", 50),
        ("abandoned_cart", "sms", 10),
        ("newsletter_gb", "email", 500),
        ("newsletter_de", "email", 10),
        ("newsletter_fr", "email", 10),
    ],
)
def test_audiences_have_a_healthy_size(company: Path, audience: str, channel: str, least: int) -> None:
    members = [
        row
        for row in _rows(company, "memberships")
        if (row["audience"], row["channel"], row["is_member"]) == (audience, channel, True)
    ]

    assert len(members) >= least


def test_most_addresses_may_be_written_to(company: Path) -> None:
    decisions = Counter(row["decision"] for row in _rows(company, "consent") if row["channel"] == "email")

    assert decisions["allow"] > decisions["deny"]


def test_every_reason_occurs_three_times_or_more(company: Path) -> None:
    reasons = Counter((row["channel"], row["reason"]) for row in _rows(company, "consent"))

    expected = [
        "granted",
        "withdrawn",
        "pending_double_opt_in",
        "unknown_jurisdiction",
        "no_policy",
        "no_consent",
    ]
    wanted = [(channel, reason) for channel in ("email", "sms") for reason in expected]
    wanted += [("email", "suppressed"), ("email", "opt_out_regime")]
    assert [key for key in wanted if reasons[key] < 3] == []
