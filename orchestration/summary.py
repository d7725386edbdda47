"""The numbers that a run ends with and `cdp status` shows; all come from the warehouse by SQL."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import duckdb

from orchestration.sql_files import one_row, rows

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class EventCounts:
    """Events received and what became of them, each counted in its own table."""

    received: int
    accepted: int
    duplicates: int
    quarantined: int
    quarantined_by_code: Mapping[str, int] = field(default_factory=dict)

    @property
    def adds_up(self) -> bool:
        """Nothing is lost: every event received is accepted, a duplicate, or quarantined."""
        return self.received == self.accepted + self.duplicates + self.quarantined


@dataclass(frozen=True)
class PeopleCounts:
    """People, their identifiers, the joins that made them, and identifiers too shared to belong to anyone."""

    people: int
    identifiers: int
    merges: int
    shared_identifiers: int


@dataclass(frozen=True)
class AudienceCounts:
    """One audience at one channel: eligible = members + excluded, the excluded by reason."""

    audience: str
    channel: str
    eligible: int
    members: int
    excluded: int
    excluded_by_reason: Mapping[str, int]
    description: str
    owner: str
    purpose: str


@dataclass(frozen=True)
class SyncCounts:
    """One sync in its last run; `unchanged` are the acknowledged keys that needed nothing."""

    sync: str
    destination: str
    sync_run_id: str
    planned_at: datetime | None
    adds: int
    updates: int
    removes: int
    erases: int
    sends: int
    unchanged: int
    delivered: int
    accepted: int
    rejected: int
    suppressed: int
    deferred: int
    in_doubt: int
    acknowledged: int

    @property
    def planned(self) -> int:
        """Operations of that run."""
        return self.adds + self.updates + self.removes + self.erases + self.sends


@dataclass(frozen=True)
class Summary:
    """What stands in the warehouse; `new_events` are those that the run itself loaded."""

    events: EventCounts
    new_events: EventCounts
    legacy_files: tuple[Mapping[str, Any], ...]
    people: PeopleCounts
    audiences: tuple[AudienceCounts, ...]
    syncs: tuple[SyncCounts, ...]
    freshness: Mapping[str, Any]

    @property
    def operations(self) -> int:
        """Operations that the run planned, over all syncs."""
        return sum(sync.planned for sync in self.syncs)


def collect_summary(connection: duckdb.DuckDBPyConnection, *, since: datetime = BEGINNING) -> Summary:
    """Count everything; sync runs planned before `since` count as runs that planned nothing."""
    return Summary(
        events=count_events(connection, since=BEGINNING),
        new_events=count_events(connection, since=since),
        legacy_files=tuple(rows(connection, "legacy_file_counts")),
        people=PeopleCounts(**(one_row(connection, "people_counts") or {})),
        audiences=count_audiences(connection),
        syncs=count_syncs(connection, since=since),
        freshness=one_row(connection, "freshness") or {},
    )


def count_events(connection: duckdb.DuckDBPyConnection, *, since: datetime) -> EventCounts:
    """Events of the batches that were loaded at or after `since`."""
    parameters = {"since": naive_utc(since)}
    counts = one_row(connection, "event_counts", parameters) or {}
    codes = rows(connection, "quarantine_codes", parameters)
    return EventCounts(**counts, quarantined_by_code={row["code"]: row["events"] for row in codes})


def count_audiences(connection: duckdb.DuckDBPyConnection) -> tuple[AudienceCounts, ...]:
    """Every audience at every channel it is declared for."""
    reasons: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows(connection, "exclusion_counts"):
        reasons.setdefault((row["audience_name"], row["channel"]), {})[row["reason"]] = row["people"]
    return tuple(
        AudienceCounts(
            audience=row["audience_name"],
            channel=row["channel"],
            eligible=row["eligible_people"],
            members=row["members"],
            excluded=row["excluded"],
            excluded_by_reason=reasons.get((row["audience_name"], row["channel"]), {}),
            description=row["description"],
            owner=row["owner"],
            purpose=row["purpose"],
        )
        for row in rows(connection, "audience_counts")
    )


def count_syncs(connection: duckdb.DuckDBPyConnection, *, since: datetime) -> tuple[SyncCounts, ...]:
    """The last run of every sync; what was planned before `since` shows as zero."""
    counted = []
    for row in rows(connection, "sync_counts"):
        is_recent = row["planned_at"] is not None and row["planned_at"] >= naive_utc(since)
        numbers = {
            name: int(row[name] or 0) if is_recent else 0
            for name in (
                "adds", "updates", "removes", "erases", "sends",
                "delivered", "accepted", "rejected", "suppressed", "deferred", "in_doubt",
            )
        }  # fmt: skip
        acknowledged = int(row["acknowledged"])
        counted.append(
            SyncCounts(
                sync=row["sync_name"],
                destination=row["destination"],
                sync_run_id=row["sync_run_id"],
                planned_at=row["planned_at"],
                unchanged=max(0, acknowledged - sum(numbers[name] for name in ("adds", "updates", "sends"))),
                acknowledged=acknowledged,
                **numbers,
            )
        )
    return tuple(counted)


def naive_utc(moment: datetime) -> datetime:
    """As the warehouse stores it: UTC without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)
