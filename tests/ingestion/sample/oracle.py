"""Derives people, consent and memberships again, from the written files alone and by brute force.

It shares nothing with the generator: identifiers are normalised with the libraries that ingestion uses,
people are found by union-find over all lines, consent is replayed in order of time. What it finds must be
the ground truth.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import email_validator
import phonenumbers

Identifier = tuple[str, str]
OPT_IN = set("GB IE DE FR ES NL PT BE SE CH IT AT DK FI CY NO GR PL LT MT IS GG AU JP CA BR SG".split())  # noqa: SIM905
CHANNELS = {"email": "email", "phone": "sms"}
RANKS = [
    "suppressed",
    "withdrawn",
    "pending_double_opt_in",
    "unknown_jurisdiction",
    "no_policy",
    "no_consent",
]


def read_archive(path: Path) -> dict[str, list[dict[str, str]]]:
    """The CSV files of a tracking extract by name."""
    with zipfile.ZipFile(path) as archive:
        return {
            name: list(csv.DictReader(io.StringIO(archive.read(name).decode("utf-16"), newline="")))
            for name in archive.namelist()
        }


def legacy_time(text: str) -> datetime | None:
    """A date of the extract as UTC."""
    if not text:
        return None
    return datetime.strptime(text, "%m/%d/%Y %I:%M:%S %p").replace(tzinfo=UTC) + timedelta(hours=6)


def normalise(kind: str, raw: str) -> str | None:
    """The normalised identifier, or None where it is invalid."""
    text = raw.strip()
    if kind == "email":
        try:
            return email_validator.validate_email(text, check_deliverability=False).normalized.lower()
        except email_validator.EmailNotValidError:
            return None
    if kind == "phone":
        try:
            number = phonenumbers.parse(text, "GB")
        except phonenumbers.NumberParseException:
            return None
        if not phonenumbers.is_valid_number(number):
            return None
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return text or None


def is_accepted(line: bytes) -> dict[str, Any] | None:  # noqa: PLR0911 (one rule after another)
    """The message of a line that keeps every rule that can be seen without a contract's schema."""
    if len(line) > 1 << 20:
        return None
    try:
        message = json.loads(line.decode())
    except ValueError:
        return None
    if not isinstance(message, dict) or not message.get("messageId"):
        return None
    if not (message.get("userId") or message.get("anonymousId")):
        return None
    try:
        at = datetime.fromisoformat(message["timestamp"])
    except ValueError:
        return None
    received = datetime.fromisoformat(message["receivedAt"])
    if at.year < 2000 or at > received + timedelta(days=1):
        return None
    return message


