"""The files of a Salesforce Marketing Cloud tracking extract: their names, their columns, what names a row.

Columns and their order come from the vendor's help pages on the tracking extract and from public loaders of
it; no real account's export has been seen, so a header that is not exactly one of these is never guessed at.
Attributes.csv ends in columns that each account defines itself: what they mean stands in sfmc_attributes.yml.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

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
# What a column of an account may be read as; each is a column of raw.legacy_sfmc__attributes.
Trait = Literal[
    "first_name", "last_name", "date_of_birth", "street", "city", "postal_code", "country", "phone"
]
TRAITS: Final[tuple[Trait, ...]] = get_args(Trait)


@dataclass(frozen=True)
class FileKind:
    """One file of the extract. Each tail is a group of columns that an account may switch on, in this order.

    `key` names a row; a row of a state file (no key) is named by all its values, so that
    a changed state is a new row. A kind with `traits` ends in columns of the account's own: `account_columns`
    says which they are and the trait that each is read as, or None for one that is not read.
    """

    name: str
    member: str
    columns: tuple[str, ...]
    tails: tuple[tuple[str, ...], ...] = ()
    key: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    account_columns: tuple[tuple[str, str | None], ...] = ()
    is_optional: bool = False

    @property
    def table(self) -> str:
        """The table of `raw` that the rows go to."""
        return f"legacy_{SYSTEM}__{self.name}"

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Every column the file may have."""
        return self.columns + tuple(column for tail in self.tails for column in tail)

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """The columns of the table that are filled from the file."""
        return (*(snake_case(column) for column in self.all_columns), *self.traits)

    @property
    def raw_key(self) -> tuple[str, ...]:
        """The columns of the table that name a row."""
        return (*(snake_case(column) for column in self.key or self.columns), *self.traits)

    def accepts(self, header: tuple[str, ...]) -> bool:
        """Whether the header is the fixed columns followed by whole tails in their order.

        The columns of an account follow by name, all that are declared and no other, in any order.
        """
        if header[: len(self.columns)] != self.columns:
            return False
        rest = header[len(self.columns) :]
        if self.traits:
            return sorted(rest) == sorted(column for column, _ in self.account_columns)
        for tail in self.tails:
            if rest[: len(tail)] == tail:
                rest = rest[len(tail) :]
        return not rest

    def places(self, header: tuple[str, ...]) -> dict[str, int | None]:
        """Each column of the table that a file with this header fills, and the place of its value in a row.

        None is the place of a trait that the account has no column for.
        """
        found: dict[str, int | None] = {
            snake_case(column): place for place, column in enumerate(header) if column in self.all_columns
        }
        declared = {trait: column for column, trait in self.account_columns if trait is not None}
        return found | {
            trait: header.index(declared[trait]) if trait in declared else None for trait in self.traits
        }


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
    # The leading columns are those of Subscribers.csv; the vendor's header of this file is not verified.
    FileKind(
        "attributes",
        "Attributes.csv",
        ("ClientID", "SubscriberKey", "EmailAddress", "SubscriberID"),
        traits=TRAITS,
        is_optional=True,
    ),
)


def snake_case(column: str) -> str:
    """A column of the extract as we name it: ClientID is client_id, IsUniqueForURL is is_unique_for_url."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+", re.sub(r"URLID", "UrlId", column))
    return "_".join(words).lower()
