"""`cdp events`: the event log."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from ingestion.commands.context import IngestionContext, Json, print_json
from ingestion.errors import RejectedInputError
from ingestion.event_log import Record


def commands(context: IngestionContext) -> typer.Typer:
    """The verbs of `cdp events`."""
    app = typer.Typer(help="The event log.", no_args_is_help=True)

    @app.command("append")
    def append(
        file: Annotated[str, typer.Argument(help="A file of JSON lines, or - for standard input.")],
        source: Annotated[str, typer.Option(help="The source that the events come from.")],
        as_json: Json = False,
    ) -> None:
        """Append events as received now; they are validated and loaded by the next run."""
        registry, received_at = context.registry(), context.clock()
        if source not in registry.source_names():
            raise RejectedInputError(
                f"There is no source {source!r}; known are {', '.join(sorted(registry.source_names()))}. "
                "Add it to event_sources.yml or name one of them."
            )
        with _opened(file) as lines:
            result = context.event_log().append(_records(lines, source, received_at))
        if as_json:
            print_json(vars(result))
        else:
            healed = (
                f" A torn tail of {result.healed_bytes} bytes was removed first."
                if result.healed_bytes
                else ""
            )
            typer.echo(f"{result.count} events are in the event log, {result.bytes} bytes.{healed}")

    return app


def _opened(file: str) -> AbstractContextManager[BinaryIO]:
    if file == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise RejectedInputError(
            f"{file} cannot be read ({error.strerror}); give a file of JSON lines."
        ) from error


def _records(lines: BinaryIO, source: str, received_at: datetime) -> Iterator[Record]:
    for line in lines:
        yield Record(received_at, source, line.removesuffix(b"\n"))
