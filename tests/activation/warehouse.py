"""A warehouse filled by hand: the public marts as dbt builds them, with whom a test puts in."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import duckdb

MARTS = """
create schema if not exists marts;
create or replace table marts.audience_memberships (
    audience_name varchar, canonical_id varchar, channel varchar, identifier_type varchar,
    identifier_key varchar, identifier_value varchar, consent_rule varchar, member_since timestamp
);
create or replace table marts.audience_exclusions (
    audience_name varchar, canonical_id varchar, channel varchar, reason varchar
);
create or replace table marts.audiences (
    audience_name varchar, description varchar, owner varchar, purpose varchar, channels varchar,
    eligible_people bigint, members bigint, excluded bigint
);
create or replace table marts.contact_points (
    canonical_id varchar, channel varchar, purpose varchar, identifier_type varchar, identifier_key varchar,
    identifier_value varchar, decision varchar, rule varchar, is_preferred boolean
);
create or replace table marts.profiles (
    canonical_id varchar, first_name varchar, last_name varchar, country_code varchar, email varchar,
    phone varchar, first_seen_at timestamp, last_seen_at timestamp, order_count bigint, lifetime_value double,
    first_order_at timestamp, last_order_at timestamp, is_loyal boolean, birth_date date
);
create or replace table marts.suppressions (
    identifier_key varchar, identifier_type varchar, channel varchar, reason varchar, suppressed_at timestamp,
    source_system varchar
);
create or replace table marts.consent_states (
    identifier_key varchar, identifier_type varchar, channel varchar, purpose varchar, status varchar,
    is_withdrawn boolean, last_changed_at timestamp, source_system varchar, source_record varchar,
    rule varchar
);
"""
AUDIENCES = (
    "new_customers", "abandoned_cart", "lapsed_high_value", "newsletter_gb", "newsletter_de", "newsletter_fr",
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """A member to be: one address at one channel, and the attributes that syncs map."""

    name: str
    email: str | None = None
    country: str | None = "GB"
    lifetime_value: float | None = 10.0

    @property
    def address(self) -> str:
        return self.email or f"{self.name}@example.com"


def key_of(address: str | None) -> str:
    return sha256(f"email:{address}".encode()).hexdigest()[:32]


def build_warehouse(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Empty marts with the six audiences declared."""
    warehouse.execute(MARTS)
    for audience in AUDIENCES:
        warehouse.execute(
            "insert into marts.audiences values (?, 'd', 'o', 'marketing', 'email,sms', 0, 0, 0)", [audience]
        )


def set_members(
    warehouse: duckdb.DuckDBPyConnection,
    people: Iterable[Person],
    *,
    audience: str = "new_customers",
    channel: str = "email",
) -> None:
    """Make these people, and nobody else, members of the audience at the channel."""
    warehouse.execute(
        "delete from marts.audience_memberships where audience_name = ? and channel = ?", [audience, channel]
    )
    for person in people:
        warehouse.execute(
            "insert into marts.audience_memberships values (?, ?, ?, 'email', ?, ?, 'granted', '2010-12-01')",
            [audience, person.name, channel, key_of(person.address), person.address],
        )
        warehouse.execute("delete from marts.profiles where canonical_id = ?", [person.name])
        warehouse.execute(
            "insert into marts.profiles (canonical_id, first_name, country_code, lifetime_value, order_count)"
            " values (?, ?, ?, ?, 1)",
            [person.name, person.name.title(), person.country, person.lifetime_value],
        )


def withdraw(warehouse: duckdb.DuckDBPyConnection, address: str, *, channel: str = "email") -> None:
    """Record a standing withdrawal in the marts."""
    warehouse.execute(
        "insert into marts.consent_states values (?, 'email', ?, 'marketing', 'withdrawn', true, "
        "'2010-12-05', 'web',"
        " 'e1', 'latest')",
        [key_of(address), channel],
    )
