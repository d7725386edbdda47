"""Names of assets that several definitions share."""

import dagster as dg

ACTIVATION_OWNER = "team:marketing-operations"
INGESTION_OWNER = "team:data-platform"

DENIALS = dg.AssetKey(["activation", "denials"])
EVENT_DAYS = dg.AssetKey(["raw", "event_days"])
SNAPSHOT = dg.AssetKey(["snapshot"])

# Table of the `activation` schema and what one row of it is.
PROJECTED_TABLES = {
    "sync_runs": "One row per run of a sync with its counts, as the ledger records it.",
    "operations": "One row per operation with its state and reason; the destination's key is hashed.",
    "acknowledged": "One row per sync and key that a destination has acknowledged.",
}


def mart(name: str) -> dg.AssetKey:
    """A public mart that dbt builds."""
    return dg.AssetKey(["marts", name])


def sync_key(name: str) -> dg.AssetKey:
    """A sync, by the name of its file."""
    return dg.AssetKey(["syncs", name])


def destination_key(name: str) -> dg.AssetKey:
    """A configured destination."""
    return dg.AssetKey(["destinations", name])
