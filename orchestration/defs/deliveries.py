"""Each sync, each destination, and the snapshot that readers see after them."""

import dagster as dg

from activation.config import load_definitions
from activation.sync_file import Schedule
from orchestration.delivery_assets import delivery_assets, snapshot_asset, sync_schedule
from orchestration.settings import Settings


@dg.definitions
def deliveries() -> dg.Definitions:
    """One asset per file of activation/syncs and per entry of destinations.yml."""
    declared = load_definitions(Settings().project_root / "activation")
    return dg.Definitions(
        assets=[
            delivery_assets(list(declared.syncs.values()), list(declared.destinations.values())),
            snapshot_asset(list(declared.destinations)),
        ],
        schedules=[
            sync_schedule(sync, sync.trigger)
            for sync in declared.syncs.values()
            if isinstance(sync.trigger, Schedule)
        ],
    )
