"""Makes the asset of a sync, of a destination, and of the snapshot from their declarations."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from activation.config import Destination, Sync
from activation.delivery import Engine
from activation.engine import Desk, run_sync
from activation.reports import SyncReport
from orchestration.asset_keys import ACTIVATION_OWNER, DENIALS, SNAPSHOT, destination_key, mart, sync_key
from orchestration.errors import SyncIncompleteError
from orchestration.instance import POOL
from orchestration.resources import House
from orchestration.settings import utc_now
from orchestration.source_state import source_state
from orchestration.sql_files import rows

# What the planner reads.
PLANNED_FROM = ("audience_memberships", "audience_exclusions", "audiences", "contact_points", "profiles")


def sync_asset(sync: Sync) -> dg.AssetsDefinition:
    """The sync as an asset: planned from the marts, delivered through the ledger, never past the gate."""

    @dg.asset(
        key=sync_key(sync.name),
        deps=[DENIALS, *(mart(name) for name in PLANNED_FROM), *(sync_key(name) for name in sync.after)],
        description=f"{sync.description}\n\nFrom {sync.source} to {sync.destination.name}, {sync.mode.name}.",
        group_name="syncs",
        owners=[f"team:{sync.owner.team}", sync.owner.contact],
        kinds={sync.destination.adapter.type_name},
        metadata={"file": str(sync.file.name), "definition_hash": sync.definition_hash},
        pool=POOL,
    )
    def sync_to_destination(house: House) -> dg.MaterializeResult[None]:
        with house.warehouse() as connection:
            report = run_sync(
                sync,
                warehouse=connection,
                ledger=house.ledger,
                destination=house.destinations.get(sync.destination),
                engine=Engine(clock=utc_now),
                desk=Desk(house.settings.plans_dir, house.settings.operator),
                source=source_state(connection, as_of=house.moment),
            )
        if reason := incomplete_reason(report):
            raise SyncIncompleteError(f"{reason} So far: {describe_report(report)}.")
        return dg.MaterializeResult(metadata=report_metadata(report))

    return sync_to_destination


def destination_asset(destination: Destination, sync_names: Sequence[str]) -> dg.AssetsDefinition:
    """The destination as an asset: what it has acknowledged so far, after its syncs have run."""

    @dg.asset(
        key=destination_key(destination.name),
        deps=[sync_key(name) for name in sync_names],
        description=destination.description,
        group_name="destinations",
        owners=[ACTIVATION_OWNER],
        kinds={destination.adapter.type_name},
        pool=POOL,
    )
    def acknowledged_by_destination(house: House) -> dg.MaterializeResult[None]:
        with house.warehouse() as connection:
            counted = [
                row for row in rows(connection, "sync_counts") if row["destination"] == destination.name
            ]
        keys = sum(int(row["acknowledged"]) for row in counted)
        return dg.MaterializeResult(
            metadata={
                "summary": f"{keys:,} keys acknowledged in {len(counted)} lists",
                "dagster/row_count": keys,
            }
        )

    return acknowledged_by_destination


def snapshot_asset(destination_names: Sequence[str]) -> dg.AssetsDefinition:
    """The published snapshot as an asset."""

    @dg.asset(
        key=SNAPSHOT,
        deps=[destination_key(name) for name in destination_names],
        group_name="snapshot",
        owners=["team:data-platform"],
        kinds={"duckdb"},
        pool=POOL,
    )
    def snapshot(house: House) -> dg.MaterializeResult[None]:
        """The copy of the warehouse that people and tools read, replaced whole after each run."""
        published = house.publish()
        return dg.MaterializeResult(
            metadata={
                "summary": f"{published.byte_count / 1e6:,.0f} MB at {published.path}",
                "bytes": published.byte_count,
                "path": dg.MetadataValue.path(published.path),
            }
        )

    return snapshot


def describe_report(report: SyncReport) -> str:
    """One sync's run in one line, in counts that add up."""
    left = report.removes + report.erases
    parts = [f"+{report.adds:,} ~{report.updates:,} -{left:,}, unchanged {report.unchanged:,}"]
    if report.sends:
        parts = [f"{report.sends:,} messages, {report.unchanged:,} done before"]
    if report.noted:
        parts.append(f"{report.noted:,} there before it began")
    if report.full_because:
        parts.append(f"full, because {report.full_because}")
    for name in ("delivered", "accepted", "rejected", "suppressed", "deferred", "in_doubt", "recovered"):
        if count := getattr(report, name):
            parts.append(f"{name.replace('_', ' ')} {count:,}")
    for title, reasons in (("invalid", report.invalid), ("blocked", report.blocked)):
        if reasons:
            parts.append(f"{title} " + ", ".join(f"{code} {count:,}" for code, count in reasons.items()))
    return ", ".join(parts)


def incomplete_reason(report: SyncReport) -> str:
    """Why something that was wanted is not done, in a sentence; empty when all is."""
    if report.guards:
        return report.stopped_because
    if report.error is not None:
        return f"Sync {report.sync_name!r} stopped early: {report.error.rstrip('.')}."
    return ""


def report_metadata(report: SyncReport) -> dict[str, Any]:
    """For the UI: every count of the run, and how many keys the destination should hold."""
    names = (
        "adds", "updates", "removes", "erases", "sends", "unchanged",
        "delivered", "accepted", "rejected", "suppressed", "deferred", "in_doubt",
    )  # fmt: skip
    return {
        "summary": describe_report(report),
        "dagster/row_count": report.unchanged + report.adds + report.updates,
        **{name: getattr(report, name) for name in names},
        "reasons": dg.MetadataValue.json({name: dict(counts) for name, counts in report.reasons.items()}),
        "held_back": dg.MetadataValue.json(dict(report.held_back)),
        "sync_run_id": report.sync_run_id or "none: nothing to do",
        "plan_hash": report.plan_hash,
        **({"plan_id": report.plan_id} if report.plan_id else {}),
    }
