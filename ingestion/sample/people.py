"""The people of one replica of the company: who they are, how they can be reached, what they share.

Customers, their orders and countries are real; the rest is invented. Which situation a person is in is
drawn from the person's own random stream, so the company is the same whichever part of it is written.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from random import Random
from typing import Final

from ingestion.sample.contacts import (
    FIRST_NAMES,
    INVALID_PHONES,
    LAST_NAMES,
    email_address,
    invalid_email,
    phone_number,
)
from ingestion.sample.extract import Company, Order
from ingestion.sample.model import Device, Household, Person, PersonKind
from ingestion.sample.randomness import Weighted, pick, stream
from ingestion.sample.stories import EMAIL, GUEST, SMS, TWO_EMAILS, UNTOLD
from ingestion.sample.wire import DAY, END, HOUR, MINUTE, START, message_uuid

FIRST_PROSPECT: Final = 90_001
PROSPECTS: Final = 450
VISITORS: Final = 500
SUBSCRIBERS: Final = 160
# How many pairs of customers share what; every tenth is a trio.
SHARED_EMAILS: Final = 25
SHARED_PHONES: Final = 25
SHARED_DEVICES: Final = 40
RETURNING_GUEST_SHARE: Final = 0.18
FORGOTTEN_LOGIN_SHARE: Final = 0.04
GUEST_EMAIL_SHARE: Final = 0.55
UNASKED_SHARE_IN_US: Final = 0.45

_PROSPECT_COUNTRIES: Final = Weighted(
    GB=48, US=9, DE=9, FR=9, IE=3, NL=3, ES=3, JP=2, unknown=6, ZA=2, AE=2, IN=2, SG=2
)
_EMAIL_KINDS: Final = Weighted(one=90, two=4, untold=2, none=3, invalid=1)
_DEVICE_COUNTS: Final = Weighted(one=60, two=30, three=10)
_COUNTS: Final = {"one": 1, "two": 2, "three": 3}


class Population:
    """Builds the households of one replica. People who share an address or a device are one household."""

    def __init__(self, company: Company, seed: int, replica: int) -> None:
        self._company = company
        self._seed = seed
        self._replica = replica
        self._suffix = f"r{replica}" if replica else ""
        self._phones = 0

    def households(self) -> list[Household]:
        """Everyone, in an order drawn by hash in which the first few hundred show every situation."""
        customers = self._customers()
        prospects = [self._prospect(number) for number in range(FIRST_PROSPECT, FIRST_PROSPECT + PROSPECTS)]
        bonds = self._share(customers)
        guests = self._guests(customers)
        others = [self._visitor(number) for number in range(VISITORS)]
        others += [self._subscriber(number) for number in range(SUBSCRIBERS)]
        bonded = {id(person) for household in bonds for person in household}
        households = [
            *bonds,
            *((person,) for person in [*customers, *prospects, *guests, *others] if id(person) not in bonded),
        ]
        return _situations_first(sorted(households, key=lambda household: self._rank(household[0].key)))

    def _rank(self, key: str) -> bytes:
        return hashlib.sha256(f"{self._seed}/{self._replica}/{key}".encode()).digest()

    def _person(self, key: str, kind: PersonKind) -> Person:
        random = stream(self._seed, self._replica, key)
        return Person(key, kind, random, pick(random, FIRST_NAMES), pick(random, LAST_NAMES))

    def _customers(self) -> list[Person]:
        orders: dict[int, list[Order]] = defaultdict(list)
        cancellations: dict[int, list[Order]] = defaultdict(list)
        for order in self._company.orders:
            if order.customer_id is not None:
                orders[order.customer_id].append(order)
        for order in self._company.cancellations:
            if order.customer_id is not None:
                cancellations[order.customer_id].append(order)
        customers = []
        for number in sorted(orders.keys() | cancellations.keys()):
            person = self._person(f"customer/{number}", "customer")
            person.orders, person.cancellations = orders[number], cancellations[number]
            first = min((*person.orders, *person.cancellations), key=lambda order: (order.at, order.order_id))
            person.country = first.country
            self._open_account(person, number, first.at)
            customers.append(person)
        return customers

    def _prospect(self, number: int) -> Person:
        person = self._person(f"prospect/{number}", "prospect")
        country = _PROSPECT_COUNTRIES.draw(person.random)
        person.country = None if country == "unknown" else country
        self._open_account(
            person, number, int(START + 2 * DAY + person.random.random() * (END - START - 4 * DAY))
        )
        return person

    def _open_account(self, person: Person, number: int, first_at: int) -> None:
        random = person.random
        person.user_id = f"{number}{self._suffix}"
        kind = _EMAIL_KINDS.draw(random)
        # Who bought in the first weeks had mostly opened the account before the data begins.
        is_old = first_at < START + 45 * DAY and random.random() < 0.6
        if kind in {"one", "two", "untold"}:
            person.emails = [self._email(person, person.user_id)]
        if kind == "two":
            person.emails.append(self._email(person, f"{person.user_id}b"))
        if kind == "invalid":
            person.invalid_email = invalid_email(random, person.first_name, person.user_id)
        person.is_email_untold = kind == "untold"
        person.is_signed_up = not is_old and kind not in {"untold", "none"}
        lead = (1 + random.random() * 2) * MINUTE if random.random() < 0.6 else random.random() * 14 * DAY
        if not person.is_signed_up:
            lead = 40 * MINUTE
        earliest = START + HOUR + int(random.random() * 2 * HOUR)
        person.known_at = max(earliest, int(first_at - lead - MINUTE))
        if random.random() < (0.7 if kind == "none" else 0.3):
            person.phones = [self._phone(person.country)]
        elif random.random() < 0.01:
            person.invalid_phone = pick(random, INVALID_PHONES)
        for _ in range(_COUNTS[_DEVICE_COUNTS.draw(random)]):
            person.devices.append(self._device(person))
        if person.emails:
            person.email_story = _draw_email_story(person, is_old=is_old)
        if person.phones:
            person.sms_story = SMS.draw(random)
        person.abandons_cart = random.random() < 0.05

    def _email(self, person: Person, number: str) -> str:
        return email_address(person.random, person.first_name, person.last_name, number)

    def _phone(self, country: str | None) -> str:
        self._phones += 1
        return phone_number(self._replica, self._phones, country)

    def _device(self, person: Person) -> Device:
        is_mobile = person.random.random() < 0.25
        return Device(f"{message_uuid(person.random)}{self._suffix}", "mobile" if is_mobile else "web")

    def _share(self, customers: list[Person]) -> list[Household]:
        """Let pairs (every tenth time three) of customers share one address, one number or one device."""
        ranked = iter(sorted(customers, key=lambda person: self._rank(f"share/{person.key}")))
        households: list[Household] = []
        for count, what in ((SHARED_EMAILS, "email"), (SHARED_PHONES, "phone"), (SHARED_DEVICES, "device")):
            for index in range(count):
                household = tuple(next(ranked) for _ in range(3 if index % 10 == 9 else 2))
                self._share_one(household, what, is_only=index % 3 != 0)
                households.append(household)
        return households

    def _share_one(self, household: Household, what: str, *, is_only: bool) -> None:
        first = household[0]
        email = self._email(first, f"{first.user_id}home")
        phone = self._phone(first.country)
        device = Device(f"{message_uuid(first.random)}{self._suffix}", "web", is_shared=True)
        for person in household:
            if what == "device":
                person.devices.insert(0, device)
            elif what == "phone":
                person.shared_phone = phone
                person.phones, person.invalid_phone, person.sms_story = [], None, "shared"
            else:
                person.shared_email, person.invalid_email, person.is_email_untold = email, None, False
                person.emails = [] if is_only else person.emails[:1]
                person.email_story = "shared" if is_only or not person.emails else "shared_and_own"

    def _guests(self, customers: list[Person]) -> list[Person]:
        """Who placed the orders without a customer: a new or former guest, a customer not logged in."""
        random = stream(self._seed, self._replica, "guests")
        forgetful: dict[str | None, list[Person]] = defaultdict(list)
        for customer in customers:
            if customer.emails and not customer.is_email_untold and not customer.shared_email:
                forgetful[customer.country].append(customer)
        guests: list[Person] = []
        by_country: dict[str | None, list[Person]] = defaultdict(list)
        for order in (order for order in self._company.orders if order.customer_id is None):
            draw = random.random()
            known = by_country[order.country][-150:]
            if draw < RETURNING_GUEST_SHARE and known:
                self._return(pick(random, known), order)
                continue
            if draw > 1 - FORGOTTEN_LOGIN_SHARE and forgetful[order.country]:
                customer = pick(random, forgetful[order.country])
                if customer.known_at < order.at - DAY:
                    customer.guest_orders.append((self._device(customer), order))
                    continue
            guest = self._guest(order)
            guests.append(guest)
            by_country[order.country].append(guest)
        self._give_back(random, guests)
        return guests

    def _guest(self, order: Order) -> Person:
        guest = self._person(f"guest/{order.order_id}", "guest")
        guest.country, guest.known_at = order.country, order.at
        if guest.random.random() < GUEST_EMAIL_SHARE:
            guest.emails = [self._email(guest, f"g{order.order_id.lower()}{self._suffix}")]
            guest.email_story = GUEST.draw(guest.random)
        self._return(guest, order)
        return guest

    def _return(self, guest: Person, order: Order) -> None:
        # Only the address tells that the owner of a new device is the same guest.
        if not guest.devices or (guest.emails and guest.random.random() < 0.4):
            guest.devices.append(self._device(guest))
        guest.guest_orders.append((guest.devices[-1], order))

    def _give_back(self, random: Random, guests: list[Person]) -> None:
        """Cancellations without a customer: of the latest guest from that country, as far as there is one."""
        for order in (order for order in self._company.cancellations if order.customer_id is None):
            before = [
                guest for guest in guests if guest.known_at < order.at and guest.country == order.country
            ]
            if before:
                pick(random, before[-20:]).cancellations.append(order)
                continue
            guest = self._person(f"guest/{order.order_id}", "guest")
            guest.country, guest.known_at = order.country, order.at
            guest.cancellations.append(order)
            guest.devices.append(self._device(guest))
            guests.append(guest)

    def _visitor(self, number: int) -> Person:
        person = self._person(f"visitor/{number}", "visitor")
        person.known_at = int(START + person.random.random() * (END - START - DAY))
        person.abandons_cart = person.random.random() < 0.1
        person.devices.append(self._device(person))
        return person

    def _subscriber(self, number: int) -> Person:
        person = self._person(f"subscriber/{number}", "subscriber")
        person.emails = [self._email(person, f"s{number}{self._suffix}")]
        person.is_email_untold = True
        person.known_at = int(START + person.random.random() * (END - START - 60 * DAY))
        person.email_story = UNTOLD.draw(person.random)
        return person


def _draw_email_story(person: Person, *, is_old: bool) -> str:
    random = person.random
    if person.is_email_untold:
        return UNTOLD.draw(random)
    if len(person.emails) > 1:
        return TWO_EMAILS.draw(random)
    # In the United States an address may be written to until it objects: many were never asked. Old customers
    # were not either.
    if random.random() < (UNASKED_SHARE_IN_US if person.country == "US" else 0.1 if is_old else 0.0):
        return "legacy_only"
    return EMAIL.draw(random)


def _situations_first(households: list[Household]) -> list[Household]:
    """Three households of each situation ahead of all others, so that a small sample shows them too."""
    shown: dict[str, int] = defaultdict(int)
    first: list[Household] = []
    rest: list[Household] = []
    for household in households:
        person = household[0]
        orders = sum(len(member.orders) + len(member.guest_orders) for member in household)
        names = (
            f"{person.kind}/{len(household) > 1}/{person.email_story}/{person.country == 'US'}",
            f"{person.kind}/sms/{person.sms_story}",
            f"{person.kind}/abandons/{person.abandons_cart}",
            f"country/{person.country}",
        )
        if orders <= 6 and any(shown[name] < 3 for name in names):
            for name in names:
                shown[name] += 1
            first.append(household)
        else:
            rest.append(household)
    return first + rest
