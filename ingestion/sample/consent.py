"""Tells the consent stories: sends the consent changes, makes the legacy cloud's rows that go with them."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from ingestion.sample.contacts import spell_email, spell_phone
from ingestion.sample.model import Consent, ConsentChannel, Person, Subscription
from ingestion.sample.randomness import pick
from ingestion.sample.stories import EMAIL_STORIES, SMS_STORIES, Step, Story
from ingestion.sample.wire import (
    DAY,
    END,
    HOUR,
    MINUTE,
    SERVER,
    Session,
    Wire,
    encode,
    identity,
    open_session,
)

_POLICY_VERSIONS: Final = ("2009-06", "2010-02")
_IN_CLOUD_SHARE: Final = 0.86
_GUEST_IN_CLOUD_SHARE: Final = 0.15
_KEYED_BY_EMAIL_SHARE: Final = 0.07
# Acts that a person or an agent does on the server's side, away from the person's own devices.
_WITHOUT_DEVICE: Final = frozenset({"agent", "import", "one_click"})


class Consents:
    """Sends the consent changes of one person, keeps the facts, adds the rows of the legacy cloud."""

    def __init__(self, person: Person, wire: Wire) -> None:
        self._person = person
        self._wire = wire

    def tell(self) -> None:
        """Tell the person's e-mail and phone stories."""
        person = self._person
        emails = [person.shared_email, *person.emails] if person.shared_email else person.emails
        phones = [person.shared_phone] if person.shared_phone else person.phones
        story = EMAIL_STORIES[person.email_story]
        times = self._act(story, "email", [email for email in emails if email])
        self._act(SMS_STORIES[person.sms_story], "sms", [phone for phone in phones if phone])
        if emails and emails[0]:
            self._subscribe(story, emails[0], times)

    def _act(self, story: Story, channel: ConsentChannel, addresses: list[str]) -> list[int]:
        """Do the steps; returns when each was done."""
        if not story.steps or not addresses:
            return []
        times = self._times(story.steps)
        for step, at in zip(story.steps, times, strict=True):
            if step.status == "cloud_unsubscribed":
                continue
            address = None if step.address is None else addresses[step.address]
            self._send(step, channel, at, address)
        return times

    def _times(self, steps: tuple[Step, ...]) -> list[int]:
        """Whole seconds, each at least ten seconds after the one before, none after the data ends."""
        person, random = self._person, self._person.random
        begin = person.known_at + (60_000 if person.kind == "guest" else 10_000)
        room = END - HOUR - begin - len(steps) * 20_000
        # The first answer is mostly given on the form of the sign-up or the checkout.
        early = steps[0].method == "form" and random.random() < 0.8
        draws = sorted(random.random() for _ in steps)
        if early:
            draws[0] = 0.0
        times: list[int] = []
        for index, (step, draw) in enumerate(zip(steps, draws, strict=True)):
            at = begin + int(draw * room) + index * 10_000
            if step.method == "double_opt_in":
                at = (
                    times[-1]
                    + 10_000
                    + int(random.random() * min(30 * MINUTE, max(END - HOUR - times[-1], 0)))
                )
            at -= at % 1000
            if times:
                at = times[-1] if step.together else max(at, times[-1] + 10_000)
            times.append(at)
        return times

    def _send(self, step: Step, channel: ConsentChannel, at: int, address: str | None) -> None:
        person, random = self._person, self._person.random
        body: dict[str, Any] = {
            "channel": channel,
            "purpose": "marketing",
            "status": "granted" if step.status == "broken" else step.status,
            "capture_method": step.method,
            "policy_version": pick(random, _POLICY_VERSIONS),
        }
        if address is not None and step.status != "broken":
            body["identifier_type"] = "email" if channel == "email" else "phone"
            body["identifier"] = (
                spell_email(random, address) if channel == "email" else spell_phone(random, address)
            )
        session, anonymous_id = self._open(at, step.method)
        who = identity(person.user_id, anonymous_id)
        if step.status == "broken":
            self._wire.send_broken(random, session, at, "Consent Changed", who=who, body=encode(body))
            return
        if person.user_id is not None:
            person.facts.see("user_id", person.user_id)
        if anonymous_id is not None:
            person.facts.see("anonymous_id", anonymous_id)
        self._wire.send(random, session, at, "Consent Changed", who=who, body=encode(body))
        person.facts.consents.append(Consent(at, channel, step.status, step.method, address))

    def _open(self, at: int, method: str) -> tuple[Session, str | None]:
        person = self._person
        device = person.devices[0]
        if person.user_id is None:
            return open_session(person.random, at, device.channel), device.anonymous_id
        if method in _WITHOUT_DEVICE:
            return SERVER, None
        return open_session(person.random, at, device.channel), device.anonymous_id

    def _subscribe(self, story: Story, address: str, times: list[int]) -> None:
        """The subscriber rows of the legacy cloud."""
        person, random = self._person, self._person.random
        share = _GUEST_IN_CLOUD_SHARE if person.kind == "guest" else _IN_CLOUD_SHARE
        is_there = random.random() < share
        if story.cloud == "absent" or (story.cloud == "likely" and not is_there):
            return
        by_email = person.user_id is None or (
            random.random() < _KEYED_BY_EMAIL_SHARE and not person.is_email_untold
        )
        if person.shared_email:
            by_email = False
        subscription = Subscription(
            key=address if by_email or person.user_id is None else person.user_id,
            address=address,
            written=spell_email(random, address),
            created_at=self._created_at(random),
            status="Active",
        )
        unsubscribed_at = next(
            (at for step, at in zip(story.steps, times, strict=True) if step.status == "cloud_unsubscribed"),
            None,
        )
        person.subscriptions.append(subscription)
        if story.cloud == "bounced":
            subscription.status = "Bounced"
        elif story.cloud == "held":
            subscription.status = "Held"
            subscription.held_at = _between(
                random, max(subscription.created_at, person.known_at) + 6 * HOUR, END - HOUR
            )
        elif story.cloud == "second_key" and person.user_id is not None and unsubscribed_at is not None:
            subscription.key = person.user_id
            second = Subscription(
                address, address, address, subscription.created_at, "Unsubscribed", [unsubscribed_at]
            )
            person.subscriptions.append(second)
        elif unsubscribed_at is not None:
            if story.cloud == "unsubscribed":
                subscription.status = "Unsubscribed"
            if story.cloud == "unsubscribed" and random.random() < 0.15:
                # Unsubscribed by an import or a call: the status knows it, no Unsubs row does.
                subscription.quiet_at = unsubscribed_at
            else:
                subscription.unsubscribed_at.append(unsubscribed_at)

    def _created_at(self, random: Random) -> int:
        person = self._person
        if person.is_signed_up or person.kind == "guest":
            return person.known_at + 5_000
        return person.known_at - DAY - int(random.random() * 500 * DAY)


def _between(random: Random, earliest: int, latest: int) -> int:
    at = int(earliest + random.random() * max(latest - earliest, 0))
    return min(at - at % 1000, END - 1000)
