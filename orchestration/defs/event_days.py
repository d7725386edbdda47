"""The days of the event log as partitions: which were loaded, and reading any range of them again."""

import warnings
from datetime import timedelta

import dagster as dg
from pydantic import Field

from ingestion.event_log import EventLog
from ingestion.identifiers import IdentifierKey
from ingestion.range_replay import RangeReplay, replay_range
from ingestion.registry import load_registry
from ingestion.time_ranges import Axis, TimeRange
from orchestration.asset_keys import EVENT_DAYS, INGESTION_OWNER
from orchestration.deployment import open_deployment
from orchestration.instance import POOL
from orchestration.resources import House
from orchestration.settings import Settings, utc_now


class ReplayConfig(dg.Config):
    """How the days of a backfill are meant."""

    by_event_time: bool = Field(
        default=False,
        description="The days are those on which events happened, so late ones come along; else of receipt.",
    )
    in_place: bool = Field(
        default=True,
        description="What ends otherwise changes in raw; else only the shadow schema replay_... is made.",
    )


def day_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """Every day from the earliest of the event log to today; the sample company's end with its own time."""
    days = sorted(path.name for path in settings.event_log_dir.glob("????-??-??"))
    deployment = open_deployment(settings, utc_now)
    today = deployment.business_now().date()
    return dg.DailyPartitionsDefinition(
        start_date=min(days[0] if days else "9", today.isoformat()),
        end_date=(today + timedelta(days=1)).isoformat() if deployment.is_sample else None,
        end_offset=0 if deployment.is_sample else 1,
        timezone="UTC",
    )


@dg.definitions
def event_days() -> dg.Definitions:
    """The asset and the job that a backfill starts; no tick touches them."""
    # One run for a whole range is what Dagster calls beta; it says so at every start.
    warnings.filterwarnings("ignore", "Parameter `backfill_policy`", dg.BetaWarning)
    days = day_partitions(Settings())

    @dg.asset(
        key=EVENT_DAYS,
        deps=[dg.AssetKey(["event_log"])],
        partitions_def=days,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="ingestion",
        owners=[INGESTION_OWNER],
        kinds={"duckdb"},
        pool=POOL,
    )
    def replay_days(
        context: dg.AssetExecutionContext, house: House, config: ReplayConfig
    ) -> dg.MaterializeResult[None]:
        """Days of the event log as the runs loaded them; materializing reads them again by today's contracts.

        A backfill over any range is one run. It loads nothing new and sends nothing: lines that today's
        contracts judge otherwise change their table in raw, and the next tick decides what follows.
        """
        window = context.partition_time_window
        axis: Axis = "happened" if config.by_event_time else "received"
        report = replay_range(
            RangeReplay(TimeRange(window.start, window.end, axis), is_in_place=config.in_place),
            log=EventLog(house.settings.event_log_dir),
            registry=load_registry(),
            warehouse=house.settings.warehouse_path,
            work_folder=house.settings.ingestion_dir,
            key=IdentifierKey(house.deployment.identifier_key()),
            clock=utc_now,
            memory_limit=house.settings.warehouse_memory_limit,
        )
        changes = [vars(change) for change in report.changes]
        return dg.MaterializeResult(
            metadata={
                "summary": f"{report.lines:,} lines read again, {report.changed:,} end otherwise",
                "lines": report.lines,
                "changed": report.changed,
                "changes": dg.MetadataValue.json(changes),
                "schema": report.schema,
            }
        )

    return dg.Definitions(
        assets=[replay_days],
        jobs=[
            dg.define_asset_job(
                "replay_days",
                selection=dg.AssetSelection.assets(EVENT_DAYS),
                description="Reads days of the event log again through today's contracts; sends nothing.",
                executor_def=dg.in_process_executor,
            )
        ],
    )
