"""What people do in the shop: they visit, look, fill carts, order, give back, and tell who they are."""

from __future__ import annotations

from typing import Any

from ingestion.sample.contacts import spell_email, spell_phone
from ingestion.sample.extract import CURRENCY, Line, Order
from ingestion.sample.model import Device, Person
from ingestion.sample.randomness import pick
from ingestion.sample.wire import (
    DAY,
    END,
    HOUR,
    MINUTE,
    SERVER,
    START,
    Session,
    Wire,
    encode,
    identity,
    open_session,
)

PHONE_ORDER_SHARE = 0.08
_VIEWS = 3.6
_BROWSING_VISITS = 1.5


class Life:
    """Sends everything one person did, apart from consent, and keeps the facts."""

    def __init__(self, person: Person, wire: Wire, bestsellers: tuple[Line, ...], suffix: str) -> None:
        self._person = person
        self._wire = wire
        self._bestsellers = bestsellers
        self._suffix = suffix

    def live(self) -> None:
        """Send the whole life."""
        person = self._person
        if person.kind == "subscriber":
            return
        if person.user_id is not None:
            self._introduce()
        for index, order in enumerate(person.orders):
            if index and person.random.random() < PHONE_ORDER_SHARE:
                self._order(SERVER, None, order, with_email=False)
            else:
                self._shop(self._choose_device(order.at), order)
        for device, order in person.guest_orders:
            self._shop(device, order, as_guest=True)
        for cancellation in person.cancellations:
            self._cancel(cancellation)
        self._browse()
        if person.abandons_cart:
            self._abandon()

    def _introduce(self) -> None:
        """The first message of an account: a sign-up, or a login where the account is older than the data."""
        person, random = self._person, self._person.random
        device = person.devices[0]
        session = open_session(random, person.known_at, device.channel)
        if person.is_signed_up:
            body = self._contact_details(is_sign_up=True)
            self._send(session, device, person.known_at, "Signed Up", body)
        self._identify(session, device, person.known_at + 1000)
        second = person.emails[:1] if person.shared_email else person.emails[1:]
        if second:
            at = (
                person.known_at
                + 2 * MINUTE
                + int(random.random() * min(END - HOUR - person.known_at, 90 * DAY))
            )
            later = open_session(random, at, device.channel)
            person.facts.see("email", second[0])
            self._send(later, device, at, "identify", {"email": spell_email(random, second[0])})

    def _contact_details(self, *, is_sign_up: bool) -> dict[str, Any]:
        person, random = self._person, self._person.random
        body: dict[str, Any] = {"first_name": person.first_name, "last_name": person.last_name}
        email = person.shared_email or (
            person.emails[0] if person.emails and not person.is_email_untold else None
        )
        phone = person.shared_phone or (person.phones[0] if person.phones else None)
        if email is not None:
            body["email"] = spell_email(random, email)
            person.facts.see("email", email)
        elif person.invalid_email is not None:
            body["email"] = person.invalid_email
        if phone is not None:
            body["phone"] = spell_phone(random, phone)
            person.facts.see("phone", phone)
        elif person.invalid_phone is not None:
            body["phone"] = person.invalid_phone
        if person.country is not None and random.random() < (0.7 if is_sign_up else 0.1):
            body["country"] = person.country
        if is_sign_up:
            body["method"] = pick(random, ("password", "password", "google", "checkout"))
        return body

    def _identify(self, session: Session, device: Device, at: int) -> None:
        device.is_linked = True
        self._send(session, device, at, "identify", self._contact_details(is_sign_up=False))

    def _send(self, session: Session, device: Device, at: int, event: str, body: dict[str, Any]) -> None:
        """A message of the person, logged in."""
        person = self._person
        self._see_device(device)
        if person.user_id is not None:
            person.facts.see("user_id", person.user_id)
        who = identity(person.user_id, device.anonymous_id)
        message_id = self._wire.send(person.random, session, at, event, who=who, body=encode(body))
        if "country" in body:
            person.facts.countries.append((at, message_id, body["country"]))

    def _see_device(self, device: Device) -> None:
        self._person.facts.see("anonymous_id", device.anonymous_id)

    def _choose_device(self, at: int) -> Device:
        """Mostly the first device; the second comes into the house later."""
        person = self._person
        if len(person.devices) == 1 or person.random.random() < 0.55 or at < person.known_at + 7 * DAY:
            return person.devices[0]
        return pick(person.random, person.devices[1:])

    def _shop(self, device: Device, order: Order, *, as_guest: bool = False) -> None:
        """A visit that ends with a real order."""
        random = self._person.random
        lasts = int((3 + random.random() * 30) * MINUTE)
        start = max(START, order.at - lasts)
        session = open_session(random, start, device.channel)
        lines = order.lines if order.lines[0].view is not None else self._bestsellers[: len(order.lines)]
        self._visit(session, device, start, order.at - 15_000, lines=lines, as_guest=as_guest)
        self._order(session, device, order, with_email=as_guest)

    def _visit(
        self,
        session: Session,
        device: Device,
        start: int,
        end: int,
        *,
        lines: tuple[Line, ...],
        as_guest: bool = False,
        fills_cart: bool = True,
    ) -> None:
        """Views and carts between two moments; the person logs in, if ever, at the start or half-way."""
        person = self._person
        random, wire = person.random, self._wire
        user_id = None if as_guest else person.user_id
        views = min(1 + int(random.expovariate(1 / _VIEWS)), 10)
        step = max((end - start) // (views + 1), 1)
        login = end + 1
        if user_id is not None:
            login = (
                start if device.is_linked and random.random() < 0.75 else start + step * ((views + 1) // 2)
            )
            login = max(login, person.known_at)
            if not device.is_linked or login > start:
                self._identify(session, device, min(login, end))
        self._see_device(device)
        known = identity(user_id, device.anonymous_id)
        unknown = identity(None, device.anonymous_id)
        seen: list[tuple[int, str, str]] = []
        for index in range(views):
            at = start + step * index + int(random.random() * step)
            view = lines[index % len(lines)].view or self._bestsellers[index].view or "{}"
            seen.append((at, known if at >= login else unknown, view))
        wire.send_all(random, session, "Product Viewed", seen)
        if not fills_cart:
            return
        cart_id = f"{random.getrandbits(48):012x}"
        if random.random() < 0.4:
            at = start + step * views // 2 + int(random.random() * step)
            some = lines[: 1 + len(lines) // 3]
            self._fill_cart(
                session, device, at, cart_id, lines=some, user_id=user_id if at >= login else None
            )
        self._fill_cart(session, device, end, cart_id, lines=lines, user_id=user_id)

    def _fill_cart(
        self,
        session: Session,
        device: Device,
        at: int,
        cart_id: str,
        *,
        lines: tuple[Line, ...],
        user_id: str | None,
    ) -> None:
        person = self._person
        total = sum(line.value for line in lines)
        items = ",".join([line.item for line in lines])
        body = f'{{"cart_id":"{cart_id}","currency":"{CURRENCY}","total":{total / 1000},"items":[{items}]}}'
        who = identity(user_id, device.anonymous_id)
        self._wire.send(person.random, session, at, "Cart Updated", who=who, body=body)
        # What happens on a shared device before anybody logs in belongs to nobody.
        if user_id is not None or not device.is_shared:
            person.facts.carts.append((at, total))

    def _order(self, session: Session, device: Device | None, order: Order, *, with_email: bool) -> None:
        person, random = self._person, self._person.random
        order_id = f"{order.order_id}{self._suffix}"
        members = f'"order_id":"{order_id}","currency":"{CURRENCY}","total":{order.total / 1000}'
        country = order.country if random.random() < 0.9 else None
        if country is not None:
            members += f',"country":"{country}"'
        if with_email and person.emails:
            members += f',"email":{encode(spell_email(random, person.emails[0]))}'
            person.facts.see("email", person.emails[0])
        user_id = None if with_email else person.user_id
        if user_id is not None:
            person.facts.see("user_id", user_id)
        who = identity(user_id, device.anonymous_id if device is not None else None)
        body = f'{{{members},"items":{order.items}}}'
        message_id = self._wire.send(random, session, order.at, "Order Completed", who=who, body=body)
        person.facts.orders.append((order.at, order.total))
        if country is not None:
            person.facts.countries.append((order.at, message_id, country))

    def _cancel(self, cancellation: Order) -> None:
        """The back office gives money back."""
        person = self._person
        anonymous_id = None if person.user_id is not None else person.devices[0].anonymous_id
        if anonymous_id is not None:
            self._see_device(person.devices[0])
        else:
            person.facts.see("user_id", person.user_id or "")
        body = (
            f'{{"order_id":"{cancellation.order_id}{self._suffix}","currency":"{CURRENCY}",'
            f'"total":{cancellation.total / 1000},"items":{cancellation.items}}}'
        )
        who = identity(person.user_id, anonymous_id)
        self._wire.send(person.random, SERVER, cancellation.at, "Order Cancelled", who=who, body=body)
        person.facts.cancellations.append((cancellation.at, cancellation.total))

    def _browse(self) -> None:
        """Visits without an order; some leave a cart behind."""
        person, random = self._person, self._person.random
        visits = int(random.expovariate(1 / _BROWSING_VISITS)) if person.user_id is not None else 0
        if person.kind == "visitor":
            visits = 1 + int(random.random() * 2)
        for _ in range(visits):
            start = int(
                person.known_at + 5 * MINUTE + random.random() * (END - person.known_at - 45 * MINUTE)
            )
            self._look_around(start, fills_cart=random.random() < 0.2)

    def _abandon(self) -> None:
        """A cart filled in the last week, after the last order, and never ordered."""
        person, random = self._person, self._person.random
        last = max(
            (order.at for order in (*person.orders, *(order for _, order in person.guest_orders))), default=0
        )
        since = max(END - 7 * DAY + HOUR, last + HOUR, person.known_at + HOUR)
        if since < END - 3 * HOUR:
            self._look_around(int(since + random.random() * (END - 2 * HOUR - since)), fills_cart=True)

    def _look_around(self, start: int, *, fills_cart: bool) -> None:
        random = self._person.random
        end = start + int((2 + random.random() * 20) * MINUTE)
        if end >= END:
            return
        device = self._choose_device(start)
        session = open_session(random, start, device.channel)
        offset = int(random.random() * (len(self._bestsellers) - 8))
        lines = self._bestsellers[offset : offset + 1 + int(random.random() * 6)]
        self._visit(session, device, start, end, lines=lines, fills_cart=fills_cart)
