"""Every situation that identity, consent or ingestion must decide occurs often enough to be tested."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from ingestion.sample.broken import CODES
from ingestion.sample.extract import load_company
from ingestion.sample.manifest import AS_OF, STARTS_AT
from ingestion.sample.people import Population
from ingestion.sample.stories import EMAIL_STORIES, SMS_STORIES
from tests.ingestion.sample.oracle import Identifier, Oracle, normalise

OWN_ACTS = {"form", "preference_center", "double_opt_in"}


@pytest.fixture(scope="module")
def stories() -> Counter[str]:
    people = [
        person for household in Population(load_company(), 20101209, 0).households() for person in household
    ]
    told = Counter(f"email/{person.email_story}" for person in people)
    told.update(f"sms/{person.sms_story}" for person in people)
    return told


@pytest.mark.parametrize(
    "story", [*(f"email/{name}" for name in EMAIL_STORIES), *(f"sms/{name}" for name in SMS_STORIES)]
)
def test_each_story_is_told_by_three_people_or_more(stories: Counter[str], story: str) -> None:
    assert stories[story] >= 3


def _histories(oracle: Oracle) -> dict[Identifier, list[tuple[Any, str, str]]]:
    """The consent changes of each address, in order of time."""
    found: dict[Identifier, list[tuple[Any, str, str]]] = defaultdict(list)
    for event in oracle.events:
        body = event["body"]
        if event["name"] == "Consent Changed" and "identifier" in body:
            value = normalise(body["identifier_type"], body["identifier"])
            assert value is not None
            key = (body["identifier_type"], value)
            found[key].append((event["at"], body["status"], body["capture_method"]))
    return {address: sorted(history) for address, history in found.items()}


def _after_withdrawal(history: list[tuple[Any, str, str]]) -> set[str]:
    last = max((at for at, status, _ in history if status == "withdrawn"), default=None)
    if last is None:
        return set()
    return {method for at, status, method in history if status == "granted" and at > last}


def test_own_acts_lift_a_withdrawal_and_an_agent_or_import_does_not(company_read: Oracle) -> None:
    decisions = company_read.decisions()
    lifted, kept = [], []
    for address, history in _histories(company_read).items():
        methods = _after_withdrawal(history)
        if methods & OWN_ACTS and decisions.get(address, ("", "", ""))[2] == "granted":
            lifted.append(address)
        elif methods and not methods & OWN_ACTS and decisions.get(address, ("", "", ""))[2] == "withdrawn":
            kept.append(address)

    assert len(lifted) >= 3
    assert len(kept) >= 3


def test_all_capture_methods_and_statuses_are_used(company_read: Oracle) -> None:
    used = {
        (event["body"]["status"], event["body"]["capture_method"])
        for event in company_read.events
        if event["name"] == "Consent Changed"
    }

    assert {method for _, method in used} == OWN_ACTS | {"one_click", "agent", "import"}
    assert {status for status, _ in used} == {"granted", "withdrawn", "pending_doi"}


def test_an_active_legacy_row_alone_allows_in_the_united_states_only(company_read: Oracle) -> None:
    decisions, histories = company_read.decisions(), _histories(company_read)
    reasons: Counter[tuple[bool, str]] = Counter()
    for row in company_read.legacy["Subscribers.csv"]:
        address = ("email", normalise("email", row["EmailAddress"]) or "")
        if row["Status"] == "Active" and address in decisions and address not in histories:
            country = company_read.country(company_read.find(address))
            reasons[(country == "US", decisions[address][2])] += 1

    assert reasons[(True, "opt_out_regime")] >= 3
    assert reasons[(False, "no_consent")] >= 3
    assert reasons[(True, "no_consent")] == 0


def test_one_address_has_two_subscriber_keys_with_different_status(company_read: Oracle) -> None:
    status: dict[str, set[str]] = defaultdict(set)
    for row in company_read.legacy["Subscribers.csv"]:
        status[normalise("email", row["EmailAddress"]) or ""].add(row["Status"])

    assert sum(found == {"Active", "Unsubscribed"} for found in status.values()) >= 3


def test_some_unsubscribed_are_active_again_in_the_legacy_cloud(company_read: Oracle) -> None:
    unsubscribed = {row["SubscriberKey"] for row in company_read.legacy["Unsubs.csv"]}

    again = [
        row
        for row in company_read.legacy["Subscribers.csv"]
        if row["Status"] == "Active" and row["SubscriberKey"] in unsubscribed
    ]
    assert len(again) >= 3


def test_addresses_numbers_and_devices_are_shared(company_read: Oracle) -> None:
    shared = Counter(kind for kind, _ in company_read.shared)

    assert min(shared["email"], shared["phone"], shared["anonymous_id"]) >= 10


def test_people_have_two_addresses_only_a_phone_or_nothing(company_read: Oracle) -> None:
    kinds = [Counter(kind for kind, _ in identifiers) for identifiers in company_read.people.values()]

    assert sum(found["email"] == 2 for found in kinds) >= 3
    assert sum(found["phone"] > 0 and found["email"] == 0 for found in kinds) >= 3
    assert sum(found["user_id"] > 0 and found["phone"] + found["email"] == 0 for found in kinds) >= 3
    assert sum(found["anonymous_id"] > 1 for found in kinds) >= 300


def test_guests_come_back_on_another_device_and_customers_forget_to_log_in(company_read: Oracle) -> None:
    people = [Counter(kind for kind, _ in found) for found in company_read.people.values()]
    guests = [
        found for found in people if not found["user_id"] and found["email"] and found["anonymous_id"] > 1
    ]
    forgetful = {
        company_read.find(event["identifiers"][0])
        for event in company_read.events
        if event["name"] == "Order Completed"
        and "email" in event["body"]
        and any(
            kind == "user_id" for kind, _ in company_read.people[company_read.find(event["identifiers"][0])]
        )
    }

    assert len(guests) >= 3
    assert len(forgetful) >= 3


def test_addresses_are_written_in_many_ways(company_read: Oracle) -> None:
    written = [event["body"]["email"] for event in company_read.events if "email" in event["body"]]

    assert sum(email != email.strip() for email in written) >= 100
    assert sum(email != email.lower() for email in written) >= 100
    assert sum("+" in email for email in written) >= 100
    assert sum(normalise("email", email) is None for email in written) >= 3


def test_every_quarantine_code_occurs(company: Path, small: Path) -> None:
    for folder in (company, small):
        counts = json.loads((folder / "truth" / "event_counts.json").read_text())
        assert set(counts["quarantined"]) == set(CODES)
        assert counts["duplicates"] > 0


def test_nothing_happens_before_the_start_or_is_received_after_as_of(company: Path) -> None:
    (path,) = (company / "events").iterdir()
    received = [line[-26:-2] for line in path.read_bytes().split(b"\n") if line.endswith(b'Z"}')]

    assert received == sorted(received)
    assert received[0].decode() > STARTS_AT.strftime("%Y-%m-%dT%H:%M")
    assert received[-1].decode() <= AS_OF.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def test_messages_are_in_the_archive_form(small_read: Oracle, small: Path) -> None:
    (path,) = (small / "events").iterdir()
    first = json.loads(path.read_bytes().split(b"\n", 1)[0])

    assert {"messageId", "type", "context", "timestamp", "originalTimestamp", "sentAt", "receivedAt"} <= set(
        first
    )
    assert "library" in first["context"]
    assert b'"ip"' not in path.read_bytes()
    assert small_read.events[0]["at"] >= STARTS_AT
