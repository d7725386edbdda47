"""The nouns of the command line that are ingestion's; orchestration mounts them under `cdp`."""

import typer

from ingestion.commands import contracts, events, quarantine
from ingestion.commands.context import IngestionContext

__all__ = ["IngestionContext", "commands"]


def commands(context: IngestionContext) -> dict[str, typer.Typer]:
    """Noun -> its commands, to be mounted under `cdp`."""
    return {
        "contracts": contracts.commands(context),
        "events": events.commands(context),
        "quarantine": quarantine.commands(context),
    }
