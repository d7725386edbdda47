"""A warehouse filled by hand: the public marts as dbt builds them, with whom a test puts in."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
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
create or replace table marts.event_stream (
    event_id varchar, canonical_id varchar, event_name varchar, source_system varchar, properties varchar,
    occurred_at timestamp, received_at timestamp
);
create or replace table marts.identity_redirects (
    canonical_id varchar primary key, current_canonical_id varchar, first_published_in bigint
);
create or replace view marts.identity_first_ids as
select current_canonical_id as canonical_id, arg_min(canonical_id, first_published_in) as first_canonical_id
from marts.identity_redirects
where current_canonical_id is not null
group by current_canonical_id;
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
        publish_id(warehouse, person.name)
        warehouse.execute("delete from marts.profiles where canonical_id = ?", [person.name])
        warehouse.execute(
            "insert into marts.profiles (canonical_id, first_name, country_code, lifetime_value, order_count)"
            " values (?, ?, ?, ?, 1)",
            [person.name, person.name.title(), person.country, person.lifetime_value],
        )


def publish_id(warehouse: duckdb.DuckDBPyConnection, name: str, *, stands_for: str | None = None) -> None:
    """Publish an id, unless it was before; it is a person's own until `stands_for` another's."""
    warehouse.execute(
        "insert into marts.identity_redirects select ?, ?, (select count(*) from marts.identity_redirects)"
        " on conflict do nothing",
        [name, name],
    )
    if stands_for is not None:
        warehouse.execute(
            "update marts.identity_redirects set current_canonical_id = ? where canonical_id = ?",
            [stands_for, name],
        )


def keep_out(
    warehouse: duckdb.DuckDBPyConnection, names: Iterable[str], *, audience: str = "new_customers"
) -> None:
    """Let these people, and nobody else, belong to the audience at email but not be reachable."""
    warehouse.execute("delete from marts.audience_exclusions where audience_name = ?", [audience])
    for name in names:
        publish_id(warehouse, name)
        warehouse.execute(
            "insert into marts.audience_exclusions values (?, ?, 'email', 'no_consent')", [audience, name]
        )


def make_reachable(warehouse: duckdb.DuckDBPyConnection, person: Person, *, decision: str = "allow") -> None:
    """Give a person her address, allowed or denied for marketing at email."""
    warehouse.execute("delete from marts.contact_points where canonical_id = ?", [person.name])
    warehouse.execute(
        "insert into marts.contact_points values (?, 'email', 'marketing', 'email', ?, ?, ?, ?, true)",
        [
            person.name, key_of(person.address), person.address, decision,
            "granted" if decision == "allow" else "withdrawn",
        ],
    )  # fmt: skip


def note_event(
    warehouse: duckdb.DuckDBPyConnection,
    event_id: str,
    person: str,
    *,
    at: datetime,
    name: str = "order_completed",
    properties: str = "{}",
) -> None:
    """An event of a person, as the marts have it."""
    warehouse.execute(
        "insert into marts.event_stream values (?, ?, ?, 'shop', ?, ?, ?)",
        [event_id, person, name, properties, at.replace(tzinfo=None), at.replace(tzinfo=None)],
    )


def withdraw(warehouse: duckdb.DuckDBPyConnection, address: str, *, channel: str = "email") -> None:
    """Record a standing withdrawal in the marts."""
    warehouse.execute(
        "insert into marts.consent_states values (?, 'email', ?, 'marketing', 'withdrawn', true, "
        "'2010-12-05', 'web',"
        " 'e1', 'latest')",
        [key_of(address), channel],
    )
