"""The ground truth: who is one person, what each agreed to, who belongs in each audience. Read by tests only.

Computed from what the generator knows of the people it made, one person at a time, neither from the lines
nor by SQL.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.sample.model import Consent, ConsentChannel, Household, Person
from ingestion.sample.profiles import Duplicate
from ingestion.sample.wire import DAY, END

OWN_ACTS: Final = frozenset({"form", "preference_center", "double_opt_in"})
# Which rule answers where several addresses of a person are denied.
DENIALS: Final = (
    *("suppressed", "withdrawn", "pending_double_opt_in", "unknown_jurisdiction", "no_policy", "no_consent"),
)
_OPT_IN: Final = frozenset(
    [
        "GB",
        "IE",
        "DE",
        "FR",
        "ES",
        "NL",
        "PT",
        "BE",
        "SE",
        "CH",
        "IT",
        "AT",
        "DK",
        "FI",
        "CY",
        "NO",
        "GR",
        "PL",
        "LT",
        "MT",
        "IS",
        "GG",
        "AU",
        "JP",
        "CA",
        "BR",
        "SG",
    ]
)
_NEWSLETTERS: Final = {"GB": "newsletter_gb", "DE": "newsletter_de", "FR": "newsletter_fr"}
_ADDRESS_TYPES: Final[dict[ConsentChannel, str]] = {"email": "email", "sms": "phone"}
HIGH_VALUE: Final = 1_000_000


def regime(country: str, channel: str) -> str | None:
    """The policy of the sample: opt_in, opt_out, or None where there is no row."""
    if country == "US":
        return "opt_out" if channel == "email" else "opt_in"
    return "opt_in" if country in _OPT_IN else None


@dataclass(slots=True)
class Truth:
    """Rows of the truth tables, gathered household by household.

    `duplicates` are people that only their profiles give away: in every other table they are two.
    """

    identifiers: list[tuple[str, str, str | None]] = field(default_factory=list)
    consent: list[tuple[str, str, str, str, str, str]] = field(default_factory=list)
    memberships: list[tuple[str, str, str, bool, str | None]] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    people: int = 0

    def add(self, household: Household) -> None:
        """Judge the people of one household; what they share identifies nobody."""
        shared: dict[tuple[str, str], None] = {}
        for person in household:
            for device in person.devices:
                if device.is_shared:
                    shared[("anonymous_id", device.anonymous_id)] = None
            if person.shared_email:
                shared[("email", person.shared_email)] = None
            if person.shared_phone:
                shared[("phone", person.shared_phone)] = None
        self.identifiers += [(kind, value, None) for kind, value in shared]
        for person in household:
            self._add_person(person, shared)

    def _add_person(self, person: Person, shared: dict[tuple[str, str], None]) -> None:
        known = dict(person.facts.identifiers)
        for subscription in person.subscriptions:
            known[("sfmc_subscriber_key", subscription.key)] = None
            known[("email", subscription.address)] = None
        own = [identifier for identifier in known if identifier not in shared]
        if not own:
            return
        self.people += 1
        self.identifiers += [(kind, value, person.key) for kind, value in own]
        country = max(person.facts.countries)[2] if person.facts.countries else None
        decisions: dict[ConsentChannel, list[tuple[str, str]]] = {"email": [], "sms": []}
        for channel, kind in _ADDRESS_TYPES.items():
            for address in (value for owned, value in own if owned == kind):
                decision, reason = decide(person, channel, address, country)
                decisions[channel].append((decision, reason))
                self.consent.append((kind, address, channel, "marketing", decision, reason))
        for audience, channels in _eligible(person, country):
            for channel in channels:
                is_member, reason_out = _membership(decisions[channel])
                self.memberships.append((audience, person.key, channel, is_member, reason_out))

    def write(self, folder: Path) -> None:
        """Write the tables, sorted."""
        folder.mkdir()
        _write(
            folder / "identifiers.parquet",
            ("identifier_type", "identifier_value", "person_id"),
            self.identifiers,
        )
        columns = ("identifier_type", "identifier_value", "channel", "purpose", "decision", "reason")
        _write(folder / "consent.parquet", columns, self.consent)
        columns_out = ("audience", "person_id", "channel", "is_member", "reason")
        _write(folder / "memberships.parquet", columns_out, self.memberships)
        _write(
            folder / "duplicates.parquet",
            ("subscriber_key", "other_subscriber_key", "spelled"),
            [(row.subscriber_key, row.other_subscriber_key, row.spelled) for row in self.duplicates],
        )


def decide(  # noqa: PLR0911 (a ladder of rules, in their order)
    person: Person, channel: ConsentChannel, address: str, country: str | None
) -> tuple[str, str]:
    """Whether the person may be written to at one of their addresses, and by which rule."""
    if (
        any(row.address == address and row.status == "Held" for row in person.subscriptions)
        and channel == "email"
    ):
        return "deny", "suppressed"
    changes = [
        change
        for change in person.facts.consents
        if change.channel == channel and change.address in {address, None}
    ]
    withdrawals = [change.at for change in changes if change.status == "withdrawn"]
    if channel == "email":
        for row in person.subscriptions:
            if row.address == address:
                withdrawals += row.unsubscribed_at
                withdrawals += [row.quiet_at] if row.quiet_at is not None else []
    lifted_at = max((change.at for change in changes if _is_own_grant(change)), default=-1)
    if withdrawals and lifted_at <= max(withdrawals):
        return "deny", "withdrawn"
    latest = max(changes, key=lambda change: (change.at, change.status == "pending_doi"), default=None)
    if latest is not None and latest.status == "pending_doi":
        return "deny", "pending_double_opt_in"
    if country is None:
        return "deny", "unknown_jurisdiction"
    rule = regime(country, channel)
    if rule is None:
        return "deny", "no_policy"
    if any(change.status == "granted" for change in changes):
        return "allow", "granted"
    return ("allow", "opt_out_regime") if rule == "opt_out" else ("deny", "no_consent")


def _is_own_grant(change: Consent) -> bool:
    return change.status == "granted" and change.method in OWN_ACTS


def _eligible(person: Person, country: str | None) -> Iterable[tuple[str, tuple[ConsentChannel, ...]]]:
    facts = person.facts
    ordered_at = [at for at, _ in facts.orders]
    if ordered_at and min(ordered_at) >= END - 30 * DAY:
        yield "new_customers", ("email", "sms")
    value = sum(total for _, total in facts.orders) - sum(total for _, total in facts.cancellations)
    if ordered_at and value >= HIGH_VALUE and max(ordered_at) < END - 90 * DAY:
        yield "lapsed_high_value", ("email",)
    filled_at = max((at for at, total in facts.carts if total > 0), default=0)
    if filled_at >= END - 7 * DAY and max(ordered_at, default=0) < filled_at:
        yield "abandoned_cart", ("email", "sms")
    if country in _NEWSLETTERS:
        yield _NEWSLETTERS[country], ("email",)


def _membership(decisions: list[tuple[str, str]]) -> tuple[bool, str | None]:
    if not decisions:
        return False, "no_address"
    if any(decision == "allow" for decision, _ in decisions):
        return True, None
    return False, min((reason for _, reason in decisions), key=DENIALS.index)


def _write(path: Path, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    ordered = sorted(rows, key=lambda row: tuple(str(value) for value in row))
    table = pa.table(
        {
            name: pa.array(
                (row[index] for row in ordered), pa.bool_() if name == "is_member" else pa.string()
            )
            for index, name in enumerate(columns)
        }
    )
    pq.write_table(table, path, compression="zstd")


def write_event_counts(
    folder: Path, *, received: int, accepted: int, duplicates: int, quarantined: dict[str, int]
) -> None:
    """Write how every line of the events must end."""
    counts = {
        "received": received,
        "accepted": accepted,
        "duplicates": duplicates,
        "quarantined": dict(sorted(quarantined.items())),
    }
    (folder / "event_counts.json").write_bytes(orjson.dumps(counts, option=orjson.OPT_INDENT_2))