@dataclass
class Oracle:
    """Reads one sample folder."""

    folder: Path
    validators: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)
    duplicates: int = 0
    rejected: int = 0
    root: dict[Identifier, Identifier] = field(default_factory=dict)
    users: dict[Identifier, set[str]] = field(default_factory=lambda: defaultdict(set))
    links: list[list[Identifier]] = field(default_factory=list)

    def run(self) -> None:
        seen: set[str] = set()
        for path in sorted((self.folder / "events").iterdir()):
            with path.open("rb") as lines:
                for line in lines:
                    self._read(line.rstrip(b"\n"), seen)
        (archive,) = (self.folder / "legacy").iterdir()
        self.legacy = read_archive(archive)
        for row in self.legacy["Subscribers.csv"]:
            key = normalise("key", row["SubscriberKey"])
            email = normalise("email", row["EmailAddress"])
            self._link([("sfmc_subscriber_key", key), ("email", email)])
        self._merge()

    def _read(self, line: bytes, seen: set[str]) -> None:
        message = is_accepted(line)
        name = None if message is None else message.get("event") or message["type"]
        if message is None or name not in self.validators or not self._is_valid(name, message):
            self.rejected += 1
            return
        if message["messageId"] in seen:
            self.duplicates += 1
            return
        seen.add(message["messageId"])
        body = message.get("properties", message.get("traits"))
        found: list[tuple[str, str | None]] = [
            ("user_id", message.get("userId")),
            ("anonymous_id", message.get("anonymousId")),
        ]
        for kind in ("email", "phone"):
            if name != "Consent Changed" and kind in body:
                found.append((kind, normalise(kind, body[kind])))
        if "identifier" in body:
            found.append((body["identifier_type"], normalise(body["identifier_type"], body["identifier"])))
        identifiers = self._link(found)
        for identifier in identifiers:
            if message.get("userId") and identifier[0] != "user_id":
                self.users[identifier].add(message["userId"])
        self.events.append(
            {
                "name": name,
                "at": datetime.fromisoformat(message["timestamp"]),
                "id": message["messageId"],
                "body": body,
                "identifiers": identifiers,
            }
        )

    def _is_valid(self, name: str, message: dict[str, Any]) -> bool:
        return bool(self.validators[name].is_valid(message.get("properties", message.get("traits"))))

    def _link(self, found: list[tuple[str, str | None]]) -> list[Identifier]:
        identifiers = [(kind, value) for kind, value in found if value]
        for identifier in identifiers:
            self.root.setdefault(identifier, identifier)
        self.links.append(identifiers)
        return identifiers

    def find(self, identifier: Identifier) -> Identifier:
        while self.root[identifier] != identifier:
            self.root[identifier] = self.root[self.root[identifier]]
            identifier = self.root[identifier]
        return identifier

    def _merge(self) -> None:
        self.shared = {identifier for identifier, users in self.users.items() if len(users) > 1}
        known = {value for kind, value in self.root if kind == "user_id"}
        keys = [value for kind, value in self.root if kind == "sfmc_subscriber_key" and value in known]
        self.links += [[("sfmc_subscriber_key", value), ("user_id", value)] for value in keys]
        for link in self.links:
            own = [identifier for identifier in link if identifier not in self.shared]
            for one, other in pairwise(own):
                self.root[self.find(one)] = self.find(other)
        self.people: dict[Identifier, list[Identifier]] = defaultdict(list)
        for identifier in self.root:
            if identifier not in self.shared:
                self.people[self.find(identifier)].append(identifier)
        self.lives: dict[Identifier, list[dict[str, Any]]] = defaultdict(list)
        for event in self.events:
            own = [identifier for identifier in event["identifiers"] if identifier not in self.shared]
            if own:
                self.lives[self.find(own[0])].append(event)

    def decisions(self) -> dict[Identifier, tuple[str, str, str]]:
        """For each address of a person: channel, decision, reason."""
        found: dict[Identifier, tuple[str, str, str]] = {}
        subscribers: dict[str, list[dict[str, str]]] = defaultdict(list)
        unsubs: dict[str, list[datetime]] = defaultdict(list)
        for row in self.legacy["Subscribers.csv"]:
            subscribers[normalise("email", row["EmailAddress"]) or ""].append(row)
        for row in self.legacy["Unsubs.csv"]:
            at = legacy_time(row["EventDate"])
            assert at is not None
            unsubs[normalise("email", row["EmailAddress"]) or ""].append(at)
        for person, identifiers in self.people.items():
            for kind, value in identifiers:
                if kind in CHANNELS:
                    rows = subscribers[value] if kind == "email" else []
                    lost = unsubs[value] if kind == "email" else []
                    found[(kind, value)] = (CHANNELS[kind], *self._decide(person, (kind, value), rows, lost))
        return found

    def country(self, person: Identifier) -> str | None:
        told = [
            (event["at"], event["id"], event["body"]["country"])
            for event in self.lives[person]
            if event["body"].get("country") and event["name"] in {"Signed Up", "identify", "Order Completed"}
        ]
        return max(told)[2] if told else None

    def _history(
        self, person: Identifier, address: Identifier, rows: list[dict[str, str]], unsubs: list[datetime]
    ) -> list[tuple[datetime, int, str, str]]:
        """(when, strictness, status, method) in order of time; at one instant the strict comes last."""
        kind, value = address
        history = [(at, 2, "withdrawn", "import") for at in unsubs]
        for row in rows:
            if row["Status"] == "Unsubscribed":
                at = legacy_time(row["DateUnsubscribed"])
                assert at is not None
                history.append((at, 2, "withdrawn", "import"))
        for event in self.lives[person]:
            body = event["body"]
            if event["name"] != "Consent Changed" or body["channel"] != CHANNELS[kind]:
                continue
            if "identifier" in body and normalise(kind, body["identifier"]) != value:
                continue
            strictness = {"granted": 0, "pending_doi": 1, "withdrawn": 2}[body["status"]]
            history.append((event["at"], strictness, body["status"], body["capture_method"]))
        return sorted(history)

    def _decide(  # noqa: PLR0911 (one rule after another)
        self, person: Identifier, address: Identifier, rows: list[dict[str, str]], unsubs: list[datetime]
    ) -> tuple[str, str]:
        if any(row["Status"] == "Held" for row in rows):
            return "deny", "suppressed"
        country, channel = self.country(person), CHANNELS[address[0]]
        state, is_granted, is_withdrawn = None, False, False
        withdrawn_at = None
        for at, _, status, method in self._history(person, address, rows, unsubs):
            state = status
            if status == "withdrawn":
                is_withdrawn, withdrawn_at = True, at
            elif status == "granted":
                is_granted = True
                if method in {"form", "preference_center", "double_opt_in"} and at != withdrawn_at:
                    is_withdrawn = False
        if is_withdrawn:
            return "deny", "withdrawn"
        if state == "pending_doi":
            return "deny", "pending_double_opt_in"
        if country is None:
            return "deny", "unknown_jurisdiction"
        if country != "US" and country not in OPT_IN:
            return "deny", "no_policy"
        if is_granted:
            return "allow", "granted"
        if country == "US" and channel == "email":
            return "allow", "opt_out_regime"
        return "deny", "no_consent"

    def memberships(self, as_of: datetime) -> dict[tuple[str, Identifier, str], tuple[bool, str | None]]:
        """For each eligible person and channel: whether a member, and why not."""
        decisions = self.decisions()
        found: dict[tuple[str, Identifier, str], tuple[bool, str | None]] = {}
        for person, identifiers in self.people.items():
            for audience in self._eligible(person, as_of):
                channels = ["email", "sms"] if audience in {"new_customers", "abandoned_cart"} else ["email"]
                for channel in channels:
                    mine = [
                        decisions[i] for i in identifiers if i in decisions and decisions[i][0] == channel
                    ]
                    if any(decision == "allow" for _, decision, _ in mine):
                        found[(audience, person, channel)] = (True, None)
                    elif mine:
                        reason = min((reason for _, _, reason in mine), key=RANKS.index)
                        found[(audience, person, channel)] = (False, reason)
                    else:
                        found[(audience, person, channel)] = (False, "no_address")
        return found

    def _eligible(self, person: Identifier, as_of: datetime) -> list[str]:
        life = self.lives[person]
        orders = [(e["at"], e["body"]["total"]) for e in life if e["name"] == "Order Completed"]
        orders = [order for order in orders if order[1] > 0]
        value = sum(total for _, total in orders) - sum(
            event["body"]["total"] for event in life if event["name"] == "Order Cancelled"
        )
        carts = [e["at"] for e in life if e["name"] == "Cart Updated" and e["body"]["total"] > 0]
        audiences = []
        if orders and min(orders)[0] >= as_of - timedelta(days=30):
            audiences.append("new_customers")
        if orders and round(value, 3) >= 1000 and max(orders)[0] < as_of - timedelta(days=90):
            audiences.append("lapsed_high_value")
        if (
            carts
            and max(carts) >= as_of - timedelta(days=7)
            and not any(at >= max(carts) for at, _ in orders)
        ):
            audiences.append("abandoned_cart")
        country = self.country(person)
        if country in {"GB", "DE", "FR"}:
            audiences.append(f"newsletter_{country.lower()}")
        return audiences
