"""Makes the assets of syncs, of destinations, and of the snapshot from their declarations."""

import signal
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import duckdb

from activation.config import Destination, Sync
from activation.engine import Desk, SyncJob, each_sync
from activation.outside import Engine
from activation.progress import Progress
from activation.reports import SyncReport
from activation.sync_file import Schedule
from activation.together import Ended
from orchestration.asset_keys import ACTIVATION_OWNER, DENIALS, SNAPSHOT, destination_key, mart, sync_key
from orchestration.errors import SyncIncompleteError
from orchestration.instance import POOL
from orchestration.resources import House
from orchestration.settings import utc_now
from orchestration.source_state import source_state
from orchestration.sql_files import rows
from orchestration.statuses import DELIVERIES, INCOMPLETE

# What the planner reads.
PLANNED_FROM = ("audience_memberships", "audience_exclusions", "audiences", "contact_points", "profiles")


def delivery_assets(syncs: Sequence[Sync], destinations: Sequence[Destination]) -> dg.AssetsDefinition:
    """Every sync and every destination as an asset, carried out in one step in which syncs run side by side.

    Each can be selected by itself. A sync is materialised as soon as it has ended well; a destination when
    all of its selected syncs have. The step fails at its end if a sync is incomplete, and names it.
    """
    by_name = {sync.name: sync for sync in syncs}
    specs = [
        *(_sync_spec(sync) for sync in syncs),
        *(
            _destination_spec(
                destination, [sync.name for sync in syncs if sync.destination.name == destination.name]
            )
            for destination in destinations
        ),
    ]

    @dg.multi_asset(name=DELIVERIES, specs=specs, can_subset=True, pool=POOL)
    def deliveries(context: dg.AssetExecutionContext, house: House) -> Iterator[dg.MaterializeResult[None]]:
        """Plan each sync from the marts and deliver it through the ledger, never past the gate."""
        selected = context.selected_asset_keys
        chosen = [sync for name, sync in by_name.items() if sync_key(name) in selected]
        incomplete: list[Ended] = []
        with house.warehouse() as connection:
            if chosen:
                for ended in _carry_out(chosen, house, connection, context):
                    if incomplete_reason(ended.report):
                        incomplete.append(ended)
                        context.log_event(_observation(ended.report))
                    else:
                        yield dg.MaterializeResult(
                            asset_key=sync_key(ended.report.sync_name), metadata=report_metadata(ended.report)
                        )
            behind = {ended.report.destination for ended in incomplete}
            for destination in destinations:
                if destination_key(destination.name) in selected and destination.name not in behind:
                    yield _acknowledged(connection, destination)
        if incomplete:
            raise _incomplete_error(incomplete)

    return deliveries


def sync_schedule(sync: Sync, schedule: Schedule) -> dg.ScheduleDefinition:
    """What starts a sync with a schedule of its own, and nothing else, on the marts as they are by then."""
    return dg.ScheduleDefinition(
        name=f"{sync.name}_schedule",
        job=dg.define_asset_job(
            f"sync_{sync.name}",
            selection=dg.AssetSelection.assets(sync_key(sync.name)).without_checks(),
            description=f"Only the sync {sync.name}, on the marts as they are.",
            executor_def=dg.in_process_executor,
        ),
        cron_schedule=schedule.cron,
        execution_timezone=schedule.timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"Carries out the sync {sync.name} at {schedule}.",
    )


def _carry_out(
    syncs: Sequence[Sync],
    house: House,
    connection: duckdb.DuckDBPyConnection,
    context: dg.AssetExecutionContext,
) -> Iterator[Ended]:
    """Each sync's end as it comes. Interrupted, it drains first, and is interrupted then."""

    def tell(lines: list[str]) -> None:
        for line in lines:
            context.log.info(line)

    engine = Engine(
        clock=utc_now,
        patience=house.settings.patience,
        progress=Progress(tell),
        signals=(signal.SIGTERM, signal.SIGINT),
    )
    yield from each_sync(
        [SyncJob(sync, house.destinations.get(sync.destination)) for sync in syncs],
        warehouse=connection,
        ledger=house.ledger,
        engine=engine,
        desk=Desk(house.settings.plans_dir, house.settings.operator),
        source=source_state(connection, as_of=house.moment),
    )
    if engine.stop.asked is not None:
        raise dg.DagsterExecutionInterruptedError(engine.stop.reason)


def _incomplete_error(incomplete: Sequence[Ended]) -> SyncIncompleteError:
    """One line for each sync that is behind; caused by what the first of them raised, if anything."""
    error = SyncIncompleteError(
        " ".join(
            f"{incomplete_reason(ended.report)} So far: {describe_report(ended.report)}."
            for ended in incomplete
        )
    )
    error.__cause__ = next((ended.error for ended in incomplete if ended.error is not None), None)
    return error


def _observation(report: SyncReport) -> dg.AssetObservation:
    """What an incomplete sync did all the same, and why it is behind."""
    return dg.AssetObservation(
        sync_key(report.sync_name),
        metadata={INCOMPLETE: incomplete_reason(report), **report_metadata(report)},
    )


def _acknowledged(
    connection: duckdb.DuckDBPyConnection, destination: Destination
) -> dg.MaterializeResult[None]:
    """What a destination has acknowledged so far."""
    counted = [row for row in rows(connection, "sync_counts") if row["destination"] == destination.name]
    keys = sum(int(row["acknowledged"]) for row in counted)
    return dg.MaterializeResult(
        asset_key=destination_key(destination.name),
        metadata={
            "summary": f"{keys:,} keys acknowledged in {len(counted)} lists",
            "dagster/row_count": keys,
        },
    )


def _sync_spec(sync: Sync) -> dg.AssetSpec:
    return dg.AssetSpec(
        sync_key(sync.name),
        deps=[DENIALS, *(mart(name) for name in PLANNED_FROM), *(sync_key(name) for name in sync.after)],
        description=f"{sync.description}\n\nFrom {sync.source} to {sync.destination.name}, {sync.mode.name}.",
        group_name="syncs",
        owners=[f"team:{sync.owner.team}", sync.owner.contact],
        kinds={sync.destination.adapter.type_name},
        metadata={"file": str(sync.file.name), "definition_hash": sync.definition_hash},
    )


def _destination_spec(destination: Destination, sync_names: Sequence[str]) -> dg.AssetSpec:
    return dg.AssetSpec(
        destination_key(destination.name),
        deps=[sync_key(name) for name in sync_names],
        description=destination.description,
        group_name="destinations",
        owners=[ACTIVATION_OWNER],
        kinds={destination.adapter.type_name},
    )


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
