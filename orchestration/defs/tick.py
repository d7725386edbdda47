"""The one job, and what may start it by itself; both starters are off until a person switches them on."""

import dagster as dg

from orchestration.run import JOB_NAME

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
