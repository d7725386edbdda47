"""The gate at the claim: routes, freezes, denials and caps, and the feeds that keep them.

Deny-only: nothing here can make a person reachable whom the marts keep out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from activation.errors import ConfigError
from activation.ledger import Ledger, Transaction
from activation.sql_files import read_sql
from activation.times import from_micros, to_micros

EVERYTHING = "*"
MARTS_FEED = "marts"


@dataclass(frozen=True, slots=True)
class Denial:
    """A standing no for an address (`identifier_key`) or a person, at one channel or all (`*`)."""

    channel: str
    reason: str
    denied_at: datetime
    identifier_key: str | None = None
    canonical_id: str | None = None


@dataclass(frozen=True)
class DenialRefresh:
    """What a refresh did; `is_behind` means its watermark was older than the last, so nothing was lifted."""

    standing: int
    added: int
    lifted: int
    is_behind: bool


@dataclass(frozen=True)
class Freeze:
    """A pause that every claim obeys."""

    sync_name: str
    reason: str
    set_by: str
    frozen_at: datetime


def refresh_denials(
    ledger: Ledger,
    rows: Iterable[Denial],
    *,
    watermark: datetime,
    now: datetime,
    feed: str = MARTS_FEED,
) -> DenialRefresh:
    """Replace what the marts deny, in one transaction.

    `watermark`: receipt time of the newest event that the marts have seen. Only what the marts no longer
    deny is lifted, and of other feeds only denials that the watermark has passed. A watermark older than the
    last one adds and lifts nothing.
    """
    mark = to_micros(watermark)
    values = [
        (feed, row.identifier_key, row.canonical_id, row.channel, row.reason, to_micros(row.denied_at))
        for row in rows
    ]
    with ledger.write() as transaction:
        former = transaction.execute("select watermark from denial_feeds where feed = ?", (feed,)).fetchone()
        is_behind = former is not None and former[0] > mark
        transaction.execute("create temp table fresh_denials as select * from denials where false")
        transaction.connection.executemany("insert into fresh_denials values (?, ?, ?, ?, ?, ?)", values)
        # each standing denial looks for itself among the fresh ones
        transaction.execute("create index fresh_denials_by_address on fresh_denials (identifier_key)")
        transaction.execute("create index fresh_denials_by_person on fresh_denials (canonical_id)")
        lifted = 0
        if not is_behind:
            lifted = transaction.execute(read_sql("denials_lift"), {"feed": feed, "watermark": mark}).rowcount
        added = transaction.execute(read_sql("denials_add"), {"feed": feed}).rowcount
        transaction.execute("drop table fresh_denials")
        if not is_behind:
            transaction.execute(
                "insert into denial_feeds values (?, ?, ?) on conflict (feed) do update"
                " set watermark = excluded.watermark, refreshed_at = excluded.refreshed_at",
                (feed, mark, to_micros(now)),
            )
        (standing,) = transaction.execute("select count(*) from denials").fetchone()
    return DenialRefresh(standing, added, lifted, is_behind)


def add_denials(ledger: Ledger, rows: Sequence[Denial], *, feed: str) -> int:
    """Add denials from a feed that only ever adds (the tail of the event log); the marts lift them later."""
    if feed == MARTS_FEED:
        raise ValueError("the marts feed is replaced as a whole; use refresh_denials")
    with ledger.write() as transaction:
        cursor = transaction.connection.executemany(
            "insert into denials values (?, ?, ?, ?, ?, ?) on conflict do nothing",
            [
                (
                    feed,
                    row.identifier_key,
                    row.canonical_id,
                    row.channel,
                    row.reason,
                    to_micros(row.denied_at),
                )
                for row in rows
            ],
        )
        return cursor.rowcount


def marts_denials(warehouse: duckdb.DuckDBPyConnection) -> list[Denial]:
    """Every address that `marts.suppressions` or a standing withdrawal in `marts.consent_states` denies."""
    rows = warehouse.execute(read_sql("marts_denials")).fetchall()
    return [
        Denial(
            channel=channel, reason=reason, denied_at=from_micros(denied_at), identifier_key=identifier_key
        )
        for identifier_key, channel, reason, denied_at in rows
    ]


def denials_age(transaction: Transaction, now: datetime) -> timedelta | None:
    """Time since the marts feed was last refreshed; None if it never was."""
    row = transaction.execute(
        "select refreshed_at from denial_feeds where feed = ?", (MARTS_FEED,)
    ).fetchone()
    return None if row is None else now - from_micros(row[0])


def ensure_route(ledger: Ledger, sync_name: str, route: str, *, now: datetime) -> str:
    """The sync's route; when it has none yet, the one its file names is appended first."""
    known = route_of(ledger, sync_name)
    if known is not None:
        return known
    with ledger.write() as transaction:
        if current_route(transaction, sync_name) is None:
            transaction.execute(
                "insert into routes (sync_name, route, reason, set_by, set_at) values (?, ?, ?, ?, ?)",
                (sync_name, route, "first route, from the sync's file", "definition", to_micros(now)),
            )
        return current_route(transaction, sync_name) or route


