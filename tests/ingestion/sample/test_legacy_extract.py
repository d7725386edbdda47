"""The legacy extract has the form of the vendor's: archive, encoding, headers, dates."""

from __future__ import annotations

import re
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

from ingestion.sample.manifest import AS_OF
from tests.ingestion.sample.oracle import Oracle, legacy_time, read_archive

# A newsletter takes twenty minutes to go out.
TOLERANCE = timedelta(minutes=21)
WHO = "ClientID,SendID,SubscriberKey,EmailAddress,SubscriberID,ListID,EventDate,EventType"
HEADERS = {
    "SendJobs.csv": (
        "ClientID,SendID,FromName,FromEmail,SchedTime,SentTime,Subject,EmailName,TriggeredSendExternalKey,"
        "SendDefinitionExternalKey,JobStatus,PreviewURL,IsMultipart,Additional"
    ),
    "Sent.csv": f"{WHO},BatchID,TriggeredSendExternalKey",
    "Opens.csv": (
        f"{WHO},BatchID,TriggeredSendExternalKey,IsUnique,IpAddress,Country,Region,City,Latitude,Longitude,"
        "MetroCode,AreaCode,Browser,EmailClient,OperatingSystem,Device"
    ),
    "Clicks.csv": f"{WHO},SendURLID,URLID,URL,Alias,BatchID,TriggeredSendExternalKey",
    "Bounces.csv": f"{WHO},BounceCategory,SMTPCode,BounceReason,BatchID,TriggeredSendExternalKey",
    "Unsubs.csv": f"{WHO},BatchID,TriggeredSendExternalKey",
    "Subscribers.csv": (
        "ClientID,SubscriberKey,EmailAddress,SubscriberID,Status,DateHeld,DateCreated,DateUnsubscribed"
    ),
    "Attributes.csv": (
        "ClientID,SubscriberKey,EmailAddress,SubscriberID,First Name,Last Name,Birthday,Street,City,"
        "Postal Code,Country,Mobile,Loyalty Tier"
    ),
}


@pytest.fixture(scope="module")
def archive(company: Path) -> Path:
    (path,) = (company / "legacy").iterdir()
    return path


@pytest.mark.slow
def test_the_archive_carries_the_day_of_the_vendors_clock(archive: Path) -> None:
    assert archive.name == "tracking_extract_20101209.zip"


@pytest.mark.parametrize("name", HEADERS)
def test_files_are_utf_16_with_bom_and_crlf_and_have_the_vendors_header(archive: Path, name: str) -> None:
    with zipfile.ZipFile(archive) as opened:
        data = opened.read(name)

    assert data.startswith(b"\xff\xfe")
    text = data.decode("utf-16")
    assert text.split("\r\n", 1)[0] == HEADERS[name]
    assert text.endswith("\r\n")
    assert not re.search(r"(?<!\r)\n", text)


def test_the_archive_has_no_other_files(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        assert sorted(opened.namelist()) == sorted(HEADERS)


def test_sizes_are_those_of_a_real_account(archive: Path) -> None:
    files = read_archive(archive)

    assert 60_000 <= len(files["Sent.csv"]) <= 120_000
    assert all(len(files[name]) >= 20 for name in HEADERS)


def test_dates_are_not_padded_and_lie_before_as_of(archive: Path) -> None:
    files = read_archive(archive)
    dates = [row["EventDate"] for name in ("Sent.csv", "Opens.csv", "Unsubs.csv") for row in files[name]]

    assert all(re.fullmatch(r"[1-9]\d?/[1-9]\d?/20\d\d [1-9]\d?:\d\d:\d\d [AP]M", date) for date in dates)
    assert any(date.startswith("3/") for date in dates)
    assert all(at is not None and at < AS_OF for at in map(legacy_time, dates))


def test_statuses_carry_their_dates(archive: Path) -> None:
    rows = read_archive(archive)["Subscribers.csv"]

    assert {row["Status"] for row in rows} == {"Active", "Bounced", "Held", "Unsubscribed"}
    assert all(bool(row["DateHeld"]) == (row["Status"] == "Held") for row in rows)
    assert all(bool(row["DateUnsubscribed"]) == (row["Status"] == "Unsubscribed") for row in rows)
    assert all(row["DateCreated"] for row in rows)


def test_most_subscribers_are_keyed_by_customer_and_some_by_address(archive: Path) -> None:
    keys = [row["SubscriberKey"] for row in read_archive(archive)["Subscribers.csv"]]

    by_address = sum("@" in key for key in keys)
    assert len(set(keys)) == len(keys)
    assert 50 <= by_address < len(keys) / 4


def test_every_row_of_tracking_names_a_known_send_and_subscriber(archive: Path) -> None:
    files = read_archive(archive)
    sends = {row["SendID"] for row in files["SendJobs.csv"]}
    subscribers = {
        (row["SubscriberID"], row["SubscriberKey"], row["EmailAddress"]) for row in files["Subscribers.csv"]
    }

    for name in ("Sent.csv", "Opens.csv", "Clicks.csv", "Bounces.csv", "Unsubs.csv"):
        for row in files[name]:
            assert row["SendID"] in sends
            assert (row["SubscriberID"], row["SubscriberKey"], row["EmailAddress"]) in subscribers


def test_machine_opens_are_told_by_their_user_agent(archive: Path) -> None:
    opens = read_archive(archive)["Opens.csv"]

    machine = sum(row["Browser"] == "Mozilla/5.0" for row in opens)
    assert 0.2 < machine / len(opens) < 0.8


def test_nothing_is_sent_after_an_unsubscribe_unless_set_active_again(company_read: Oracle) -> None:
    files = company_read.legacy
    gone = {
        row["SubscriberKey"]: legacy_time(row["DateUnsubscribed"])
        for row in files["Subscribers.csv"]
        if row["Status"] == "Unsubscribed"
    }

    for row in files["Sent.csv"]:
        left, sent = gone.get(row["SubscriberKey"]), legacy_time(row["EventDate"])
        assert (
            left is None or row["TriggeredSendExternalKey"] or (sent is not None and sent < left + TOLERANCE)
        )


def test_held_subscribers_bounced(archive: Path) -> None:
    files = read_archive(archive)
    bounced = {row["SubscriberKey"] for row in files["Bounces.csv"]}
    held = [row["SubscriberKey"] for row in files["Subscribers.csv"] if row["Status"] == "Held"]

    assert len(held) >= 3
    assert sum(key in bounced for key in held) >= len(held) * 0.6
