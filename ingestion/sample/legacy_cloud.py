"""Thirteen months in the life of the legacy cloud: what it sent, and how its subscribers took it."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from ingestion.sample.model import Subscription
from ingestion.sample.randomness import Weighted, pick, stream
from ingestion.sample.wire import DAY, END, HOUR, MINUTE, START

CLIENT_ID: Final = 7_204_411
LIST_ID: Final = 118
WELCOME_SEND_ID: Final = 39_001
WELCOME_KEY: Final = "welcome_after_sign_up"
_FIRST_SEND_ID: Final = 40_001
_SEND_EVERY: Final = 14 * DAY
_MACHINE_OPENS_SHARE: Final = 0.3
_CLICK_SHARE: Final = 0.12
_SHOP: Final = "https://shop.example"

_SUBJECTS: Final = (
    "New in: paper lanterns, bunting and more",
    'You asked for "retrospot": here it is',
    "Free delivery this week, this week only",
    "Tea time 🫖 for two, or for twelve",
    "Your garden, before the neighbours wake",
)
_CLIENTS: Final = (
    ("Outlook", "Outlook 2007", "Windows XP", "PC"),
    ("Firefox", "Webmail", "Windows 7", "PC"),
    ("Safari", "Apple Mail", "Mac OS X", "Mac"),
    ("Mobile Safari", "iPhone Mail", "iOS", "iPhone"),
)
# A privacy proxy fetches the pictures of every message: its user agent is exactly this.
MACHINE_USER_AGENT: Final = ("Mozilla/5.0", "", "", "")
_BOUNCES: Final = Weighted(soft=60, block=20, technical=10, unknown=10)
_BOUNCE_TEXTS: Final = {
    "hard": ("Hard bounce", 550, '550 5.1.1 "No such mailbox here", says the receiver'),
    "soft": ("Soft bounce", 452, "452 4.2.2 The mailbox is full, try again later"),
    "block": ("Block bounce", 554, "554 5.7.1 Refused: see the receiver's policy, section 3"),
    "technical": ("Technical/Other bounce", 451, "451 4.3.0 Temporary failure"),
    "unknown": ("Unknown bounce", 0, ""),
}


@dataclass(frozen=True, slots=True)
class SendJob:
    """One newsletter, or the standing welcome message (then with a triggered-send key)."""

    send_id: int
    at: int
    name: str
    subject: str
    triggered_key: str = ""


@dataclass(frozen=True, slots=True)
class Contact:
    """What every tracking row says about whom and when; `batch_id` is 0 unless the send was triggered."""

    at: int
    job: SendJob
    subscriber_id: int
    subscription: Subscription
    batch_id: int


@dataclass(slots=True)
class Tracking:
    """All rows of a tracking extract, by file."""

    jobs: list[SendJob] = field(default_factory=list)
    subscribers: list[tuple[int, Subscription]] = field(default_factory=list)
    sent: list[Contact] = field(default_factory=list)
    opens: list[tuple[Contact, bool, tuple[str, str, str, str]]] = field(default_factory=list)
    clicks: list[tuple[Contact, int, str, str]] = field(default_factory=list)
    bounces: list[tuple[Contact, str, int, str]] = field(default_factory=list)
    unsubs: list[Contact] = field(default_factory=list)


def live_in_cloud(subscriptions: list[Subscription], seed: int) -> Tracking:
    """What the cloud did with its subscribers, each from a random stream of its own."""
    tracking = Tracking(jobs=_jobs())
    ordered = sorted(subscriptions, key=lambda subscription: (subscription.created_at, subscription.key))
    for subscriber_id, subscription in enumerate(ordered, start=500_001):
        tracking.subscribers.append((subscriber_id, subscription))
        _Subscriber(
            tracking, subscriber_id, subscription, stream(seed, 0, f"cloud/{subscription.key}")
        ).live()
    for contacts in (tracking.sent, tracking.unsubs):
        contacts.sort(key=_by_time)
    tracking.opens.sort(key=lambda row: (*_by_time(row[0]), row[2]))
    tracking.clicks.sort(key=lambda row: (*_by_time(row[0]), row[1]))
    tracking.bounces.sort(key=lambda row: _by_time(row[0]))
    return tracking


def _by_time(contact: Contact) -> tuple[int, int, int]:
    return contact.at, contact.subscriber_id, contact.job.send_id


def _jobs() -> list[SendJob]:
    jobs = [SendJob(WELCOME_SEND_ID, START, "welcome", "Welcome to the shop", WELCOME_KEY)]
    at = START + 7 * DAY + 10 * HOUR
    while at < END:
        number = len(jobs)
        jobs.append(
            SendJob(
                _FIRST_SEND_ID + number, at, f"newsletter_{number:02d}", _SUBJECTS[number % len(_SUBJECTS)]
            )
        )
        at += _SEND_EVERY
    return jobs


class _Subscriber:
    def __init__(
        self, tracking: Tracking, subscriber_id: int, subscription: Subscription, random: Random
    ) -> None:
        self._tracking = tracking
        self._id = subscriber_id
        self._subscription = subscription
        self._random = random
        self._machine_opens = random.random() < _MACHINE_OPENS_SHARE
        self._interest = 0.02 + random.random() ** 2 * 0.6
        self._client = pick(random, _CLIENTS)

    def live(self) -> None:
        subscription, random = self._subscription, self._random
        until = min(
            (*subscription.unsubscribed_at, subscription.quiet_at or END, subscription.held_at or END)
        )
        if subscription.status == "Active":
            # Somebody set the subscriber active again some time after the unsubscribe.
            until = END
        jobs = [job for job in self._tracking.jobs[1:] if subscription.created_at < job.at < until]
        if START <= subscription.created_at < END - HOUR:
            self._receive(
                self._tracking.jobs[0], subscription.created_at + 20_000, batch_id=self._id - 500_000
            )
        bounced = self._bounced(jobs)
        for job in jobs:
            if job.at in bounced:
                self._bounce(job)
            else:
                self._receive(job, job.at + int(random.random() * 20 * MINUTE), batch_id=0)
        for at in subscription.unsubscribed_at:
            before = [job for job in jobs if job.at < at]
            job = before[-1] if before else self._tracking.jobs[0]
            self._tracking.unsubs.append(self._contact(at, job, 0))

    def _bounced(self, jobs: list[SendJob]) -> set[int]:
        if self._subscription.status == "Held":
            return {job.at for job in jobs[-3:]}
        if self._subscription.status == "Bounced":
            return {job.at for job in jobs[-1:]}
        return {job.at for job in jobs if self._random.random() < 0.003}

    def _contact(self, at: int, job: SendJob, batch_id: int) -> Contact:
        return Contact(at, job, self._id, self._subscription, batch_id)

    def _receive(self, job: SendJob, at: int, *, batch_id: int) -> None:
        if at >= END:
            return
        random, tracking = self._random, self._tracking
        tracking.sent.append(self._contact(at, job, batch_id))
        is_first = True
        if self._machine_opens:
            opened_at = at + 5_000 + int(random.random() * 10 * MINUTE)
            if opened_at < END:
                tracking.opens.append((self._contact(opened_at, job, batch_id), True, MACHINE_USER_AGENT))
                is_first = False
        if random.random() >= self._interest:
            return
        opened_at = at + 2 * MINUTE + int(random.expovariate(1 / (9 * HOUR)))
        if opened_at >= END:
            return
        tracking.opens.append((self._contact(opened_at, job, batch_id), is_first, self._client))
        if random.random() < _CLICK_SHARE:
            clicked_at = opened_at + 4_000 + int(random.random() * 3 * MINUTE)
            if clicked_at < END:
                number = 1 + int(random.random() * 6)
                url = f"{_SHOP}/{job.name}/{number}?utm_medium=email&utm_campaign={job.name}"
                contact = self._contact(clicked_at, job, batch_id)
                tracking.clicks.append((contact, number, url, f"offer {number}"))

    def _bounce(self, job: SendJob) -> None:
        at = job.at + int(self._random.random() * 20 * MINUTE)
        kind = "hard" if self._subscription.status == "Held" else _BOUNCES.draw(self._random)
        if at + MINUTE < END:
            self._tracking.sent.append(self._contact(at, job, 0))
            self._tracking.bounces.append((self._contact(at + MINUTE, job, 0), *_BOUNCE_TEXTS[kind]))
