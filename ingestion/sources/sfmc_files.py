"""The files of a Salesforce Marketing Cloud tracking extract: their names, their columns, what names a row.

Columns and their order come from the vendor's help pages on the tracking extract and from public loaders of
it; no real account's export has been seen, so a header that is not exactly one of these is never guessed at.
"""

import re
from dataclasses import dataclass
from typing import Final

SYSTEM: Final = "sfmc"
_EVENT: Final = (
    "ClientID",
    "SendID",
    "SubscriberKey",
    "EmailAddress",
    "SubscriberID",
    "ListID",
    "EventDate",
    "EventType",
)
_SEND: Final = ("BatchID", "TriggeredSendExternalKey")
_CAMPAIGN: Final = ("CampaignID",)
_GEO: Final = (
    "IpAddress",
    "Country",
    "Region",
    "City",
    "Latitude",
    "Longitude",
    "MetroCode",
    "AreaCode",
)
_AGENT: Final = ("Browser", "EmailClient", "OperatingSystem", "Device")
_EVENT_KEY: Final = ("ClientID", "SendID", "SubscriberID", "ListID", "EventDate", "BatchID")


@dataclass(frozen=True)
class FileKind:
    """One file of the extract. Each tail is a group of columns that an account may switch on, in this order.

    `key` names a row; a row of a state file (no key) is named by all its values, so that
    a changed state is a new row.
    """

    name: str
    member: str
    columns: tuple[str, ...]
    tails: tuple[tuple[str, ...], ...] = ()
    key: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The table of `raw` that the rows go to."""
        return f"legacy_{SYSTEM}__{self.name}"

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Every column the file may have."""
        return self.columns + tuple(column for tail in self.tails for column in tail)

    def accepts(self, header: tuple[str, ...]) -> bool:
        """Whether the header is the fixed columns followed by whole tails in their order."""
        if header[: len(self.columns)] != self.columns:
            return False
        rest = header[len(self.columns) :]
        for tail in self.tails:
            if rest[: len(tail)] == tail:
                rest = rest[len(tail) :]
        return not rest


KINDS: Final = (
    FileKind(
        "send_jobs",
        "SendJobs.csv",
        (
            "ClientID",
            "SendID",
            "FromName",
            "FromEmail",
            "SchedTime",
            "SentTime",
            "Subject",
            "EmailName",
            "TriggeredSendExternalKey",
            "SendDefinitionExternalKey",
            "JobStatus",
            "PreviewURL",
            "IsMultipart",
            "Additional",
        ),
    ),
    FileKind("sent", "Sent.csv", _EVENT + _SEND, (_CAMPAIGN,), _EVENT_KEY),
    FileKind("opens", "Opens.csv", _EVENT + _SEND, (_CAMPAIGN, ("IsUnique",), _GEO, _AGENT), _EVENT_KEY),
    FileKind(
        "clicks",
        "Clicks.csv",
        (*_EVENT, "SendURLID", "URLID", "URL", "Alias", *_SEND),
        (_CAMPAIGN, ("IsUnique",), ("IsUniqueForURL",), _GEO, _AGENT),
        (*_EVENT_KEY, "SendURLID", "URLID"),
    ),
    FileKind(
        "bounces",
        "Bounces.csv",
        (*_EVENT, "BounceCategory", "SMTPCode", "BounceReason", *_SEND),
        (_CAMPAIGN,),
        _EVENT_KEY,
    ),
    FileKind("unsubs", "Unsubs.csv", _EVENT + _SEND, (_CAMPAIGN, ("UnsubReason",)), _EVENT_KEY),
    FileKind(
        "subscribers",
        "Subscribers.csv",
        (
            "ClientID",
            "SubscriberKey",
            "EmailAddress",
            "SubscriberID",
            "Status",
            "DateHeld",
            "DateCreated",
            "DateUnsubscribed",
        ),
    ),
)


def snake_case(column: str) -> str:
    """A column of the extract as we name it: ClientID is client_id, IsUniqueForURL is is_unique_for_url."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+", re.sub(r"URLID", "UrlId", column))
    return "_".join(words).lower()
