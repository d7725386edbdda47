"""The Dagster entry point: everything under defs/.

The modules are named here, not discovered: discovery through Dagster's component tree costs every process
some two seconds, for a folder of five files.
"""

import dagster as dg

from orchestration.defs import decisions, deliveries, event_days, facts, freshness, ledger, tick


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, checks, jobs, schedules and sensors of the house."""
    return dg.Definitions.merge(
        decisions.decisions(),
        deliveries.deliveries(),
        event_days.event_days(),
        freshness.freshness_checks(),
        dg.Definitions(
            assets=dg.load_assets_from_modules([facts, ledger]),
            jobs=[tick.tick, tick.load_job],
            schedules=[tick.hourly],
            sensors=[tick.new_events, tick.micro_batches],
        ),
    )
