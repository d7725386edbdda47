"""`cdp consume` over a folder of its own: `python -m ...consume_child FOLDER KIND NAME`."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import typer

from ingestion.commands import consume
from ingestion.event_log import EventLog
from ingestion.registry import load_registry


class _Context:
    """What the command asks of its context."""

    def __init__(self, folder: Path) -> None:
        self.registry = load_registry
        self.event_log = lambda: EventLog(folder / "event_log")
        self.streams_file = folder / "streams.yml"
        self.streams_folder = folder / "streams"
        self.now = lambda: datetime.now(tz=UTC)
        self.resolve_secret = lambda name: f"secret of {name}"


if __name__ == "__main__":
    folder, *arguments = sys.argv[1:]
    app: typer.Typer = consume.commands(cast(Any, _Context(Path(folder))))
    app(arguments)
