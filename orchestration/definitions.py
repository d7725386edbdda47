"""The Dagster entry point: everything under defs/.

The modules are named here, not discovered: discovery through Dagster's component tree costs every process
some two seconds, for a folder of five files.
"""

import dagster as dg

from orchestration.defs import decisions, deliveries, facts, ledger, tick


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, checks, jobs, schedules and sensors of the house."""
    return dg.Definitions.merge(
        decisions.decisions(),
        deliveries.deliveries(),
        dg.Definitions(
            assets=dg.load_assets_from_modules([facts, ledger]),
            jobs=[tick.tick],
            schedules=[tick.hourly],
            sensors=[tick.new_events],
        ),
    )
