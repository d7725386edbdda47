"""The commands of the command line that are ingestion's; orchestration mounts them under `cdp`."""

import typer

from ingestion.commands import collect, consume, contracts, events, keys, quarantine, replay
from ingestion.commands.context import IngestionContext

__all__ = ["IngestionContext", "commands"]


def commands(context: IngestionContext) -> dict[str, typer.Typer]:
    """Noun -> its commands, to be mounted under `cdp`."""
    return {
        "collect": collect.commands(context),
        "consume": consume.commands(context),
        "contracts": contracts.commands(context),
        "events": events.commands(context),
        "keys": keys.commands(context),
        "quarantine": quarantine.commands(context),
        "replay": replay.commands(context),
    }
