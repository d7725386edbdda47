"""The one job, and what may start it by itself; both starters are off until a person switches them on."""

import hashlib
import json

import dagster as dg

from ingestion.event_log import EventLog
from orchestration.run import JOB_NAME
from orchestration.settings import Settings

tick = dg.define_asset_job(
    JOB_NAME,
    selection=dg.AssetSelection.all(),
    description="One pass over everything: facts in, decisions, deliveries, snapshot.",
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
    segments = EventLog(Settings().event_log_dir).segments()
    seen = hashlib.sha256(json.dumps(segments, sort_keys=True).encode()).hexdigest()
    if not segments or seen == context.cursor:
        return dg.SensorResult(skip_reason="The event log has not grown.", cursor=context.cursor)
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=seen)], cursor=seen)
