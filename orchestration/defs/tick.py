"""The jobs, and what may start them by itself; every starter is off until a person switches it on."""

import hashlib
import json

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from activation.config import load_definitions
from ingestion.event_log import EventLog
from orchestration.asset_keys import EVENT_DAYS, sync_key
from orchestration.defs.facts import EVENT_TABLES
from orchestration.run import JOB_NAME
from orchestration.settings import Settings

# a sync whose file says so is carried out by a person only, or by a schedule of its own
NOT_WITH_THE_TICK = [
    sync_key(sync.name)
    for sync in load_definitions(Settings().project_root / "activation").syncs.values()
    if sync.trigger != "tick"
]

tick = dg.define_asset_job(
    JOB_NAME,
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets(EVENT_DAYS, *NOT_WITH_THE_TICK),
    description="One pass over everything: facts in, decisions, deliveries, snapshot.",
    executor_def=dg.in_process_executor,
)

load_job = dg.define_asset_job(
    "load_events",
    selection=dg.AssetSelection.assets(
        *(dg.AssetKey(["raw", table]) for table in EVENT_TABLES)
    ).without_checks(),
    description="Only the event log into raw: a micro-batch. Nothing is decided or sent.",
    executor_def=dg.in_process_executor,
)

hourly = dg.ScheduleDefinition(
    name="hourly_tick",
    job=tick,
    cron_schedule="5 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Runs the tick five minutes after every hour.",
)


@dg.sensor(
    name="new_events",
    job=tick,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Runs the tick when the event log has grown since the last tick that this sensor asked for.",
)
def new_events(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """The cursor is a hash over every segment and its readable length."""
    seen = _event_log_state()
    if seen in ("", context.cursor):
        return dg.SensorResult(skip_reason="The event log has not grown.", cursor=context.cursor)
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=seen)], cursor=seen)


@dg.sensor(
    name="micro_batches",
    job=load_job,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Loads the event log whenever it has grown: in raw within a minute of arrival.",
)
def micro_batches(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """One load at a time: what arrives during a load is the next one's."""
    seen = _event_log_state()
    if seen in ("", context.cursor):
        return dg.SensorResult(skip_reason="The event log has not grown.", cursor=context.cursor)
    waiting = context.instance.get_runs_count(
        dg.RunsFilter(job_name=load_job.name, statuses=NOT_FINISHED_STATUSES)
    )
    if waiting:
        return dg.SensorResult(skip_reason="The load before is not finished.", cursor=context.cursor)
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"load-{seen}")], cursor=seen)


def _event_log_state() -> str:
    """A text that changes whenever the event log grows; empty while it is."""
    segments = EventLog(Settings().event_log_dir).segments()
    if not segments:
        return ""
    return hashlib.sha256(json.dumps(segments, sort_keys=True).encode()).hexdigest()
