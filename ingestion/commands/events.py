"""`cdp events`: the event log."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from ingestion.commands.context import (
    ByEventTime,
    IngestionContext,
    Json,
    RangeEnd,
    RangeStart,
    print_json,
    time_range,
)
from ingestion.errors import RejectedInputError
from ingestion.records import Record, split_record
from ingestion.sealing import verify
from ingestion.time_ranges import lines_in


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
            typer.echo(f"{result.count} events are in the event log, {result.bytes} bytes.")

    @app.command("status")
    def status(as_json: Json = False) -> None:
        """How much the log holds, and how much of it is sealed."""
        log = context.event_log()
        segments = log.segments()
        sealed = {name: entry for name, entry in log.sealed().segments.items() if name in segments}
        found = {
            "segments": len(segments),
            "sealed": len(sealed),
            "bytes": sum(segments.values()),
            "sealed_bytes": sum(entry.bytes for entry in sealed.values()),
            "stored_bytes": sum(pack.bytes for pack in log.sealed().packs.values()),
            "packs": len(log.sealed().packs),
            "first_day": min(segments, default="")[:10] or None,
            "last_day": max(segments, default="")[:10] or None,
        }
        if as_json:
            print_json(found)
            return
        for name, value in found.items():
            typer.echo(f"{name:<14} {value if value is not None else '-'}")

    @app.command("seal")
    def seal_segments(as_json: Json = False) -> None:
        """Compress and checksum what no append will touch again; every run does it too."""
        report = context.seal()
        if as_json:
            print_json(vars(report))
        else:
            typer.echo(
                f"{report.segments} segments sealed: {report.bytes:,} bytes in {report.stored_bytes:,}."
            )

    @app.command("verify")
    def verify_log(as_json: Json = False) -> None:
        """Read every sealed byte again and compare the checksums; exit code 1 when one differs."""
        log = context.event_log()
        damages = verify(log)
        if as_json:
            print_json({"sealed": len(log.sealed().segments), "damaged": [vars(each) for each in damages]})
        else:
            for each in damages:
                typer.echo(f"{each.place}: expected {each.expected}, found {each.found}")
            typer.echo(f"{len(log.sealed().segments)} sealed segments read, {len(damages)} places damaged.")
        if damages:
            raise RejectedInputError(
                f"{len(damages)} places of the event log are damaged; restore the files named above from "
                "their copy."
            )

    @app.command("read")
    def read(
        start: RangeStart,
        end: RangeEnd,
        *,
        by_event_time: ByEventTime = False,
        source: Annotated[str | None, typer.Option(help="Only what this source sent.")] = None,
    ) -> None:
        """Print what was received in a range of time, verbatim: place, then the record."""
        for line in lines_in(context.event_log(), time_range(start, end, by_event_time=by_event_time)):
            parts = split_record(line.record)
            if source is None or (parts is not None and parts.source == source):
                sys.stdout.buffer.write(b"%b:%d\t%b" % (line.segment.encode(), line.number, line.record))

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