def route_of(ledger: Ledger, sync_name: str) -> str | None:
    """The sync's route as of now, or None."""
    with ledger.read() as connection:
        return current_route(Transaction(connection, 0), sync_name)


def append_route(
    ledger: Ledger, sync_name: str, route: str, *, reason: str, set_by: str, now: datetime
) -> None:
    """Change who serves a sync, by appending."""
    with ledger.write() as transaction:
        transaction.execute(
            "insert into routes (sync_name, route, reason, set_by, set_at) values (?, ?, ?, ?, ?)",
            (sync_name, route, reason, set_by, to_micros(now)),
        )


def current_route(transaction: Transaction, sync_name: str) -> str | None:
    """The newest route row of a sync, or None: no route means no send."""
    row = transaction.execute(
        "select route from routes where sync_name = ? order by route_number desc limit 1", (sync_name,)
    ).fetchone()
    return None if row is None else str(row[0])


def freeze(ledger: Ledger, sync_name: str, *, reason: str, set_by: str, now: datetime) -> bool:
    """Pause a sync (or `*`) from its next claim on; False if it was already."""
    with ledger.write() as transaction:
        if transaction.execute(
            "select 1 from freezes where sync_name = ? and lifted_at is null", (sync_name,)
        ).fetchone():
            return False
        transaction.execute(
            "insert into freezes (sync_name, reason, set_by, frozen_at) values (?, ?, ?, ?)",
            (sync_name, reason, set_by, to_micros(now)),
        )
        return True


def lift_freeze(ledger: Ledger, sync_name: str, *, now: datetime) -> bool:
    """Resume a sync (or `*`); False if it was not paused."""
    with ledger.write() as transaction:
        cursor = transaction.execute(
            "update freezes set lifted_at = ? where sync_name = ? and lifted_at is null",
            (to_micros(now), sync_name),
        )
        return cursor.rowcount > 0


def standing_freezes(ledger: Ledger) -> list[Freeze]:
    """Every pause in force."""
    with ledger.read() as connection:
        rows = connection.execute(
            "select sync_name, reason, set_by, frozen_at from freezes where lifted_at is null order by "
            "freeze_number"
        ).fetchall()
    return [Freeze(name, reason, set_by, from_micros(at)) for name, reason, set_by, at in rows]


def freeze_of(ledger: Ledger, sync_name: str) -> str | None:
    """Why this sync may not claim as of now, or None."""
    with ledger.read() as connection:
        return freeze_reason(Transaction(connection, 0), sync_name)


def freeze_reason(transaction: Transaction, sync_name: str, *, sync_run_id: str | None = None) -> str | None:
    """Why this sync, in that run, may not claim now, or None."""
    row = transaction.execute(
        "select reason from freezes where sync_name in (?, ?) and lifted_at is null"
        " and (but_sync_run_id is null or but_sync_run_id is distinct from ?) order by freeze_number limit 1",
        (sync_name, EVERYTHING, sync_run_id),
    ).fetchone()
    return None if row is None else str(row[0])


def set_cap(ledger: Ledger, channel: str, *, max_operations: int, window: timedelta) -> None:
    """At most so many adds and updates per person at a channel in any such window."""
    if max_operations < 1 or window <= timedelta(0):
        raise ConfigError(
            f"cap of channel {channel!r}: expected at least one operation in a positive window, "
            f"found {max_operations} in {window}. To stop a channel altogether, pause its syncs."
        )
    with ledger.write() as transaction:
        transaction.execute(
            "insert into caps values (?, ?, ?) on conflict (channel) do update"
            " set max_operations = excluded.max_operations, window_seconds = excluded.window_seconds",
            (channel, max_operations, int(window.total_seconds())),
        )
