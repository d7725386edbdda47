"""What the generator knows of the people it invents. All times are milliseconds since 1970, UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Literal

from ingestion.sample.extract import Order
from ingestion.sample.wire import Channel

PersonKind = Literal["customer", "prospect", "guest", "visitor", "subscriber"]
ConsentChannel = Literal["email", "sms"]
SubscriberStatus = Literal["Active", "Bounced", "Held", "Unsubscribed"]


@dataclass(slots=True)
class Device:
    """A browser or an app; `is_linked` once somebody logged in on it."""

    anonymous_id: str
    channel: Channel
    is_shared: bool = False
    is_linked: bool = False


@dataclass(frozen=True, slots=True)
class Consent:
    """One consent change that was sent; `address` None means every address of the person at the channel."""

    at: int
    channel: ConsentChannel
    status: str
    method: str
    address: str | None


@dataclass(slots=True)
class Subscription:
    """A subscriber of the legacy cloud; `unsubscribed_at` has Unsubs rows, `quiet_at` has none."""

    key: str
    address: str
    written: str
    created_at: int
    status: SubscriberStatus
    unsubscribed_at: list[int] = field(default_factory=list)
    quiet_at: int | None = None
    held_at: int | None = None


@dataclass(slots=True)
class Facts:
    """What was sent and will be accepted, kept while it is sent: the ground truth comes from nothing else."""

    identifiers: dict[tuple[str, str], None] = field(default_factory=dict)
    orders: list[tuple[int, int]] = field(default_factory=list)
    cancellations: list[tuple[int, int]] = field(default_factory=list)
    carts: list[tuple[int, int]] = field(default_factory=list)
    countries: list[tuple[int, str, str]] = field(default_factory=list)
    consents: list[Consent] = field(default_factory=list)

    def see(self, identifier_type: str, value: str) -> None:
        """Remember that an identifier of the person was sent."""
        self.identifiers[(identifier_type, value)] = None


@dataclass(slots=True)
class Person:
    """One person; `emails` and `phones` are theirs alone, what is shared has fields of its own."""

    key: str
    kind: PersonKind
    random: Random
    first_name: str
    last_name: str
    user_id: str | None = None
    country: str | None = None
    orders: list[Order] = field(default_factory=list)
    cancellations: list[Order] = field(default_factory=list)
    # Orders of a customer who had forgotten to log in: they carry the address and an unknown device.
    guest_orders: list[tuple[Device, Order]] = field(default_factory=list)
    known_at: int = 0
    is_signed_up: bool = False
    emails: list[str] = field(default_factory=list)
    phones: list[str] = field(default_factory=list)
    shared_email: str | None = None
    shared_phone: str | None = None
    invalid_email: str | None = None
    invalid_phone: str | None = None
    is_email_untold: bool = False
    devices: list[Device] = field(default_factory=list)
    email_story: str = "no_address"
    sms_story: str = "no_address"
    abandons_cart: bool = False
    subscriptions: list[Subscription] = field(default_factory=list)
    facts: Facts = field(default_factory=Facts)


Household = tuple[Person, ...]
