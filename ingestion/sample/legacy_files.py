"""Writes the legacy cloud as a Salesforce Marketing Cloud tracking extract: a zip of UTF-16LE CSV files.

Column order, line ends, text qualifier and dates (`M/D/YYYY h:mm:ss AM/PM` in a clock that is UTC-6 all
year) are those of the vendor's extract. Its optional columns are left out, but for the tail of Opens, whose
user agents tell machine opens; of the tail only IsUnique and the user agent are filled.
"""

from __future__ import annotations

import codecs
import csv
import io
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ingestion.sample.legacy_cloud import CLIENT_ID, LIST_ID, Contact, SendJob, Tracking
from ingestion.sample.manifest import AS_OF
from ingestion.sample.model import Subscription
from ingestion.sample.profiles import Profile
from ingestion.sample.wire import HOUR

_CLOCK: Final = -6 * HOUR
_STAMP: Final = (2010, 12, 9, 18, 0, 0)
# The name is resolved in the vendor's clock: the extract of midnight UTC carries the day before.
ARCHIVE_NAME: Final = (
    f"tracking_extract_{datetime.fromtimestamp(AS_OF.timestamp() + _CLOCK / 1000, tz=UTC):%Y%m%d}.zip"
)

_WHO: Final = (
    "ClientID",
    "SendID",
    "SubscriberKey",
    "EmailAddress",
    "SubscriberID",
    "ListID",
    "EventDate",
    "EventType",
)
_END: Final = ("BatchID", "TriggeredSendExternalKey")
_GEOGRAPHY: Final = (
    "IpAddress",
    "Country",
    "Region",
    "City",
    "Latitude",
    "Longitude",
    "MetroCode",
    "AreaCode",
)
HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "SendJobs.csv": (
        *("ClientID", "SendID", "FromName", "FromEmail", "SchedTime", "SentTime", "Subject", "EmailName"),
        *(
            "TriggeredSendExternalKey",
            "SendDefinitionExternalKey",
            "JobStatus",
            "PreviewURL",
            "IsMultipart",
            "Additional",
        ),
    ),
    "Sent.csv": (*_WHO, *_END),
    "Opens.csv": (
        *_WHO,
        *_END,
        "IsUnique",
        *_GEOGRAPHY,
        "Browser",
        "EmailClient",
        "OperatingSystem",
        "Device",
    ),
    "Clicks.csv": (*_WHO, "SendURLID", "URLID", "URL", "Alias", *_END),
    "Bounces.csv": (*_WHO, "BounceCategory", "SMTPCode", "BounceReason", *_END),
    "Unsubs.csv": (*_WHO, *_END),
    "Subscribers.csv": (
        *("ClientID", "SubscriberKey", "EmailAddress", "SubscriberID", "Status", "DateHeld", "DateCreated"),
        "DateUnsubscribed",
    ),
    # The account's own columns, as ingestion/sources/sfmc_attributes.yml declares them.
    "Attributes.csv": (
        *("ClientID", "SubscriberKey", "EmailAddress", "SubscriberID", "First Name", "Last Name"),
        *("Birthday", "Street", "City", "Postal Code", "Country", "Mobile", "Loyalty Tier"),
    ),
}
Row = tuple[str | int, ...]


def write_extract(tracking: Tracking, profiles: list[Profile], path: Path) -> dict[str, int]:
    """Write the archive; returns the rows of each file. The same rows give the same bytes."""
    numbers = {subscription.key: number for number, subscription in tracking.subscribers}
    files: dict[str, Iterable[Row]] = {
        "SendJobs.csv": (_job_row(job) for job in tracking.jobs),
        "Sent.csv": ((*_who(contact, "Sent"), *_end(contact)) for contact in tracking.sent),
        "Opens.csv": (
            (*_who(contact, "Open"), *_end(contact), str(is_first), *([""] * len(_GEOGRAPHY)), *agent)
            for contact, is_first, agent in tracking.opens
        ),
        "Clicks.csv": (
            (*_who(contact, "Click"), number, number, url, alias, *_end(contact))
            for contact, number, url, alias in tracking.clicks
        ),
        "Bounces.csv": (
            (*_who(contact, "Bounce"), category, code, reason, *_end(contact))
            for contact, category, code, reason in tracking.bounces
        ),
        "Unsubs.csv": ((*_who(contact, "Unsubscribe"), *_end(contact)) for contact in tracking.unsubs),
        "Subscribers.csv": (_subscriber_row(number, row) for number, row in tracking.subscribers),
        "Attributes.csv": (_profile_row(numbers[row.subscription.key], row) for row in profiles),
    }
    counts: dict[str, int] = {}
    with zipfile.ZipFile(path, "w") as archive:
        for name, rows in files.items():
            entry = zipfile.ZipInfo(name, _STAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            with (
                archive.open(entry, "w", force_zip64=True) as raw,
                io.TextIOWrapper(raw, encoding="utf-16-le", newline="", write_through=False) as text,
            ):
                raw.write(codecs.BOM_UTF16_LE)
                text.write(",".join(HEADERS[name]) + "\r\n")
                writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
                counts[name] = 0
                for row in rows:
                    writer.writerow(row)
                    counts[name] += 1
    return counts


def _date(at: int | None) -> str:
    if at is None:
        return ""
    moment = datetime.fromtimestamp((at + _CLOCK) // 1000, tz=UTC)
    half = "AM" if moment.hour < 12 else "PM"
    return f"{moment.month}/{moment.day}/{moment.year} {moment.hour % 12 or 12}:{moment:%M:%S} {half}"


def _who(contact: Contact, event_type: str) -> Row:
    subscription = contact.subscription
    return (
        *(
            CLIENT_ID,
            contact.job.send_id,
            subscription.key,
            subscription.written,
            contact.subscriber_id,
            LIST_ID,
        ),
        *(_date(contact.at), event_type),
    )


def _end(contact: Contact) -> Row:
    return contact.batch_id, contact.job.triggered_key


def _job_row(job: SendJob) -> Row:
    return (
        *(
            CLIENT_ID,
            job.send_id,
            "The Shop",
            "hello@shop.example",
            _date(job.at),
            _date(job.at),
            job.subject,
            job.name,
        ),
        *(job.triggered_key, "", "Complete", f"https://view.shop.example/{job.send_id}", "True", ""),
    )


def _subscriber_row(number: int, row: Subscription) -> Row:
    unsubscribed_at = row.quiet_at if row.quiet_at is not None else max(row.unsubscribed_at, default=None)
    return (
        *(CLIENT_ID, row.key, row.written, number, row.status, _date(row.held_at), _date(row.created_at)),
        _date(unsubscribed_at if row.status == "Unsubscribed" else None),
    )


def _profile_row(number: int, row: Profile) -> Row:
    born = "" if row.born is None else f"{row.born.month}/{row.born.day}/{row.born.year} 12:00:00 AM"
    home = row.home
    return (
        *(CLIENT_ID, row.subscription.key, row.subscription.written, number, row.first_name, row.last_name),
        *(born, home.street, home.city, home.postal_code, home.country, row.phone, ""),
    )
