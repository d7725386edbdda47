"""Profiles of the legacy cloud: one for each subscriber, and some people twice in another spelling."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingestion.sample.contacts import FIRST_NAMES, LAST_NAMES
from tests.ingestion.sample.oracle import read_archive

Row = dict[str, str]
Pair = tuple[Row, Row]


@pytest.fixture(scope="module")
def profiles(company: Path) -> dict[str, Row]:
    (archive,) = (company / "legacy").iterdir()
    return {row["SubscriberKey"]: row for row in read_archive(archive)["Attributes.csv"]}


@pytest.fixture(scope="module")
def duplicates(company: Path, profiles: dict[str, Row]) -> dict[str, list[Pair]]:
    """How the second is spelled, to the pairs of profiles."""
    found: dict[str, list[Pair]] = {}
    for row in pq.read_table(company / "truth" / "duplicates.parquet").to_pylist():
        pair = (profiles[row["subscriber_key"]], profiles[row["other_subscriber_key"]])
        found.setdefault(row["spelled"], []).append(pair)
    return found


def test_every_subscriber_has_a_profile(company: Path, profiles: dict[str, Row]) -> None:
    (archive,) = (company / "legacy").iterdir()
    subscribers = read_archive(archive)["Subscribers.csv"]
    assert {row["SubscriberKey"] for row in subscribers} == set(profiles)
    assert {(row["SubscriberID"], row["EmailAddress"]) for row in subscribers} == {
        (row["SubscriberID"], row["EmailAddress"]) for row in profiles.values()
    }


def test_a_few_dozen_people_stand_in_it_twice(duplicates: dict[str, list[Pair]]) -> None:
    counts = Counter({spelled: len(pairs) for spelled, pairs in duplicates.items()})
    assert sorted(counts) == ["day_and_month_swapped", "moved", "typo", "typo_and_initial"]
    assert 30 <= counts.total() <= 60
    keys = [row["SubscriberKey"] for pairs in duplicates.values() for pair in pairs for row in pair]
    assert len(keys) == len(set(keys))


def test_people_are_spelled_differently_as_the_truth_says(duplicates: dict[str, list[Pair]]) -> None:
    """What is spelled differently differs, everything else agrees."""
    differs = {
        "typo": {"Last Name"},
        "typo_and_initial": {"First Name", "Last Name"},
        "day_and_month_swapped": {"Birthday"},
    }
    for spelled, pairs in duplicates.items():
        for one, other in pairs:
            traits = {"First Name", "Last Name", "Birthday", "Street", "City", "Postal Code", "Country"}
            changed = {trait for trait in traits if one[trait] != other[trait]}
            if spelled == "moved":
                assert "Street" in changed
                assert changed <= {"Street", "City", "Postal Code", "Country"}
            else:
                assert changed == differs[spelled]
            assert one["EmailAddress"].lower() != other["EmailAddress"].lower()
    for one, other in duplicates["day_and_month_swapped"]:
        born = [datetime.strptime(row["Birthday"].split()[0], "%m/%d/%Y") for row in (one, other)]  # noqa: DTZ007
        assert (born[0].day, born[0].month) == (born[1].month, born[1].day)


def test_names_come_from_the_lists_but_for_the_other_spellings(
    profiles: dict[str, Row], duplicates: dict[str, list[Pair]]
) -> None:
    spelled = {other["SubscriberKey"] for pairs in duplicates.values() for _, other in pairs}
    for key, row in profiles.items():
        if key not in spelled:
            assert row["First Name"] in FIRST_NAMES
            assert row["Last Name"] in LAST_NAMES
