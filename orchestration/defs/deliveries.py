"""Each sync, each destination, and the snapshot that readers see after them."""

import dagster as dg

from activation.config import load_definitions
from orchestration.delivery_assets import destination_asset, snapshot_asset, sync_asset
from orchestration.settings import Settings


@dg.definitions
def deliveries() -> dg.Definitions:
    """One asset per file of activation/syncs and per entry of destinations.yml."""
    declared = load_definitions(Settings().project_root / "activation")
    syncs = list(declared.syncs.values())
    return dg.Definitions(
        assets=[
            *(sync_asset(sync) for sync in syncs),
            *(
                destination_asset(
                    destination, [sync.name for sync in syncs if sync.destination.name == destination.name]
                )
                for destination in declared.destinations.values()
            ),
            snapshot_asset(list(declared.destinations)),
        ]
    )
